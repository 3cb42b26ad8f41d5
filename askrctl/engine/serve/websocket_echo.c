/* SPDX-License-Identifier: MIT
 * The echo endpoint ([websocket] echo): each message comes back as it is. It is for looking whether
 * proxies in front let WebSockets through, and for tests; it has no state, so everybody may come.
 */
#include "serve/websocket.h"

static int admit(const struct http_request *request, const struct ws_request *wanted,
                 struct slice *protocol)
{
    (void)request;
    *protocol = wanted->protocol_count > 0 ? wanted->protocols[0] : SLICE("");
    return 0;
}

static void message(struct websocket *websocket, enum ws_opcode kind, struct slice bytes)
{
    if (websocket_send(websocket, kind, bytes) < 0)
        websocket_leave(websocket, WS_TRY_LATER, "no memory for the answer");
}

static void closed(struct websocket *websocket, uint16_t code)
{
    (void)websocket;
    (void)code;
}

const struct websocket_service websocket_echo = {admit, message, closed};
