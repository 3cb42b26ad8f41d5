/* SPDX-License-Identifier: MIT
 * The time split of split.h. */
#include "serve/split.h"

#include <sys/resource.h>

#include "base/histogram.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/protocol.h"
#include "serve/record.h"
#include "serve/trace.h"
#include "serve/worker.h"

static void add(uint64_t *sum, int64_t duration_ns)
{
    *sum += duration_ns > 0 ? (uint64_t)duration_ns : 0;
}

static inline __attribute__((always_inline)) void
count(struct worker *worker, enum askr_histogram which, int64_t duration_ns)
{
    worker->status->histograms[which][histogram_index(duration_ns)]++;
}

/* --- one request ------------------------------------------------------------------------------ */

/* For the worker, and for the site when there are several. */
static inline __attribute__((always_inline)) void
count_here(const struct exchange *exchange, enum askr_histogram which, int64_t duration_ns)
{
    struct worker *worker = exchange->conn->worker;
    uint32_t index = histogram_index(duration_ns);
    worker->status->histograms[which][index]++;
    if (UNLIKELY(worker->hosts != NULL) && exchange->site != NULL)
        exchange->site->status->histograms[which][index]++;
}

/* Read and queue: what is known once the answer begins, or will never begin. The stamps are the
 * loop's, so they are in order. */
static inline void count_request(struct exchange *exchange, int64_t first_ns)
{
    struct worker *worker = exchange->conn->worker;
    struct askr_split *split = &worker->status->split;
    const struct split_times *times = &exchange->times;
    split->requests++;
    if (times->received_ns == 0) { /* it ended with its head */
        add(&split->read_ns, first_ns - times->began_ns);
        return;
    }
    split->read_ns += (uint64_t)(times->received_ns - times->began_ns);
    if (!exchange->for_app)
        return;
    int64_t queue_ns = (times->taken_ns != 0 ? times->taken_ns : first_ns) - times->received_ns;
    add(&split->queue_ns, queue_ns);
    count_here(exchange, ASKR_HISTOGRAM_QUEUE, queue_ns);
}

static inline void count_route(const struct exchange *exchange, int64_t duration_ns)
{
    struct askr_route *route = &exchange->conn->worker->status->routes[exchange->route];
    route->failed += exchange->status >= 500;
    route->histogram[histogram_index(duration_ns)]++;
}

/* The last byte is with the kernel, or never will be. */
static inline void complete(struct exchange *exchange, const char *how)
{
    struct worker *worker = exchange->conn->worker;
    struct askr_split *split = &worker->status->split;
    const struct split_times *times = &exchange->times;
    int64_t now_ns = worker->io.now_ns;
    count_request(exchange, times->first_ns);
    add(&split->write_ns, now_ns - times->first_ns);
    split->client_ns += (uint64_t)times->client_ns;
    count_here(exchange, exchange->for_app ? ASKR_HISTOGRAM_APP : ASKR_HISTOGRAM_SELF,
               now_ns - times->began_ns);
    if (exchange->for_app)
        count_route(exchange, now_ns - times->began_ns);
    if (UNLIKELY(worker->log != NULL))
        accesslog_write(exchange, how);
    if (UNLIKELY(exchange->trace != NULL))
        trace_end(exchange, how);
    if (UNLIKELY(exchange->record != NULL))
        record_end(exchange, how);
    exchange_recycle(exchange);
}

static const char *outcome_of(const struct exchange *exchange)
{
    return exchange->cut ? "cut" : exchange->limited ? "limited" : "done";
}

void split_answered(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    const struct output *output = conn->output;
    uint64_t waiting =
        output == NULL ? 0 : chain_size(&output->chain) + chain_size(&output->cipher);
    if (conn->protocol->fill != NULL)
        waiting++; /* its frames are still to be made: it is the send after this one that counts */
    if (waiting == 0 || conn->closing) {
        complete(exchange, conn->closing ? "cut" : outcome_of(exchange));
        return;
    }
    exchange->position = conn->sent + waiting;
    exchange->next = NULL;
    *conn->parked_last = exchange;
    conn->parked_last = &exchange->next;
}

void split_abandoned(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    worker->status->abandoned++;
    if (exchange->times.first_ns == 0)
        count_request(exchange, worker->io.now_ns);
    if (worker->log != NULL)
        accesslog_write(exchange, "left");
    if (exchange->trace != NULL)
        trace_end(exchange, "left");
    if (exchange->record != NULL)
        record_end(exchange, "left");
}

static struct exchange *unpark(struct conn *conn)
{
    struct exchange *exchange = conn->parked;
    conn->parked = exchange->next;
    if (conn->parked == NULL)
        conn->parked_last = &conn->parked;
    return exchange;
}

void split_sent(struct conn *conn, int64_t size)
{
    struct exchange *first = conn->parked != NULL ? conn->parked : conn->exchange;
    if (UNLIKELY(conn->output->op.waited_ns > 0) && first != NULL)
        first->times.client_ns += conn->output->op.waited_ns;
    conn->sent += (uint64_t)size;
    for (; (first = conn->parked) != NULL && first->position <= conn->sent;)
        complete(unpark(conn), outcome_of(first));
}

void split_closed(struct conn *conn)
{
    while (conn->parked != NULL)
        complete(unpark(conn), "cut");
}

struct split_parts split_parts(const struct exchange *exchange)
{
    const struct split_times *times = &exchange->times;
    int64_t now_ns = exchange->conn->worker->io.now_ns;
    int64_t first_ns = times->first_ns != 0 ? times->first_ns : now_ns;
    int64_t received_ns = times->received_ns != 0 ? times->received_ns : first_ns;
    int64_t taken_ns = times->taken_ns != 0 ? times->taken_ns : first_ns;
    return (struct split_parts){
        .total_ns = now_ns - times->began_ns,
        .read_ns = received_ns - times->began_ns,
        .queue_ns = exchange->for_app ? taken_ns - received_ns : 0,
        .app_wall_ns = times->app_wall_ns,
        .app_cpu_ns = times->app_cpu_ns,
        .write_ns = now_ns - first_ns,
        .client_ns = times->client_ns,
    };
}

/* --- applications ----------------------------------------------------------------------------- */

/* A clock of the application's: not before `low_ns`, and not in the future. Our own is read once a
 * turn, in which an application on the same core may well have run: a little later is believed. */
static int64_t cut_clock(const struct worker *worker, int64_t time_ns, int64_t low_ns)
{
    int64_t high_ns = worker->io.now_ns + HEARTBEAT_NS;
    return time_ns < low_ns ? low_ns : time_ns > high_ns ? high_ns : time_ns;
}

/* CPU time since the process's last word of it: no more than has passed. */
static int64_t cut_cpu(struct app *app, int64_t cpu_ns, int64_t now_ns)
{
    int64_t passed_ns = now_ns - app->told_ns;
    app->told_ns = now_ns;
    return cpu_ns < passed_ns ? cpu_ns : passed_ns;
}

void split_taken(struct app *app, struct handed *handed, const struct port_message *message)
{
    struct exchange *exchange = handed->exchange;
    handed->taken_ns = cut_clock(app->worker, message->time_ns, handed->put_ns);
    if (exchange != NULL)
        exchange->times.taken_ns = handed->taken_ns;
}

void split_ended(struct app *app, struct handed *handed, const struct port_message *message)
{
    struct worker *worker = app->worker;
    struct askr_split *split = &worker->status->split;
    struct exchange *exchange = handed->exchange;
    int64_t ended_ns = cut_clock(worker, message->time_ns, handed->taken_ns);
    int64_t wall_ns = ended_ns - handed->taken_ns;
    int64_t cpu_ns = cut_cpu(app, message->cpu_ns, ended_ns);
    add(&split->app_wall_ns, wall_ns);
    add(&split->app_cpu_ns, cpu_ns);
    count(worker, ASKR_HISTOGRAM_APP_WALL, wall_ns);
    handed->ended_ns = ended_ns;
    if (exchange == NULL)
        return;
    exchange->times.app_wall_ns = wall_ns;
    exchange->times.app_cpu_ns = cpu_ns;
    if (exchange->times.first_ns == 0)
        exchange->times.first_ns = ended_ns; /* it was held back until it was complete */
}

void split_finished(struct app *app, struct handed *handed, const struct port_message *message)
{
    struct askr_split *split = &app->worker->status->split;
    int64_t finished_ns = cut_clock(app->worker, message->time_ns, handed->ended_ns);
    if (finished_ns == handed->ended_ns)
        return; /* one frame said both */
    add(&split->after_wall_ns, finished_ns - handed->ended_ns);
    add(&split->after_cpu_ns, cut_cpu(app, message->cpu_ns, finished_ns));
}

void split_lost(struct app *app, struct handed *handed)
{
    struct worker *worker = app->worker;
    if (!handed->started || handed->ended_ns != 0)
        return;
    int64_t wall_ns = worker->io.now_ns - handed->taken_ns;
    add(&worker->status->split.app_wall_ns, wall_ns);
    count(worker, ASKR_HISTOGRAM_APP_WALL, wall_ns > 0 ? wall_ns : 0);
    if (handed->exchange != NULL)
        handed->exchange->times.app_wall_ns = wall_ns;
}

void split_held(struct worker *worker)
{
    struct split_worker *own = &worker->split;
    if (worker->apps.handed_count > 0 && own->held_ns == 0)
        own->held_ns = worker->io.now_ns;
    if (worker->apps.handed_count > 0 || own->held_ns == 0)
        return;
    add(&worker->status->split.app_held_ns, worker->io.now_ns - own->held_ns);
    own->held_ns = 0;
}

/* --- the worker ------------------------------------------------------------------------------- */

static int64_t ns_of(struct timeval time)
{
    return (int64_t)time.tv_sec * NS_PER_S + (int64_t)time.tv_usec * NS_PER_US;
}

static void read_cpu(const struct worker *worker, int64_t *user_ns, int64_t *system_ns)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    io_work_cpu(&worker->io, user_ns, system_ns);
    *user_ns += ns_of(usage.ru_utime);
    *system_ns += ns_of(usage.ru_stime);
}

void split_open(struct worker *worker)
{
    read_cpu(worker, &worker->split.user_ns, &worker->split.system_ns);
}

void split_beat(struct worker *worker)
{
    struct split_worker *own = &worker->split;
    struct askr_split *split = &worker->status->split;
    int64_t user_ns, system_ns;
    read_cpu(worker, &user_ns, &system_ns);
    int64_t user = user_ns - own->user_ns, system = system_ns - own->system_ns;
    add(&split->io_cpu_user_ns, user);
    add(&split->io_cpu_system_ns, system);
    if (split->requests != own->requests)
        add(&split->io_cpu_serving_ns, user + system);
    own->user_ns = user_ns;
    own->system_ns = system_ns;
    own->requests = split->requests;
    if (own->held_ns == 0)
        return;
    add(&split->app_held_ns, worker->io.now_ns - own->held_ns);
    own->held_ns = worker->io.now_ns;
}
