/* SPDX-License-Identifier: MIT
 * WebSocket behind the seam of protocol.h, as far as that has to do with a connection: there are no
 * exchanges, and a message goes straight to the connection's output. */
#include "serve/speak_ws.h"

#include "serve/output.h"
#include "serve/protocol.h"
#include "serve/worker.h"

/* --- the connection -------------------------------------------------------------------------- */

static void receive(struct conn *conn, struct slice *input)
{
    websocket_receive(conn->websocket, input);
}

static bool may_receive(const struct conn *conn)
{
    return !conn->closing && !conn->close && websocket_may_receive(conn->websocket);
}

/* What the peer leaves behind without a Close is not sent any more. */
static bool busy(const struct conn *conn)
{
    return !conn->websocket->over;
}

/* It has timers of its own. */
static enum conn_wait waits_for(const struct conn *conn)
{
    (void)conn;
    return CONN_ANSWER;
}

static void timed_out(struct conn *conn, enum conn_wait wait)
{
    (void)wait;
    conn_close(conn);
}

static void drain(struct conn *conn, bool grace_over)
{
    (void)grace_over;
    websocket_leave(conn->websocket, WS_GOING_AWAY, "the server is restarting or stopping");
}

static void abandon(struct conn *conn)
{
    websocket_free(conn->websocket);
    conn->websocket = NULL;
    conn->protocol = &protocol_h1; /* as HTTP/2 does: there may be an alert to send */
}

static void fill(struct conn *conn)
{
    if (conn->websocket->over && !conn->close)
        conn_close(conn);
}

const struct protocol protocol_ws = {
    .name = "WebSocket",
    .receive = receive,
    .may_receive = may_receive,
    .busy = busy,
    .waits_for = waits_for,
    .timed_out = timed_out,
    .drain = drain,
    .abandon = abandon,
    .fill = fill,
};

/* --- what it carries ------------------------------------------------------------------------- */

static struct chain *output(struct websocket *websocket)
{
    struct output *found = conn_output(websocket->carried_by);
    return found == NULL ? NULL : &found->chain;
}

static void added(struct websocket *websocket, size_t size)
{
    (void)size;
    conn_dirty(websocket->carried_by);
}

static size_t waiting(const struct websocket *websocket)
{
    const struct conn *conn = websocket->carried_by;
    return conn->output == NULL ? 0 : conn->output->chain.memory + conn->output->cipher.memory;
}

/* The server closes first (RFC 6455 section 7.1.1); but closing on a peer that is still sending
 * could destroy the Close that says why. */
static void finish(struct websocket *websocket, bool unread)
{
    struct conn *conn = websocket->carried_by;
    conn->close = true;
    conn->linger = unread;
    conn_dirty(conn);
}

static void cut(struct websocket *websocket)
{
    conn_dirty(websocket->carried_by); /* fill() closes */
}

static const struct websocket_carrier carrier = {output, added, waiting, finish, cut};

void conn_carry(struct conn *conn, struct websocket *websocket)
{
    websocket->carrier = &carrier;
    websocket->carried_by = conn;
    conn->websocket = websocket;
    conn->protocol = &protocol_ws;
    conn_dirty(conn);
}
