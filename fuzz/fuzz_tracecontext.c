/* SPDX-License-Identifier: MIT
 * Invariant: whatever a client calls its trace, what is accepted of it is written back as it was
 * read, and a state that is accepted can be passed on in a field. */
#include <stdlib.h>

#include "proto/tracecontext.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* On in every build, as in fuzz_h1.c. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check_parent(struct slice value)
{
    struct trace_context context, again;
    char text[TRACEPARENT_SIZE];
    if (!traceparent_read(value, &context))
        return;
    traceparent_write(&context, text);
    must(memcmp(text + 3, value.data + 3, 49) == 0);
    must(traceparent_read((struct slice){text, sizeof text}, &again));
    must(memcmp(&context, &again, sizeof context) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = {(const char *)data, size};
    check_parent(value);
    if (!tracestate_is_valid(value))
        return 0;
    must(size <= TRACESTATE_SIZE_MAX && memchr(data, '=', size) != NULL);
    for (size_t i = 0; i < size; i++)
        must(data[i] == '\t' || (data[i] >= 0x20 && data[i] < 0x7f));
    return 0;
}
