/* SPDX-License-Identifier: MIT
 * permessage-deflate (RFC 7692): its parameters, and the two contexts of a connection, on zlib. The
 * contexts belong to the caller, who also gives their memory; a build without zlib offers nothing.
 *
 * Happy path: ws_deflate_negotiate() on each offer of the client, the answer says what was chosen;
 * a context allocates when the first message needs it. Failure modes: memory is out (-ENOMEM), or
 * what a peer sent is no DEFLATE (-EBADMSG); then the inflater can only be closed. */
#ifndef ASKR_WS_DEFLATE_H
#define ASKR_WS_DEFLATE_H

#include "proto/encoding.h"

enum {
    WS_BITS_MIN = 8, /* of a window: 256 bytes */
    WS_BITS_MAX = 15,
    /* Messages are small and many: what a higher level saves is less than it takes. */
    WS_DEFLATE_LEVEL = 3,
    WS_TAIL_SIZE = 4,         /* 00 00 ff ff: what a flush ends with is not sent (section 7.2.1) */
    WS_DEFLATE_ROOM_MIN = 64, /* of one step: zlib repeats the mark of a flush that found no room */
    WS_ANSWER_SIZE_MAX = 160, /* of Sec-WebSocket-Extensions in the answer */
    /* What the contexts of one connection may cost at most, with windows of 32 KiB. */
    WS_INFLATER_MEMORY_MAX = 48 << 10,
    WS_DEFLATER_MEMORY_MAX = 280 << 10,
};

struct ws_deflate {     /* what was agreed */
    bool agreed;        /* else messages go as they are */
    uint8_t their_bits; /* the client compresses with a window of at most this */
    uint8_t our_bits;
    bool they_forget; /* no context takeover: each message begins with an empty window */
    bool we_forget;
    bool say_their_bits, say_our_bits; /* in the answer */
};

/* What we would have. */
struct ws_deflate_wish {
    uint8_t bits; /* of both windows, as far as the client lets us choose; 0: no compression */
    bool forget;  /* nothing is kept from one message to the next */
};

/* Is zlib in this build? */
bool ws_deflate_built(void);
/* Look at the offers in the value of one Sec-WebSocket-Extensions field, and take the first that
 * can be accepted, unless one was taken before. False: the value is malformed (RFC 6455 section
 * 9.1). */
bool ws_deflate_negotiate(struct ws_deflate *, const struct ws_deflate_wish *, struct slice value);
/* The value for the answer. */
size_t ws_deflate_answer(const struct ws_deflate *, char out[static WS_ANSWER_SIZE_MAX]);

struct ws_inflater {
    void *state; /* NULL: nothing was decompressed yet */
    struct encoder_memory memory;
    uint8_t bits;
    bool pending; /* the last step had no room for all it had to say */
};

struct ws_deflater {
    void *state;
    struct encoder_memory memory;
    uint8_t bits;
};

void ws_inflater_init(struct ws_inflater *, uint8_t bits, const struct encoder_memory *);
/* Bytes written, or -EBADMSG or -ENOMEM. What is left of the input is left for want of room. */
int64_t ws_inflate(struct ws_inflater *, struct slice *input, char *out, size_t size);
/* Between two blocks: is this where a message may end? */
bool ws_inflater_at_end(const struct ws_inflater *);
void ws_inflater_forget(struct ws_inflater *);
void ws_inflater_close(struct ws_inflater *);

void ws_deflater_init(struct ws_deflater *, uint8_t bits, const struct encoder_memory *);
/* As encoder_run(). ENCODER_FLUSH ends a message, whose last WS_TAIL_SIZE bytes are then not sent.
 * -ENOMEM leaves everything as it was. */
int64_t ws_deflate(struct ws_deflater *, struct encoder_step *);
void ws_deflater_forget(struct ws_deflater *);
void ws_deflater_close(struct ws_deflater *);

#endif
