/* SPDX-License-Identifier: MIT
 * W3C Trace Context, levels 1 and 2: traceparent and tracestate, read strictly. What is not valid
 * counts as not there, as the specification demands: then a new trace begins. */
#ifndef ASKR_TRACECONTEXT_H
#define ASKR_TRACECONTEXT_H

#include "base/base.h"

enum {
    TRACEPARENT_SIZE = 55,      /* 00-<32>-<16>-<2> */
    TRACESTATE_SIZE_MAX = 1024, /* section 3.3.1.5 asks for 512 at least; more is not passed on */
    TRACESTATE_MEMBERS_MAX = 32,
    TRACE_SAMPLED = 1,
    TRACE_RANDOM = 2, /* level 2: the trace id is random */
};

struct trace_context {
    uint8_t trace_id[16], span_id[8];
    uint8_t flags;
};

/* The value of the one traceparent field of a request. False: it is not valid. */
bool traceparent_read(struct slice value, struct trace_context *);
void traceparent_write(const struct trace_context *, char out[static TRACEPARENT_SIZE]);
/* Is it a list of members that may be passed on? Several fields are joined with commas first. */
bool tracestate_is_valid(struct slice value);

#endif
