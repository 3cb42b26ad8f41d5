/* SPDX-License-Identifier: MIT
 * OpenTelemetry traces, the worker's part: the trace that a request belongs to, in from traceparent
 * and out to the application, whether it is sampled, and a span for each request that is. Spans go
 * in batches (proto/span.h), as datagrams, to the exporter (askrctl/server/exporter.py). Nothing
 * waits: a batch that the exporter does not take is lost and counted.
 *
 * Without an endpoint there is no tracer, and it costs a look at a pointer for each request. */
#ifndef ASKR_TRACE_H
#define ASKR_TRACE_H

#include "proto/span.h"
#include "proto/tracecontext.h"

struct exchange;
struct worker;

/* Of one exchange, in its memory. */
struct trace {
    struct trace_context context; /* `span_id` is ours: the application's parent */
    uint8_t parent_id[8];
    bool has_parent;
    uint16_t own_port;           /* that the client reached us by */
    int64_t request_size;        /* of the body; it is gone when the span is made */
    struct slice state;          /* tracestate to be passed on; or empty */
    char text[TRACEPARENT_SIZE]; /* traceparent for the application */
};

/* 0 or -errno. Spans go to config->trace_fd, which is taken over. */
int trace_open(struct worker *, askr_error *);
/* Send what there is, and stop. */
void trace_close(struct worker *);
/* Every heartbeat. */
void trace_beat(struct worker *);

/* A request has begun; it is in worker->request. */
void trace_begin(struct exchange *);
/* Put the trace into worker->request, for the application. */
void trace_put(struct exchange *);
/* It is complete, or will never be: `how` as for the access log. */
void trace_end(struct exchange *, const char *how);

#endif
