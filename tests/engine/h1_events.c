/* SPDX-License-Identifier: MIT
 * The HTTP/1.1 reader as a filter, for tests/unit/test_h1_differential.py. On stdin any number of
 * inputs, each behind its size in four bytes, big-endian. On stdout the trace of each (h1_trace.h),
 * the reason if it was refused, and "." on a line of its own. An input whose trace depends on how
 * it is split ends the program with status 1. */
#include "h1_trace.h"

static const struct h1_limits limits = {
    .head_size_max = HTTP_HEAD_SIZE_MAX,
    .target_size_max = HTTP_TARGET_SIZE_MAX,
    .fields_max = HTTP_FIELDS_MAX,
    .body_size_max = 1 << 20,
};

/* False at the end of stdin. */
static bool read_input(struct slice *input)
{
    unsigned char size[4];
    if (fread(size, 1, sizeof size, stdin) != sizeof size)
        return false;
    input->size = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
    char *data = malloc(input->size + 1);
    input->data = data;
    return data != NULL && fread(data, 1, input->size, stdin) == input->size;
}

static bool same_when_split(const struct trace *whole, struct slice input, int64_t step)
{
    struct trace split = {.stop_at_close = true};
    trace_feed(&split, &limits, input, step);
    bool same = strcmp(trace_text(whole), trace_text(&split)) == 0;
    if (!same)
        fprintf(stderr, "whole:\n%s\nin steps of %lld:\n%s\n", trace_text(whole), (long long)step,
                trace_text(&split));
    trace_free(&split);
    return same;
}

int main(void)
{
    struct slice input;
    bool same = true;
    while (same && read_input(&input)) {
        struct trace whole = {.stop_at_close = true};
        trace_feed(&whole, &limits, input, 0);
        fputs(trace_text(&whole), stdout);
        if (whole.error_text != NULL)
            printf("reason %s\n", whole.error_text);
        puts(".");
        same = same_when_split(&whole, input, 1) && same_when_split(&whole, input, -1);
        trace_free(&whole);
        free((char *)input.data);
    }
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
