/* SPDX-License-Identifier: MIT
 * Completion I/O: one contract, three backends (epoll.c, uring.c, sim.c).
 *
 * A caller embeds `struct io_op` in its own object, starts it with one of the io_* functions and
 * hears about it in `done`. tests/engine/test_io*.c hold every backend to these rules:
 *
 *   1. `done` never runs inside the call that started or cancelled the op: always later, from
 *      io_step().
 *   2. Starting an op cannot fail. A full queue is flushed; anything else arrives as a result.
 *   3. Every op has exactly one final event (`more` is false). Until then the op and the memory it
 *      points at belong to the backend, afterwards to the caller, who may restart it inside `done`.
 *   4. A result is a byte count, an fd, an event mask, or -errno. A recv result of 0 is end of
 * stream.
 *   5. At most one recv (or poll, or accept) and one send (or sendfile) are in flight per fd; the
 * two directions do not disturb each other.
 *   6. io_cancel() only asks. Events already queued may still arrive with `more` set; the final
 * event is -ECANCELED or the result that won the race.
 *   7. An fd is closed with io_close(), after its ops have ended; then, and not before, it may be
 *      reused by the kernel, and no event of its former life reaches the new one.
 *   8. An empty buffer pool delays a recv; it is not an error. It goes on once io_buf_put() ran.
 *   9. io_work() takes what may block (a file system can hold a write for seconds) off the loop: it
 * runs on a thread of its own, one work after the other as they were started, and is not cancelled.
 *
 * Sockets are blocking (the io_uring way: O_NONBLOCK turns off its internal poll); what is given to
 * io_poll() is used by its owner, who wants it non-blocking. Not thread-safe: one io belongs to one
 * thread, which must also be the one that called io_init(). What a backend has to be is in
 * backend.h. */
#ifndef ASKR_IO_H
#define ASKR_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/base.h"

enum {
    IO_BUF_SIZE = 4096, /* one recv; small, cache-warm buffers pay (docs/decisions) */
    IO_BUF_COUNT = 256, /* per worker: 1 MiB; callers give a buffer back before they return */
    IO_BUF_COUNT_MAX = 1 << 15, /* io_uring's limit for a ring of buffers */
    IO_IOV_MAX = 8,             /* slices of one send */
    IO_RING_ENTRIES = 1024,     /* submission entries asked for; halved on ENOMEM */
    IO_RING_ENTRIES_MIN = 64,
};

struct io;
struct io_op;
struct io_backend;
struct io_works;

struct io_buf {          /* a pool buffer holding what one recv brought */
    struct io_buf *next; /* the holder's */
    uint32_t size;       /* bytes filled */
    uint16_t index;      /* the pool's */
    uint16_t reserved;
    char data[IO_BUF_SIZE];
};

struct io_event {
    int32_t result;
    bool more;          /* the op stays in flight and will fire again */
    struct io_buf *buf; /* recv with result > 0: the callee's now; give it back with io_buf_put() */
};

typedef void io_done_fn(struct io *, struct io_op *, struct io_event);
/* On another thread: it may use the op's object, which the loop leaves alone until `done`, and
 * nothing else of the loop's. What it returns is the result. */
typedef int32_t io_work_fn(struct io_op *);

enum io_kind { IO_ACCEPT, IO_RECV, IO_POLL, IO_SEND, IO_SENDFILE, IO_CLOSE, IO_WORK, IO_KINDS };

struct io_slices { /* what io_send() sends */
    const struct iovec *iov;
    uint32_t count; /* 1 to IO_IOV_MAX */
};

struct io_range { /* what io_sendfile() sends */
    int file;
    int64_t offset;
    int64_t size; /* at most INT32_MAX: it comes back as a result */
};

struct io_op {
    io_done_fn *done;
    int64_t waited_ns; /* how long a send found no room at the peer; for `done` to read */
    /* All below is the backend's while the op is in flight, and for nobody otherwise. */
    struct io_op *next; /* in a queue */
    struct io_op **link;
    union {
        struct {
            const struct iovec *iov;
            uint32_t count;  /* slices left */
            uint32_t offset; /* bytes of the first slice already sent */
        } send;
        struct {
            int64_t offset;
            void *bounce; /* io_uring: where the file is read to */
            int32_t left;
            int file;
        } file;
        uint32_t events; /* poll: EPOLLIN, EPOLLOUT, … */
        io_work_fn *work;
    } arg;
    int64_t tried_ns;    /* when a send found no room, or (io_uring) was handed to the kernel */
    uint32_t tried_step; /* ... and in which step */
    int32_t sent;        /* progress of a send or sendfile */
    int32_t result;      /* what the ready queue will report */
    int fd;
    uint8_t kind;  /* enum io_kind */
    uint8_t state; /* 0 when idle */
    uint16_t flags;
};

struct io_queue { /* of ops, first in first out */
    struct io_op *first, **tail;
    uint32_t count;
};

struct io_options {
    uint32_t ring_entries; /* 0: IO_RING_ENTRIES */
    uint32_t buf_count;    /* 0: IO_BUF_COUNT; a power of two */
    int64_t spin_ns;       /* how long io_step() polls before it sleeps; 0: not at all */
};

struct io {
    const struct io_backend *backend;
    void *priv;            /* the backend's */
    struct io_queue ready; /* finished ops, their `done` still to run */
    struct io_buf *bufs_free;
    struct io_buf *bufs; /* the pool's memory */
    uint32_t buf_count, bufs_out;
    uint32_t inflight;      /* ops without their final event */
    uint32_t events;        /* run by this io_step() so far */
    uint32_t steps;         /* io_step() calls so far */
    struct io_works *works; /* NULL before the first io_work() */
    uint8_t *fds;    /* which directions of an fd have an op in flight: holds rules 5 and 7 */
    int64_t now_ns;  /* CLOCK_MONOTONIC, read once per io_step(), after its wait */
    int64_t spin_ns; /* as asked for */
    int64_t spin_budget_ns; /* as it paid lately: 0 to spin_ns */
    void *user;             /* the caller's */
};

/* 0, or -errno with a sentence. `id` is ASKR_IO_URING, ASKR_IO_EPOLL or ASKR_IO_SIM. */
int io_init(struct io *, enum askr_io_id id, const struct io_options *, askr_error *);
void io_fini(struct io *); /* no op may be in flight */

/* New connections, as fds with SOCK_CLOEXEC, blocking; fires until cancelled or an error. Only for
 * a listener that no other process accepts from: io_uring's multishot ACCEPT is exclusive and
 * sticky, and a backend sets or clears the listener's O_NONBLOCK as it needs. A connection that
 * failed before it was accepted is passed over. A shortage (EMFILE, ENFILE, ENOBUFS, ENOMEM) is a
 * final event, because only the caller knows how long to back off before it starts the op again. */
void io_accept(struct io *, struct io_op *, int listen_fd, io_done_fn *);
/* Received bytes, in pool buffers; may fire until the end of the stream (multishot). A final event
 * with a positive result means: start it again for more. */
void io_recv(struct io *, struct io_op *, int fd, io_done_fn *);
/* All of it, or -errno. The slices and their bytes stay the backend's until done; together they are
 * at most INT32_MAX bytes. */
void io_send(struct io *, struct io_op *, int fd, struct io_slices, io_done_fn *);
/* Part of a file, by pread semantics. Fewer bytes only if the file ended: the result is what was
 * sent. */
void io_sendfile(struct io *, struct io_op *, int fd, struct io_range, io_done_fn *);
/* Readiness edges: fires at least once after each, and once at the start if there is something;
 * may fire spuriously; fires until cancelled. The fd need not be read to hear of the next edge. */
void io_poll(struct io *, struct io_op *, int fd, uint32_t events, io_done_fn *);
void io_close(struct io *, struct io_op *, int fd, io_done_fn *);
/* Have `work` run where it may block. Where no thread can be had it runs here and now, and blocks
 * the loop; `done` comes later all the same. */
void io_work(struct io *, struct io_op *, io_work_fn *work, io_done_fn *done);
/* CPU time that works have taken, ever. */
void io_work_cpu(const struct io *, int64_t *user_ns, int64_t *system_ns);
/* Nothing happens if the op is idle, being closed, at work, or cancelled already. */
void io_cancel(struct io *, struct io_op *);
/* Is the op between its start and its final event? */
bool io_pending(const struct io_op *);
/* Bytes of a send that is in flight which have gone out already, as far as the backend knows. */
static inline uint32_t io_sent(const struct io_op *op)
{
    return io_pending(op) ? (uint32_t)op->sent : 0;
}

/* Submit what was queued, wait until an event or `deadline_ns` (CLOCK_MONOTONIC, NEVER allowed, the
 * past does not block), run what completed. Returns how many events ran (0 also after a signal), or
 * -errno when the backend itself broke. Not to be called from `done`. */
int io_step(struct io *, int64_t deadline_ns);

void io_buf_put(struct io *, struct io_buf *);

/* Does this failure of an accept concern one connection only (accept(2), "Error handling")? */
bool io_accept_passes(int32_t result);

#endif
