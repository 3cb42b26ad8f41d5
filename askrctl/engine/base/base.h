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

#include "askr/api.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define NEVER INT64_MAX /* a deadline that does not come */

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

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
