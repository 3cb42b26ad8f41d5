/* SPDX-License-Identifier: MIT
 * What a connection still has to send: a chain of pieces, and the one send that is in flight.
 * Answers of one loop turn are joined here and leave in one system call.
 *
 * Happy path: bytes are appended, output_flush() starts a send, its completion frees the pieces and
 * starts the next. Failure: a send error drops everything and is reported once to conn_sent(). */
#ifndef ASKR_OUTPUT_H
#define ASKR_OUTPUT_H

#include "io/io.h"
#include "serve/chain.h"

enum {
    OUTPUT_MEMORY_MAX =
        1 << 20, /* bytes of one connection in memory; past it answers go to a file */
};

struct conn;

struct output {
    struct io_op op;
    struct conn *conn;
    struct output *free_next; /* in the worker's free list */
    struct chain chain;
    struct chain cipher; /* over TLS: what is sent instead (secure_output.c) */
    struct iovec iov[IO_IOV_MAX];
};

struct output *output_new(struct conn *);
/* Nothing may be in flight. */
void output_free(struct output *);
static inline bool output_sending(const struct output *output)
{
    return output->chain.frozen + output->cipher.frozen > 0;
}
static inline bool output_idle(const struct output *output)
{
    return chain_empty(&output->chain) && chain_empty(&output->cipher) && !output_sending(output);
}
/* Is all there is to send now in a temporary file, and not stored yet? */
static inline bool output_waits_for_disk(const struct output *output)
{
    return !output_sending(output) && chain_empty(&output->cipher) &&
           !chain_empty(&output->chain) && piece_ready(output->chain.first) == 0;
}
/* Start a send unless one is in flight or there is nothing to send. Its end calls conn_sent(). */
void output_flush(struct output *);

#endif
