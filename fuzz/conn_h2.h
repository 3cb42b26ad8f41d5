/* SPDX-License-Identifier: MIT
 * A client of fuzz_conn.c that speaks HTTP/2: frames to say, and what is held against the frames
 * that it got: on each stream a head, then data, and one end; nothing that a server never sends. */
#ifndef CONN_H2_H
#define CONN_H2_H

#include "conn_world.h"
#include "proto/h2.h"

enum { H2_STREAMS_SEEN = 1 << 12, H2_FRAME_SIZE_MAX = 16384 };

/* Fields by their numbers in the static table, RFC 7541 appendix A. */
#define H2_GET "\x82\x86\x41\x01h"
#define H2_POST "\x83\x86\x41\x01h"
#define H2_PATH_ECHO "\x44\x09/echo.php"

/* The preface and empty SETTINGS, whose last byte is the string's NUL. */
static const char h2_opening[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";

struct h2_phrase {
    uint8_t type, flags;
    bool new_stream, whole; /* whole: of the connection */
    struct slice payload;
};

static const struct h2_phrase h2_phrases[] = {
    {1, 5, true, false, SLICE(H2_GET "\x84")},
    {1, 5, true, false, SLICE(H2_GET "\x44\x0c/pattern.bin")},
    {1, 5, true, false, SLICE(H2_GET H2_PATH_ECHO)},
    {1, 5, true, false, SLICE("\x42\x04HEAD\x86\x41\x01h\x44\x0c/pattern.bin")},
    {1, 5, true, false,
     SLICE(H2_GET H2_PATH_ECHO "\x60\x03"
                               "a=1\x60\x03"
                               "b=2\x60\x00")},
    {1, 5, true, false, SLICE(H2_GET "\x84\x50\x04gzip")},
    {1, 4, true, false, SLICE(H2_POST H2_PATH_ECHO)},
    {1, 4, true, false,
     SLICE(H2_POST H2_PATH_ECHO "\x0f\x0d\x01"
                                "5")},
    {1, 4, true, false, SLICE(H2_POST "\x44\x06/a.txt")},
    {1, 0, true, false, SLICE(H2_POST H2_PATH_ECHO)},
    {1, 4, true, false,
     SLICE("\x42\x07"
           "CONNECT\x86\x41\x01h\x44\x03/ws\x40\x09:protocol\x09websocket"
           "\x40\x15sec-websocket-version\x02"
           "13")},
    {1, 5, false, false, SLICE("\x40\x01x\x01y")},
    {0, 0, false, false, SLICE("hello")},
    {0, 1, false, false, SLICE("hello")},
    {0, 1, false, false, SLICE("")},
    {0, 8, false, false, SLICE("\x03hello\0\0\0")},
    {0, 0, false, false, SLICE("\x81\x85\0\0\0\0hello")},
    {0, 0, false, false, SLICE("\x88\x82\0\0\0\0\x03\xe8")},
    {3, 0, false, false, SLICE("\0\0\0\x08")},
    {4, 0, false, true, SLICE("\0\x04\0\0\0\0")},
    {4, 0, false, true, SLICE("\0\x04\0\0\0\x01")},
    {4, 0, false, true, SLICE("\0\x04\0\x10\0\0")},
    {4, 1, false, true, SLICE("")},
    {6, 0, false, true, SLICE("12345678")},
    {7, 0, false, true, SLICE("\0\0\0\0\0\0\0\0")},
    {8, 0, false, true, SLICE("\0\x01\0\0")},
    {8, 0, false, false, SLICE("\0\0\0\x01")},
    {8, 0, false, false, SLICE("\0\x01\0\0")},
    {9, 4, false, false, SLICE("\x40\x01x\x01y")},
    {16, 0, false, true, SLICE("\0\0\0\x01u=0, i")},
};

/* As far as it has said anything; the first four bytes would be HTTP/1's "PRI " else. */
static bool speaks_h2(const struct client *client)
{
    return askr_http2_built() && client->said_size >= 4 &&
           memcmp(client->said, h2_opening, size_min(client->said_size, H2_PREFACE_SIZE)) == 0;
}

static void h2_begin(struct world *world, struct client *client)
{
    client_say(world, client, h2_opening, sizeof h2_opening);
}

/* `which` chooses the frame, `stream` one of the first streams, for those that begin none. */
static void h2_say(struct world *world, struct client *client, uint32_t which, uint32_t stream)
{
    const struct h2_phrase *phrase = &h2_phrases[which % COUNT_OF(h2_phrases)];
    struct slice payload = phrase->payload;
    uint32_t id = phrase->whole ? 0 : 2 * (stream % 16) + 1;
    if (phrase->new_stream)
        id = 2 * client->streams++ + 1;
    char frame[9 + 128] = {0, 0, (char)payload.size, (char)phrase->type, (char)phrase->flags, 0, 0};
    assert(payload.size <= 128);
    frame[7] = (char)(id >> 8);
    frame[8] = (char)id;
    memcpy(frame + 9, payload.data, payload.size);
    client_say(world, client, frame, 9 + payload.size);
}

enum h2_seen { H2_SEEN_HEAD = 1, H2_SEEN_END = 2 };

static void h2_check_frame(uint8_t *seen, const uint8_t *head)
{
    uint32_t stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | //
                      (uint32_t)head[7] << 8 | head[8];
    uint8_t type = head[3], none = 0;
    uint8_t *state = stream < H2_STREAMS_SEEN ? &seen[stream] : &none;
    assert(type <= 8 && type != 2 && type != 5);
    if (type == 1 || type == 0) {
        assert(stream % 2 == 1 && stream < H2_STREAMS_SEEN && !(*state & H2_SEEN_END));
        assert(type == 1 || (*state & H2_SEEN_HEAD) != 0);
        *state |= H2_SEEN_HEAD;
        if (head[4] & 1)
            *state |= H2_SEEN_END;
    } else if (type == 3) {
        assert(stream % 2 == 1);
        *state |= H2_SEEN_END;
    } else if (type == 4 || type == 6 || type == 7) {
        assert(stream == 0);
    }
}

static void h2_check(const struct client *client)
{
    static uint8_t seen[H2_STREAMS_SEEN];
    /* Nothing; or 408, in HTTP/1, when the preface had not all been read in time. */
    if (client->got_size < 9 || memcmp(client->got, "HTTP/1.1 ", 9) == 0)
        return;
    const uint8_t *at = (const uint8_t *)client->got, *end = at + client->got_size;
    memset(seen, 0, sizeof seen);
    while (end - at >= 9) {
        size_t size = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        assert(size <= H2_FRAME_SIZE_MAX);
        h2_check_frame(seen, at);
        if (size > (size_t)(end - at) - 9)
            return;
        at += 9 + size;
    }
}

#endif
