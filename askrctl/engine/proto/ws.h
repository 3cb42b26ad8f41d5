/* SPDX-License-Identifier: MIT
 * WebSocket, sans-IO (RFC 6455, RFC 7692), the server's side: bytes in, events out, pulled; frames
 * out as bytes. Owns no fd, reads no clock (it is told the time), takes no lock, allocates nothing:
 * the contexts of compression are the caller's (ws_deflate.h), and so is the room for messages.
 *
 * Reading: call ws_next() with all unconsumed input until it says WS_NEED_DATA. A message comes as
 * WS_DATA events in the caller's room, unmasked, decompressed, and, if it is text, proven to be
 * UTF-8 as far as it has come: the first byte that cannot be is refused when it comes. Pings and
 * pongs may come between two parts of a message.
 *
 * What breaks the protocol, or a limit, is WS_ERROR: send a Close with its code, and end the
 * connection. After WS_CLOSE nothing more comes: answer it, if no Close was sent yet, and end it.
 */
#ifndef ASKR_WS_H
#define ASKR_WS_H

#include "base/base.h"

enum {
    WS_HEAD_SIZE_MAX = 10, /* of a frame of ours: a server does not mask */
    WS_CONTROL_SIZE_MAX = 125,
    WS_CONTROL_FRAME_MAX = 2 + WS_CONTROL_SIZE_MAX,
    WS_REASON_SIZE_MAX = WS_CONTROL_SIZE_MAX - 2,

    /* Frames that cost us and carry nothing, pings, pongs and empty fragments, are paid for from a
     * budget that refills with time. The busiest honest clients send some twenty pings a second. */
    WS_BUDGET_MAX = 1000,
    WS_BUDGET_PER_S = 100,
};

enum ws_opcode { /* RFC 6455 section 11.8 */
                 WS_CONTINUATION = 0,
                 WS_TEXT = 1,
                 WS_BINARY = 2,
                 WS_OP_CLOSE = 8,
                 WS_OP_PING = 9,
                 WS_OP_PONG = 10,
};

enum ws_code {                 /* RFC 6455 section 7.4.1 */
               WS_NO_CODE = 0, /* a Close may come, and go, without one */
               WS_NORMAL = 1000,
               WS_GOING_AWAY = 1001,
               WS_PROTOCOL_ERROR = 1002,
               WS_NOT_CONSISTENT = 1007, /* text that is not UTF-8, what is not DEFLATE */
               WS_POLICY = 1008,
               WS_TOO_BIG = 1009,
               WS_INTERNAL_ERROR = 1011,
               WS_TRY_LATER = 1013,
};

enum ws_event {
    WS_NEED_DATA, /* all input is taken */
    WS_NEED_ROOM, /* there is more of a message than fits the room, which may be empty */
    WS_DATA,      /* news->bytes, in the room, of a message of news->kind; news->end: its last */
    WS_PING,      /* news->bytes: answer with a pong that has the same */
    WS_PONG,
    WS_CLOSE, /* news->code, WS_NO_CODE when there is none, and its reason in news->bytes */
    WS_ERROR, /* news->code to close with, and why; every later call repeats it */
};

struct ws_limits {
    uint64_t frame_size_max;   /* as it comes, compressed or not: 1009 past it */
    uint64_t message_size_max; /* of all its fragments, decompressed: 1009 past it */
};

struct ws_room {
    char *data;
    size_t size;
};

struct ws_news {
    struct slice bytes;
    enum ws_opcode kind; /* WS_TEXT or WS_BINARY */
    uint16_t code;       /* enum ws_code, or one of the peer's */
    bool end;
};

struct utf8 { /* of a sequence that is not complete: what may come next */
    uint8_t left, low, high;
};

struct ws_inflater;

struct ws {
    const struct ws_limits *limits;
    struct ws_inflater *inflater; /* NULL: no message may be compressed */
    uint64_t frame_left;          /* payload bytes that have not come */
    uint64_t message_size;        /* bytes told so far */
    int64_t budget_ns;
    uint32_t budget;
    uint8_t state;
    uint8_t kind; /* of the message that has begun; 0: none has */
    bool final;   /* this frame is its last one */
    bool compressed;
    bool packed;       /* ... and has had a byte of payload */
    uint8_t tail_left; /* of what is put behind a compressed message */
    struct utf8 utf8;
    uint8_t head_size;
    uint8_t head[14]; /* of the frame; its last four bytes are the mask */
    uint8_t mask[4];  /* turned to the next byte of payload */
    uint8_t control_size;
    char control[WS_CONTROL_SIZE_MAX];
    uint16_t error_code;
    const char *error_text; /* a constant, for a log and for the Close */
};

/* `limits` and `inflater` are kept. */
void ws_init(struct ws *, const struct ws_limits *, struct ws_inflater *);
/* The time, for the budget; before ws_next(). */
void ws_tick(struct ws *, int64_t now_ns);
enum ws_event ws_next(struct ws *, struct slice *input, struct ws_room, struct ws_news *);
/* Is a message half read? */
static inline bool ws_mid_message(const struct ws *ws)
{
    return ws->kind != 0;
}

/* Frames out, each in one piece. Return their size. */
struct ws_frame {
    enum ws_opcode opcode;
    bool compressed; /* the whole message is, and this is its first frame */
    uint64_t size;   /* of the payload, which follows */
};
size_t ws_write_head(char out[static WS_HEAD_SIZE_MAX], const struct ws_frame *);
size_t ws_write_control(char out[static WS_CONTROL_FRAME_MAX], enum ws_opcode,
                        struct slice payload);
/* WS_NO_CODE: without a payload. A reason that is too long is cut between two characters. */
size_t ws_write_close(char out[static WS_CONTROL_FRAME_MAX], uint16_t code, struct slice reason);

/* ws_bytes.c */
/* XOR with the mask, which is turned so that the next bytes may follow. `out` may be `in`. */
void ws_unmask(char *out, const char *in, size_t size, uint8_t mask[static 4]);
/* As if so many bytes had been. */
void ws_turn_mask(uint8_t mask[static 4], size_t by);
/* Do these bytes go on as UTF-8 (RFC 3629)? */
bool utf8_go_on(struct utf8 *, struct slice);
static inline bool utf8_is_whole(const struct utf8 *utf8)
{
    return utf8->left == 0;
}

#endif
