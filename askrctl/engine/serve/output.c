/* SPDX-License-Identifier: MIT
 * The output of output.h: one send after the other. */
#include "serve/output.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/secure.h"
#include "serve/worker.h"

/* Part of an answer that waited in a temporary file can be sent; or the rest of it never can. */
static void on_stored(struct chain *chain, int64_t stored)
{
    struct output *output = CONTAINER_OF(chain, struct output, chain);
    struct conn *conn = output->conn;
    if (stored >= 0) {
        conn_dirty(conn);
        return;
    }
    if (conn->exchange != NULL)
        exchange_fail(conn->exchange, 503, NULL); /* logged as cut */
    conn_close(conn);
}

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
    chain_init(&output->chain, worker, on_stored);
    chain_init(&output->cipher, worker, NULL);
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

static void on_sent(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct output *output = CONTAINER_OF(op, struct output, op);
    struct chain *chain = &output->chain;
    int64_t result = event.result;
    assert(chain->frozen > 0);
    if (chain->first->kind == PIECE_BYTES) {
        for (; chain->frozen > 0; chain->frozen--)
            chain_drop_first(chain);
    } else {
        chain->frozen = 0;
        if (result > 0)
            chain_sent(chain, result); /* maybe not all: one past 2 GiB goes out in parts */
        else if (result == 0)
            result = -EIO; /* the file shrank: the answer cannot be completed */
    }
    conn_sent(output->conn, result);
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
        int64_t size = piece_ready(piece);
        if (size == 0)
            return; /* on_stored() comes */
        if (size > INT32_MAX)
            size = INT32_MAX;
        chain->frozen = 1;
        struct io_range range = {.file = piece_fd(piece), .offset = piece->offset, .size = size};
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
