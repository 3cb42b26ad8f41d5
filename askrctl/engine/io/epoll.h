/* SPDX-License-Identifier: MIT
 * Inside the epoll backend: the table of fds (epoll.c) and the attempts (epoll_try.c).
 *
 * An attempt is one op's system calls, made until the op is finished or would block. Sockets are
 * blocking fds, so each call says MSG_DONTWAIT. Callbacks run inside attempts, and may grow the
 * table: an `entry` pointer does not survive one. */
#ifndef ASKR_IO_EPOLL_H
#define ASKR_IO_EPOLL_H

#include <sys/epoll.h>

#include "io/backend.h"

enum {
    EPOLL_EVENTS_MAX = 256, /* of one wait; more wait for the next step */
    EPOLL_ROUNDS = 4,   /* buffers, or file chunks, of one fd in one step: then others are served */
    EPOLL_ACCEPTS = 64, /* connections of one listener in one step, likewise */
    EPOLL_BOUNCE_SIZE = 64 * 1024, /* of a file at a time */
    EPOLL_FILES_SIZE = 512 << 10,  /* of all files in one step, 0.3 ms of work: then again */
};

/* io_op.state */
enum {
    EPOLL_PARKED = IO_STATE_OWN, /* in its fd's entry, until an edge */
    EPOLL_AGAIN,                 /* to be tried in the next step */
    EPOLL_STARVED,               /* a recv without a buffer */
};

struct epoll_entry {
    struct io_op *reader, *writer; /* what waits for an edge, or is being tried */
    uint32_t generation;           /* counts lives of the fd number, against stale events */
    uint32_t watched;              /* the mask epoll was given; 0: not registered */
    bool readable;                 /* an edge came and not all behind it was read */
    bool ended;                    /* RDHUP, HUP or ERR was seen: a short recv is not the last */
};

struct epoll {
    int fd;
    bool no_pwait2;
    bool skipped; /* the last step did not wait */
    int event_count;
    uint32_t entry_count;
    struct epoll_entry *entries;
    struct io_queue again, starved; /* readers */
    struct io_queue files;          /* writers of files whose turn is over */
    int64_t files_left;             /* of EPOLL_FILES_SIZE, in this step */
    char *bounce; /* what is read of files on its way to a socket; never holds anything for long */
    struct epoll_event events[EPOLL_EVENTS_MAX];
};

/* The fd's entry; epoll_watch() has made sure there is one. */
static inline struct epoll_entry *epoll_entry_of(struct epoll *epoll, int fd)
{
    assert((uint32_t)fd < epoll->entry_count);
    return &epoll->entries[fd];
}

/* Where an op waits for the next step. */
static inline struct io_queue *epoll_again(struct epoll *epoll, const struct io_op *op)
{
    return op->kind == IO_SENDFILE ? &epoll->files : &epoll->again;
}

/* Try an op; it is finished, parked or in a queue when this returns. */
void epoll_try_reader(struct io *, struct io_op *);
/* True when it is finished, false when it would block. */
bool epoll_try_writer(struct io *, struct io_op *);

/* End the registration of a poll or accept, unless a writer needs it. */
void epoll_unwatch(struct epoll *, int fd);

#endif
