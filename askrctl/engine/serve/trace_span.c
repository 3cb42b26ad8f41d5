/* SPDX-License-Identifier: MIT
 * Spans on their way to the exporter: a batch is sent when it is full, and with each heartbeat. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/forwarded.h"
#include "serve/tracer.h"
#include "serve/worker.h"

static const uint32_t batch_head_size = 2 * sizeof(uint32_t);

static void send_batch(struct worker *worker)
{
    struct tracer *tracer = worker->tracer;
    if (tracer->count == 0)
        return;
    ssize_t sent = send(tracer->fd, tracer->batch, tracer->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == (ssize_t)tracer->size)
        worker->status->spans += tracer->count;
    else
        worker->status->spans_lost += tracer->count;
    tracer->count = tracer->size = 0;
}

void trace_beat(struct worker *worker)
{
    if (worker->tracer != NULL)
        send_batch(worker);
}

void trace_close(struct worker *worker)
{
    if (worker->tracer == NULL)
        return;
    send_batch(worker);
    close(worker->tracer->fd);
    free(worker->tracer);
    worker->tracer = NULL;
}

/* --- one span --------------------------------------------------------------------------------- */

static struct slice cut(struct slice text)
{
    text.size = size_min(text.size, TRACE_TEXT_SIZE_MAX);
    return text;
}

/* Of the target: what a query holds may be nobody's business. */
static struct slice path_of(struct slice target)
{
    const char *mark = target.size > 0 ? memchr(target.data, '?', target.size) : NULL;
    if (mark != NULL)
        target.size = (size_t)(mark - target.data);
    return cut(target);
}

static int64_t wall_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void fill_times(struct span_head *head, const struct exchange *exchange)
{
    struct split_parts parts = split_parts(exchange);
    head->start_ns = wall_clock_ns() - parts.total_ns;
    head->total_ns = parts.total_ns;
    head->read_ns = parts.read_ns;
    head->queue_ns = parts.queue_ns;
    head->app_wall_ns = parts.app_wall_ns;
    head->app_cpu_ns = parts.app_cpu_ns;
    head->write_ns = parts.write_ns;
    head->client_ns = parts.client_ns;
}

static uint8_t family_of(const struct address *address)
{
    return address->family == AF_INET ? 4 : address->family == AF_INET6 ? 6 : 0;
}

static void fill_ends(struct span_head *head, const struct exchange *exchange)
{
    const struct address *client = exchange_client(exchange), *peer = &exchange->conn->peer;
    head->server_port = exchange_port(exchange, exchange->trace->own_port);
    head->secure = exchange_is_https(exchange);
    head->client_family = family_of(client);
    memcpy(head->client_address, client->bytes, sizeof head->client_address);
    head->peer_family = family_of(peer);
    head->peer_port = peer->port;
    memcpy(head->peer_address, peer->bytes, sizeof head->peer_address);
}

static void fill(struct span_head *head, const struct exchange *exchange, const char *how)
{
    const struct trace *trace = exchange->trace;
    memcpy(head->trace_id, trace->context.trace_id, sizeof head->trace_id);
    memcpy(head->span_id, trace->context.span_id, sizeof head->span_id);
    memcpy(head->parent_id, trace->parent_id, sizeof head->parent_id);
    head->has_parent = trace->has_parent;
    head->flags = trace->context.flags;
    head->status = (uint16_t)exchange->status;
    head->outcome = (uint8_t)how[1]; /* d_o_ne, c_u_t, l_e_ft, l_i_mited */
    head->for_app = exchange->for_app;
    head->request_size = trace->request_size;
    head->answer_size = exchange->said;
    fill_times(head, exchange);
    fill_ends(head, exchange);
}

static char *put(char *at, struct slice text)
{
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

/* Room for a span of that size behind a batch's head. */
static char *room_for(struct worker *worker, size_t size)
{
    struct tracer *tracer = worker->tracer;
    if (tracer->size + size > TRACE_BATCH_SIZE)
        send_batch(worker);
    if (tracer->size == 0) {
        uint32_t head[2] = {TRACE_MAGIC, worker->config->index};
        memcpy(tracer->batch, head, batch_head_size);
        tracer->size = batch_head_size;
    }
    char *room = tracer->batch + tracer->size;
    tracer->size += (uint32_t)size;
    tracer->count++;
    return room;
}

void trace_end(struct exchange *exchange, const char *how)
{
    static const struct accesslog_facts nothing = {.version = 1001};
    const struct accesslog_facts *facts = exchange->facts != NULL ? exchange->facts : &nothing;
    if (!(exchange->trace->context.flags & TRACE_SAMPLED))
        return;
    const struct slice texts[SPAN_TEXTS] = {
        [SPAN_METHOD] = cut(facts->method),    [SPAN_PATH] = path_of(facts->target),
        [SPAN_HOST] = cut(facts->host),        [SPAN_AGENT] = cut(facts->user_agent),
        [SPAN_STATE] = exchange->trace->state, [SPAN_ID] = exchange->request_id,
        [SPAN_ROUTE] = route_of(exchange),     [SPAN_SITE] = site_name_of(exchange),
    };
    struct span_head head = {.version = facts->version};
    size_t size = sizeof head;
    for (size_t i = 0; i < SPAN_TEXTS; i++) {
        head.text_sizes[i] = (uint16_t)texts[i].size;
        size += texts[i].size;
    }
    fill(&head, exchange, how);
    char *at =
        put(room_for(exchange->conn->worker, size), (struct slice){(char *)&head, sizeof head});
    for (size_t i = 0; i < SPAN_TEXTS; i++)
        at = put(at, texts[i]);
}
