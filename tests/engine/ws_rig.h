/* SPDX-License-Identifier: MIT
 * A client of WebSocket on paper: its frames, and a trace of what the reader says to them, however
 * they arrive and however small the room is. Input and room end at a guard page. */
#ifndef WS_RIG_H
#define WS_RIG_H

#include <errno.h>

#include "h1_trace.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "tap.h"

enum {
    RIG_SIZE = 1 << 20,
    RIG_FIN = 0x80,
    RIG_RSV1 = 0x40,
    RIG_SHOWN = 60, /* bytes of a message that the trace has; of a longer one its size */
};

/* What a client has said. */
struct rig {
    char bytes[RIG_SIZE];
    size_t size;
};

struct rig_trace {
    char text[4096];
    size_t size;
    char message[16384]; /* the one that is coming */
    size_t message_size;
};

static const struct ws_limits rig_limits = {.frame_size_max = 5000, .message_size_max = 10000};

static inline void *rig_allocate(void *user, size_t size)
{
    (void)user;
    return malloc(size);
}

static inline void rig_release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static inline void rig_put(struct rig *rig, const void *bytes, size_t size)
{
    assert(rig->size + size <= RIG_SIZE);
    if (size > 0)
        memcpy(rig->bytes + rig->size, bytes, size);
    rig->size += size;
}

/* `first`: FIN, reserved bits and opcode. The mask is another one for each size. */
static inline void rig_frame(struct rig *rig, int first, struct slice payload)
{
    uint8_t mask[4] = {0x37, 0xfa, 0x21, (uint8_t)(payload.size + 1)}, key[4];
    char head[WS_HEAD_SIZE_MAX];
    struct ws_frame frame = {.opcode = WS_BINARY, .size = payload.size};
    size_t size = ws_write_head(head, &frame);
    head[0] = (char)first;
    head[1] = (char)(head[1] | 0x80);
    rig_put(rig, head, size);
    rig_put(rig, mask, sizeof mask);
    memcpy(key, mask, sizeof key);
    rig_put(rig, payload.data, payload.size);
    char *at = rig->bytes + rig->size - payload.size;
    ws_unmask(at, at, payload.size, key);
}

static inline void rig_message(struct rig *rig, enum ws_opcode opcode, const char *text)
{
    rig_frame(rig, RIG_FIN | (int)opcode, slice_of(text));
}

static inline void rig_say(struct rig_trace *trace, const char *word, int number,
                           struct slice bytes)
{
    size_t room = sizeof trace->text - trace->size;
    int size = bytes.size > RIG_SHOWN ? snprintf(trace->text + trace->size, room,
                                                 "%s%d %zu bytes\n", word, number, bytes.size)
                                      : snprintf(trace->text + trace->size, room, "%s%d %.*s\n",
                                                 word, number, (int)bytes.size, bytes.data);
    assert(size > 0 && (size_t)size < room);
    trace->size += (size_t)size;
}

static inline void rig_hear(struct rig_trace *trace, enum ws_event event,
                            const struct ws_news *news, const char *reason)
{
    switch (event) {
    case WS_DATA:
        assert(trace->message_size + news->bytes.size <= sizeof trace->message);
        memcpy(trace->message + trace->message_size, news->bytes.data, news->bytes.size);
        trace->message_size += news->bytes.size;
        if (!news->end)
            break;
        rig_say(trace, "message ", news->kind, (struct slice){trace->message, trace->message_size});
        trace->message_size = 0;
        break;
    case WS_PING:
    case WS_PONG:
        rig_say(trace, event == WS_PING ? "ping " : "pong ", (int)news->bytes.size, news->bytes);
        break;
    case WS_CLOSE:
        rig_say(trace, "close ", news->code, news->bytes);
        break;
    case WS_ERROR:
        rig_say(trace, "error ", news->code, slice_of(reason));
        break;
    case WS_NEED_DATA:
    case WS_NEED_ROOM:
        break;
    }
}

/* Feed in steps of `step` bytes, 0: all at once, into rooms of `room` bytes, after none at all. */
static inline void rig_read(const struct rig *rig, struct ws *ws, size_t step, size_t room_size,
                            struct rig_trace *trace)
{
    struct guard input = guard_new(rig->size), room = guard_new(room_size);
    enum ws_event event = WS_NEED_DATA;
    bool empty = true;
    for (size_t at = 0, size = 0; event != WS_ERROR && at < rig->size; at += size) {
        size = step == 0 ? rig->size : size_min(step, rig->size - at);
        struct slice window = guard_put(&input, (struct slice){rig->bytes + at, size});
        do {
            struct ws_news news;
            event = ws_next(ws, &window,
                            (struct ws_room){room.end - room_size, empty ? 0 : room_size}, &news);
            empty = event != WS_NEED_ROOM;
            rig_hear(trace, event, &news, ws->error_text);
        } while (event != WS_NEED_DATA && event != WS_ERROR);
    }
    guard_free(&input);
    guard_free(&room);
}

/* Does the reader say exactly this, whichever way it is fed? `bits` of the client's window; 0:
 * nothing may be compressed. */
static inline bool rig_says(const struct rig *rig, uint8_t bits, const char *expected)
{
    static const struct {
        size_t step, room;
    } ways[] = {{0, 20000}, {1, 1}, {7, 3}, {1, 20000}, {0, 1}, {1000, 100}};
    bool same = true;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        static struct rig_trace trace;
        trace.size = trace.message_size = 0;
        trace.text[0] = '\0';
        struct ws_inflater inflater = {.state = NULL};
        struct encoder_memory memory = {rig_allocate, rig_release, NULL};
        struct ws ws;
        if (bits > 0)
            ws_inflater_init(&inflater, bits, &memory);
        ws_init(&ws, &rig_limits, bits > 0 ? &inflater : NULL);
        rig_read(rig, &ws, ways[i].step, ways[i].room, &trace);
        if (strcmp(trace.text, expected) != 0) {
            printf("# in steps of %zu and rooms of %zu it said:\n%s\n", ways[i].step, ways[i].room,
                   trace.text);
            same = false;
        }
        ws_inflater_close(&inflater);
    }
    return same;
}

#endif
