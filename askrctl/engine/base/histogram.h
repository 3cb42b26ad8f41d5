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
 * which begins at 2199 s. The duration's upper bits, its first one included, are the step and 16:
 * so one octave goes on where the one before it ends. */
static inline uint32_t histogram_index(int64_t duration_ns)
{
    const uint64_t first = (1 << HISTOGRAM_FIRST_BITS) - 1; /* the end of the first bucket */
    const uint32_t before = ((HISTOGRAM_FIRST_BITS + 1) << HISTOGRAM_STEP_BITS) - 1;
    uint64_t value = duration_ns > (int64_t)first ? (uint64_t)duration_ns : first;
    uint32_t bits = 63 ^ (uint32_t)__builtin_clzll(value); /* 63 - what it says, at once */
    uint32_t index = (bits << HISTOGRAM_STEP_BITS) - before;
    index += (uint32_t)(value >> (bits - HISTOGRAM_STEP_BITS));
    return index < ASKR_BUCKETS ? index : ASKR_BUCKETS - 1;
}

/* Where a bucket begins. */
int64_t histogram_start_ns(uint32_t index);

#endif
