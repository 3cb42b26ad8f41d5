/* SPDX-License-Identifier: MIT
 * Messages from the payload of frames: unmasked into the caller's room, or by way of the inflater;
 * counted, and held to UTF-8 if they are text. */
#include "proto/ws_parts.h"

#include <errno.h>

/* Unmasked at a time for the inflater; what it does not take is unmasked again. */
enum { PACKED_SIZE = 2048 };

static const char tail[WS_TAIL_SIZE] = {0, 0, (char)0xff, (char)0xff};

/* `size` bytes are in the room; `end`: there are no more. */
static int tell(struct ws *ws, struct ws_room room, size_t size, bool end, struct ws_news *news)
{
    news->bytes = (struct slice){room.data, size};
    news->kind = (enum ws_opcode)ws->kind;
    news->end = end;
    ws->message_size += size;
    if (ws->kind == WS_TEXT &&
        (!utf8_go_on(&ws->utf8, news->bytes) || (end && !utf8_is_whole(&ws->utf8))))
        return ws_refuse(ws, WS_NOT_CONSISTENT, "text that is not UTF-8");
    if (end)
        ws->kind = 0;
    return size > 0 || end ? WS_DATA : WS_GO_ON;
}

static int take_plain(struct ws *ws, struct slice *input, struct ws_room room, struct ws_news *news)
{
    size_t size = size_min(input->size, room.size);
    if (ws->frame_left < size)
        size = (size_t)ws->frame_left;
    if (size == 0 && ws->frame_left > 0)
        return input->size > 0 ? WS_NEED_ROOM : WS_NEED_DATA;
    ws_unmask(room.data, input->data, size, ws->mask);
    *input = (struct slice){input->data + size, input->size - size};
    ws->frame_left -= size;
    if (ws->frame_left == 0)
        ws->state = WS_AT_HEAD;
    return tell(ws, room, size, ws->frame_left == 0 && ws->final, news);
}

/* As much as the room and the limit let it say. Past the limit one byte is asked for, which must
 * not come. Returns bytes written; or the state is WS_FAILED. */
static int64_t inflate_some(struct ws *ws, struct slice *packed, struct ws_room room)
{
    char excess;
    uint64_t left = ws->limits->message_size_max - ws->message_size;
    bool is_full = left == 0;
    if (is_full)
        room = (struct ws_room){&excess, 1};
    else if (room.size > left)
        room.size = (size_t)left;
    int64_t written = ws_inflate(ws->inflater, packed, room.data, room.size);
    if (written == -ENOMEM)
        ws_refuse(ws, WS_TRY_LATER, "no memory to decompress with");
    else if (written < 0)
        ws_refuse(ws, WS_NOT_CONSISTENT, "a compressed message that is not DEFLATE");
    else if (is_full && written > 0)
        ws_refuse(ws, WS_TOO_BIG, "the message is too large");
    return written;
}

static int take_packed(struct ws *ws, struct slice *input, struct ws_room room,
                       struct ws_news *news)
{
    char block[PACKED_SIZE];
    uint8_t mask[4];
    size_t size = size_min(input->size, sizeof block);
    if (ws->frame_left < size)
        size = (size_t)ws->frame_left;
    if (size == 0 && ws->frame_left > 0 && !ws->inflater->pending)
        return WS_NEED_DATA;
    if (room.size == 0)
        return WS_NEED_ROOM;
    memcpy(mask, ws->mask, sizeof mask);
    ws_unmask(block, input->data, size, mask);
    struct slice packed = {block, size};
    int64_t written = inflate_some(ws, &packed, room);
    if (ws->state == WS_FAILED)
        return WS_ERROR;
    size_t taken = size - packed.size;
    ws_turn_mask(ws->mask, taken);
    *input = (struct slice){input->data + taken, input->size - taken};
    ws->frame_left -= taken;
    ws->packed |= taken > 0;
    if (ws->frame_left == 0 && !ws->inflater->pending) {
        ws->state = ws->final ? WS_AT_TAIL : WS_AT_HEAD;
        /* An empty message may come as no byte at all: zlib has nothing to say when it is flushed
         * twice. */
        ws->tail_left = ws->packed ? WS_TAIL_SIZE : 0;
    }
    return tell(ws, room, (size_t)written, false, news);
}

int ws_take_payload(struct ws *ws, struct slice *input, struct ws_room room, struct ws_news *news)
{
    return ws->compressed ? take_packed(ws, input, room, news) : take_plain(ws, input, room, news);
}

int ws_take_tail(struct ws *ws, struct ws_room room, struct ws_news *news)
{
    if (ws->tail_left == 0 && !ws->inflater->pending) {
        if (ws->packed && !ws_inflater_at_end(ws->inflater))
            return ws_refuse(ws, WS_NOT_CONSISTENT, "a compressed message that ends too early");
        ws->state = WS_AT_HEAD;
        return tell(ws, room, 0, true, news);
    }
    if (room.size == 0)
        return WS_NEED_ROOM;
    struct slice packed = {tail + WS_TAIL_SIZE - ws->tail_left, ws->tail_left};
    int64_t written = inflate_some(ws, &packed, room);
    if (ws->state == WS_FAILED)
        return WS_ERROR;
    ws->tail_left = (uint8_t)packed.size;
    return tell(ws, room, (size_t)written, false, news);
}
