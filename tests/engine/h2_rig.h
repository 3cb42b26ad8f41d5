/* SPDX-License-Identifier: MIT
 * An HTTP/2 connection without sockets, for tests and the fuzzer: memory that is counted and can be
 * made to fail, a caller that answers every request, and a trace of what was said. */
#ifndef H2_RIG_H
#define H2_RIG_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/h2.h"

enum { RIG_TRACE_MAX = 1 << 16, RIG_STREAMS = 100, RIG_BODY = 100 };

struct rig_stream {
    struct h2_stream h2;
    bool answered, dead;
};

struct rig {
    struct h2 *h2;
    struct h1_limits limits;
    size_t allocated, most; /* bytes that nghttp2 and h2.c hold now, and at most */
    int64_t failing;        /* allocations until one fails; < 0: none does */
    struct rig_stream *streams[4096];
    size_t stream_count, closed_count;
    char trace[RIG_TRACE_MAX];
    size_t trace_size;
    bool quiet;      /* no request is answered */
    bool over;       /* H2_ERROR was said */
    size_t data_out; /* body bytes asked for */
};

static inline void rig_say(struct rig *rig, const char *word, struct slice text)
{
    int size = snprintf(rig->trace + rig->trace_size, RIG_TRACE_MAX - rig->trace_size, "%s%.*s\n",
                        word, (int)text.size, text.data);
    if (size > 0 && rig->trace_size + (size_t)size < RIG_TRACE_MAX)
        rig->trace_size += (size_t)size;
}

static inline void *rig_resize(void *user, void *old, size_t size)
{
    struct rig *rig = user;
    size_t *block = old == NULL ? NULL : (size_t *)old - 2;
    size_t before = block == NULL ? 0 : *block;
    if (rig->failing == 0 || size > H2_MEMORY_MAX - (rig->allocated - before))
        return NULL;
    if (rig->failing > 0)
        rig->failing--;
    block = realloc(block, size + 2 * sizeof *block);
    if (block == NULL)
        return NULL;
    *block = size;
    rig->allocated += size - before;
    rig->most = rig->allocated > rig->most ? rig->allocated : rig->most;
    return block + 2;
}

static inline void rig_release(void *user, void *old)
{
    struct rig *rig = user;
    if (old == NULL)
        return;
    rig->allocated -= ((size_t *)old)[-2];
    free((size_t *)old - 2);
}

static inline bool rig_open(struct rig *rig)
{
    struct h2_memory memory = {rig_resize, rig_release, rig};
    if (rig->limits.head_size_max == 0)
        rig->limits = (struct h1_limits){.head_size_max = 16384,
                                         .target_size_max = 8192,
                                         .fields_max = 100,
                                         .body_size_max = 1 << 20};
    rig->h2 = h2_open(&memory, &rig->limits, RIG_STREAMS, true);
    return rig->h2 != NULL;
}

static inline void rig_close(struct rig *rig)
{
    if (rig->h2 != NULL)
        h2_free(rig->h2);
    rig->h2 = NULL;
    for (size_t i = 0; i < rig->stream_count; i++)
        free(rig->streams[i]);
    rig->stream_count = 0;
}

static inline void rig_closed(struct rig *rig, struct h2_stream *stream)
{
    CONTAINER_OF(stream, struct rig_stream, h2)->dead = true;
    rig->closed_count++;
}

static inline void rig_answer(struct rig *rig, struct rig_stream *stream)
{
    struct http_field field = {SLICE("X-Test"), SLICE(" yes ")};
    struct h2_response response = {
        .status = 200, .content_length = RIG_BODY, .fields = &field, .field_count = 1};
    bool has_body = false;
    if (rig->quiet || stream->answered)
        return;
    stream->answered = true;
    if (h2_respond(rig->h2, &stream->h2, &response, &has_body) != 0 || !has_body)
        return;
    h2_write(rig->h2, &stream->h2, RIG_BODY);
    h2_end(rig->h2, &stream->h2);
}

static inline void rig_request(struct rig *rig, const struct h2_news *news)
{
    static struct http_request request;
    const char *reason = "";
    struct rig_stream *stream =
        rig->stream_count < COUNT_OF(rig->streams) ? calloc(1, sizeof *stream) : NULL;
    if (stream == NULL) {
        h2_refuse(rig->h2, H2_REFUSED_STREAM);
        return;
    }
    rig->streams[rig->stream_count++] = stream;
    h2_attach(rig->h2, &stream->h2);
    int status = news->status != 0 ? news->status
                                   : h2_read_head(news->head, &rig->limits, &request, &reason);
    char text[64];
    int size = snprintf(text, sizeof text, "%d status %d%s ", stream->h2.id, status,
                        news->end ? " end" : "");
    rig_say(rig, "request ", (struct slice){text, (size_t)size});
    if (status == 0) {
        rig_say(rig, "  ", request.method_name);
        rig_say(rig, "  ", request.target);
        for (size_t i = 0; i < request.field_count; i++) {
            rig_say(rig, "  ", request.fields[i].name);
            rig_say(rig, "    ", request.fields[i].value);
        }
    }
    if (news->end)
        rig_answer(rig, stream);
}

static inline void rig_hear(struct rig *rig, enum h2_event event, const struct h2_news *news)
{
    struct rig_stream *stream =
        news->stream == NULL ? NULL : CONTAINER_OF(news->stream, struct rig_stream, h2);
    switch (event) {
    case H2_REQUEST:
        rig_request(rig, news);
        break;
    case H2_BODY: /* however it was cut */
        for (size_t i = 0; i < news->body.size; i++)
            rig_say(rig, "body ", (struct slice){news->body.data + i, 1});
        h2_consume(rig->h2, news->stream, news->body.size);
        break;
    case H2_END:
        rig_say(rig, "end", SLICE(""));
        rig_answer(rig, stream);
        break;
    case H2_CLOSED:
        rig_closed(rig, news->stream);
        break;
    case H2_ERROR:
    case H2_NEED_DATA:
        break;
    }
}

static inline void rig_feed(struct rig *rig, struct slice input)
{
    while (!rig->over) {
        struct h2_news news;
        enum h2_event event = h2_next(rig->h2, &input, &news);
        if (event == H2_NEED_DATA)
            return;
        if (event == H2_ERROR) {
            rig_say(rig, "error", SLICE(""));
            rig->over = true;
            return;
        }
        rig_hear(rig, event, &news);
    }
}

/* Feed in steps; 0: all at once. Each step in memory of its exact size, so that an over-read traps.
 */
static inline void rig_feed_in_steps(struct rig *rig, struct slice input, size_t step)
{
    step = step == 0 || step > input.size ? input.size : step;
    for (size_t at = 0; at < input.size && !rig->over; at += step) {
        size_t size = size_min(step, input.size - at);
        char *copy = malloc(size);
        if (copy == NULL)
            abort();
        memcpy(copy, input.data + at, size);
        rig_feed(rig, (struct slice){copy, size});
        free(copy);
    }
}

/* Everything that may be sent, frame by frame: "type flags stream size" lines when `trace`. */
static inline void rig_drain(struct rig *rig, bool trace)
{
    for (;;) {
        struct slice bytes;
        struct h2_stream *stream = NULL;
        size_t size = 0;
        enum h2_out out = h2_output(rig->h2, &bytes, &stream, &size);
        if (out == H2_OUT_NONE || out == H2_OUT_ERROR)
            break;
        const uint8_t *at = (const uint8_t *)bytes.data;
        char text[64];
        int length = snprintf(text, sizeof text, "out %d %d %d %d", at[3], at[4],
                              at[5] << 24 | at[6] << 16 | at[7] << 8 | at[8],
                              at[0] << 16 | at[1] << 8 | at[2]);
        rig->data_out += size;
        if (trace)
            rig_say(rig, "", (struct slice){text, (size_t)length});
    }
    for (struct h2_stream *stream; (stream = h2_closed(rig->h2)) != NULL;)
        rig_closed(rig, stream);
}

#endif
