/* SPDX-License-Identifier: MIT
 * HTTP/1.1 behind the seam of protocol.h: one exchange at a time, so the connection's output is
 * also where an answer's body waits, and an answer that ends early takes the connection with it. */
#include <errno.h>

#include "proto/h2.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/protocol.h"
#include "serve/speak_ws.h"
#include "serve/trailers.h"
#include "serve/worker.h"

enum {
    SMALL_HEAD_SIZE = 2048, /* nearly all heads: written where they are sent from */
    INTERIM_HEAD_SIZE = 4096,
};

/* --- the connection --------------------------------------------------------------------------- */

/* May the next request, or the rest of this one, be parsed now? */
static bool may_receive(const struct conn *conn)
{
    if (conn->closing || conn->close || conn->linger)
        return false;
    if (conn->exchange != NULL)
        return !conn->exchange->received && !body_is_full(&conn->exchange->body);
    return conn->output == NULL || conn->output->chain.memory < CONN_PIPELINE_OUTPUT;
}

#ifdef ASKR_HAVE_NGHTTP2
/* Does the connection begin with HTTP/2's preface, by prior knowledge (RFC 9113 section 3.3)? True
 * as long as it may: then nothing is read as HTTP/1.1. */
static bool begins_as_h2(struct conn *conn, struct slice *input)
{
    int preface = conn->worker->config->streams_max > 0 ? h2_preface(*input) : 0;
    if (preface < 0)
        return true;
    conn->begun = true;
    if (preface == 0)
        return false;
    if (conn_speak_h2(conn) < 0)
        conn_close(conn);
    else
        conn->protocol->receive(conn, input);
    return true;
}
#endif

static void receive_some(struct conn *conn, struct slice *input)
{
    struct worker *worker = conn->worker;
    while (may_receive(conn)) {
        const char *start = input->data;
        struct slice body;
        if (conn->exchange == NULL)
            worker->request_of = NULL; /* the next head overwrites it, also an unfinished one */
        switch (h1_next(&conn->h1, input, &worker->request, &body)) {
        case H1_NEED_DATA:
            if (ASKR_METRICS && input->size > 0 && conn->exchange == NULL && conn->begun_ns == 0)
                conn->begun_ns = worker->io.now_ns;
            return;
        case H1_REQUEST: {
            struct slice head = {start, (size_t)(input->data - start)};
            conn->received = 0;
            if (exchange_begin(conn, &conn->exchange, head) < 0)
                conn_close(conn);
            if (UNLIKELY(conn->protocol != &protocol_h1)) {
                conn->protocol->receive(conn, input);
                return;
            }
            break;
        }
        case H1_BODY:
            conn->received += body.size;
            exchange_body(conn->exchange, body);
            break;
        case H1_END:
            exchange_received(conn->exchange);
            break;
        case H1_ERROR:
            worker->status->errors++;
            exchange_refuse(conn, &conn->exchange, conn->h1.error_status, conn->h1.error_text);
            return;
        }
    }
}

/* The parsed request points into the input, which is another's after this: whoever is served later
 * is parsed again, from the head that was kept. */
static void receive(struct conn *conn, struct slice *input)
{
#ifdef ASKR_HAVE_NGHTTP2
    if (!conn->begun && begins_as_h2(conn, input))
        return;
#endif
    receive_some(conn, input);
    conn->worker->request_of = NULL;
}

/* The end of a body needs no more bytes when all of it had come before it could be stored. */
static void on_stored(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    struct slice nothing = SLICE("");
    if (conn->held_size == 0)
        receive(conn, &nothing);
}

static bool busy(const struct conn *conn)
{
    return conn->exchange != NULL;
}

static enum conn_wait waits_for(const struct conn *conn)
{
    if (conn->exchange != NULL)
        return may_receive(conn) ? CONN_BODY : CONN_ANSWER;
    return conn->held_size > 0 || h1_mid_request(&conn->h1) ? CONN_HEAD : CONN_IDLE;
}

static void timed_out(struct conn *conn, enum conn_wait wait)
{
    if (wait == CONN_HEAD)
        exchange_refuse(conn, &conn->exchange, 408, "the request head took too long");
    else if (wait == CONN_BODY)
        exchange_fail(conn->exchange, 408, "the request body came too slowly");
    else
        conn_finish(conn);
}

/* The next answer says that it is the last: head(). */
static void drain(struct conn *conn, bool grace_over)
{
    if (grace_over && conn->wait == CONN_IDLE)
        conn_finish(conn);
}

static void abandon(struct conn *conn)
{
    if (conn->exchange != NULL)
        exchange_abandon(conn->exchange);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void recall(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    struct h1 parser;
    struct slice input = exchange->head, body;
    h1_init(&parser, &worker->limits);
    enum h1_event event = h1_next(&parser, &input, &worker->request, &body);
    assert(event == H1_REQUEST); /* it was accepted once, and these are the same bytes */
    (void)event;
}

static int append(struct exchange *exchange, struct slice bytes)
{
    struct output *output = conn_output(exchange->conn);
    return output == NULL ? -ENOMEM : chain_append(&output->chain, bytes);
}

static int go_on(struct exchange *exchange)
{
    return append(exchange, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

static int interim(struct exchange *exchange, const struct answer_head *answer)
{
    char head[INTERIM_HEAD_SIZE];
    enum h1_framing framing;
    if (exchange->http10)
        return 0; /* RFC 9110 section 15.2: never to a 1.0 client */
    struct h1_response response = {
        .status = answer->status,
        .content_length = -1,
        .fields = answer->fields,
        .field_count = answer->field_count,
    };
    int64_t size = h1_write_head(head, sizeof head, &response, &framing);
    return size <= 0 ? -EINVAL : append(exchange, (struct slice){head, (size_t)size});
}

static struct h1_response response_of(struct exchange *exchange, const struct answer_head *answer)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    if (!exchange->keep_alive || worker->draining || !exchange_complete(exchange) ||
        conn_is_spent(conn))
        conn->close = true;
    return (struct h1_response){
        .status = answer->status,
        .head_request = exchange->head_request,
        .http10 = exchange->http10,
        .close = conn->close,
        .content_length = answer->content_length,
        .date = worker_date(worker),
        .server = slice_of(worker->config->server_header),
        .hsts = conn_hsts(conn),
        .fields = answer->fields,
        .field_count = answer->field_count,
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
        int result = chain_append(&output->chain, head);
        if (result < 0)
            return result;
    }
    for (struct piece *piece; (piece = exchange->held) != NULL;) {
        exchange->held = piece->next;
        piece->next = NULL;
        chain_push(&output->chain, piece);
    }
    exchange->held_last = &exchange->held;
    return 0;
}

/* Composed apart, because it goes in front of what is held, or is too large for SMALL_HEAD_SIZE. */
static int64_t put_head(struct exchange *exchange, const struct h1_response *response,
                        enum h1_framing *framing)
{
    char head[ANSWER_HEAD_SIZE_MAX + H1_CHUNK_PREFIX_SIZE];
    int64_t size = h1_write_head(head, ANSWER_HEAD_SIZE_MAX, response, framing);
    if (size <= 0)
        return size < 0 ? size : -E2BIG;
    bool chunk = *framing == H1_CHUNKED && exchange->held_size > 0;
    if (chunk)
        size += (int64_t)h1_write_chunk_prefix(head + size, exchange->held_size);
    int result = place_head(exchange, (struct slice){head, (size_t)size});
    if (result == 0 && chunk && append(exchange, SLICE("\r\n")) < 0)
        exchange->cut = true; /* the head is out: only the end can tell */
    return result < 0 ? result : size;
}

static int64_t put_small_head(struct exchange *exchange, const struct h1_response *response,
                              enum h1_framing *framing)
{
    struct output *output = conn_output(exchange->conn);
    char *room = output == NULL ? NULL : chain_room(&output->chain, SMALL_HEAD_SIZE);
    if (room == NULL)
        return -ENOMEM;
    int64_t size = h1_write_head(room, SMALL_HEAD_SIZE, response, framing);
    if (size > 0)
        chain_added(&output->chain, (size_t)size);
    return size;
}

static int say_status_and_fields(struct exchange *exchange, const struct answer_head *answer)
{
    struct h1_response response = response_of(exchange, answer);
    enum h1_framing framing;
    int64_t result = 0;
    if (exchange->held == NULL)
        result = put_small_head(exchange, &response, &framing);
    if (result == 0)
        result = put_head(exchange, &response, &framing);
    if (result < 0)
        return (int)result;
    if (framing == H1_CLOSE)
        exchange->conn->close = true;
    exchange->bare = framing == H1_NO_BODY;
    exchange->sized = framing == H1_SIZED;
    exchange->chunked = framing == H1_CHUNKED;
    return 0;
}

/* To memory; or to a file, for an answer that may wait there and of which too much is waiting. */
static int append_body(struct exchange *exchange, struct slice bytes)
{
    struct output *output = conn_output(exchange->conn);
    if (output == NULL)
        return -ENOMEM;
    if (exchange->spooling && output->chain.spooled == 0)
        exchange->spooling = false; /* the client has caught up */
    if (!exchange->streaming && output->chain.memory > OUTPUT_MEMORY_MAX)
        exchange->spooling = true;
    return exchange->spooling ? chain_spool(&output->chain, bytes)
                              : chain_append(&output->chain, bytes);
}

static int say_bytes(struct exchange *exchange, struct slice bytes)
{
    if (!exchange->chunked)
        return append_body(exchange, bytes);
    char prefix[H1_CHUNK_PREFIX_SIZE];
    struct slice start = {prefix, h1_write_chunk_prefix(prefix, bytes.size)};
    int result = append_body(exchange, start);
    if (result == 0)
        result = append_body(exchange, bytes);
    if (result == 0)
        result = append_body(exchange, SLICE("\r\n"));
    return result;
}

/* What is in memory joins its head in one block; the kernel copies the rest. */
static int say_range(struct exchange *exchange, const struct file_range *range)
{
    if (range->content != NULL)
        return append_body(exchange,
                           (struct slice){range->content + range->offset, (size_t)range->size});
    struct output *output = conn_output(exchange->conn);
    return output == NULL ? -ENOMEM : chain_range(&output->chain, range);
}

/* Is the client likely to be sending still? The rest of a body that has not arrived would cost a
 * download for nothing; and a next request may be on its way to a connection that we chose to
 * close. A client that said close itself is not waited for: that costs a quarter of such a request.
 */
static void leave_request(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    assert(conn->close || exchange_complete(exchange));
    if (conn->close && (exchange->keep_alive || !exchange_complete(exchange)))
        conn->linger = true;
}

static int say_last_chunk(struct exchange *exchange)
{
    const struct trailers *trailers = exchange->trailers;
    if (LIKELY(trailers == NULL))
        return append_body(exchange, SLICE("0\r\n\r\n"));
    char text[TRAILERS_SIZE_MAX + 4 * TRAILERS_MAX + 8];
    int64_t size = h1_write_trailers(text, sizeof text, trailers->fields, trailers->count);
    assert(size > 0);
    return append_body(exchange, (struct slice){text, (size_t)size});
}

static int end(struct exchange *exchange)
{
    if (exchange->chunked && say_last_chunk(exchange) < 0)
        return -ENOMEM;
    leave_request(exchange);
    return 0;
}

static void cut(struct exchange *exchange)
{
    exchange->conn->close = true;
    if (!exchange_complete(exchange))
        exchange->conn->linger = true;
}

static bool has_room(const struct exchange *exchange)
{
    const struct output *output = exchange->conn->output;
    if (output == NULL)
        return true;
    /* It may have gone to a file before it was flushed, and then goes on there. */
    if (exchange->streaming && output->chain.memory >= OUTPUT_MEMORY_MAX)
        return false;
    return chain_may_spool(&output->chain);
}

static void carry(struct conn *conn, struct exchange **owner, struct websocket *websocket)
{
    assert(owner == &conn->exchange && *owner == NULL);
    conn_carry(conn, websocket);
}

const struct protocol protocol_h1 = {
    .name = "HTTP/1.1",
    .receive = receive,
    .may_receive = may_receive,
    .busy = busy,
    .waits_for = waits_for,
    .timed_out = timed_out,
    .drain = drain,
    .abandon = abandon,
    .stored = on_stored,
    .recall = recall,
    .go_on = go_on,
    .interim = interim,
    .head = say_status_and_fields,
    .body = say_bytes,
    .file = say_range,
    .end = end,
    .cut = cut,
    .has_room = has_room,
    .carry = carry,
};
