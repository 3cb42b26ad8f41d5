/* SPDX-License-Identifier: MIT
 * Where a duration is counted in a log-linear histogram: every octave has as many buckets as the
 * first, so a bucket is never wider than 1/16 of where it begins. Whoever takes the middle of a
 * bucket for the durations in it errs by at most 1/32, which is 3.2 %.
 *
 * The buckets of a worker lie in its page of the status memory (askr/api.h) and are counted up with
 * plain stores; the control plane reads them there. */
#ifndef ASKR_HISTOGRAM_H
#define ASKR_HISTOGRAM_H

#include "base/base.h"

enum {
    HISTOGRAM_STEP_BITS = 4,  /* 16 buckets for an octave */
    HISTOGRAM_FIRST_BITS = 9, /* durations below 512 ns share the first bucket */
};

/* The bucket of a duration; negative ones count as 0, those past the last bucket in the last one,
 * which begins at 2199 s. */
static inline uint32_t histogram_index(int64_t duration_ns)
{
    if (duration_ns < 1 << HISTOGRAM_FIRST_BITS)
        return 0;
    uint32_t bits = 63 - (uint32_t)__builtin_clzll((uint64_t)duration_ns);
    uint32_t step =
        (uint32_t)(duration_ns >> (bits - HISTOGRAM_STEP_BITS)) & ((1u << HISTOGRAM_STEP_BITS) - 1);
    uint32_t index = ((bits - HISTOGRAM_FIRST_BITS) << HISTOGRAM_STEP_BITS) + step + 1;
    return index < ASKR_BUCKETS ? index : ASKR_BUCKETS - 1;
}

/* Where a bucket begins. */
int64_t histogram_start_ns(uint32_t index);

#endif
