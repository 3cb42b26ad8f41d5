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

static inline void count(uint64_t *histogram, int64_t duration_ns)
{
    histogram[histogram_index(duration_ns)]++;
}

/* --- one request ------------------------------------------------------------------------------ */

static inline struct askr_tally *tally_of(const struct exchange *exchange)
{
    const struct site *site = exchange->site;
    return LIKELY(site != NULL) ? site->tally : &exchange->conn->worker->status->tally;
}

/* Read and queue: what is known once the answer begins, or will never begin. The stamps are the
 * loop's, so they are in order; that of taking it is cut to be. */
static inline void count_request(const struct exchange *exchange, struct askr_tally *tally,
                                 int64_t first_ns)
{
    struct askr_split *split = &exchange->conn->worker->status->split;
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
    count(tally->histograms[ASKR_HISTOGRAM_QUEUE], queue_ns);
}

/* Before its client can have it, so that who has an answer finds it counted. */
static inline void count_class(const struct exchange *exchange)
{
    uint32_t class = (uint32_t)exchange->status / 100; /* a status has three digits, or is 0 */
    tally_of(exchange)->responses[class]++;
}

static inline void count_answer(const struct exchange *exchange, struct askr_tally *tally,
                                int64_t duration_ns)
{
    uint32_t index = histogram_index(duration_ns);
    if (!exchange->for_app || exchange->times.taken_ns == 0) { /* no application has seen it */
        tally->histograms[ASKR_HISTOGRAM_SELF][index]++;
        return;
    }
    struct askr_route *route = &exchange->conn->worker->status->routes[exchange->route];
    tally->histograms[ASKR_HISTOGRAM_APP][index]++;
    route->histogram[index]++;
    if (UNLIKELY(exchange->status >= 500))
        route->failed++;
}

/* Whoever keeps more of a request than numbers. `how`: NULL is as the exchange says. */
static void tell(struct exchange *exchange, const char *how)
{
    if (how == NULL)
        how = exchange->cut ? "cut" : exchange->limited ? "limited" : "done";
    if (exchange->conn->worker->log != NULL)
        accesslog_write(exchange, how);
    if (exchange->trace != NULL)
        trace_end(exchange, how);
    if (exchange->record != NULL)
        record_end(exchange, how);
}

static __attribute__((noinline)) void tell_last(struct exchange *exchange, const char *how)
{
    tell(exchange, how);
    exchange_recycle(exchange);
}

static inline bool is_told(const struct exchange *exchange)
{
    return UNLIKELY(exchange->conn->worker->log != NULL || exchange->trace != NULL ||
                    exchange->record != NULL);
}

/* The last byte is with the kernel, or, `cut`, never will be. */
static void complete(struct exchange *exchange, bool cut)
{
    struct worker *worker = exchange->conn->worker;
    const struct split_times *times = &exchange->times;
    struct askr_tally *tally = tally_of(exchange);
    int64_t now_ns = worker->io.now_ns;
    count_request(exchange, tally, times->first_ns);
    add(&worker->status->split.write_ns, now_ns - times->first_ns);
    count_answer(exchange, tally, now_ns - times->began_ns);
    if (is_told(exchange))
        tell_last(exchange, cut ? "cut" : NULL);
    else
        exchange_recycle(exchange);
}

void split_answered(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    const struct output *output = conn->output;
    if (!ASKR_METRICS) {
        if (is_told(exchange))
            tell_last(exchange, NULL);
        else
            exchange_recycle(exchange);
        return;
    }
    count_class(exchange);
    uint64_t waiting = output == NULL ? 0 : chain_size(&output->chain) + output->cipher.memory;
    if (conn->protocol->fill != NULL)
        waiting++; /* its frames are still to be made: it is the send after this one that counts */
    if (UNLIKELY(waiting == 0 || conn->closing)) {
        complete(exchange, conn->closing);
        return;
    }
    exchange->position = conn->sent + waiting;
    exchange->next = NULL;
    if (conn->parked == NULL)
        conn->parked = exchange;
    else
        conn->parked_last->next = exchange;
    conn->parked_last = exchange;
}

void split_abandoned(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    if (!ASKR_METRICS)
        return;
    worker->status->abandoned++;
    if (exchange->times.first_ns == 0)
        count_request(exchange, tally_of(exchange), worker->io.now_ns);
    if (is_told(exchange))
        tell(exchange, "left");
}

void split_waited(struct conn *conn, int64_t waited_ns)
{
    struct exchange *first = conn->parked != NULL ? conn->parked : conn->exchange;
    if (!ASKR_METRICS || first == NULL)
        return;
    first->times.client_ns += waited_ns; /* its answer is the one there was no room for */
    conn->worker->status->split.client_ns += (uint64_t)waited_ns;
}

void split_sent(struct conn *conn)
{
    struct exchange *first;
    while ((first = conn->parked) != NULL && first->position <= conn->sent) {
        conn->parked = first->next;
        complete(first, false);
    }
}

void split_closed(struct conn *conn)
{
    for (struct exchange *first; (first = conn->parked) != NULL;) {
        conn->parked = first->next;
        complete(first, true);
    }
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
    if (!ASKR_METRICS)
        return;
    handed->taken_ns = cut_clock(app->worker, message->time_ns, handed->put_ns);
    if (exchange != NULL)
        exchange->times.taken_ns = handed->taken_ns;
}

void split_ended(struct app *app, struct handed *handed, const struct port_message *message)
{
    struct worker *worker = app->worker;
    struct askr_split *split = &worker->status->split;
    struct exchange *exchange = handed->exchange;
    if (!ASKR_METRICS)
        return;
    int64_t ended_ns = cut_clock(worker, message->time_ns, handed->taken_ns);
    int64_t wall_ns = ended_ns - handed->taken_ns;
    int64_t cpu_ns = cut_cpu(app, message->cpu_ns, ended_ns);
    split->app_wall_ns += (uint64_t)wall_ns;
    add(&split->app_cpu_ns, cpu_ns);
    count(worker->status->app_wall, wall_ns);
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
    if (!ASKR_METRICS || message->time_ns <= handed->ended_ns)
        return; /* the same clock: it did nothing more */
    int64_t finished_ns = cut_clock(app->worker, message->time_ns, handed->ended_ns);
    add(&split->after_wall_ns, finished_ns - handed->ended_ns);
    add(&split->after_cpu_ns, cut_cpu(app, message->cpu_ns, finished_ns));
}

void split_lost(struct app *app, struct handed *handed)
{
    struct worker *worker = app->worker;
    if (!ASKR_METRICS || !handed->started || handed->ended_ns != 0)
        return;
    int64_t wall_ns = worker->io.now_ns - handed->taken_ns;
    add(&worker->status->split.app_wall_ns, wall_ns);
    count(worker->status->app_wall, wall_ns);
    if (handed->exchange != NULL)
        handed->exchange->times.app_wall_ns = wall_ns;
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
    bool holds = worker->apps.handed_count > 0;
    split->app_held_ns = own->held_ns + (holds ? (uint64_t)worker->io.now_ns : 0);
}
