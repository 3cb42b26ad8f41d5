/* SPDX-License-Identifier: MIT
 * Spans on their way from a worker to the exporter, in a batch: a magic number and the worker's
 * index, then for each span a span_head and its texts, in the machine's own order of bytes. Workers
 * write it (serve/trace_span.c), the exporter makes OTLP of it (otlp.h). */
#ifndef ASKR_SPAN_H
#define ASKR_SPAN_H

#include <stdint.h>

enum {
    TRACE_MAGIC = 0x32525441,  /* "ATR2" in memory */
    TRACE_BATCH_SIZE = 16384,  /* some 40 spans: a system call for each is too much */
    TRACE_TEXT_SIZE_MAX = 1024 /* of one text of a span; longer ones are cut */
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

#endif
