/* SPDX-License-Identifier: MIT
 * What an I/O backend has to be, and what io.c does for all of them.
 *
 * io.c fills in an op, checks the caller's side of the contract (io.h) and hands it to `submit`.
 * From then on the backend owns it: it reports events with io_report() from inside `step`, or
 * queues a final result with io_ready() from anywhere. An op's `state` is IO_IDLE, IO_READY, or one
 * of the backend's own from IO_STATE_OWN on. */
#ifndef ASKR_IO_BACKEND_H
#define ASKR_IO_BACKEND_H

#include "io/io.h"

struct io_backend {
    const char *name;
    int (*open)(struct io *, const struct io_options *, askr_error *); /* options without zeros */
    void (*submit)(struct io *, struct io_op *);
    void (*cancel)(struct io *, struct io_op *);   /* once at most for an op; IO_CANCELLED is set */
    int (*step)(struct io *, int64_t deadline_ns); /* 0 or -errno; run events through io_report() */
    void (*buf_put)(struct io *, struct io_buf *); /* NULL: the free list is all there is */
    void (*close)(struct io *);
};

enum { IO_IDLE, IO_READY, IO_STATE_OWN };   /* io_op.state */
enum { IO_CANCELLED = 1, IO_FLAG_OWN = 2 }; /* io_op.flags */
enum { IO_READER = 1, IO_WRITER = 2 };      /* io.fds */

/* fds whose directions are tracked, a byte each (untouched pages cost nothing): the kernel's own
 * default for fs.nr_open. */
enum { IO_FDS_TRACKED = 1 << 20 };

extern const struct io_backend io_epoll;
extern const struct io_backend io_uring_backend; /* absent when built without liburing */
extern const struct io_backend io_sim;

void io_queue_init(struct io_queue *);
void io_queue_push(struct io_queue *, struct io_op *);
struct io_op *io_queue_pop(struct io_queue *); /* NULL when empty */
void io_queue_remove(struct io_queue *, struct io_op *);

/* Which of IO_READER and IO_WRITER the op occupies; a close needs both to be free. */
uint8_t io_direction(const struct io_op *);

struct io_buf *io_buf_get(struct io *); /* NULL when the pool is empty */
/* Queue the final event: it runs in io_run_ready(). */
void io_ready(struct io *, struct io_op *, int32_t result);
/* Run what is queued now; what that queues is for the next step. */
void io_run_ready(struct io *);
/* io.works, for a backend with a kernel: NULL when no thread can be had. */
struct io_works *io_works_open(struct io *);
void io_works_close(struct io *); /* no work may be in flight */
void io_works_add(struct io *, struct io_op *);
/* Run `done`. After a final event (`more` is false) the op is the caller's, and may be gone. */
void io_report(struct io *, struct io_op *, struct io_event);

/* Sleep until something happens, at most wait_ns; 0 does not sleep, -1 sleeps for ever. Returns how
 * many completions are there, or -errno. */
typedef int io_enter_fn(struct io *, int64_t wait_ns);
/* The wait of a step: spins first if that pays, sleeps until the deadline unless something is
 * ready, and reads the clock. Returns what `enter` did. */
int io_wait(struct io *, int64_t deadline_ns, io_enter_fn *enter);

/* The bytes of a send that are still to go, from its first slice. */
struct slice io_send_rest(const struct io_op *);
/* Count bytes as sent. True when that was all. */
bool io_send_advance(struct io_op *, int32_t size);

#endif
