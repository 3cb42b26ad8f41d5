/* SPDX-License-Identifier: MIT
 * Words every layer of the engine shares: slices, clocks, errors for operators.
 * Knows nothing of I/O, protocols or applications. */
#ifndef ASKR_BASE_H
#define ASKR_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "askr/api.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define NEVER INT64_MAX /* a deadline that does not come */

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* 0 in the build that bench/metrics.py counts the same requests with: there nothing is measured or
 * counted of a request but what the worker itself goes by. */
#ifndef ASKR_METRICS
#define ASKR_METRICS 1
#endif

/* Bytes that belong to somebody else. */
struct slice {
    const char *data;
    size_t size;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_equals(struct slice a, struct slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Equal but for the case of ASCII letters: names of fields, media types, codings. */
static inline bool slice_reads(struct slice a, struct slice b)
{
    return a.size == b.size && strncasecmp(a.data, b.data, a.size) == 0;
}

/* Without the spaces and tabs around it (RFC 9110 section 5.6.3). */
static inline struct slice slice_trim(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* What is before the next `mark`, or the end, trimmed; *rest goes on behind it. */
static inline struct slice slice_cut(struct slice *rest, char mark)
{
    const char *at = memchr(rest->data, mark, rest->size);
    size_t size = at == NULL ? rest->size : (size_t)(at - rest->data);
    struct slice part = {rest->data, size};
    size_t used = at == NULL ? size : size + 1;
    *rest = (struct slice){rest->data + used, rest->size - used};
    return slice_trim(part);
}

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* CLOCK_MONOTONIC, in nanoseconds. */
int64_t clock_now_ns(void);

/* Fill `error` and return -errnum. The sentence is for an operator. */
int askr_fail(askr_error *error, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
