/* SPDX-License-Identifier: MIT
 * An application's answer on its way to the client.
 *
 * Body bytes are held back until the answer is complete, so that it goes out with its length in one
 * send. It is streamed from then on when the application flushes, or writes more than
 * ANSWER_HELD_MAX. A streamed answer that the client is slow to take goes to a temporary file, so
 * that the application is free again; one that was flushed holds the application back instead. */
#include <errno.h>

#include "serve/chain.h"
#include "serve/compress.h"
#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/sendfile.h"
#include "serve/worker.h"

enum { OWN_FIELDS = 3 }; /* Server-Timing, Vary, Content-Encoding */

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
    exchange->fields =
        exchange_allocate(exchange, (message->field_count + OWN_FIELDS) * sizeof *exchange->fields);
    if (exchange->fields == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < message->field_count; i++) {
        size_t size = message->fields[i].name.size;
        if (UNLIKELY(size == 10 || size == 16)) { /* as X-Sendfile and X-Accel-Redirect are */
            int noted = sendfile_note(exchange, &message->fields[i]);
            if (noted < 0)
                return noted;
            if (noted > 0)
                continue;
        }
        struct http_field *field = &exchange->fields[exchange->field_count++];
        field->name = keep(exchange, message->fields[i].name);
        field->value = keep(exchange, message->fields[i].value);
        if (field->name.data == NULL || field->value.data == NULL)
            return -ENOMEM;
        if (is_content_length(field->name))
            exchange->content_length = parse_length(field->value);
    }
    return 0;
}

/* RFC 9110 section 6.4.1: no content, whatever the application writes. */
static bool is_bare(const struct exchange *exchange)
{
    int status = exchange->status;
    return exchange->head_request || status == 204 || status == 205 || status == 304;
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
    exchange->bare = is_bare(exchange);
}

/* Say the head, and with it what was held. */
static int commit(struct exchange *exchange, bool complete)
{
    compress_head(exchange, complete);
    int64_t length = exchange->content_length;
    if (complete && !exchange->bare)
        length = (int64_t)exchange->held_size;
    if (length < (int64_t)exchange->held_size)
        length = -1; /* more was written than announced: then the announcement is nonsense */
    if (UNLIKELY(exchange->trailers != NULL))
        length = -1; /* they need chunks (RFC 9112 section 7.1.2); by HTTP/2 curl ends with it */
    timing_add(exchange);
    struct answer_head head = {
        .status = exchange->status,
        .content_length = length,
        .fields = exchange->fields,
        .field_count = exchange->field_count,
    };
    conn_dirty(exchange->conn);
    return say_head(exchange, &head);
}

static void fail_commit(struct exchange *exchange, int result)
{
    exchange_fail(exchange, result == -EINVAL ? 502 : 503,
                  result == -EINVAL ? "the application's answer had an invalid header field"
                                    : NULL);
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
    if (UNLIKELY(exchange->sendfile != NULL))
        return; /* the file is the body */
    int result;
    if (exchange->head_sent) {
        result = exchange->compressor != NULL ? compress_body(exchange, bytes)
                                              : say_body(exchange, bytes);
        conn_dirty(exchange->conn);
        if (result < 0)
            exchange_fail(exchange, 503, NULL);
        return;
    }
    if (exchange->bare) {
        exchange->bare_size += (int64_t)bytes.size;
        return;
    }
    result = hold(exchange, bytes);
    if (result == 0 && (exchange->streaming || exchange->held_size >= ANSWER_HELD_MAX))
        result = commit(exchange, false);
    if (result < 0)
        fail_commit(exchange, result);
}

void answer_flush(struct exchange *exchange)
{
    if (UNLIKELY(exchange->sendfile != NULL))
        return;
    exchange->streaming = true;
    if (!exchange->head_known)
        return;
    if (!exchange->head_sent) {
        int result = commit(exchange, false);
        if (result < 0)
            fail_commit(exchange, result);
    } else if (exchange->compressor != NULL) {
        conn_dirty(exchange->conn);
        if (compress_flush(exchange) < 0)
            exchange_fail(exchange, 503, NULL);
    }
}

void answer_interim(struct exchange *exchange, const struct port_message *message)
{
    if (exchange->head_sent || message->status < 102 || message->status > 199 ||
        exchange->interims == ANSWER_INTERIMS_MAX)
        return;
    exchange->interims++;
    struct answer_head head = {
        .status = message->status,
        .content_length = -1,
        .fields = message->fields,
        .field_count = message->field_count,
    };
    if (exchange->conn->protocol->interim(exchange, &head) == 0)
        conn_dirty(exchange->conn);
}

/* Nothing has gone out yet: the length is known. */
static void end_whole(struct exchange *exchange, bool failed)
{
    if (failed || !exchange->head_known) {
        respond_error(exchange, failed ? 500 : 502, NULL);
        return;
    }
    if (UNLIKELY(exchange->sendfile != NULL)) {
        sendfile_answer(exchange);
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
    exchange->cut = failed || (exchange->compressor != NULL && compress_end(exchange) < 0);
    exchange_answered(exchange);
}

bool answer_has_room(const struct exchange *exchange)
{
    return !exchange->head_sent || exchange->conn->protocol->has_room(exchange);
}
