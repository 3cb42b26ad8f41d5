/* SPDX-License-Identifier: MIT
 * Invariant: whatever a client sends behind the preface and however it is split, the HTTP/2
 * protocol says the same until it asks for more or ends the connection, stays within its memory,
 * answers only what was asked, and gives everything back.
 *
 * The first byte says how the rest is split, and how often what is to be sent is taken. */
#include "../tests/engine/h2_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* On in every build: assert() would do, but a fuzzer must not depend on how it was configured. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static struct rig *run(struct slice input, size_t step)
{
    struct rig *rig = calloc(1, sizeof *rig);
    must(rig != NULL);
    rig->failing = -1;
    must(rig_open(rig));
    h2_tick(rig->h2, NS_PER_S);
    rig_feed_in_steps(rig, input, step);
    return rig;
}

static void finish(struct rig *rig)
{
    must(rig->most <= H2_MEMORY_MAX);
    must(rig->closed_count <= rig->stream_count);
    must(rig->data_out <= rig->stream_count * RIG_BODY);
    rig_close(rig);
    must(rig->allocated == 0);
    free(rig);
}

/* The same with output taken after each step, so that windows and resets have their effect. */
static void run_both_ways(struct slice input, size_t step)
{
    struct rig *rig = run((struct slice){input.data, 0}, 1);
    for (size_t at = 0; at < input.size && !rig->over; at += step) {
        rig_feed_in_steps(rig, (struct slice){input.data + at, size_min(step, input.size - at)}, 0);
        rig_drain(rig, false);
    }
    finish(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice input = {(const char *)data + 1, size - 1};
    size_t step = (size_t)data[0] % 64 + 1;
    struct rig *whole = run(input, 0), *split = run(input, step);
    must(whole->over == split->over);
    must(whole->trace_size == split->trace_size);
    must(memcmp(whole->trace, split->trace, whole->trace_size) == 0);
    rig_drain(whole, false);
    finish(whole);
    finish(split);
    run_both_ways(input, step);
    return 0;
}
