/* SPDX-License-Identifier: MIT
 * An unnamed temporary file that bytes wait in: a large request body, or an answer whose client is
 * slow. Every call that a file system may hold for long (open, write, close, a read of what is not
 * in the page cache) is a work of io.h, so that a slow disk holds what waits in it and nobody else.
 *
 * Happy path: bytes are appended to blocks in memory, a work writes all blocks there are, its end
 * tells the owner, who may then read what is stored. One work of a spool is in flight at a time.
 * Failure modes: memory is out (-ENOMEM, at once), the file cannot be made or grow (-ENOSPC and
 * others, told to the owner; nothing more is stored), the disk stands still: then what brings bytes
 * is held back, and in the end refused. A spool that is freed while a work is in flight goes when
 * that ends. */
#ifndef ASKR_SPOOL_H
#define ASKR_SPOOL_H

#include "io/io.h"

enum {
    SPOOL_AHEAD_MAX = 1 << 18, /* bytes in memory, not stored: past it what brings them waits */
    SPOOLS_AHEAD_MAX =
        1 << 25, /* of all spools of a worker: then each stores before it takes more */
    SPOOLS_REFUSED_AT = 2 * SPOOLS_AHEAD_MAX, /* … and no new one is begun for a request */
    SPOOL_SLICES_MAX = 16,                    /* blocks of one write */
};

struct piece;
struct spool;
struct worker;

/* So many bytes more are stored; or 0: what spool_read() waited for has come; or `error` is set and
 * nothing more will come. The spool may be freed inside. */
typedef void spool_told_fn(struct spool *, int64_t stored);

struct spool {
    struct io_op op;
    struct worker *worker;
    const char *directory; /* the worker may be gone before a disk lets go */
    spool_told_fn *told;
    void *owner;
    struct piece *first, **last; /* appended, and not with the thread */
    struct piece *writing;       /* with the thread */
    int64_t size;                /* bytes appended */
    int64_t stored;              /* of them in the file, and readable */
    struct piece *fetched;       /* read for spool_read(); NULL: nothing */
    int64_t fetched_at;          /* from where on */
    int error;                   /* 0 or -errno */
    int fd;                      /* -1: not made yet */
    bool freed;
};

/* NULL when memory is out. The file is made by the first work. */
struct spool *spool_new(struct worker *, spool_told_fn *told, void *owner);
void spool_free(struct spool *);
/* 0, -ENOMEM, or the error of a work before. */
int spool_append(struct spool *, struct slice bytes);
/* Stored bytes from `offset` on, at most `size`, once all are stored: how many; -EAGAIN, and the
 * owner is told; or another -errno. Never 0. */
int64_t spool_read(struct spool *, char *bytes, size_t size, int64_t offset);
/* Must what brings bytes wait until we are told? */
bool spool_is_full(const struct spool *);
/* Are there bytes that are not stored yet? */
static inline bool spool_is_behind(const struct spool *spool)
{
    return spool->stored < spool->size;
}

#endif
