/* SPDX-License-Identifier: MIT
 * One expectation about the HTTP/1.1 reader, held in every way the bytes can arrive: whole, byte by
 * byte, in sevens, and with another request right behind them. */
#ifndef H1_CHECK_H
#define H1_CHECK_H

#include "h1_trace.h"
#include "tap.h"

#define TAIL "GET /tail HTTP/1.1\r\nHost: t\r\n\r\n"
#define TAIL_TRACE "GET /tail @t 1.1 keep\nHost: t\nend\n"

static const struct h1_limits roomy = {
    .head_size_max = HTTP_HEAD_SIZE_MAX,
    .target_size_max = HTTP_TARGET_SIZE_MAX,
    .fields_max = HTTP_FIELDS_MAX,
    .body_size_max = 1 << 20,
};

/* Does the reader say exactly `expected` when fed in steps of `step`? */
static inline bool says(const struct h1_limits *limits, struct slice input, int64_t step,
                        struct slice expected)
{
    struct trace trace = {0};
    trace_feed(&trace, limits, input, step);
    bool same = trace.size == expected.size &&
                (expected.size == 0 || memcmp(trace.text, expected.data, expected.size) == 0);
    if (!same)
        printf("# fed in steps of %lld it said:\n%s\n", (long long)step, trace_text(&trace));
    trace_free(&trace);
    return same;
}

enum { NAME_SIZE = 64 };

/* For the name of a test: its input, but with nothing that a terminal or a decoder minds. */
static inline const char *printable(char out[static NAME_SIZE], struct slice text)
{
    size_t size = size_min(text.size, NAME_SIZE - 1);
    for (size_t i = 0; i < size; i++)
        out[i] = text.data[i] >= ' ' && text.data[i] < 0x7f ? text.data[i] : '.';
    out[size] = '\0';
    return out;
}

static inline bool ends_with(struct slice text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

static inline struct slice joined(struct slice first, struct slice second)
{
    char *both = malloc(first.size + second.size + 1);
    if (both == NULL)
        abort();
    memcpy(both, first.data, first.size);
    memcpy(both + first.size, second.data, second.size);
    return (struct slice){both, first.size + second.size};
}

/* A complete request is followed by the next one; a refusal stays one, whatever comes. */
static inline bool says_with_tail(const struct h1_limits *limits, struct slice input,
                                  struct slice expected)
{
    bool complete = ends_with(expected, "end\n");
    if (expected.size == 0 || ends_with(expected, "more\n"))
        return true; /* unfinished: the tail would be a part of it */
    struct slice fed = joined(input, SLICE(TAIL));
    struct slice wanted = joined(expected, complete ? SLICE(TAIL_TRACE) : SLICE(""));
    bool same = says(limits, fed, 0, wanted) && says(limits, fed, 1, wanted);
    free((char *)fed.data);
    free((char *)wanted.data);
    return same;
}

static inline bool agrees(const struct h1_limits *limits, struct slice input, struct slice expected)
{
    return says(limits, input, 0, expected) && says(limits, input, 1, expected) &&
           says(limits, input, 7, expected) && says_with_tail(limits, input, expected);
}

/* SAYS("a sentence", "input", "expected trace") */
#define SAYS(name, input, expected) OK(agrees(&roomy, SLICE(input), SLICE(expected)), "%s", name)

#endif
