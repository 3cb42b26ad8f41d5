/* SPDX-License-Identifier: MIT
 * The clock and the sentence: what base.h declares. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

int64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int askr_fail(askr_error *error, int errnum, const char *format, ...)
{
    assert(errnum > 0);
    va_list arguments;
    va_start(arguments, format);
    error->errnum = errnum;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return -errnum;
}
