/* SPDX-License-Identifier: MIT
 * How a WebSocket begins: a GET that asks for an upgrade (RFC 6455 section 4.2), or the CONNECT of
 * HTTP/2 that names the protocol (RFC 8441). What decides about the request itself is judged here;
 * who may come (Origin) and what is spoken inside (subprotocols) is for who is asked. */
#ifndef ASKR_WS_HANDSHAKE_H
#define ASKR_WS_HANDSHAKE_H

#include "proto/ws_deflate.h"

enum {
    WS_PROTOCOLS_MAX = 32, /* that a client may offer; 400 past it */
    WS_KEY_SIZE = 24,      /* 16 bytes in base64 */
    WS_ACCEPT_SIZE = 28,   /* 20 */
};

struct ws_request {
    struct slice key;                         /* HTTP/1.1; else empty */
    struct slice origin;                      /* or empty: no browser */
    struct slice protocols[WS_PROTOCOLS_MAX]; /* the client's favourite first */
    uint32_t protocol_count;
    struct ws_deflate deflate;
};

/* 0, or the status of a refusal and its reason: 400, or over HTTP/1.1, when it asks for no
 * WebSocket or for another version than 13, 426. Slices point into the request. */
int ws_judge(const struct http_request *, const struct ws_deflate_wish *, struct ws_request *,
             const char **reason);
/* Sec-WebSocket-Accept. */
void ws_accept(struct slice key, char out[static WS_ACCEPT_SIZE]);

#endif
