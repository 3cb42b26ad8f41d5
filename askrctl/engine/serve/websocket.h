/* SPDX-License-Identifier: MIT
 * A WebSocket, between what carries it and what it is for. It is carried by all of an HTTP/1.1
 * connection (speak_ws.c), or by one stream of HTTP/2 (speak_h2_ws.c); it is for a service, which
 * is given whole messages and sends whole messages: the echo endpoint (websocket_echo.c).
 *
 * Happy path: respond_websocket() answers the request, the carrier brings bytes to
 * websocket_receive(), the service hears messages and answers with websocket_send(); one side sends
 * a Close, the other answers it, the carrier ends. Failure modes: the peer breaks the protocol or a
 * limit (a Close says why, then the end), says nothing and does not answer a ping (cut off), or
 * ends without a Close (the service hears 1006). However it ends, the service is told once.
 *
 * An idle one holds no buffers: a message that is not complete is kept in memory of its own, which
 * is counted for the whole worker, with the contexts of compression. */
#ifndef ASKR_WEBSOCKET_H
#define ASKR_WEBSOCKET_H

#include "base/timer.h"
#include "proto/ws.h"
#include "proto/ws_handshake.h"
#include "serve/chain.h"

enum {
    WEBSOCKET_SCRATCH_SIZE = 32768,  /* of the worker: messages up to this need no memory else */
    WEBSOCKET_OUTPUT_MAX = 65536,    /* bytes waiting to be sent: then nothing more is read */
    WEBSOCKET_PACKED_KEPT = 1 << 18, /* of the worker's buffer for compressed messages */
    /* What services are told instead of a code; never sent (RFC 6455 section 7.4.1). */
    WEBSOCKET_NO_CODE = 1005,
    WEBSOCKET_ABNORMAL = 1006,
};

struct conn;
struct exchange;
struct websocket;

/* What a WebSocket is for. */
struct websocket_service {
    /* May it begin? `request` is the worker's; the subprotocol that was chosen, one of the client's
     * or empty, in *protocol. 0, or the status of a refusal. */
    int (*admit)(const struct http_request *request, const struct ws_request *,
                 struct slice *protocol);
    /* A whole message. The bytes are the caller's again afterwards. */
    void (*message)(struct websocket *, enum ws_opcode kind, struct slice bytes);
    /* It is over: nothing is sent any more. */
    void (*closed)(struct websocket *, uint16_t code);
};

/* What it is carried by. */
struct websocket_carrier {
    /* Where bytes to send are appended; NULL when memory is out. */
    struct chain *(*output)(struct websocket *);
    /* So many were. */
    void (*added)(struct websocket *, size_t size);
    /* How many wait. */
    size_t (*waiting)(const struct websocket *);
    /* Each ends it, but not before the caller has returned. The last byte has been said; `unread`:
     * the peer may still be sending. */
    void (*finish)(struct websocket *, bool unread);
    /* Without a word. */
    void (*cut)(struct websocket *);
};

struct websocket {
    struct ws ws;
    struct worker *worker;
    const struct websocket_carrier *carrier;
    const struct websocket_service *service;
    void *carried_by; /* a struct conn, or a struct stream */
    struct timer timer;
    char *message; /* one that is not complete; NULL: none is, or it lies in the scratch */
    size_t message_size, message_capacity;
    struct ws_deflate deflate;
    struct ws_inflater inflater;
    struct ws_deflater deflater; /* when it remembers; else the worker's is used */
    int64_t heard_ns;            /* the last byte from the peer */
    int64_t spoken_ns;           /* the last message, of either side */
    int64_t asked_ns;            /* when it was pinged, or was sent a Close; 0 */
    bool close_sent;
    bool over; /* nothing is read or sent any more, and the service knows */
};

/* Of the worker. */
struct websockets {
    struct ws_limits limits;
    struct ws_deflate_wish wish;
    char *scratch; /* WEBSOCKET_SCRATCH_SIZE; made for the first one */
    char *packed;  /* the message that is being compressed */
    size_t packed_capacity;
    size_t memory; /* of messages that are not complete, and of contexts */
    uint32_t count;
    struct ws_deflater forgetful[WS_BITS_MAX + 1]; /* by window: for those who keep nothing */
};

void websockets_open(struct worker *);
void websockets_close(struct worker *);

/* websocket_open.c: does worker->request ask for a service's address? Answer it. */
bool websocket_is_asked(const struct worker *);
void respond_websocket(struct exchange *);

/* From the carrier: bytes came. What is left is to be offered again once there is room. */
void websocket_receive(struct websocket *, struct slice *input);
bool websocket_may_receive(const struct websocket *);
/* The peer will send nothing more. */
void websocket_peer_closed(struct websocket *);
void websocket_free(struct websocket *);

/* From the service. 0 or -errno; -EPIPE once it is closing. */
int websocket_send(struct websocket *, enum ws_opcode kind, struct slice bytes);
/* Say goodbye, and wait for the peer's. */
void websocket_leave(struct websocket *, uint16_t code, const char *reason);

/* From websocket_open.c: it has been answered for, and is carried. */
void websocket_begin(struct websocket *);

/* websocket_send.c, for websocket.c. */
int websocket_send_control(struct websocket *, enum ws_opcode, struct slice payload);
int websocket_send_close(struct websocket *, uint16_t code, struct slice reason);

extern const struct websocket_service websocket_echo;

#endif
