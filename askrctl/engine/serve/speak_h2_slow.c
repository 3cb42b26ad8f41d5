/* SPDX-License-Identifier: MIT
 * Slow peers of HTTP/2. Each stream is judged by itself, whenever something happens and its time is
 * over: what the connection waits for first, and so its timer, is the peer's to choose, since it
 * may open a stream, bring a body or ask for a PING as it likes. */
#include "serve/speak_h2.h"

static bool is_blocked(const struct stream *stream)
{
    return stream->h2.waiting > 0;
}

/* Is the peer to bring more of a body, and not we to store what came? */
static bool is_receiving(const struct stream *stream)
{
    const struct exchange *exchange = stream->exchange;
    bool is_wanted = exchange != NULL && body_ahead(&exchange->body) == 0;
    return !stream->received && (is_wanted || stream->h2.left);
}

/* Is the peer's window so small that it seems to collect answers rather than to read them? */
static bool is_starved(const struct h2_conn *h2, uint32_t blocked)
{
    return blocked >= STARVED_STREAMS && h2_peer_window(h2->h2) < STARVED_WINDOW;
}

static void count(const struct h2_conn *h2, uint32_t *receiving, uint32_t *blocked)
{
    *receiving = *blocked = 0;
    for (const struct stream *stream = h2->streams; stream != NULL; stream = stream->next) {
        *receiving += is_receiving(stream);
        *blocked += is_blocked(stream);
    }
}

enum conn_wait h2_waits_for(const struct conn *conn)
{
    const struct h2_conn *h2 = conn->h2;
    uint32_t receiving, blocked;
    if (conn->held_size > 0 || h2_mid_head(h2->h2))
        return CONN_HEAD;
    if (h2->streams == NULL)
        return CONN_IDLE;
    count(h2, &receiving, &blocked);
    if (is_starved(h2, blocked))
        return CONN_STARVED;
    return receiving > 0 ? CONN_BODY : blocked > 0 ? CONN_WINDOW : CONN_ANSWER;
}

/* `size` is how far it has got. Another period begins when one is over. */
static bool is_slow(struct pace *pace, uint64_t size, int64_t now_ns, int64_t period_ns,
                    uint64_t least)
{
    if (pace->since_ns != 0 && now_ns - pace->since_ns < period_ns)
        return false;
    bool slow = pace->since_ns != 0 && size < pace->size + (least > 0 ? least : 1);
    *pace = (struct pace){now_ns, size};
    return slow;
}

static uint64_t least_of(const struct askr_worker_config *config, int64_t period_ns)
{
    return (uint64_t)((double)config->body_rate_min * (double)period_ns / 1e9);
}

/* The peer gave it less window than it would read at the least rate: it is reset. */
static void judge_taking(struct stream *stream)
{
    struct worker *worker = stream->owner->conn->worker;
    int64_t period_ns = worker->config->write_timeout_ns;
    if (!is_blocked(stream)) {
        stream->taking.since_ns = 0;
    } else if (is_slow(&stream->taking, stream->h2.sent, worker->io.now_ns, period_ns,
                       least_of(worker->config, period_ns))) {
        worker->status->timeouts++;
        h2_cut(stream->owner->h2, &stream->h2, H2_CANCEL);
        conn_dirty(stream->owner->conn);
    }
}

static void give_up_body(struct stream *stream)
{
    if (stream->h2.left) { /* and its answer was not read */
        h2_cut(stream->owner->h2, &stream->h2, H2_NO_ERROR);
        return;
    }
    stream->owner->conn->worker->status->timeouts++;
    exchange_fail(stream->exchange, 408, "the request body came too slowly");
}

/* The least rate is the connection's: each of its bodies has to bring its part of that. */
static void judge_bringing(struct stream *stream, uint32_t receiving)
{
    struct worker *worker = stream->owner->conn->worker;
    int64_t period_ns = worker->config->body_timeout_ns;
    if (!is_receiving(stream))
        stream->bringing.since_ns = 0;
    else if (!is_slow(&stream->bringing, (uint64_t)stream->body_size, worker->io.now_ns, period_ns,
                      least_of(worker->config, period_ns) / receiving))
        return;
    else
        give_up_body(stream);
}

void h2_judge(struct conn *conn)
{
    struct h2_conn *h2 = conn->h2;
    int64_t now_ns = conn->worker->io.now_ns;
    uint32_t receiving, blocked;
    count(h2, &receiving, &blocked);
    if (!is_starved(h2, blocked)) {
        h2->starved_ns = 0;
    } else if (h2->starved_ns == 0) {
        h2->starved_ns = now_ns;
    } else if (now_ns - h2->starved_ns >= CONN_STARVED_NS) {
        h2_leave(conn, H2_ENHANCE_YOUR_CALM);
        return;
    }
    for (struct stream *stream = h2->streams, *next; stream != NULL; stream = next) {
        next = stream->next;
        judge_taking(stream);
        judge_bringing(stream, receiving);
        if (conn->closing)
            return;
    }
}
