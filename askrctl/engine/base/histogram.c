/* SPDX-License-Identifier: MIT
 * The way back from a bucket to its durations (histogram.h); only readers need it. */
#include "base/histogram.h"

int64_t histogram_start_ns(uint32_t index)
{
    assert(index < ASKR_BUCKETS);
    if (index == 0)
        return 0;
    uint32_t octave = (index - 1) >> HISTOGRAM_STEP_BITS;
    uint32_t step = (index - 1) & ((1u << HISTOGRAM_STEP_BITS) - 1);
    uint64_t first = UINT64_C(1) << (HISTOGRAM_FIRST_BITS + octave);
    return (int64_t)(first + (first >> HISTOGRAM_STEP_BITS) * step);
}
