/* SPDX-License-Identifier: MIT
 * traceparent and tracestate (proto/tracecontext.h); every value ends at a guard page. */
#include <stdio.h>
#include <stdlib.h>

#include "h1_trace.h"
#include "proto/tracecontext.h"
#include "tap.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static bool read_guarded(const char *text, struct trace_context *context)
{
    struct guard guard = guard_new(strlen(text));
    bool fine = traceparent_read(guard_put(&guard, slice_of(text)), context);
    guard_free(&guard);
    return fine;
}

static void a_parent_is_read_and_written(void)
{
    struct trace_context context;
    char text[TRACEPARENT_SIZE];
    static const char given[] = "00-" TRACE "-" SPAN "-01";
    OK(read_guarded(given, &context), "it is valid");
    OK(context.flags == TRACE_SAMPLED && context.trace_id[0] == 0x0a &&
           context.trace_id[15] == 0x9c && context.span_id[0] == 0xb7,
       "and read");
    traceparent_write(&context, text);
    OK(memcmp(text, given, sizeof text) == 0, "and written as it was");
}

static void what_is_strict_is_strict(void)
{
    static const struct {
        const char *text;
        int flags; /* -1: refused */
    } parents[] = {
        {"00-" TRACE "-" SPAN "-00", 0},
        {"00-" TRACE "-" SPAN "-03", 3},
        {"00-" TRACE "-" SPAN "-ff", 3},
        {"00-" TRACE "-" SPAN "-02", 2},
        {"cc-" TRACE "-" SPAN "-03", 1}, /* a later version: the one flag that is known */
        {"cc-" TRACE "-" SPAN "-01-what-comes", 1},
        {"cc-" TRACE "-" SPAN "-01what-comes", -1},
        {"00-" TRACE "-" SPAN "-01-what-comes", -1},
        {"00-" TRACE "-" SPAN "-01 ", -1},
        {"ff-" TRACE "-" SPAN "-01", -1},
        {"00-" TRACE "-" SPAN "-0", -1},
        {"00-" TRACE "-" SPAN "-0g", -1},
        {"0-" TRACE "-" SPAN "-001", -1},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", -1},
        {"00-" TRACE "-B7AD6B7169203331-01", -1},
        {"00-00000000000000000000000000000000-" SPAN "-01", -1},
        {"00-" TRACE "-0000000000000000-01", -1},
        {"00_" TRACE "-" SPAN "-01", -1},
        {"00-" TRACE "_" SPAN "-01", -1},
        {"00-" TRACE "-" SPAN "_01", -1},
        {"", -1},
    };
    for (size_t i = 0; i < COUNT_OF(parents); i++) {
        struct trace_context context = {0};
        bool fine = read_guarded(parents[i].text, &context);
        OK(fine == (parents[i].flags >= 0) && (!fine || context.flags == parents[i].flags),
           "parent %zu: %s", i, parents[i].text);
    }
}

static bool is_valid(const char *text)
{
    struct guard guard = guard_new(strlen(text));
    bool fine = tracestate_is_valid(guard_put(&guard, slice_of(text)));
    guard_free(&guard);
    return fine;
}

static void a_state_is_a_list_of_members(void)
{
    static const struct {
        const char *text;
        bool valid;
    } states[] = {
        {"rojo=00f067aa0ba902b7", true},
        {"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true},
        {"a=1 ,\tb=2 , ,c=3,", true},
        {"fw529a3039@dt=FfVQ", true},
        {"0tenant@sys=x", true},
        {"a-_*/0=!\"#$ %;", true},
        {"0key=1", false},
        {"KEY=1", false},
        {"a@1=x", false},
        {"a@b@c=x", false},
        {"@b=x", false},
        {"a@=x", false},
        {"a=", false},
        {"=1", false},
        {"a", false},
        {"a=1=2", false},
        {"a=1,a=2", false},
        {"a=\x7f", false},
        {"a=\xe9", false},
        {"a=b\tc", false},
        {"a =1", false},
        {"", false},
        {" , ,", false},
    };
    for (size_t i = 0; i < COUNT_OF(states); i++)
        OK(is_valid(states[i].text) == states[i].valid, "state %zu: %s", i, states[i].text);
}

/* "a0=x,a1=x,…" */
static char *members(size_t count)
{
    char *text = calloc(count + 1, 8);
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(text + size, 8, "%sa%zu=x", i > 0 ? "," : "", i);
    return text;
}

static void members_and_sizes_have_limits(void)
{
    char *most = members(32), *more = members(33);
    OK(is_valid(most), "32 members");
    OK(!is_valid(more), "33 are too many");
    free(most);
    free(more);
    char text[TRACESTATE_SIZE_MAX + 2];
    memset(text, 'x', sizeof text);
    memcpy(text, "a=", 2);
    text[2 + 256] = '\0';
    OK(is_valid(text), "a value of 256 bytes");
    text[2 + 256] = 'x';
    text[2 + 257] = '\0';
    OK(!is_valid(text), "one of 257");
    memset(text, 'k', sizeof text);
    memcpy(text + 256, "=1", 3);
    OK(is_valid(text), "a key of 256 bytes");
    memcpy(text + 256, "k=1", 4);
    OK(!is_valid(text), "one of 257");
    memset(text, ',', sizeof text);
    memcpy(text, "a=1", 3);
    text[TRACESTATE_SIZE_MAX] = '\0';
    OK(is_valid(text), "a list as large as it may be");
    text[TRACESTATE_SIZE_MAX] = ',';
    text[TRACESTATE_SIZE_MAX + 1] = '\0';
    OK(!is_valid(text), "one that is larger");
}

int main(void)
{
    a_parent_is_read_and_written();
    what_is_strict_is_strict();
    a_state_is_a_list_of_members();
    members_and_sizes_have_limits();
    return TAP_END();
}
