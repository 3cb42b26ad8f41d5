/* SPDX-License-Identifier: MIT
 * Which trace a request belongs to, and what the application is told of it (trace.h). */
#include "serve/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/mix.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/speak_proxy.h"
#include "serve/tracer.h"
#include "serve/worker.h"

int trace_open(struct worker *worker, askr_error *error)
{
    struct tracer *tracer = calloc(1, sizeof *tracer);
    if (tracer == NULL)
        return askr_fail(error, ENOMEM, "no memory for traces");
    tracer->fd = worker->config->trace_fd;
    if (getrandom(tracer->seeds, sizeof tracer->seeds, GRND_NONBLOCK) < 0) {
        tracer->seeds[0] = (uint64_t)clock_now_ns() ^ (uint64_t)(uintptr_t)tracer;
        tracer->seeds[1] = mix64(tracer->seeds[0] + (uint64_t)getpid());
    }
    worker->tracer = tracer;
    return 0;
}

/* --- in --------------------------------------------------------------------------------------- */

#define TRACEPARENT SLICE("traceparent")
#define TRACESTATE SLICE("tracestate")

/* More than one says nothing: which would be the parent? */
static bool find_parent(const struct http_request *request, struct trace_context *parent)
{
    const struct http_field *found = NULL;
    for (uint16_t i = 0; i < request->field_count; i++) {
        if (!slice_reads(request->fields[i].name, TRACEPARENT))
            continue;
        if (found != NULL)
            return false;
        found = &request->fields[i];
    }
    return found != NULL && traceparent_read(found->value, parent);
}

/* All tracestate fields as one list, in the exchange's memory; empty when it may not be passed on.
 */
static struct slice join_state(struct exchange *exchange)
{
    const struct http_request *request = &exchange->conn->worker->request;
    char joined[TRACESTATE_SIZE_MAX + 1];
    size_t size = 0;
    for (uint16_t i = 0; i < request->field_count; i++) {
        const struct slice value = request->fields[i].value;
        if (!slice_reads(request->fields[i].name, TRACESTATE))
            continue;
        if (value.size >= sizeof joined - size)
            return SLICE("");
        if (size > 0)
            joined[size++] = ',';
        memcpy(joined + size, value.data, value.size);
        size += value.size;
    }
    char *kept = NULL;
    if (size == 0 || !tracestate_is_valid((struct slice){joined, size}) ||
        (kept = exchange_allocate(exchange, size)) == NULL)
        return SLICE("");
    memcpy(kept, joined, size);
    return (struct slice){kept, size};
}

static bool is_believed(const struct exchange *exchange)
{
    const struct worker *worker = exchange->conn->worker;
    int accept = worker->config->trace_accept;
    return accept == ASKR_TRACE_ALL ||
           (accept == ASKR_TRACE_TRUSTED && trust_has(worker, &exchange->conn->peer));
}

/* --- a trace of our own ----------------------------------------------------------------------- */

static void make_id(struct tracer *tracer, uint8_t *id, size_t size)
{
    uint64_t step = ++tracer->ids * MIX_STEP;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t bits = mix64(tracer->seeds[at / 8] + step);
        bits += bits == 0; /* all zeros is no id */
        memcpy(id + at, &bits, 8);
    }
}

/* The last eight bytes of the trace's id against a bound, as all of OpenTelemetry does it, so that
 * every service chooses the same ones. */
static bool is_chosen(const struct worker *worker, const uint8_t id[static 16])
{
    uint64_t number = 0;
    for (int i = 8; i < 16; i++)
        number = number << 8 | id[i];
    return worker->config->trace_bound == UINT64_MAX || number < worker->config->trace_bound;
}

void trace_begin(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    struct trace *trace = exchange_allocate(exchange, sizeof *trace);
    if (trace == NULL)
        return;
    memset(trace, 0, offsetof(struct trace, text));
    trace->own_port = conn_own(exchange->conn)->address.port;
    trace->has_parent = is_believed(exchange) && find_parent(&worker->request, &trace->context);
    if (trace->has_parent) {
        memcpy(trace->parent_id, trace->context.span_id, sizeof trace->parent_id);
        trace->state = join_state(exchange);
    } else {
        make_id(worker->tracer, trace->context.trace_id, sizeof trace->context.trace_id);
        trace->context.flags = TRACE_RANDOM;
    }
    if (!trace->has_parent || !worker->config->trace_parent_based) {
        bool chosen = is_chosen(worker, trace->context.trace_id);
        trace->context.flags =
            (uint8_t)((trace->context.flags & ~TRACE_SAMPLED) | (chosen ? TRACE_SAMPLED : 0));
    }
    make_id(worker->tracer, trace->context.span_id, sizeof trace->context.span_id);
    exchange->trace = trace;
}

/* --- out -------------------------------------------------------------------------------------- */

/* What the client sent goes in any case: it is not the application's parent any more. */
void trace_put(struct exchange *exchange)
{
    struct http_request *request = &exchange->conn->worker->request;
    struct trace *trace = exchange->trace;
    uint16_t count = 0;
    for (uint16_t i = 0; i < request->field_count; i++)
        if (!slice_reads(request->fields[i].name, TRACEPARENT) &&
            !slice_reads(request->fields[i].name, TRACESTATE))
            request->fields[count++] = request->fields[i];
    traceparent_write(&trace->context, trace->text);
    if (count < HTTP_FIELDS_MAX)
        request->fields[count++] =
            (struct http_field){TRACEPARENT, {trace->text, TRACEPARENT_SIZE}};
    if (trace->state.size > 0 && count < HTTP_FIELDS_MAX)
        request->fields[count++] = (struct http_field){TRACESTATE, trace->state};
    request->field_count = count;
}
