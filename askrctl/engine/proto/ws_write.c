/* SPDX-License-Identifier: MIT
 * Frames of a server's WebSocket (RFC 6455 section 5): never masked, and each message in one. */
#include "proto/ws.h"

enum { FIN = 0x80, RSV1 = 0x40 };

size_t ws_write_head(char out[static WS_HEAD_SIZE_MAX], const struct ws_frame *frame)
{
    size_t size = frame->size < 126 ? 0 : frame->size <= UINT16_MAX ? 2 : 8;
    out[0] = (char)(FIN | (frame->compressed ? RSV1 : 0) | frame->opcode);
    out[1] = (char)(size == 0 ? frame->size : size == 2 ? 126 : 127);
    for (size_t i = 0; i < size; i++)
        out[2 + i] = (char)(frame->size >> (8 * (size - 1 - i)));
    return 2 + size;
}

size_t ws_write_control(char out[static WS_CONTROL_FRAME_MAX], enum ws_opcode opcode,
                        struct slice payload)
{
    struct ws_frame frame = {.opcode = opcode, .size = payload.size};
    assert(payload.size <= WS_CONTROL_SIZE_MAX);
    size_t size = ws_write_head(out, &frame);
    if (payload.size > 0)
        memcpy(out + size, payload.data, payload.size);
    return size + payload.size;
}

size_t ws_write_close(char out[static WS_CONTROL_FRAME_MAX], uint16_t code, struct slice reason)
{
    char payload[WS_CONTROL_SIZE_MAX] = {(char)(code >> 8), (char)code};
    if (code == WS_NO_CODE)
        return ws_write_control(out, WS_OP_CLOSE, SLICE(""));
    size_t size = size_min(reason.size, WS_REASON_SIZE_MAX);
    while (size > 0 && size < reason.size && (reason.data[size] & 0xc0) == 0x80)
        size--;
    if (size > 0)
        memcpy(payload + 2, reason.data, size);
    return ws_write_control(out, WS_OP_CLOSE, (struct slice){payload, 2 + size});
}
