/* SPDX-License-Identifier: MIT
 * The connection of conn.h: its life, its input, its end. Timers are in conn_timer.c. */
#include "serve/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "serve/conn_timer.h"
#include "serve/evict.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/per_address.h"
#include "serve/protocol.h"
#include "serve/secure.h"
#include "serve/speak_proxy.h"
#include "serve/worker.h"

static void on_recv(struct io *, struct io_op *, struct io_event);

static void start_reading(struct conn *conn)
{
    assert(!conn->reading && !conn->closing);
    conn->reading = true;
    conn->paused = false;
    io_recv(&conn->worker->io, &conn->recv_op, conn->fd, on_recv);
}

struct conn *conn_open(struct worker *worker, int fd, const struct sockaddr *name, uint32_t flags)
{
    bool proxied = (flags & ASKR_LISTENER_PROXY) != 0;
    size_t extra = UNLIKELY(proxied) ? sizeof(struct proxied) : 0;
    struct conn *conn =
        flags & ASKR_LISTENER_TLS ? secure_new(worker, extra) : calloc(1, sizeof *conn + extra);
    if (conn == NULL)
        return NULL;
    conn->proxied = proxied;
    conn->secure = conn->has_tls && !proxied;
    conn->redirect = (flags & ASKR_LISTENER_REDIRECT) != 0;
    conn->worker = worker;
    conn->fd = fd;
    conn->peer = address_of(name);
    conn->protocol = proxied ? &protocol_proxy : &protocol_h1;
    h1_init(&conn->h1, &worker->limits);
    conn->next = worker->conns;
    conn->link = &worker->conns;
    if (conn->next != NULL)
        conn->next->link = &conn->next;
    worker->conns = conn;
    worker->conn_count++;
    if (!proxied)
        per_address_enter(conn);
    worker->status->connections = worker->conn_count;
    worker->status->accepted++;
    conn->owed.wait = CONN_WRITE;
    timer_init(&conn->timer, conn_timer_fire);
    conn_timer_update(conn);
    start_reading(conn);
    return conn;
}

static void on_closed(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    (void)event;
    struct conn *conn = CONTAINER_OF(op, struct conn, recv_op);
    struct worker *worker = conn->worker;
    *conn->link = conn->next;
    if (conn->next != NULL)
        conn->next->link = conn->link;
    worker->conn_count--;
    worker->status->connections = worker->conn_count;
    per_address_leave(conn);
    evict_gone(conn);
    free(conn->held);
    if (conn->secure)
        secure_fini(conn);
    free(conn);
}

/* The fd may be closed once no op is in flight on it (contract rule 7 of io.h), and the connection
 * must not go while it is in the list of those to be flushed, which comes here again. */
static void close_when_quiet(struct conn *conn)
{
    assert(conn->closing);
    if (conn->closed || conn->dirty || conn->reading ||
        (conn->output != NULL && output_sending(conn->output)))
        return;
    conn->closed = true;
    if (conn->output != NULL) {
        output_free(conn->output);
        conn->output = NULL;
    }
    io_close(&conn->worker->io, &conn->recv_op, conn->fd, on_closed);
}

void conn_close(struct conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    timer_clear(&conn->worker->timers, &conn->timer);
    evict_forget(conn);
    conn->protocol->abandon(conn);
    split_closed(conn);
    if (conn->reading)
        io_cancel(&conn->worker->io, &conn->recv_op);
    if (conn->output != NULL && output_sending(conn->output)) {
        shutdown(conn->fd, SHUT_RDWR);
        io_cancel(&conn->worker->io, &conn->output->op);
    }
    close_when_quiet(conn);
}

struct slice conn_hsts(const struct conn *conn)
{
    /* RFC 6797 section 7.2: never over plain HTTP. */
    const char *value = conn->secure ? conn->worker->config->hsts : NULL;
    return value != NULL ? slice_of(value) : SLICE("");
}

bool conn_is_spent(const struct conn *conn)
{
    uint32_t most = conn->worker->config->requests_per_connection;
    return UNLIKELY(most > 0) && conn->requests >= most;
}

void conn_finish(struct conn *conn)
{
    if (!conn->secure) {
        conn_close(conn);
        return;
    }
    conn->close = true;
    conn_dirty(conn);
}

struct output *conn_output(struct conn *conn)
{
    if (conn->output == NULL)
        conn->output = output_new(conn);
    return conn->output;
}

void conn_dirty(struct conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->next_dirty = conn->worker->dirty;
    conn->worker->dirty = conn;
}

/* Keep input that cannot be parsed yet. What a well-behaved peer can make us hold is one head or
 * CONN_INPUT_PAUSE of pipelined requests, and what was on its way when reading was paused. */
static bool hold(struct conn *conn, struct slice bytes)
{
    size_t size = conn->held_size + bytes.size;
    if (size > conn->held_capacity) {
        size_t capacity = conn->held_capacity == 0 ? 1024 : conn->held_capacity;
        while (capacity < size)
            capacity *= 2;
        char *held = capacity > CONN_INPUT_HELD_MAX ? NULL : realloc(conn->held, capacity);
        if (held == NULL)
            return false;
        conn->held = held;
        conn->held_capacity = (uint32_t)capacity;
    }
    memcpy(conn->held + conn->held_size, bytes.data, bytes.size);
    conn->held_size = (uint32_t)size;
    return true;
}

static void parse_held(struct conn *conn)
{
    if (conn->held_size == 0 || !conn->protocol->may_receive(conn))
        return;
    struct slice input = {conn->held, conn->held_size};
    conn->protocol->receive(conn, &input);
    conn->held_size = (uint32_t)input.size;
    if (input.size > 0) {
        if (input.data != conn->held)
            memmove(conn->held, input.data, input.size);
        return;
    }
    free(conn->held);
    conn->held = NULL;
    conn->held_capacity = 0;
}

static void pause_or_go_on(struct conn *conn)
{
    if (conn->closing)
        return;
    bool full = (conn->held_size >= CONN_INPUT_PAUSE && !conn->protocol->may_receive(conn)) ||
                (conn->secure && secure_is_full(conn));
    if (full && conn->reading && !conn->paused) {
        conn->paused = true;
        io_cancel(&conn->worker->io, &conn->recv_op);
    } else if (!full && !conn->reading && !conn->peer_closed) {
        start_reading(conn);
    }
}

void conn_take(struct conn *conn, struct slice bytes)
{
    if (ASKR_METRICS)
        conn->worker->status->bytes_in += bytes.size;
    if (conn->linger) {
        conn->received += bytes.size;
        if (conn->received > CONN_LINGER_SIZE_MAX)
            conn_close(conn);
        return;
    }
    if (conn->held_size == 0)
        conn->protocol->receive(conn, &bytes);
    if (bytes.size > 0 && !conn->closing && !conn->close && !hold(conn, bytes)) {
        conn_close(conn);
        return;
    }
    conn_dirty(conn);
}

void conn_peer_closed(struct conn *conn)
{
    conn->peer_closed = true;
    /* As nginx does, the end of the stream is taken for the client's leaving: an application's time
     * is not spent on an answer that nobody reads. What was answered, or was asked before, still
     * goes out, also what fill() has not moved yet: output_drained() closes after it. A refusal as
     * well, unless it has been sent and all that was waited for is this. */
    if (conn->wait == CONN_LINGER || conn->protocol->busy(conn))
        conn_close(conn);
    else
        conn_dirty(conn);
}

static void on_recv(struct io *io, struct io_op *op, struct io_event event)
{
    struct conn *conn = CONTAINER_OF(op, struct conn, recv_op);
    conn->reading = event.more;
    if (event.buf != NULL) {
        struct slice bytes = {event.buf->data, event.buf->size};
        if (conn->secure)
            secure_receive(conn, bytes);
        else if (!conn->closing)
            conn_take(conn, bytes);
        io_buf_put(io, event.buf);
    }
    if (conn->closing) {
        close_when_quiet(conn);
        return;
    }
    if (event.result == 0)
        conn->secure ? secure_end(conn) : conn_peer_closed(conn);
    else if (event.result < 0 && event.result != -ECANCELED)
        conn_close(conn);
    else if (!event.more)
        conn_dirty(conn); /* reading goes on once it is known how much of this could be taken */
}

/* Everything that was to be said has been sent, or nothing was. */
static void output_drained(struct conn *conn)
{
    bool leaving = conn->peer_closed && !conn->protocol->busy(conn);
    /* A streamed answer runs dry between its parts: only its end closes. */
    if (conn->closing || !(leaving || (conn->close && conn->exchange == NULL)))
        return;
    if (conn->secure && secure_say_goodbye(conn))
        return; /* and come back when it has been sent */
    if (leaving || !conn->linger) {
        conn_close(conn);
        return;
    }
    if (conn->wait == CONN_LINGER)
        return;
    /* Closing while the client still sends would reset the connection and could destroy the answer
     * before it has been read (RFC 9112 section 9.6). */
    shutdown(conn->fd, SHUT_WR);
    conn->received = 0;
    conn_timer_update(conn);
}

void conn_sent(struct conn *conn, int64_t result)
{
    if (conn->closing) {
        close_when_quiet(conn);
        return;
    }
    if (result < 0) {
        conn_close(conn);
        return;
    }
    conn->sent += (uint64_t)result;
    if (ASKR_METRICS)
        conn->worker->status->bytes_out += (uint64_t)result;
    if (ASKR_METRICS && UNLIKELY(conn->output->op.waited_ns > 0))
        split_waited(conn, conn->output->op.waited_ns);
    if (ASKR_METRICS && conn->parked != NULL)
        split_sent(conn);
    conn_dirty(conn);
}

static void flush(struct conn *conn)
{
    parse_held(conn);
    if (conn->closing)
        return;
    if (conn->protocol->fill != NULL)
        conn->protocol->fill(conn);
    if (conn->closing)
        return;
    struct output *output = conn->output;
    if (output != NULL && output_idle(output)) {
        output_free(output);
        conn->output = output = NULL;
    }
    if (output != NULL)
        output_flush(output);
    else
        output_drained(conn);
    if (conn->closing)
        return;
    pause_or_go_on(conn);
    conn_timer_update(conn);
}

void conn_flush_dirty(struct worker *worker)
{
    for (struct conn *conn; (conn = worker->dirty) != NULL;) {
        worker->dirty = conn->next_dirty;
        conn->dirty = false;
        if (conn->closing)
            close_when_quiet(conn);
        else
            flush(conn);
    }
}

void conns_drain(struct worker *worker, int64_t now_ns)
{
    bool grace_over = now_ns >= worker->idle_deadline_ns;
    bool all_over = now_ns >= worker->drain_deadline_ns;
    for (struct conn *conn = worker->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (all_over || (grace_over && conn->wait == CONN_HANDSHAKE))
            conn_close(conn);
        else if (!conn->closing && !conn->close)
            conn->protocol->drain(conn, grace_over || (worker->drops_idle && conn->requests > 0));
    }
}
