/* SPDX-License-Identifier: MIT
 * What a worker remembers to trace; trace.c and trace_span.c alone know it. */
#ifndef ASKR_TRACER_H
#define ASKR_TRACER_H

#include "serve/trace.h"

struct tracer {
    int fd;
    uint64_t seeds[2], ids; /* of ids that do not repeat */
    uint32_t count;         /* spans of the batch */
    uint32_t size;          /* its bytes; 0: there is none */
    char batch[TRACE_BATCH_SIZE];
};

#endif
