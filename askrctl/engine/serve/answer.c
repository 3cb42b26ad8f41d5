/* SPDX-License-Identifier: MIT
 * An application's answer on its way to the client.
 *
 * Body bytes are held back until the answer is complete, so that it goes out with its length in one
 * send. It is streamed from then on when the application flushes, or writes more than
 * ANSWER_HELD_MAX. A streamed answer that the client is slow to take goes to a temporary file, so
 * that the application is free again; one that was flushed holds the application back instead. */
#include <errno.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/worker.h"

enum { INTERIM_HEAD_SIZE = 4096 };
#define ANSWER_SPOOL_MAX (INT64_C(1) << 30) /* bytes of one answer on disk */

static struct slice keep(struct exchange *exchange, struct slice text)
{
    char *copy = exchange_allocate(exchange, text.size);
    if (copy == NULL)
        return (struct slice){NULL, 0};
    memcpy(copy, text.data, text.size);
    return (struct slice){copy, text.size};
}

static bool is_content_length(struct slice name)
{
    return name.size == 14 && strncasecmp(name.data, "content-length", 14) == 0;
}

/* The application's own length, used when the answer is streamed. Nonsense is ignored. */
static int64_t parse_length(struct slice value)
{
    int64_t length = 0;
    if (value.size == 0 || value.size > 18)
        return -1;
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return -1;
        length = length * 10 + (value.data[i] - '0');
    }
    return length;
}

/* The fields live in shared memory only until the next message. */
static int keep_fields(struct exchange *exchange, const struct port_message *message)
{
    size_t total = 0;
    for (size_t i = 0; i < message->field_count; i++)
        total += message->fields[i].name.size + message->fields[i].value.size + 4;
    if (total > ANSWER_HEAD_SIZE_MAX - 512) /* our own fields go there as well */
        return -E2BIG;
    exchange->fields = exchange_allocate(exchange, message->field_count * sizeof *exchange->fields);
    if (exchange->fields == NULL)
        return -ENOMEM;
    exchange->field_count = message->field_count;
    for (size_t i = 0; i < message->field_count; i++) {
        struct http_field *field = &exchange->fields[i];
        field->name = keep(exchange, message->fields[i].name);
        field->value = keep(exchange, message->fields[i].value);
        if (field->name.data == NULL || field->value.data == NULL)
            return -ENOMEM;
        if (is_content_length(field->name))
            exchange->content_length = parse_length(field->value);
    }
    return 0;
}

void answer_head(struct exchange *exchange, const struct port_message *message)
{
    if (exchange->head_known)
        return;
    bool valid = message->status >= 200 && message->status <= 999;
    if (!valid || keep_fields(exchange, message) < 0) {
        exchange_fail(exchange, 502, "the application's answer had a head that cannot be sent");
        return;
    }
    exchange->head_known = true;
    exchange->status = message->status;
}

static struct h1_response response_of(struct exchange *exchange, int64_t length)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    if (!exchange->keep_alive || worker->draining)
        conn->close = true;
    return (struct h1_response){
        .status = exchange->status,
        .head_request = exchange->head_request,
        .http10 = exchange->http10,
        .close = conn->close,
        .content_length = length,
        .date = worker_date(worker),
        .server = slice_of(worker->config->server_header),
        .fields = exchange->fields,
        .field_count = exchange->field_count,
    };
}

/* Put the head, and the prefix of a first chunk, into the headroom of the first held piece; or into
 * a piece of its own when it is too large for that. */
static int place_head(struct exchange *exchange, struct slice head)
{
    struct output *output = conn_output(exchange->conn);
    if (output == NULL)
        return -ENOMEM;
    struct piece *first = exchange->held;
    if (first != NULL && head.size <= first->begin) {
        first->begin -= (uint32_t)head.size;
        memcpy(first->data + first->begin, head.data, head.size);
    } else {
        int result = output_append(output, head);
        if (result < 0)
            return result;
    }
    for (struct piece *piece; (piece = exchange->held) != NULL;) {
        exchange->held = piece->next;
        piece->next = NULL;
        output_push(output, piece);
    }
    exchange->held_last = &exchange->held;
    return 0;
}

/* Fix the framing and move what was held to the output. */
static int commit(struct exchange *exchange, bool complete)
{
    char head[ANSWER_HEAD_SIZE_MAX + H1_CHUNK_PREFIX_SIZE];
    enum h1_framing framing;
    bool bare = exchange->head_request || exchange->status == 304;
    int64_t length = complete && !bare ? (int64_t)exchange->held_size : exchange->content_length;
    struct h1_response response = response_of(exchange, length);
    int64_t size = h1_write_head(head, ANSWER_HEAD_SIZE_MAX, &response, &framing);
    if (size <= 0)
        return size < 0 ? (int)size : -E2BIG;
    if (framing == H1_CLOSE)
        exchange->conn->close = true;
    if (framing == H1_CHUNKED && exchange->held_size > 0)
        size += (int64_t)h1_write_chunk_prefix(head + size, exchange->held_size);
    int result = place_head(exchange, (struct slice){head, (size_t)size});
    if (result < 0)
        return result;
    exchange->head_sent = true;
    exchange->framing = (uint8_t)framing;
    exchange->length_left = length - (int64_t)exchange->held_size;
    if (framing == H1_CHUNKED && exchange->held_size > 0)
        result = output_append(exchange->conn->output, SLICE("\r\n"));
    conn_dirty(exchange->conn);
    return result;
}

static void fail_commit(struct exchange *exchange, int result)
{
    exchange_fail(exchange, result == -EINVAL ? 502 : 503,
                  result == -EINVAL ? "the application's answer had an invalid header field"
                                    : NULL);
}

static int emit(struct exchange *exchange, struct slice bytes)
{
    struct output *output = exchange->conn->output;
    if (output == NULL && (output = conn_output(exchange->conn)) == NULL)
        return -ENOMEM;
    if (!exchange->streaming && output->memory > OUTPUT_MEMORY_MAX)
        exchange->spooling = true;
    return exchange->spooling ? output_spool(output, bytes) : output_append(output, bytes);
}

static int emit_body(struct exchange *exchange, struct slice bytes)
{
    if (exchange->framing == H1_NO_BODY)
        return 0;
    if (exchange->framing == H1_SIZED) {
        /* More than was announced would be read as the next answer. */
        bytes.size = size_min(bytes.size, (size_t)exchange->length_left);
        exchange->length_left -= (int64_t)bytes.size;
    }
    if (exchange->framing != H1_CHUNKED)
        return emit(exchange, bytes);
    char prefix[H1_CHUNK_PREFIX_SIZE];
    struct slice start = {prefix, h1_write_chunk_prefix(prefix, bytes.size)};
    int result = emit(exchange, start);
    if (result == 0)
        result = emit(exchange, bytes);
    if (result == 0)
        result = emit(exchange, SLICE("\r\n"));
    return result;
}

static int hold(struct exchange *exchange, struct slice bytes)
{
    struct worker *worker = exchange->conn->worker;
    struct piece *piece =
        exchange->held == NULL ? NULL : CONTAINER_OF(exchange->held_last, struct piece, next);
    exchange->held_size += bytes.size;
    while (bytes.size > 0) {
        if (piece == NULL || piece_room(piece) == 0) {
            struct piece *added = piece_new(worker);
            if (added == NULL)
                return -ENOMEM;
            if (piece == NULL)
                added->begin = added->end = PIECE_HEADROOM;
            *exchange->held_last = added;
            exchange->held_last = &added->next;
            piece = added;
        }
        size_t size = size_min(bytes.size, piece_room(piece));
        memcpy(piece->data + piece->end, bytes.data, size);
        piece->end += (uint32_t)size;
        bytes.data += size;
        bytes.size -= size;
    }
    return 0;
}

void answer_body(struct exchange *exchange, struct slice bytes)
{
    if (bytes.size == 0)
        return;
    if (!exchange->head_known) {
        exchange_fail(exchange, 502, "the application sent a body before its head");
        return;
    }
    int result;
    if (exchange->head_sent) {
        result = emit_body(exchange, bytes);
        conn_dirty(exchange->conn);
        if (result < 0)
            exchange_fail(exchange, 503, NULL);
        return;
    }
    if (exchange->head_request)
        return;
    result = hold(exchange, bytes);
    if (result == 0 && (exchange->streaming || exchange->held_size >= ANSWER_HELD_MAX))
        result = commit(exchange, false);
    if (result < 0)
        fail_commit(exchange, result);
}

void answer_flush(struct exchange *exchange)
{
    exchange->streaming = true;
    if (!exchange->head_known || exchange->head_sent)
        return;
    int result = commit(exchange, false);
    if (result < 0)
        fail_commit(exchange, result);
}

void answer_interim(struct exchange *exchange, const struct port_message *message)
{
    char head[INTERIM_HEAD_SIZE];
    enum h1_framing framing;
    if (exchange->http10 || exchange->head_sent || message->status < 102 || message->status > 199)
        return; /* RFC 9110 section 15.2: never to a 1.0 client */
    struct h1_response response = {
        .status = message->status,
        .content_length = -1,
        .fields = message->fields,
        .field_count = message->field_count,
    };
    int64_t size = h1_write_head(head, sizeof head, &response, &framing);
    struct output *output = conn_output(exchange->conn);
    if (size > 0 && output != NULL &&
        output_append(output, (struct slice){head, (size_t)size}) == 0)
        conn_dirty(exchange->conn);
}

/* Nothing has gone out yet: the length is known. */
static void end_whole(struct exchange *exchange, bool failed)
{
    if (failed || !exchange->head_known) {
        respond_error(exchange, failed ? 500 : 502, NULL);
        return;
    }
    int result = commit(exchange, true);
    if (result < 0)
        fail_commit(exchange, result);
    else
        exchange_answered(exchange);
}

void answer_end(struct exchange *exchange, bool failed)
{
    if (!exchange->head_sent) {
        end_whole(exchange, failed);
        return;
    }
    bool is_short = exchange->framing == H1_SIZED && exchange->length_left > 0;
    if (failed || is_short) {
        exchange->cut = true;
        exchange->conn->close = true;
    } else if (exchange->framing == H1_CHUNKED && emit(exchange, SLICE("0\r\n\r\n")) < 0) {
        exchange->cut = true;
        exchange->conn->close = true;
    }
    exchange_answered(exchange);
}

bool answer_has_room(const struct exchange *exchange)
{
    const struct output *output = exchange->conn->output;
    if (output == NULL || !exchange->head_sent)
        return true;
    if (exchange->streaming)
        return output->memory < OUTPUT_MEMORY_MAX;
    return output->spooled < ANSWER_SPOOL_MAX;
}
