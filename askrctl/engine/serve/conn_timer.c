/* SPDX-License-Identifier: MIT
 * Time-outs of a connection (conn_timer.h). A head has one deadline however its bytes trickle in; a
 * body and an answer must make progress of at least body_rate_min in each period; an idle
 * connection is closed without a word. */
#include "serve/conn_timer.h"

#include <netinet/in.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include "serve/evict.h"
#include "serve/output.h"
#include "serve/protocol.h"
#include "serve/secure.h"
#include "serve/worker.h"

static enum conn_wait wait_of(const struct conn *conn)
{
    if (conn->secure && !secure_is_ready(conn) && !conn->close)
        return CONN_HANDSHAKE; /* one deadline, however it trickles */
    if (conn->output != NULL && !output_idle(conn->output))
        return output_waits_for_disk(conn->output) ? CONN_ANSWER : CONN_WRITE;
    if (conn->linger)
        return CONN_LINGER;
    return conn->protocol->waits_for(conn);
}

static int64_t period_of(const struct conn *conn, enum conn_wait wait)
{
    const struct askr_worker_config *config = conn->worker->config;
    switch (wait) {
    case CONN_IDLE:
        return conn->served ? config->keepalive_timeout_ns : config->head_timeout_ns;
    case CONN_PROXY:
        return config->proxy_timeout_ns;
    case CONN_HANDSHAKE:
        return config->handshake_timeout_ns;
    case CONN_HEAD:
        return config->head_timeout_ns;
    case CONN_BODY:
        return config->body_timeout_ns;
    case CONN_WRITE:
        return config->write_timeout_ns;
    case CONN_WINDOW:
        return config->write_timeout_ns;
    case CONN_STARVED:
        return CONN_STARVED_NS;
    case CONN_LINGER:
        return conn->brief ? CONN_LINGER_BRIEF_NS : CONN_LINGER_NS;
    case CONN_ANSWER:
        break; /* apps_tick() watches the queue and the application */
    }
    return NEVER;
}

/* Bytes the peer's kernel has acknowledged: a send in flight shows little else of its progress. On
 * a unix socket, where nothing is ever acknowledged, what has been handed over. */
static uint64_t bytes_acked(const struct conn *conn)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked)
        return conn->sent + (conn->output != NULL ? io_sent(&conn->output->op) : 0);
    return info.tcpi_bytes_acked;
}

/* A head or a body that is waited for since before something was written, which peers can have
 * done as often as they like: PINGs are answered, and TLS's requests for new keys. It has what is
 * left of its time, not all of it anew. */
static int64_t deadline_of(struct conn *conn, enum conn_wait wait, int64_t fresh_ns)
{
    struct owed *owed = &conn->owed;
    if (wait == CONN_WRITE)
        return fresh_ns;
    if (owed->wait == wait && owed->requests == conn->requests) {
        conn->progress = owed->progress;
        return owed->until_ns;
    }
    bool is_owed = wait == CONN_HEAD || wait == CONN_BODY || (wait == CONN_IDLE && !conn->served);
    *owed = (struct owed){
        .wait = is_owed ? (uint8_t)wait : CONN_WRITE,
        .requests = conn->requests,
        .progress = conn->progress,
        .until_ns = fresh_ns,
    };
    return fresh_ns;
}

void conn_timer_update(struct conn *conn)
{
    struct worker *worker = conn->worker;
    enum conn_wait wait = wait_of(conn);
    if (wait == conn->wait && conn->timer.link != NULL)
        return;
    conn->wait = (uint8_t)wait;
    evict_note(conn, wait);
    conn->progress = wait == CONN_BODY ? conn->received : 0;
    int64_t period = period_of(conn, wait);
    int64_t fresh_ns = period == NEVER ? NEVER : worker->io.now_ns + period;
    int64_t deadline_ns = deadline_of(conn, wait, fresh_ns);
    if (deadline_ns != NEVER) /* else a timer already set is let run out: it does nothing then */
        timer_set(&worker->timers, &conn->timer, deadline_ns);
}

/* Has the peer kept up with the least rate over the last period? Then it gets another one. */
static bool kept_up(struct conn *conn, int64_t now_ns)
{
    struct worker *worker = conn->worker;
    int64_t period = period_of(conn, conn->wait);
    uint64_t progress = conn->wait == CONN_WRITE ? bytes_acked(conn) : conn->received;
    uint64_t least = (uint64_t)((double)worker->config->body_rate_min * (double)period / 1e9);
    if (progress < conn->progress + (least > 0 ? least : 1))
        return false;
    conn->progress = progress;
    if (conn->wait == CONN_BODY) {
        conn->owed.progress = progress;
        conn->owed.until_ns = now_ns + period;
    }
    timer_set(&worker->timers, &conn->timer, now_ns + period);
    return true;
}

static void reset(struct conn *conn)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    conn_close(conn);
}

void conn_timer_fire(struct timer *timer, int64_t now_ns)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    struct worker *worker = conn->worker;
    if (wait_of(conn) != (enum conn_wait)conn->wait) {
        conn_timer_update(conn); /* what it waited for has come, in this very turn */
        return;
    }
    switch ((enum conn_wait)conn->wait) {
    case CONN_HANDSHAKE:
        worker->status->timeouts++;
        conn_close(conn);
        break;
    case CONN_HEAD:
        worker->status->timeouts++;
        conn->protocol->timed_out(conn, CONN_HEAD);
        break;
    case CONN_BODY:
        if (kept_up(conn, now_ns))
            break;
        worker->status->timeouts += conn->h2 == NULL; /* HTTP/2 counts streams, */
        conn->owed.wait = CONN_WRITE;                 /* … and goes on with others */
        conn->protocol->timed_out(conn, CONN_BODY);
        break;
    case CONN_WRITE:
        if (kept_up(conn, now_ns))
            break;
        worker->status->timeouts++;
        reset(conn);
        break;
    case CONN_STARVED:
        worker->status->timeouts++;
        conn->protocol->timed_out(conn, CONN_STARVED);
        break;
    case CONN_PROXY:
    case CONN_IDLE:
    case CONN_WINDOW:
        conn->protocol->timed_out(conn, (enum conn_wait)conn->wait);
        break;
    case CONN_LINGER:
        conn_close(conn);
        break;
    case CONN_ANSWER:
        break;
    }
}
