/* SPDX-License-Identifier: MIT
 * Inside the io_uring backend: the ring and its buffers (uring_ring.c), the ops (uring.c).
 *
 * What a ring can do is found out by trying, never from a kernel's version: setup flags are dropped
 * until setup works, multishot recv until recv works. */
#ifndef ASKR_IO_URING_H
#define ASKR_IO_URING_H

#include <liburing.h>

#include "io/backend.h"

enum { URING_BUF_GROUP = 0 }; /* the only one of our ring */

/* What a file is read into on its way to a socket. */
struct uring_bounce {
    struct uring_bounce *next;
};

struct uring {
    struct io_uring ring;
    struct io_uring_buf_ring *buf_ring; /* io->bufs, as the kernel sees them */
    size_t buf_ring_size;
    uint32_t bufs_returned; /* put into the ring and not yet shown to the kernel */
    bool one_shot;          /* multishot recv is not to be had (before Linux 6.0) */
    bool multishot_worked;
    bool refuses;                 /* for tests: the kernel takes no entries */
    struct msghdr *messages;      /* of SENDMSG, one for each submission entry */
    struct io_queue backlog;      /* ops the kernel would not take: tried again in the next step */
    struct io_queue cancels;      /* ops in flight whose cancel found no room: likewise */
    struct io_queue starved;      /* recvs that found no buffer */
    struct io_queue hungry;       /* sendfiles whose next chunk waits for a bounce buffer */
    struct uring_bounce *bounces; /* free ones */
    uint32_t bounce_count;        /* all that there are */
};

/* 0, or -errno with a sentence. The pool of `io` becomes the ring's. */
int uring_ring_open(struct uring *, struct io *, uint32_t entries, askr_error *);
void uring_ring_close(struct uring *);
/* A submission entry; NULL if the queue is full and the kernel takes nothing now. */
struct io_uring_sqe *uring_entry(struct uring *);
void uring_buf_put(struct io *, struct io_buf *);
/* Submit what was queued and wait (io_enter_fn of backend.h). */
int uring_enter(struct io *, int64_t wait_ns);
/* Behave as on a kernel without multishot recv. For tests. */
void uring_without_multishot(struct io *);
/* Behave as if the kernel had no memory for entries, outside io_step(). For tests. */
void uring_refuse(struct io *, bool);

#endif
