/* SPDX-License-Identifier: MIT
 * What the files of the WebSocket reader share: the states, and the step of each part. ws.c takes
 * frames apart, ws_payload.c makes messages of them. */
#ifndef ASKR_WS_PARTS_H
#define ASKR_WS_PARTS_H

#include "proto/ws.h"
#include "proto/ws_deflate.h"

enum ws_state {
    WS_AT_HEAD,
    WS_AT_PAYLOAD, /* of a message */
    WS_AT_TAIL,    /* a compressed message is all here, its tail is to be put behind it */
    WS_AT_CONTROL,
    WS_CLOSED, /* what comes is dropped */
    WS_FAILED,
};

/* What a step returns when there is nothing to tell, and the next one is due. */
enum { WS_GO_ON = -1 };

/* Note why the input is refused. Returns WS_ERROR. */
int ws_refuse(struct ws *, enum ws_code, const char *text);
/* Part of a message's payload. An event, or WS_GO_ON. */
int ws_take_payload(struct ws *, struct slice *input, struct ws_room, struct ws_news *);
int ws_take_tail(struct ws *, struct ws_room, struct ws_news *);

#endif
