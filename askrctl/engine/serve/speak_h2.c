/* SPDX-License-Identifier: MIT
 * HTTP/2 behind the seam of protocol.h: a connection of many streams. An exchange lives until its
 * answer is said, its stream until the answer is sent; in between the body waits in the stream's
 * chain for the peer's window and its turn.
 *
 * Failure modes: the peer resets a stream (its exchange is abandoned), breaks the protocol or asks
 * too much (GOAWAY, then a lingering close), or takes nothing (its streams are reset one by one).
 */
#include "serve/speak_h2.h"

#include <errno.h>
#include <stdlib.h>

/* --- streams ---------------------------------------------------------------------------------- */

static struct stream *stream_new(struct h2_conn *h2)
{
    struct worker *worker = h2->conn->worker;
    struct stream *stream = worker->streams_free;
    if (stream != NULL) {
        worker->streams_free = stream->next;
        worker->streams_free_count--;
    } else if ((stream = malloc(sizeof *stream)) == NULL) {
        return NULL;
    }
    *stream = (struct stream){.owner = h2, .next = h2->streams, .link = &h2->streams};
    chain_init(&stream->body, worker, stream_stored);
    if (stream->next != NULL)
        stream->next->link = &stream->next;
    h2->streams = stream;
    return stream;
}

void stream_free(struct stream *stream)
{
    struct h2_conn *h2 = stream->owner;
    struct worker *worker = h2->conn->worker;
    if (stream->exchange != NULL)
        exchange_abandon(stream->exchange);
    if (stream->owed > 0)
        h2_consume(h2->h2, &stream->h2, stream->owed);
    h2_websocket_free(stream);
    h2->waiting -= stream->body.memory;
    chain_clear(&stream->body);
    if (UNLIKELY(stream->trailers != NULL))
        free(stream->trailers);
    *stream->link = stream->next;
    if (stream->next != NULL)
        stream->next->link = stream->link;
    if (worker->streams_free_count >= STREAMS_FREE_MAX) {
        free(stream);
        return;
    }
    stream->next = worker->streams_free;
    worker->streams_free = stream;
    worker->streams_free_count++;
}

static void warn(struct h2_conn *h2)
{
    if (h2->warned)
        return;
    h2->warned = true;
    h2_warn(h2->h2);
    conn_dirty(h2->conn);
}

/* A connection that has had its requests is warned behind an answer (speak_h2_fill.c). One that is
 * never without a request is warned when it has had a full set of streams more, and refused another
 * set later: it does not listen. */
static bool is_refused(struct h2_conn *h2)
{
    const struct askr_worker_config *config = h2->conn->worker->config;
    if (!conn_is_spent(h2->conn))
        return false;
    uint32_t more = h2->conn->requests - config->requests_per_connection;
    if (more >= config->streams_max)
        warn(h2);
    return more >= 2 * config->streams_max;
}

static void hear_end(struct stream *stream)
{
    stream->received = true;
    if (UNLIKELY(stream->websocket != NULL))
        h2_websocket_ended(stream);
    else
        exchange_received(stream->exchange);
}

static void begin(struct h2_conn *h2, const struct h2_news *news)
{
    struct conn *conn = h2->conn;
    struct worker *worker = conn->worker;
    struct stream *stream = is_refused(h2) ? NULL : stream_new(h2);
    if (stream == NULL) {
        h2_refuse(h2->h2, H2_REFUSED_STREAM);
        return;
    }
    h2_attach(h2->h2, &stream->h2);
    stream->received = news->end;
    stream->bringing.since_ns = worker->io.now_ns;
    const char *reason = "the head is too large";
    int status = h2_read_head(news->head, &worker->limits, &worker->request, &reason);
    if (news->status != 0)
        status = news->status;
    stream->h2.head_request = worker->request.method == HTTP_HEAD;
    if (status != 0)
        exchange_refuse(conn, &stream->exchange, status, reason);
    else if (exchange_begin(conn, &stream->exchange, news->head) < 0)
        conn_close(conn);
    else if (news->end && !conn->closing) /* memory that ran out ends connection and stream */
        hear_end(stream);
}

/* --- the connection --------------------------------------------------------------------------- */

static bool may_receive(const struct conn *conn)
{
    return !conn->closing && !conn->close && !conn->linger;
}

/* No more is read; what h2_output() has still goes out. */
static void finish(struct conn *conn)
{
    struct h2_conn *h2 = conn->h2;
    h2->shut = true;
    conn->close = conn->linger = true;
    for (struct stream *stream = h2->streams; stream != NULL; stream = stream->next)
        if (stream->exchange != NULL)
            exchange_abandon(stream->exchange);
    conn_dirty(conn);
}

/* What is kept or was dropped the peer may send anew. What was kept in memory, and is on its way to
 * a file with the rest since, it may send already. */
static void give_window_back(struct stream *stream)
{
    size_t ahead = stream->exchange != NULL ? body_ahead(&stream->exchange->body) : 0;
    size_t keep = size_min(ahead, stream->owed);
    size_t size = stream->owed - keep;
    stream->owed = keep;
    if (size > 0)
        h2_consume(stream->owner->h2, &stream->h2, size);
}

static void on_stored(struct exchange *exchange)
{
    give_window_back(stream_of(exchange));
}

static void hear_body(struct stream *stream, struct slice bytes)
{
    struct conn *conn = stream->owner->conn;
    conn->received += bytes.size;
    if (UNLIKELY(stream->websocket != NULL)) {
        h2_websocket_hear(stream, bytes);
        return;
    }
    stream->body_size += (int64_t)bytes.size;
    bool too_large = stream->body_size > conn->worker->limits.body_size_max;
    if (too_large && stream->exchange != NULL)
        exchange_fail(stream->exchange, 413, "the body is too large");
    else
        exchange_body(stream->exchange, bytes);
    stream->owed += bytes.size;
    if (!conn->closing)
        give_window_back(stream);
}

static void hear(struct h2_conn *h2, enum h2_event event, const struct h2_news *news)
{
    struct stream *stream =
        news->stream == NULL ? NULL : CONTAINER_OF(news->stream, struct stream, h2);
    switch (event) {
    case H2_REQUEST:
        begin(h2, news);
        break;
    case H2_BODY:
        hear_body(stream, news->body);
        break;
    case H2_END:
        hear_end(stream);
        break;
    case H2_CLOSED:
        stream_free(stream);
        break;
    case H2_ERROR:
    case H2_NEED_DATA:
        break;
    }
}

static void receive(struct conn *conn, struct slice *input)
{
    struct h2_conn *h2 = conn->h2;
    struct worker *worker = conn->worker;
    h2_tick(h2->h2, worker->io.now_ns);
    while (may_receive(conn)) {
        struct h2_news news;
        worker->request_of = NULL; /* what it points into may be gone after this */
        enum h2_event event = h2_next(h2->h2, input, &news);
        if (event == H2_NEED_DATA)
            return;
        if (event == H2_ERROR) {
            worker->status->errors++;
            finish(conn);
            return;
        }
        hear(h2, event, &news);
    }
}

static bool busy(const struct conn *conn)
{
    for (const struct stream *stream = conn->h2->streams; stream != NULL; stream = stream->next)
        if (stream->exchange != NULL)
            return true;
    return false;
}

void h2_leave(struct conn *conn, enum h2_error error)
{
    struct h2_conn *h2 = conn->h2;
    h2_shut(h2->h2, error);
    finish(conn);
    conn->brief = error == H2_NO_ERROR && h2->streams == NULL;
    /* Who has read the warning begins nothing any more: there is nothing to wait for. */
    if (conn->brief && h2_warned(h2->h2))
        conn->linger = false;
}

static void timed_out(struct conn *conn, enum conn_wait wait)
{
    if (wait == CONN_BODY || wait == CONN_WINDOW) {
        h2_judge(conn);
        conn_dirty(conn); /* for its next timer */
    } else {
        h2_leave(conn, wait == CONN_IDLE ? H2_NO_ERROR : H2_ENHANCE_YOUR_CALM);
    }
}

/* Who answers PINGs while it waits for nothing, as browsers and proxies do, sees a warning at once
 * and need not be given the grace. Who reads only for an answer, as httpx does, would see it in
 * front of that of its next request, and fails it then: it is left alone. */
static void probe_idle(struct h2_conn *h2)
{
    struct conn *conn = h2->conn;
    uint32_t answered = h2_probed(h2->h2);
    if (h2->probes > 0 && h2->probed_at != conn->requests)
        return;
    if (answered == IDLE_PROBES) {
        warn(h2);
    } else if (answered == h2->probes) {
        h2->probes++;
        h2->probed_at = conn->requests;
        h2_probe(h2->h2);
        conn_dirty(conn);
    }
}

/* An idle connection is served once more: the answer brings a warning along (speak_h2_fill.c). One
 * that is always busy is warned when the grace is over, an idle one ends then. What was warned ends
 * when the peer has read it and nothing is under way. */
static void drain(struct conn *conn, bool grace_over)
{
    struct h2_conn *h2 = conn->h2;
    if (h2->shut)
        return;
    if (conn->worker->draining) /* and not only because it has had its requests */
        h2_websockets_leave(h2);
    if (h2->streams == NULL && (grace_over || (h2->warned && h2_warned(h2->h2)))) {
        h2_leave(conn, H2_NO_ERROR);
    } else if (grace_over) {
        warn(h2);
    } else if (conn->worker->draining && h2->streams == NULL && !h2->warned) {
        probe_idle(h2); /* not behind a GOAWAY: httpx takes a PING for an error there */
    }
}

static void abandon(struct conn *conn)
{
    struct h2_conn *h2 = conn->h2;
    while (h2->streams != NULL)
        stream_free(h2->streams);
    h2_free(h2->h2);
    assert(h2->allocated == 0);
    free(h2);
    conn->h2 = NULL;
    /* After a broken TLS record the connection still has its alert to send: nothing is left of what
     * it spoke, so it is as one of HTTP/1.1 between two requests. */
    conn->protocol = &protocol_h1;
}

static const struct protocol protocol_h2 = {
    .name = "HTTP/2",
    .receive = receive,
    .may_receive = may_receive,
    .busy = busy,
    .waits_for = h2_waits_for,
    .timed_out = timed_out,
    .drain = drain,
    .abandon = abandon,
    .fill = h2_fill,
    .stored = on_stored,
    .recall = h2_recall,
    .go_on = h2_go_on,
    .interim = h2_interim,
    .head = h2_head,
    .body = h2_body,
    .file = h2_file,
    .end = h2_end_answer,
    .cut = h2_cut_answer,
    .has_room = h2_has_room,
    .carry = h2_carry,
};

int conn_speak_h2(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct h2_conn *h2 = malloc(sizeof *h2);
    if (h2 == NULL)
        return -ENOMEM;
    *h2 = (struct h2_conn){.conn = conn};
    struct h2_memory memory = h2_memory_for(h2);
    h2->h2 = h2_open(&memory, &worker->limits, worker->config->streams_max,
                     worker->config->websocket_echo != NULL);
    if (h2->h2 == NULL) {
        free(h2);
        return -ENOMEM;
    }
    assert(conn->exchange == NULL);
    conn->h2 = h2;
    conn->begun = true;
    conn->protocol = &protocol_h2;
    conn_dirty(conn);
    return 0;
}
