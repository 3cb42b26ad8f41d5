/* SPDX-License-Identifier: MIT
 * A worker from start to end (worker.h). */
#include "serve/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "serve/accesslog.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/record.h"
#include "serve/secure.h"
#include "serve/speak_h2.h"
#include "serve/trace.h"

/* Idle keep-alive connections of a draining worker get this long to be used once more and be told
 * `Connection: close`, instead of being closed under the client's next request. */
#define DRAIN_IDLE_NS (5 * NS_PER_S)

struct slice worker_date(struct worker *worker)
{
    if (worker->io.now_ns >= worker->date_ns) {
        /* IMF-fixdate, RFC 9110 section 5.6.7; strftime's names are English in the C locale, which
         * this process does not leave. */
        struct timespec now;
        struct tm utc;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        strftime(worker->date, sizeof worker->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        worker->date_ns = worker->io.now_ns + NS_PER_S - now.tv_nsec;
    }
    return (struct slice){worker->date, HTTP_DATE_SIZE};
}

void worker_drain(struct worker *worker, int64_t deadline_ns)
{
    int64_t idle_ns = worker->io.now_ns + DRAIN_IDLE_NS;
    worker->drain_deadline_ns = deadline_ns;
    worker->idle_deadline_ns = idle_ns < deadline_ns ? idle_ns : deadline_ns;
    worker->kept = false;
    worker->status->state = ASKR_WORKER_DRAINING;
    if (worker->draining)
        return;
    worker->draining = true;
    listeners_stop(worker);
}

void worker_keep(struct worker *worker, int64_t deadline_ns)
{
    worker_drain(worker, deadline_ns);
    worker->kept = true;
    worker->status->state = ASKR_WORKER_KEPT;
}

void worker_listen(struct worker *worker)
{
    if (worker->kept) {
        worker->kept = worker->draining = false;
        worker->drain_deadline_ns = worker->idle_deadline_ns = NEVER;
        worker->status->state = ASKR_WORKER_READY;
    }
    listeners_begin(worker);
}

static void on_bell(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io; /* the turn that follows reads the ports; the poll is edge-like and never read */
    (void)op;
    (void)event;
}

static int open_io(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    struct io_options options = {.spin_ns = config->spin_ns};
    int result = io_init(&worker->io, (enum askr_io_id)config->backend, &options, error);
    if (result < 0) {
        worker->status->backend_errno = -result;
        control_send(worker, CONTROL_BACKEND_FAILED, 0, getpid(), (uint32_t)-result);
        return result;
    }
    worker->io.user = worker;
    timer_wheel_init(&worker->timers, worker->io.now_ns);
    return 0;
}

int worker_open(struct worker *worker, const struct askr_worker_config *config, askr_error *error)
{
    worker->config = config;
    worker->limits = (struct h1_limits){
        .head_size_max = config->head_size_max,
        .target_size_max = config->target_size_max,
        .fields_max = config->fields_max,
        .body_size_max = config->body_size_max,
    };
    worker->drain_deadline_ns = worker->idle_deadline_ns = NEVER;
    int result = status_open(worker, error);
    if (result < 0)
        return result;
    compress_open(worker); /* files of sites are compressed as well */
    result = sites_open(worker, error);
    if (result < 0)
        goto out_sites;
    result = open_io(worker, error);
    if (result < 0)
        goto out_sites;
    result = trust_open(worker, error);
    if (result == 0 && config->log_template != NULL && config->log_fd >= 0)
        result = accesslog_open(worker, config->log_fd, error);
    if (result == 0 && config->trace_fd > 0)
        result = trace_open(worker, error);
    if (result == 0)
        result = per_address_open(worker, error);
    if (result == 0)
        result = rate_limit_open(worker, error);
    if (result == 0)
        result = secure_open(worker, error);
    if (result < 0)
        goto out_io;
    websockets_open(worker);
    apps_init(worker);
    routes_open(worker);
    return 0;

out_io:
    per_address_close(worker);
    rate_limit_close(worker);
    accesslog_close(worker);
    trace_close(worker);
    io_fini(&worker->io);
out_sites:
    sites_close(worker);
    worker->status->state = ASKR_WORKER_FAILED;
    status_close(worker);
    return result;
}

/* From now on the worker hears its supervisor, its applications and new clients. */
static int listen_to_all(struct worker *worker, askr_error *error)
{
    int bell_fd = worker->config->bell_fd;
    control_open(worker);
    if (bell_fd >= 0)
        io_poll(&worker->io, &worker->bell_op, bell_fd, EPOLLIN, on_bell);
    return listeners_open(worker, error);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_deadline(const struct worker *worker)
{
    int64_t next = earlier(worker->heartbeat_ns, timer_wheel_next(&worker->timers));
    if (worker->handshakes != NULL)
        return 0;
    next = earlier(next, listeners_next(worker));
    return earlier(next, apps_next(worker, worker->io.now_ns));
}

/* Is there an application, or a request that waits for one? A worker without is spared the looks.
 */
static bool has_apps(const struct worker *worker)
{
    return worker->apps.count > 0 || worker->apps.queued > 0;
}

static void hand_out(struct worker *worker, int64_t now_ns)
{
    apps_dispatch(worker, now_ns);
    apps_publish(worker);
    if (apps_drain(worker, now_ns) > 0) {
        apps_dispatch(worker, now_ns);
        apps_publish(worker);
    }
}

/* What applications and timers have to say, and what that lets go on. */
void worker_turn(struct worker *worker)
{
    int64_t now_ns = worker->io.now_ns;
    bool had_apps = has_apps(worker);
    worker->compressors.spent = 0;
    if (now_ns >= worker->heartbeat_ns)
        status_beat(worker, now_ns);
    listeners_retry(worker, now_ns);
    timer_wheel_run(&worker->timers, now_ns);
    if (had_apps) {
        apps_drain(worker, now_ns);
        apps_tick(worker, now_ns);
    }
    secure_turn(worker);
    conn_flush_dirty(worker);
    if (had_apps || has_apps(worker)) {
        hand_out(worker, now_ns);
        conn_flush_dirty(worker);
    }
    if (worker->draining) {
        conns_drain(worker, now_ns);
        conn_flush_dirty(worker);
    }
}

static bool is_done(const struct worker *worker)
{
    if (worker->failure != 0)
        return true;
    return worker->draining && !worker->kept && worker->conn_count == 0 && listeners_idle(worker);
}

static void run(struct worker *worker)
{
    worker->status->state = ASKR_WORKER_READY;
    split_open(worker);
    status_beat(worker, worker->io.now_ns);
    control_send(worker, CONTROL_READY, 0, getpid(), worker->config->backend);
    while (!is_done(worker)) {
        int64_t deadline_ns = apps_arm(worker) ? next_deadline(worker) : 0;
        int result = io_step(&worker->io, deadline_ns);
        if (result < 0)
            worker->failure = result;
        worker_turn(worker);
    }
}

static void free_lists(struct worker *worker)
{
    for (struct piece *piece; (piece = worker->pieces_free) != NULL;) {
        worker->pieces_free = piece->next;
        free(piece);
    }
    for (struct output *output; (output = worker->outputs_free) != NULL;) {
        worker->outputs_free = output->free_next;
        free(output);
    }
#ifdef ASKR_HAVE_NGHTTP2
    for (struct stream *stream; (stream = worker->streams_free) != NULL;) {
        worker->streams_free = stream->next;
        free(stream);
    }
    h2_blocks_free(&worker->blocks);
#endif
    for (struct exchange *exchange; (exchange = worker->exchanges_free) != NULL;) {
        worker->exchanges_free = exchange->next;
        free(exchange);
    }
}

/* End every op, so that no memory is freed under the kernel's hands. */
void worker_close(struct worker *worker)
{
    worker->draining = true;
    listeners_stop(worker);
    while (worker->conns != NULL && worker->failure == 0) {
        conns_drain(worker, NEVER);
        io_step(&worker->io, 0);
    }
    apps_stop(worker);
    io_cancel(&worker->io, &worker->control_op);
    io_cancel(&worker->io, &worker->bell_op);
    for (int round = 0; worker->io.inflight > 0 && round < 1000 && worker->failure == 0; round++)
        if (io_step(&worker->io, worker->io.now_ns + NS_PER_MS) < 0)
            worker->failure = -EIO;
    if (worker->io.inflight == 0)
        io_fini(&worker->io);
    sites_close(worker);
    secure_close(worker);
    compress_close(worker);
    per_address_close(worker);
    rate_limit_close(worker);
    websockets_close(worker);
    free_lists(worker);
    accesslog_close(worker);
    record_close(worker);
    trace_close(worker);
    status_close(worker);
}

int askr_worker_run(const struct askr_worker_config *config, askr_error *error)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return askr_fail(error, ENOMEM, "no memory for a worker");
    int result = worker_open(worker, config, error);
    if (result < 0)
        goto out;
    result = listen_to_all(worker, error);
    if (result == 0)
        run(worker);
    else
        worker->status->state = ASKR_WORKER_FAILED;
    worker_close(worker);
    if (worker->failure < 0)
        result = askr_fail(error, -worker->failure, "the I/O backend failed: %s",
                           strerror(-worker->failure));

out:
    free(worker);
    return result;
}
