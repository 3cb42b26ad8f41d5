/* SPDX-License-Identifier: MIT
 * Buckets of histogram.h: they meet without a gap, none is too wide, and what does not fit is still
 * counted. The packed durations of a port, which share the arithmetic, are here as well. */
#include "base/histogram.h"

#include "app/port_layout.h"
#include "tap.h"

static void check_bucket_of(int64_t duration_ns)
{
    uint32_t index = histogram_index(duration_ns);
    int64_t next_ns = index + 1 < ASKR_BUCKETS ? histogram_start_ns(index + 1) : INT64_MAX;
    OK(histogram_start_ns(index) <= duration_ns && duration_ns < next_ns,
       "%lld ns are in the bucket that holds them", (long long)duration_ns);
}

static void check_buckets(void)
{
    bool joined = true, narrow = true;
    for (uint32_t index = 1; index < ASKR_BUCKETS; index++) {
        int64_t start_ns = histogram_start_ns(index);
        joined = joined && histogram_index(start_ns) == index &&
                 histogram_index(start_ns - 1) == index - 1;
        if (index > 1)
            narrow = narrow && (start_ns - histogram_start_ns(index - 1)) * 16 <=
                                   histogram_start_ns(index - 1);
    }
    OK(joined, "each bucket begins where the one before it ends");
    OK(narrow, "no bucket is wider than a sixteenth of where it begins");
    OK(histogram_index(-5) == 0 && histogram_index(INT64_MIN) == 0, "no time is in the first one");
    OK(histogram_index(INT64_MAX) == ASKR_BUCKETS - 1, "and eternity in the last");
    OK(histogram_start_ns(ASKR_BUCKETS - 1) > 2100 * NS_PER_S, "which begins after half an hour");
    for (int64_t duration_ns = 1; duration_ns < 2000 * NS_PER_S; duration_ns = duration_ns * 3 + 1)
        check_bucket_of(duration_ns);
}

static bool near(double value, double wanted)
{
    return value > wanted * 0.9687 && value < wanted * 1.0313; /* 1/32 */
}

static void check_reading(void)
{
    static uint64_t counts[ASKR_BUCKETS], sum[ASKR_BUCKETS];
    OK(askr_histogram_quantile_s(counts, 0.5) < 0, "nothing has no quantile");
    for (int64_t ms = 1; ms <= 1000; ms++)
        counts[histogram_index(ms * NS_PER_MS)]++;
    OK(near(askr_histogram_quantile_s(counts, 0.5), 0.5), "half of 1 ms to 1 s is below 0.5 s");
    OK(near(askr_histogram_quantile_s(counts, 0.99), 0.99), "and 99 of 100 below 0.99 s");
    OK(near(askr_histogram_quantile_s(counts, 0), 0.001), "the quantile 0 is the smallest");
    OK(near(askr_histogram_sum_s(counts), 500.5), "together they are 500.5 s");
    askr_histogram_add(sum, counts);
    askr_histogram_add(sum, counts);
    const uint32_t ends[] = {0, histogram_index(NS_PER_MS), ASKR_BUCKETS - 1};
    uint64_t below[COUNT_OF(ends)];
    OK(askr_histogram_below(sum, ends, COUNT_OF(ends), below) == 2000, "twice as many are 2000");
    OK(below[0] == 0 && below[1] == 0 && below[2] == 2000, "none of them below the first bucket");
    askr_histogram_since(counts, sum);
    OK(askr_histogram_sum_s(counts) == 0, "what has gone back counts as nothing");
    askr_histogram_since(sum, counts);
    OK(near(askr_histogram_sum_s(sum), 1001), "since nothing, all have come");
    counts[ASKR_BUCKETS - 1] = 1;
    OK(near(askr_histogram_sum_s(counts), 2199), "the last bucket counts for its start");
}

static void check_packing(void)
{
    bool exact = true, close = true;
    for (int64_t ns = 0; ns < 2048; ns++)
        exact = exact && port_unpack_ns(port_pack_ns(ns)) == ns;
    for (int64_t ns = 2048; ns < 4000 * NS_PER_S; ns += ns / 100) {
        int64_t error_ns = port_unpack_ns(port_pack_ns(ns)) - ns;
        close = close && (error_ns < 0 ? -error_ns : error_ns) <= ns / 2048;
    }
    OK(exact, "a short CPU time is carried exactly");
    OK(close, "a long one to a 2048th");
    OK(port_unpack_ns(port_pack_ns(-1)) == 0, "a negative one is none");
    OK(port_unpack_ns(port_pack_ns(INT64_MAX)) > 4000 * NS_PER_S, "a huge one is cut, not wrapped");
}

int main(void)
{
    check_buckets();
    check_reading();
    check_packing();
    return TAP_END();
}
