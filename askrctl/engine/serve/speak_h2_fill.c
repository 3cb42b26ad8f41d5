/* SPDX-License-Identifier: MIT
 * Frames on their way to the connection's output. They are taken when nothing is being sent, and no
 * more than one send can carry: what comes later may be more urgent. Bodies are copied behind their
 * frames' heads, so that the answers of many streams leave in a few full blocks. */
#include "serve/speak_h2.h"

#include <errno.h>
#include <unistd.h>

enum { FILL_SIZE = 6 * PIECE_SIZE }; /* with a last frame it fits the slices of one send */

/* Part of a file, behind what is in the output. A file that has become shorter cannot be made up
 * for: its frame's head is out. */
static int read_file(struct chain *output, int fd, int64_t offset, size_t size)
{
    while (size > 0) {
        size_t step = size_min(size, PIECE_CAPACITY / 2);
        char *room = chain_room(output, step);
        if (room == NULL)
            return -ENOMEM;
        ssize_t got = pread(fd, room, step, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        chain_added(output, (size_t)got);
        offset += got;
        size -= (size_t)got;
    }
    return 0;
}

/* Move up to `size` bytes of the first piece, and say how many. */
static int64_t move_some(struct chain *body, struct chain *output, size_t size)
{
    struct piece *piece = body->first;
    int result;
    size = size_min(size, (size_t)piece_ready(piece));
    assert(size > 0); /* nghttp2 was told of no more than there is */
    if (piece->kind == PIECE_BYTES) {
        result = chain_append(output, (struct slice){piece->data + piece->begin, size});
        piece->begin += (uint32_t)size;
        body->memory -= size;
        if (piece->begin == piece->end)
            chain_drop_first(body);
    } else {
        result = piece->content != NULL
                     ? chain_append(output, (struct slice){piece->content + piece->offset, size})
                     : read_file(output, piece_fd(piece), piece->offset, size);
        chain_sent(body, (int64_t)size);
    }
    return result < 0 ? result : (int64_t)size;
}

static int move_body(struct stream *stream, struct chain *output, size_t size)
{
    struct h2_conn *h2 = stream->owner;
    while (size > 0) {
        size_t before = stream->body.memory;
        int64_t moved = move_some(&stream->body, output, size);
        h2->waiting -= before - stream->body.memory;
        if (moved < 0)
            return (int)moved;
        size -= (size_t)moved;
    }
    return 0;
}

/* One frame. 1, 0 when there is none, or -errno. */
static int take_frame(struct conn *conn)
{
    struct h2_stream *from;
    struct slice bytes;
    size_t size;
    enum h2_out out = h2_output(conn->h2->h2, &bytes, &from, &size);
    if (out == H2_OUT_NONE)
        return 0;
    struct output *output = out == H2_OUT_ERROR ? NULL : conn_output(conn);
    if (output == NULL)
        return -ENOMEM;
    int result = chain_append(&output->chain, bytes);
    if (result == 0 && out == H2_OUT_DATA)
        result = move_body(CONTAINER_OF(from, struct stream, h2), &output->chain, size);
    return result < 0 ? result : 1;
}

static size_t output_size(const struct conn *conn)
{
    return conn->output == NULL ? 0 : conn->output->chain.memory;
}

/* Up to what one send carries. */
static int take_frames(struct conn *conn)
{
    int result = 1;
    while (result > 0 && output_size(conn) < FILL_SIZE)
        result = take_frame(conn);
    return result;
}

static bool free_closed(struct h2_conn *h2)
{
    bool any = false;
    for (struct h2_stream *closed; (closed = h2_closed(h2->h2)) != NULL; any = true)
        stream_free(CONTAINER_OF(closed, struct stream, h2));
    return any;
}

/* The worker drains, or the connection has had its requests, and its last answer goes out: a GOAWAY
 * that closes nothing goes with it, in the same send. Sent any earlier it would be read before the
 * answer, and there are clients that give up a request then (httpx does). */
static bool warn_after_last(struct h2_conn *h2)
{
    bool leaves = h2->conn->worker->draining || conn_is_spent(h2->conn);
    if (!leaves || h2->warned || h2->streams != NULL)
        return false;
    h2->warned = true;
    h2_warn(h2->h2);
    return true;
}

/* It has had its requests, and has read the warning: the last GOAWAY. */
static bool end_if_spent(struct conn *conn)
{
    if (!conn_is_spent(conn) || conn->h2->shut)
        return false;
    conn->protocol->drain(conn, false);
    return conn->h2->shut;
}

void h2_fill(struct conn *conn)
{
    struct h2_conn *h2 = conn->h2;
    if (conn->output != NULL && output_sending(conn->output))
        return;
    int result = take_frames(conn);
    h2_websockets_go_on(h2);
    bool freed = free_closed(h2);
    if (result >= 0 && ((freed && warn_after_last(h2)) || end_if_spent(conn)))
        result = take_frames(conn);
    if (result < 0)
        conn_close(conn);
    else if (!conn->close && h2_over(h2->h2))
        conn->close = conn->linger = true;
    else if (!h2->shut)
        h2_judge(conn);
}
