/* SPDX-License-Identifier: MIT
 * Invariant: whatever bytes stand for a batch of spans, what is made of them fits, and is as many
 * fields `spans` as were counted, one behind the other to the last byte. */
#include <stdlib.h>

#include "proto/otlp.h"
#include "proto/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* On in every build, as in fuzz_h1.c. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check(struct slice batch)
{
    static uint8_t out[OTLP_SIZE_MAX];
    uint32_t count, seen = 0;
    int64_t size = otlp_encode(batch, out, &count);
    if (size < 0)
        return;
    must(size <= OTLP_SIZE_MAX);
    for (int64_t at = 0; at < size; seen++) {
        must(size - at >= 4 && out[at] == 0x12);
        must((out[at + 1] & 0x80) && (out[at + 2] & 0x80) && !(out[at + 3] & 0x80));
        at += 4 + ((out[at + 1] & 0x7f) | (out[at + 2] & 0x7f) << 7 | out[at + 3] << 14);
        must(at <= size);
    }
    must(seen == count);
}

/* As it is, and behind the head of a batch, or nothing would get far. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check((struct slice){(const char *)data, size});
    uint32_t head[2] = {TRACE_MAGIC, 3};
    size_t whole = sizeof head + size;
    char *batch = malloc(whole);
    must(batch != NULL);
    memcpy(batch, head, sizeof head);
    if (size > 0)
        memcpy(batch + sizeof head, data, size);
    check((struct slice){batch, whole});
    free(batch);
    return 0;
}
