/* SPDX-License-Identifier: MIT
 * What a WebSocket says (websocket.h): each message in one frame, compressed when that was agreed
 * and it is not empty. */
#include <errno.h>
#include <stdlib.h>

#include "serve/websocket.h"
#include "serve/worker.h"

enum { PACKED_BEGIN_SIZE = 16384 };

static int say(struct websocket *websocket, struct slice head, struct slice payload)
{
    struct chain *output = websocket->carrier->output(websocket);
    int result = output == NULL ? -ENOMEM : chain_append(output, head);
    if (result == 0)
        result = chain_append(output, payload);
    if (result == 0)
        websocket->carrier->added(websocket, head.size + payload.size);
    return result;
}

int websocket_send_control(struct websocket *websocket, enum ws_opcode opcode, struct slice payload)
{
    char frame[WS_CONTROL_FRAME_MAX];
    size_t size = ws_write_control(frame, opcode, payload);
    return say(websocket, (struct slice){frame, size}, SLICE(""));
}

int websocket_send_close(struct websocket *websocket, uint16_t code, struct slice reason)
{
    char frame[WS_CONTROL_FRAME_MAX];
    assert(!websocket->close_sent);
    websocket->close_sent = true;
    size_t size = ws_write_close(frame, code, reason);
    return say(websocket, (struct slice){frame, size}, SLICE(""));
}

static int send_frame(struct websocket *websocket, enum ws_opcode kind, struct slice bytes,
                      bool compressed)
{
    char head[WS_HEAD_SIZE_MAX];
    struct ws_frame frame = {.opcode = kind, .compressed = compressed, .size = bytes.size};
    size_t size = ws_write_head(head, &frame);
    return say(websocket, (struct slice){head, size}, bytes);
}

/* --- compressed ------------------------------------------------------------------------------ */

/* What keeps nothing between messages can be anybody's: they are compressed one at a time. */
static struct ws_deflater *deflater_of(struct websocket *websocket)
{
    uint8_t bits = websocket->deflate.our_bits;
    return websocket->deflate.we_forget ? &websocket->worker->websockets.forgetful[bits]
                                        : &websocket->deflater;
}

static bool grow_packed(struct websockets *all)
{
    size_t capacity = all->packed_capacity == 0 ? PACKED_BEGIN_SIZE : 2 * all->packed_capacity;
    char *packed = realloc(all->packed, capacity);
    if (packed == NULL)
        return false;
    all->packed = packed;
    all->packed_capacity = capacity;
    return true;
}

/* Into the worker's buffer. Its size, or -errno. */
static int64_t pack(struct websockets *all, struct ws_deflater *deflater, struct slice bytes)
{
    struct encoder_step step = {.input = bytes, .goal = ENCODER_FLUSH};
    size_t size = 0;
    while (!step.done) {
        if (all->packed_capacity - size < WS_DEFLATE_ROOM_MIN && !grow_packed(all))
            return -ENOMEM;
        step.out = all->packed + size;
        step.size = all->packed_capacity - size;
        int64_t written = ws_deflate(deflater, &step);
        if (written < 0)
            return written;
        size += (size_t)written;
    }
    assert(size >= WS_TAIL_SIZE);
    return (int64_t)(size - WS_TAIL_SIZE);
}

static void shrink_packed(struct websockets *all)
{
    if (all->packed_capacity <= WEBSOCKET_PACKED_KEPT)
        return;
    free(all->packed);
    all->packed = NULL;
    all->packed_capacity = 0;
}

static int send_packed(struct websocket *websocket, enum ws_opcode kind, struct slice bytes)
{
    struct websockets *all = &websocket->worker->websockets;
    struct ws_deflater *deflater = deflater_of(websocket);
    int64_t size = pack(all, deflater, bytes);
    int result = (int)size;
    if (size >= 0)
        result = send_frame(websocket, kind, (struct slice){all->packed, (size_t)size}, true);
    else if (deflater->state == NULL) /* it could not begin: nothing has happened to the window */
        result = send_frame(websocket, kind, bytes, false);
    if (websocket->deflate.we_forget)
        ws_deflater_forget(deflater);
    shrink_packed(all);
    return result;
}

int websocket_send(struct websocket *websocket, enum ws_opcode kind, struct slice bytes)
{
    if (websocket->over || websocket->close_sent)
        return -EPIPE;
    websocket->spoken_ns = websocket->worker->io.now_ns;
    if (websocket->deflate.agreed && bytes.size > 0)
        return send_packed(websocket, kind, bytes);
    return send_frame(websocket, kind, bytes, false);
}
