/* SPDX-License-Identifier: MIT
 * A connection of HTTP/1.1 that has become a WebSocket (RFC 6455): all of its bytes are frames from
 * then on. Nothing of HTTP is left but what was queued before. */
#ifndef ASKR_SPEAK_WS_H
#define ASKR_SPEAK_WS_H

#include "serve/websocket.h"

/* The 101 is in the output. */
void conn_carry(struct conn *, struct websocket *);

#endif
