/* SPDX-License-Identifier: MIT
 * Accepting connections from listeners that all workers share.
 *
 * A poll tells of new connections, accept4() takes them until EAGAIN. Multishot ACCEPT is not used:
 * on a shared listener it is exclusive and sticky (measured: one ring got 64 of 64 connections, and
 * when its worker was stopped every new connection hung). So that an eager worker does not take
 * them all, one that holds more than its share, or has requests waiting while another's application
 * is idle, waits DEFER_NS before it takes more. If none of the others took part meanwhile, because
 * they are stopped or their core is busy, it takes HASTE_COUNT or a part of what it holds and waits
 * HASTE_NS: 64 connections that arrive at once beside a stopped worker are all taken within 45 ms.
 *
 * Failure modes: EMFILE and ENFILE and memory shortage back off for BACKOFF_NS; connections that
 * are open live on. Before it comes to that, the last descriptors are kept for those connections:
 * a file to be sent, a body to be spooled. When limits.connections or that reserve is reached, one
 * that only waits goes for each new one (evict.h); if none does, new ones wait in the kernel's
 * backlog. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "serve/conn.h"
#include "serve/evict.h"
#include "serve/per_address.h"
#include "serve/speak_proxy.h"
#include "serve/worker.h"

#define DEFER_NS (10 * NS_PER_MS)
#define HASTE_NS (5 * NS_PER_MS)
#define BACKOFF_NS (200 * NS_PER_MS)
/* To have an idle virtual CPU woken by another one takes so long: docs/architecture.md. */
#define CROSS_CORE_NS (75 * NS_PER_US)
#define PEER_STALE_NS (300 * NS_PER_MS) /* three missed heartbeats: it takes no connections */

/* Of the descriptors a process may have, the part kept for the connections it has. */
enum { RESERVE_PART = 16, RESERVE_MIN = 4, RESERVE_MAX = 64 };

/* A lead over the mean that is not worth a delay: so many connections and that part of the mean.
 * By a fixed number alone 10,000 connections that come at once were taken at 1,400 a second. */
enum { SLACK_COUNT = 1, SLACK_PART = 16, HASTE_COUNT = 8 };

/* Bytes that the kernel holds for a client beyond those on their way. Without it a socket takes 4
 * MiB from a slow reader's answer, and a thousand of them all the memory that TCP may have
 * (tcp_mem): then nobody's bytes go out. */
enum { UNSENT_SIZE = 128 << 10 };

struct share {
    uint64_t connections; /* of all live workers of this generation, ours included */
    uint64_t workers;
    uint64_t accepted; /* by the others, ever: grows while they take part */
};

/* Requests of it wait, longer than it takes to wake another core. */
static bool has_queue(const struct askr_worker_status *status)
{
    return status->queue_wait_ns > CROSS_CORE_NS;
}

/* A live worker of this generation other than this one, or NULL. */
static const struct askr_worker_status *live_peer(const struct worker *worker, uint32_t index)
{
    const struct askr_worker_status *peer = status_page(worker, index);
    if (peer == worker->status || peer->state != ASKR_WORKER_READY ||
        worker->io.now_ns - peer->heartbeat_ns > PEER_STALE_NS)
        return NULL;
    return peer;
}

/* New requests would wait here, and could be served elsewhere at once. Those that are here stay:
 * docs/decisions/0015. */
static bool overloaded(const struct worker *worker)
{
    if (!has_queue(worker->status))
        return false;
    for (uint32_t index = 0; index < worker->config->count; index++) {
        const struct askr_worker_status *peer = live_peer(worker, index);
        if (peer == NULL || peer->queue_wait_ns != 0)
            continue;
        for (uint32_t place = 0; place < COUNT_OF(peer->apps) && place < peer->app_count; place++)
            if (peer->apps[place].state == ASKR_APP_IDLE && peer->apps[place].since_ns == 0)
                return true;
    }
    return false;
}

/* One that has a queue leaves new connections to those that have none: it does not count there. */
static struct share share_of(const struct worker *worker)
{
    struct share share = {.connections = worker->conn_count, .workers = 1};
    for (uint32_t index = 0; index < worker->config->count; index++) {
        const struct askr_worker_status *peer = live_peer(worker, index);
        if (peer == NULL || (has_queue(peer) && !has_queue(worker->status)))
            continue;
        share.connections += peer->connections;
        share.accepted += peer->accepted;
        share.workers++;
    }
    return share;
}

static uint64_t mean_of(const struct share *share)
{
    return share->connections / share->workers;
}

static bool over_share(const struct worker *worker, const struct share *share)
{
    uint64_t slack = SLACK_COUNT + mean_of(share) / SLACK_PART;
    return share->workers > 1 &&
           worker->conn_count * share->workers > share->connections + slack * share->workers;
}

static void try_later(struct listener *listener, int64_t delay_ns)
{
    listener->retry_ns = listener->worker->io.now_ns + delay_ns;
}

/* The first descriptor of the reserve. */
static int reserve_start(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    int all = (int)limit.rlim_cur, part = all / RESERVE_PART;
    return all - (part < RESERVE_MIN ? RESERVE_MIN : part > RESERVE_MAX ? RESERVE_MAX : part);
}

/* Is the lowest free descriptor one of the reserve? Asked only after one was met. */
static bool reserve_reached(struct worker *worker, int start)
{
    if (!worker->fds_short)
        return false;
    int lowest = fcntl(worker->listeners[0].fd, F_DUPFD_CLOEXEC, 0);
    if (lowest >= 0)
        close(lowest);
    worker->fds_short = lowest < 0 || lowest >= start;
    return worker->fds_short;
}

static bool admits(struct listener *listener, const struct sockaddr *peer)
{
    struct worker *worker = listener->worker;
    if (UNLIKELY(listener->flags & ASKR_LISTENER_PROXY))
        return proxy_admits(worker, peer, listener->flags); /* who it is for is told later */
    struct address address = address_of(peer);
    return per_address_admits(worker, &address);
}

/* Take one connection. False: there is none, or none may be taken now. */
static bool accept_one(struct listener *listener)
{
    struct worker *worker = listener->worker;
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;
    int fd = accept4(listener->fd, (struct sockaddr *)&name, &size, SOCK_CLOEXEC);
    if (fd >= 0) {
        if (!admits(listener, (struct sockaddr *)&name)) {
            close(fd);
            return true;
        }
        if (conn_open(worker, fd, (struct sockaddr *)&name, listener->flags) == NULL) {
            close(fd);
            try_later(listener, BACKOFF_NS);
            return false;
        }
        if (listener->full) /* one too many, but for a moment */
            evict_one(worker);
        worker->fds_short = fd >= listener->reserve_start;
        return true;
    }
    if (errno == EAGAIN)
        return false;
    if (io_accept_passes(-errno))
        return true; /* that connection's trouble, not the listener's */
    try_later(listener, BACKOFF_NS);
    return false;
}

/* Leave the next connections to others for a while. */
static void defer(struct listener *listener, const struct share *share, int64_t wait_ns)
{
    listener->deferring = true;
    listener->others_accepted = share->accepted;
    try_later(listener, wait_ns);
}

/* May another connection be taken now? If not, the listener is told when to look again. `haste`
 * counts those that may be taken beyond our share; -1: none. */
static bool may_accept(struct listener *listener, int *haste)
{
    struct worker *worker = listener->worker;
    if (worker->draining)
        return false;
    listener->full = worker->conn_count >= worker->config->connections_max ||
                     reserve_reached(worker, listener->reserve_start);
    int64_t wait_ns = listener->full ? evict_wait(worker) : 0;
    if (wait_ns > 0) {
        try_later(listener, wait_ns);
        return false;
    }
    if (*haste > 0) {
        --*haste;
        return true;
    }
    struct share share = share_of(worker);
    if (!over_share(worker, &share) && !overloaded(worker))
        return true;
    defer(listener, &share, *haste == 0 ? HASTE_NS : DEFER_NS);
    return false;
}

static void accept_some(struct listener *listener)
{
    int haste = -1;
    if (listener->deferring) {
        struct share share = share_of(listener->worker);
        if (share.accepted == listener->others_accepted)
            haste = HASTE_COUNT + (int)(mean_of(&share) / SLACK_PART);
    }
    listener->deferring = false;
    listener->retry_ns = NEVER;
    listener->reserve_start = reserve_start(); /* it may be changed at any time: prlimit(1) */
    while (may_accept(listener, &haste) && accept_one(listener))
        ;
}

static void on_listener(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct listener *listener = CONTAINER_OF(op, struct listener, op);
    if (!event.more) {
        listener->fd = -1;
        listener->retry_ns = NEVER;
        if (event.result != -ECANCELED)
            listener->worker->failure = event.result;
        if (listener->worker->listen_again)
            listeners_begin(listener->worker);
        return;
    }
    if (!listener->deferring)
        accept_some(listener);
}

void listeners_hurry(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++)
        if (worker->listeners[i].retry_ns != NEVER && !worker->listeners[i].deferring)
            try_later(&worker->listeners[i], 0);
}

void listeners_retry(struct worker *worker, int64_t now_ns)
{
    for (uint32_t i = 0; i < worker->listener_count; i++)
        if (worker->listeners[i].fd >= 0 && worker->listeners[i].retry_ns <= now_ns)
            accept_some(&worker->listeners[i]);
}

int64_t listeners_next(const struct worker *worker)
{
    int64_t next = NEVER;
    for (uint32_t i = 0; i < worker->listener_count; i++)
        if (worker->listeners[i].fd >= 0 && worker->listeners[i].retry_ns < next)
            next = worker->listeners[i].retry_ns;
    return next;
}

bool listeners_idle(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->listener_count; i++)
        if (worker->listeners[i].fd >= 0)
            return false;
    return true;
}

int listeners_open(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    if (config->listener_count == 0 || config->listener_count > ASKR_LISTENERS_MAX)
        return askr_fail(error, EINVAL, "a worker needs 1 to %d listeners", ASKR_LISTENERS_MAX);
    if (!config->hold_listeners)
        listeners_begin(worker);
    return 0;
}

void listeners_begin(struct worker *worker)
{
    const struct askr_worker_config *config = worker->config;
    bool listening = worker->listener_count > 0 && !worker->listeners_stopped;
    if (listening || worker->draining)
        return;
    worker->listen_again = !listeners_idle(worker); /* the ops are still being cancelled */
    if (worker->listen_again)
        return;
    worker->listeners_stopped = false;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        struct listener *listener = &worker->listeners[i];
        int on = 1, unsent = UNSENT_SIZE;
        *listener = (struct listener){.worker = worker,
                                      .fd = config->listeners[i],
                                      .flags = config->listener_flags[i],
                                      .retry_ns = NEVER};
        /* Inherited by what is accepted: one call here instead of one for each connection. */
        setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(listener->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
        io_poll(&worker->io, &listener->op, listener->fd, EPOLLIN, on_listener);
        /* What was queued before the poll may make no edge. */
        try_later(listener, 0);
    }
    worker->listener_count = config->listener_count;
}

void listeners_stop(struct worker *worker)
{
    worker->listeners_stopped = true;
    worker->listen_again = false;
    for (uint32_t i = 0; i < worker->listener_count; i++)
        if (worker->listeners[i].fd >= 0)
            io_cancel(&worker->io, &worker->listeners[i].op);
}
