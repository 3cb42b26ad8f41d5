/* SPDX-License-Identifier: MIT
 * WebSockets over streams of HTTP/2 (RFC 8441): DATA carries their frames both ways, END_STREAM is
 * the end of the connection, RST_STREAM with CANCEL its reset. What comes while a WebSocket may not
 * receive is held, and its window given back when it is taken: so no more than a stream's window.
 */
#include <stdlib.h>

#include "serve/speak_h2.h"

static struct chain *output(struct websocket *websocket)
{
    struct stream *stream = websocket->carried_by;
    return &stream->body;
}

static void added(struct websocket *websocket, size_t size)
{
    struct stream *stream = websocket->carried_by;
    struct h2_conn *h2 = stream->owner;
    h2->waiting += size;
    h2_write(h2->h2, &stream->h2, size);
    conn_dirty(h2->conn);
}

static size_t waiting(const struct websocket *websocket)
{
    const struct stream *stream = websocket->carried_by;
    return stream->body.memory;
}

static void finish(struct websocket *websocket, bool unread)
{
    struct stream *stream = websocket->carried_by;
    (void)unread;
    stream->h2.leave = !stream->received;
    h2_end(stream->owner->h2, &stream->h2);
    conn_dirty(stream->owner->conn);
}

static void cut(struct websocket *websocket)
{
    struct stream *stream = websocket->carried_by;
    h2_cut(stream->owner->h2, &stream->h2, H2_CANCEL);
    conn_dirty(stream->owner->conn);
}

static const struct websocket_carrier carrier = {output, added, waiting, finish, cut};

void h2_carry(struct conn *conn, struct exchange **owner, struct websocket *websocket)
{
    struct stream *stream = CONTAINER_OF(owner, struct stream, exchange);
    websocket->carrier = &carrier;
    websocket->carried_by = stream;
    stream->websocket = websocket;
    conn->h2->websocket_count++;
}

static void drop_held(struct stream *stream)
{
    free(stream->held);
    stream->held = NULL;
    stream->held_size = 0;
}

static bool hold(struct stream *stream, struct slice bytes)
{
    size_t size = stream->held_size + bytes.size;
    char *held = size > H2_STREAM_WINDOW ? NULL : realloc(stream->held, size);
    if (held == NULL)
        return false;
    memcpy(held + stream->held_size, bytes.data, bytes.size);
    stream->held = held;
    stream->held_size = size;
    return true;
}

void h2_websocket_hear(struct stream *stream, struct slice bytes)
{
    struct h2 *h2 = stream->owner->h2;
    size_t size = bytes.size;
    if (stream->held_size == 0 && websocket_may_receive(stream->websocket))
        websocket_receive(stream->websocket, &bytes);
    if (stream->websocket->over)
        bytes.size = 0; /* it is for nobody */
    if (bytes.size > 0 && !hold(stream, bytes)) {
        h2_cut(h2, &stream->h2, H2_CANCEL);
        bytes.size = 0;
    }
    h2_consume(h2, &stream->h2, size - bytes.size);
}

/* There may be room again. */
static void go_on(struct stream *stream)
{
    struct slice rest = {stream->held, stream->held_size};
    if (rest.size == 0 || !websocket_may_receive(stream->websocket))
        return;
    websocket_receive(stream->websocket, &rest);
    if (stream->websocket->over)
        rest.size = 0;
    size_t taken = stream->held_size - rest.size;
    if (rest.size > 0)
        memmove(stream->held, rest.data, rest.size);
    stream->held_size = rest.size;
    if (rest.size == 0)
        drop_held(stream);
    h2_consume(stream->owner->h2, &stream->h2, taken);
    if (rest.size == 0 && stream->received)
        websocket_peer_closed(stream->websocket);
}

void h2_websockets_go_on(struct h2_conn *h2)
{
    if (LIKELY(h2->websocket_count == 0))
        return;
    for (struct stream *stream = h2->streams; stream != NULL; stream = stream->next)
        if (stream->websocket != NULL)
            go_on(stream);
}

/* END_STREAM. A Close may still be held. */
void h2_websocket_ended(struct stream *stream)
{
    stream->h2.leave = false;
    if (stream->held_size == 0)
        websocket_peer_closed(stream->websocket);
}

void h2_websockets_leave(struct h2_conn *h2)
{
    if (h2->websocket_count == 0)
        return;
    for (struct stream *stream = h2->streams; stream != NULL; stream = stream->next)
        if (stream->websocket != NULL)
            websocket_leave(stream->websocket, WS_GOING_AWAY,
                            "the server is restarting or stopping");
}

void h2_websocket_free(struct stream *stream)
{
    if (LIKELY(stream->websocket == NULL))
        return;
    websocket_free(stream->websocket);
    stream->websocket = NULL;
    drop_held(stream);
    stream->owner->websocket_count--;
}
