/* SPDX-License-Identifier: MIT
 * The way back from buckets to durations (histogram.h), for readers alone: whoever shows what
 * workers count has hundreds of histograms to add up for each look. */
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

/* Nobody knows how long those in the last bucket were: they count for its start. */
static double middle_s(uint32_t index)
{
    uint32_t next = index + 1 < ASKR_BUCKETS ? index + 1 : index;
    return (double)(histogram_start_ns(index) + histogram_start_ns(next)) / 2 / (double)NS_PER_S;
}

int64_t askr_bucket_start_ns(uint32_t index)
{
    return histogram_start_ns(index);
}

void askr_histogram_add(uint64_t *sum, const uint64_t *counts)
{
    for (uint32_t i = 0; i < ASKR_BUCKETS; i++)
        sum[i] += counts[i];
}

void askr_histogram_since(uint64_t *counts, const uint64_t *before)
{
    for (uint32_t i = 0; i < ASKR_BUCKETS; i++)
        counts[i] = counts[i] > before[i] ? counts[i] - before[i] : 0;
}

uint64_t askr_histogram_below(const uint64_t *counts, const uint32_t *ends, uint32_t end_count,
                              uint64_t *below)
{
    uint64_t seen = 0;
    uint32_t next = 0;
    for (uint32_t i = 0; i < ASKR_BUCKETS; i++) {
        for (; next < end_count && ends[next] == i; next++)
            below[next] = seen;
        seen += counts[i];
    }
    assert(next == end_count);
    return seen;
}

double askr_histogram_quantile_s(const uint64_t *counts, double share)
{
    double wanted = share * (double)askr_histogram_below(counts, NULL, 0, NULL), seen = 0;
    for (uint32_t i = 0; i < ASKR_BUCKETS; i++) {
        seen += (double)counts[i];
        if (counts[i] > 0 && seen >= wanted)
            return middle_s(i);
    }
    return -1;
}

double askr_histogram_sum_s(const uint64_t *counts)
{
    double sum = 0;
    for (uint32_t i = 0; i < ASKR_BUCKETS; i++)
        if (counts[i] > 0)
            sum += (double)counts[i] * middle_s(i);
    return sum;
}
