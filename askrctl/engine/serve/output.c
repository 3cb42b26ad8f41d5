/* SPDX-License-Identifier: MIT
 * The output of output.h: one send after the other. */
#include "serve/output.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/conn.h"
#include "serve/secure.h"
#include "serve/worker.h"

struct output *output_new(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct output *output = worker->outputs_free;
    if (output != NULL)
        worker->outputs_free = output->free_next;
    else if ((output = malloc(sizeof *output)) == NULL)
        return NULL;
    memset(output, 0, offsetof(struct output, iov));
    output->conn = conn;
    chain_init(&output->chain, worker);
    chain_init(&output->cipher, worker);
    return output;
}

void output_free(struct output *output)
{
    struct worker *worker = output->conn->worker;
    chain_clear(&output->chain);
    chain_clear(&output->cipher);
    output->free_next = worker->outputs_free;
    worker->outputs_free = output;
}

/* Free the pieces that the finished send covered. */
static void drop_sent(struct chain *chain)
{
    for (; chain->frozen > 0; chain->frozen--)
        chain_drop_first(chain);
}

static void on_sent(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct output *output = CONTAINER_OF(op, struct output, op);
    struct chain *chain = &output->chain;
    struct piece *piece = chain->first;
    assert(chain->frozen > 0);
    int64_t expected = 0;
    uint32_t index = 0;
    for (struct piece *sent = piece; index < chain->frozen; sent = sent->next, index++)
        expected += sent->kind == PIECE_BYTES ? sent->end - sent->begin : sent->left;
    /* A file that shrank, or one past 2 GiB that went out in parts, comes up short. */
    bool is_short = event.result >= 0 && event.result < expected && piece->kind != PIECE_BYTES;
    if (is_short && event.result > 0) {
        piece->offset += event.result;
        piece->left -= event.result;
        if (piece->kind == PIECE_SPOOL)
            chain->spooled -= event.result;
        chain->frozen = 0;
        conn_sent(output->conn, event.result);
        return;
    }
    drop_sent(chain);
    conn_sent(output->conn, is_short ? -EIO : event.result);
}

void output_flush(struct output *output)
{
    struct io *io = &output->conn->worker->io;
    struct chain *chain = &output->chain;
    struct piece *piece = chain->first;
    if (output->conn->secure) {
        secure_flush(output);
        return;
    }
    if (chain->frozen > 0 || piece == NULL)
        return;
    if (piece->kind != PIECE_BYTES) {
        /* A result is an int32: larger files go out in several rounds. */
        int64_t size = piece->left < INT32_MAX ? piece->left : INT32_MAX;
        chain->frozen = 1;
        struct io_range range = {.file = piece->fd, .offset = piece->offset, .size = size};
        io_sendfile(io, &output->op, output->conn->fd, range, on_sent);
        return;
    }
    uint32_t count = 0;
    for (; piece != NULL && piece->kind == PIECE_BYTES && count < IO_IOV_MAX; piece = piece->next)
        output->iov[count++] =
            (struct iovec){piece->data + piece->begin, piece->end - piece->begin};
    chain->frozen = count;
    struct io_slices slices = {output->iov, count};
    io_send(io, &output->op, output->conn->fd, slices, on_sent);
}
