/* SPDX-License-Identifier: MIT
 * What the HTTP/1.1 reader says about some bytes, as text, for tests, fuzzer and llhttp's
 * comparison. The bytes are offered in steps of any size; every offer lies in a fresh place that
 * ends at a page nobody may touch, so a read too far or a slice kept too long dies at once. */
#ifndef H1_TRACE_H
#define H1_TRACE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "proto/h1.h"

enum { GUARD_PAGE = 4096 };

/* Room for `capacity` bytes in front of an unmapped page. */
struct guard {
    char *start, *end;
};

static inline struct guard guard_new(size_t capacity)
{
    size_t size = (capacity / GUARD_PAGE + 1) * GUARD_PAGE;
    char *start =
        mmap(NULL, size + GUARD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + size, GUARD_PAGE, PROT_NONE) != 0)
        abort();
    return (struct guard){start, start + size};
}

static inline void guard_free(struct guard *guard)
{
    munmap(guard->start, (size_t)(guard->end - guard->start) + GUARD_PAGE);
}

static inline struct slice guard_put(struct guard *guard, struct slice bytes)
{
    char *place = guard->end - bytes.size;
    assert(place >= guard->start);
    memset(guard->start, '?', (size_t)(place - guard->start)); /* what a kept slice would see */
    memcpy(place, bytes.data, bytes.size);
    return (struct slice){place, bytes.size};
}

struct trace {
    char *text;
    size_t size, capacity;
    bool in_body;
    bool stop_at_close; /* as a server would: nothing after a request that is the last one */
    const char *error_text;
    size_t request_count; /* complete ones */
};

static inline void trace_bytes(struct trace *trace, struct slice bytes)
{
    if (trace->size + bytes.size + 1 > trace->capacity) {
        trace->capacity = (trace->size + bytes.size + 1) * 2;
        trace->text = realloc(trace->text, trace->capacity);
        if (trace->text == NULL)
            abort();
    }
    memcpy(trace->text + trace->size, bytes.data, bytes.size);
    trace->size += bytes.size;
    trace->text[trace->size] = '\0';
}

__attribute__((format(printf, 2, 3))) static inline void trace_format(struct trace *trace,
                                                                      const char *format, ...)
{
    char line[160];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < sizeof line);
    trace_bytes(trace, (struct slice){line, (size_t)size});
}

/* "GET /a?b @host 1.1 keep", then fields, one a line. */
static inline void trace_request(struct trace *trace, const struct http_request *request)
{
    trace_bytes(trace, request->method_name);
    trace_bytes(trace, SLICE(" "));
    trace_bytes(trace, request->target);
    trace_bytes(trace, SLICE(" @"));
    trace_bytes(trace, request->authority);
    trace_format(trace, " %s", request->version == 1000 ? "1.0" : "1.1");
    if (request->content_length >= 0)
        trace_format(trace, " %lld", (long long)request->content_length);
    trace_format(trace, "%s%s%s%s\n", request->chunked ? " chunked" : "",
                 request->keep_alive ? " keep" : " close",
                 request->expect_continue ? " expect" : "", request->upgrade ? " upgrade" : "");
    for (size_t i = 0; i < request->field_count; i++) {
        trace_bytes(trace, request->fields[i].name);
        trace_bytes(trace, SLICE(": "));
        trace_bytes(trace, request->fields[i].value);
        trace_bytes(trace, SLICE("\n"));
    }
}

/* Body bytes so that the trace stays lines of text: CR is \x0d. */
static inline void trace_body(struct trace *trace, struct slice body)
{
    for (size_t i = 0; i < body.size; i++) {
        unsigned char byte = (unsigned char)body.data[i];
        if (byte >= ' ' && byte < 0x7f && byte != '\\')
            trace_bytes(trace, (struct slice){body.data + i, 1});
        else
            trace_format(trace, "\\x%02x", byte);
    }
}

/* False: nothing may follow. Body pieces are joined: their cut is no part of the meaning. */
static inline bool trace_event(struct trace *trace, enum h1_event event, const struct h1 *h1,
                               const struct http_request *request, struct slice body)
{
    if (event == H1_BODY) {
        trace_bytes(trace, trace->in_body ? SLICE("") : SLICE("body "));
        trace_body(trace, body);
        trace->in_body = true;
        return true;
    }
    trace_bytes(trace, trace->in_body ? SLICE("\n") : SLICE(""));
    trace->in_body = false;
    if (event == H1_REQUEST)
        trace_request(trace, request);
    if (event == H1_END)
        trace_bytes(trace, SLICE("end\n"));
    if (event == H1_ERROR) {
        trace_format(trace, "error %d\n", h1->error_status);
        trace->error_text = h1->error_text;
    }
    trace->request_count += event == H1_END;
    return event != H1_ERROR && !(event == H1_END && trace->stop_at_close && !request->keep_alive);
}

/* Offer the input in growing windows, as a connection does: `step` more bytes each time, 0 for all
 * at once; a negative one seeds pseudo-random steps of 1 to 16 bytes. At the end, "more" if the
 * reader waits in the middle of a request. */
static inline void trace_feed(struct trace *trace, const struct h1_limits *limits,
                              struct slice input, int64_t step)
{
    struct guard guard = guard_new(input.size);
    struct http_request *request = calloc(1, sizeof *request);
    uint64_t random = (uint64_t)step;
    struct h1 h1;
    h1_init(&h1, limits);
    size_t used = 0, offered = 0;
    bool more = true;
    while (more && offered < input.size) {
        random = random * UINT64_C(6364136223846793005) + 1;
        size_t wish = step == 0 ? input.size : step > 0 ? (size_t)step : 1 + (random >> 60);
        offered = size_min(input.size, offered + wish);
        struct slice window = guard_put(&guard, (struct slice){input.data + used, offered - used});
        struct slice body = SLICE("");
        enum h1_event event;
        do {
            event = h1_next(&h1, &window, request, &body);
            if (event != H1_NEED_DATA)
                more = trace_event(trace, event, &h1, request, body);
        } while (more && event != H1_NEED_DATA);
        used = offered - window.size;
    }
    if (more && h1_mid_request(&h1))
        trace_bytes(trace, trace->in_body ? SLICE("\nmore\n") : SLICE("more\n"));
    free(request);
    guard_free(&guard);
}

/* What is in the trace, "" when that is nothing. */
static inline const char *trace_text(const struct trace *trace)
{
    return trace->text == NULL ? "" : trace->text;
}

static inline void trace_free(struct trace *trace)
{
    free(trace->text);
}

#endif
