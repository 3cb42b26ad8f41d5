/* SPDX-License-Identifier: MIT
 * What a connection still has to send: a chain of pieces, bytes or ranges of files, and the one
 * send that is in flight. Answers of one loop turn are joined here and leave in one system call.
 *
 * Happy path: bytes are appended, output_flush() starts a send, its completion frees the pieces and
 * starts the next. Failure: a send error drops everything and is reported once through `on_sent`.
 */
#ifndef ASKR_OUTPUT_H
#define ASKR_OUTPUT_H

#include "app/static.h"
#include "io/io.h"

enum {
    PIECE_SIZE = 16384,    /* one block of bytes, its header included */
    PIECE_HEADROOM = 1024, /* left free in front of an answer's body for its head */
    PIECES_FREE_MAX = 256, /* blocks a worker keeps for reuse: 4 MiB */
    OUTPUT_MEMORY_MAX =
        1 << 20, /* bytes of one connection in memory; past it answers go to a file */
};

struct worker;
struct conn;

enum piece_kind { PIECE_BYTES, PIECE_FILE, PIECE_SPOOL };

struct piece {
    struct piece *next;
    enum piece_kind kind;
    int fd;                     /* file: not ours, kept open by `entry`; spool: ours */
    uint32_t begin, end;        /* bytes: what is to be sent of data[] */
    int64_t offset, left;       /* file and spool */
    struct static_entry *entry; /* file: released when sent */
    char data[];
};

#define PIECE_CAPACITY (PIECE_SIZE - sizeof(struct piece))

struct output {
    struct io_op op;
    struct conn *conn;
    struct output *free_next; /* in the worker's free list */
    struct piece *first, **last;
    size_t memory;    /* bytes in PIECE_BYTES pieces */
    int64_t spooled;  /* bytes in PIECE_SPOOL pieces */
    uint32_t sending; /* pieces of the send in flight; 0: none */
    struct iovec iov[IO_IOV_MAX];
};

/* Blocks come from the worker's free list. NULL when memory is out. */
struct piece *piece_new(struct worker *);
void piece_free(struct worker *, struct piece *);
static inline size_t piece_room(const struct piece *piece)
{
    return PIECE_CAPACITY - piece->end;
}

struct output *output_new(struct conn *);
/* Nothing may be in flight. */
void output_free(struct output *);
void output_push(struct output *, struct piece *);
/* Room for at least `size` bytes (<= PIECE_CAPACITY) behind what is there, to be filled in place
 * and then claimed with output_added(). NULL when memory is out. */
char *output_room(struct output *, size_t size);
void output_added(struct output *, size_t size);
/* Copy bytes behind what is there. 0 or -ENOMEM. */
int output_append(struct output *, struct slice bytes);
/* A range of a cached file; takes over one reference to `entry`. */
int output_file(struct output *, struct static_entry *entry, int fd, int64_t offset, int64_t size);
/* Append to a temporary file instead of memory: for an answer that the client is slow to take.
 * 0, -ENOSPC and other errors of the file system. */
int output_spool(struct output *, struct slice bytes);
static inline bool output_idle(const struct output *output)
{
    return output->first == NULL && output->sending == 0;
}
/* Start a send unless one is in flight or there is nothing to send. Its end calls conn_sent(). */
void output_flush(struct output *);

#endif
