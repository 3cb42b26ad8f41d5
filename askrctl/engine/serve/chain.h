/* SPDX-License-Identifier: MIT
 * Bytes on their way to a client: a chain of pieces, each bytes in memory, a range of a file, or an
 * answer that waits in a temporary file. A connection has one for what it sends; where answers take
 * turns, as in HTTP/2, each stream has one as well.
 *
 * Failure modes: memory is out (-ENOMEM), the temporary file cannot grow (-ENOSPC and others; the
 * owner is told later). What had been appended stays. */
#ifndef ASKR_CHAIN_H
#define ASKR_CHAIN_H

#include "app/static.h"
#include "serve/spool.h"

enum {
    PIECE_SIZE = 16384,    /* one block of bytes, its header included */
    PIECE_HEADROOM = 1024, /* left free in front of an answer's body for its head */
    PIECES_FREE_MAX = 256, /* blocks a worker keeps for reuse: 4 MiB */
};
#define ANSWER_SPOOL_MAX (INT64_C(1) << 30) /* bytes of one answer on disk */

struct chain;
struct worker;

enum piece_kind { PIECE_BYTES, PIECE_FILE, PIECE_SPOOL };

struct piece {
    struct piece *next;
    enum piece_kind kind;
    int fd;               /* file: not ours, kept open by `entry` */
    uint32_t begin, end;  /* bytes: what is to be sent of data[] */
    int64_t offset, left; /* file and spool */
    const char *content;  /* file: all of it, when it is in memory; else NULL */
    union {
        struct static_entry *entry; /* file: released when sent */
        struct spool *spool;        /* some of `left` may not be stored yet */
    };
    char data[];
};

#define PIECE_CAPACITY (PIECE_SIZE - sizeof(struct piece))

struct file_range {
    struct static_entry *entry;
    const char *content; /* as of a piece */
    int fd;
    int64_t offset, size;
};

/* So many bytes more of PIECE_SPOOL pieces can be sent; or -errno: nothing behind them ever can.
 * The chain may be cleared inside. */
typedef void chain_told_fn(struct chain *, int64_t stored);

struct chain {
    struct worker *worker;
    struct piece *first, **last;
    chain_told_fn *told;
    size_t memory;   /* bytes in PIECE_BYTES pieces */
    int64_t filed;   /* bytes in PIECE_FILE pieces */
    int64_t spooled; /* bytes in PIECE_SPOOL pieces */
    int64_t ahead;   /* … of them, those that are not stored yet */
    uint32_t frozen; /* pieces at the front that a send in flight points into */
};

/* Blocks come from the worker's free list. NULL when memory is out. */
struct piece *piece_new(struct worker *);
void piece_free(struct worker *, struct piece *);
static inline size_t piece_room(const struct piece *piece)
{
    return PIECE_CAPACITY - piece->end;
}

/* How much of the piece can be sent now. */
static inline int64_t piece_ready(const struct piece *piece)
{
    return piece->kind == PIECE_BYTES   ? piece->end - piece->begin
           : piece->kind == PIECE_SPOOL ? piece->spool->stored - piece->offset
                                        : piece->left;
}
/* The file that a piece which is not bytes is read from. */
static inline int piece_fd(const struct piece *piece)
{
    return piece->kind == PIECE_SPOOL ? piece->spool->fd : piece->fd;
}

/* `told` may be NULL for a chain that never spools. */
void chain_init(struct chain *, struct worker *, chain_told_fn *told);
/* Free every piece. None may be frozen. */
void chain_clear(struct chain *);
static inline bool chain_empty(const struct chain *chain)
{
    return chain->first == NULL;
}
/* Bytes that are still to be sent, those in flight included. */
static inline uint64_t chain_size(const struct chain *chain)
{
    return chain->memory + (uint64_t)chain->filed + (uint64_t)chain->spooled;
}
void chain_push(struct chain *, struct piece *);
/* Free the first piece, which has been sent. */
void chain_drop_first(struct chain *);
/* Room for at least `size` bytes (<= PIECE_CAPACITY) behind what is there, to be filled in place
 * and then claimed with chain_added(). NULL when memory is out. */
char *chain_room(struct chain *, size_t size);
void chain_added(struct chain *, size_t size);
/* How much room chain_room() has given, at most. */
size_t chain_spare(struct chain *);
/* Copy bytes behind what is there. 0 or -ENOMEM. */
int chain_append(struct chain *, struct slice bytes);
/* A range of a cached file, with a reference of its own. 0 or -ENOMEM. */
int chain_range(struct chain *, const struct file_range *);
/* The first piece is a file's or a spool's, and so much of it was sent; it goes when that was all.
 */
void chain_sent(struct chain *, int64_t size);
/* Append to a temporary file instead of memory: for an answer that the client is slow to take.
 * 0, -ENOMEM, or the error of an earlier write. */
int chain_spool(struct chain *, struct slice bytes);
/* Is there room for more on its way to a temporary file, and in it? */
bool chain_may_spool(const struct chain *);

#endif
