/* SPDX-License-Identifier: MIT
 * OpenTelemetry traces, the worker's part: the trace that a request belongs to, in from traceparent
 * and out to the application, whether it is sampled, and a span for each request that is. Spans go
 * in batches, as datagrams, to the exporter (askrctl/server/exporter.py): a magic number and the
 * worker's index, then for each span a span_head and its texts. Nothing waits: a batch that the
 * exporter does not take is lost and counted.
 *
 * Without an endpoint there is no tracer, and it costs a look at a pointer for each request. */
#ifndef ASKR_TRACE_H
#define ASKR_TRACE_H

#include "proto/tracecontext.h"

enum {
    TRACE_MAGIC = 0x32525441,  /* "ATR2" in memory */
    TRACE_BATCH_SIZE = 16384,  /* some 40 spans: a system call for each is too much */
    TRACE_TEXT_SIZE_MAX = 1024 /* of one text of a span; longer ones are cut */
};

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

/* Of a span, in this order. */
enum span_text {
    SPAN_METHOD,
    SPAN_PATH,
    SPAN_HOST,
    SPAN_AGENT,
    SPAN_STATE, /* tracestate */
    SPAN_ID,    /* of the request */
    SPAN_ROUTE, /* route.h; empty: it has none */
    SPAN_SITE,  /* empty: there is no [[site]] */
    SPAN_TEXTS
};

struct span_head {
    uint8_t trace_id[16], span_id[8], parent_id[8];
    int64_t start_ns; /* CLOCK_REALTIME */
    int64_t total_ns; /* how long it took; the split below */
    int64_t read_ns, queue_ns, app_wall_ns, app_cpu_ns, write_ns, client_ns;
    int64_t request_size, answer_size;            /* of the bodies */
    uint8_t client_address[16], peer_address[16]; /* the peer: whoever connected, a proxy maybe */
    uint16_t peer_port, server_port;
    uint16_t version, status;        /* status 0: the client left before there was one */
    uint16_t text_sizes[SPAN_TEXTS]; /* what follows */
    uint8_t flags, has_parent, outcome, secure, for_app;
    uint8_t client_family, peer_family; /* 4, 6 or 0 */
    uint8_t unused;
};
_Static_assert(sizeof(struct span_head) == 176, "spans.py reads it");

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
