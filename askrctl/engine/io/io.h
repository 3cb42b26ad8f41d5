/* SPDX-License-Identifier: MIT
 * Completion I/O: one contract, three backends (epoll.c, uring.c, sim.c).
 *
 * A caller embeds `struct io_op` in its own object, starts it with one of the io_* functions and
 * hears about it in `done`. tests/engine/test_io.c holds every backend to these rules:
 *
 *   1. `done` never runs inside the call that started or cancelled the op: always later, from
 *      io_step().
 *   2. Starting an op cannot fail. A full queue is flushed; anything else arrives as a result.
 *   3. Every op has exactly one final event (`more` is false). Until then the op and the memory it
 *      points at belong to the backend, afterwards to the caller, who may restart it inside `done`.
 *   4. A result is a byte count, an fd, an event mask, or -errno. A recv result of 0 is end of stream.
 *   5. At most one recv (or poll, or accept) and one send (or sendfile) are in flight per fd; the two
 *      directions do not disturb each other.
 *   6. io_cancel() only asks. Events already queued may still arrive with `more` set; the final event
 *      is -ECANCELED or the result that won the race.
 *   7. An fd is closed with io_close(), after its ops have ended; then, and not before, it may be
 *      reused by the kernel, and no event of its former life reaches the new one.
 *   8. An empty buffer pool delays a recv; it is not an error. It goes on once io_buf_put() ran.
 *
 * Sockets are blocking (the io_uring way: O_NONBLOCK turns off its internal poll); listeners and
 * eventfds given to io_poll() are non-blocking. Not thread-safe: one io belongs to one thread, which
 * must also be the one that called io_init(). */
#ifndef ASKR_IO_H
#define ASKR_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/base.h"

enum {
    IO_BUF_SIZE = 4096,  /* one recv; small, cache-warm buffers pay (docs/decisions) */
    IO_BUF_COUNT = 256,  /* per worker: 1 MiB; callers give a buffer back before they return */
    IO_IOV_MAX = 8,      /* slices of one send */
    IO_RING_ENTRIES = 1024,     /* submission entries asked for; halved on ENOMEM */
    IO_RING_ENTRIES_MIN = 64,
};

struct io;
struct io_op;

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

enum io_kind { IO_ACCEPT, IO_RECV, IO_POLL, IO_SEND, IO_SENDFILE, IO_CLOSE };

struct io_op {
    io_done_fn *done;
    struct io_op *next; /* the backend's, while it owns the op */
    union {
        struct {
            const struct iovec *iov;
            uint32_t count;  /* slices left */
            uint32_t offset; /* bytes of the first slice already sent */
        } send;
        struct {
            int64_t offset;
            int64_t left;
            int file;
        } file;
        uint32_t events; /* poll: EPOLLIN, EPOLLOUT, … */
    } arg;
    int64_t sent;      /* the backend's: progress of a send or sendfile */
    void *priv;        /* the backend's */
    int fd;
    int32_t result;    /* the backend's: what the ready queue will report */
    uint8_t kind;      /* enum io_kind */
    uint8_t state;     /* the backend's; 0 when idle */
    uint16_t flags;    /* the backend's */
};

struct io_options {
    uint32_t ring_entries; /* 0: IO_RING_ENTRIES */
    uint32_t buf_count;    /* 0: IO_BUF_COUNT; a power of two */
    int64_t spin_ns;       /* how long io_step() polls before it sleeps; 0: not at all */
};

struct io_backend {
    const char *name;
    int (*open)(struct io *, const struct io_options *, askr_error *);
    void (*submit)(struct io *, struct io_op *);
    void (*cancel)(struct io *, struct io_op *);
    int (*step)(struct io *, int64_t wait_ns); /* <0 wait for ever; returns events run or -errno */
    void (*buf_put)(struct io *, struct io_buf *); /* NULL: the free list is all there is */
    void (*close)(struct io *);
};

struct io {
    const struct io_backend *backend;
    void *priv;               /* the backend's */
    struct io_op *ready;      /* finished ops, their `done` still to run */
    struct io_op **ready_tail;
    struct io_buf *bufs_free;
    struct io_buf *bufs;      /* the pool's memory */
    uint32_t buf_count, bufs_out;
    uint32_t inflight;        /* ops without their final event */
    int64_t now_ns;           /* CLOCK_MONOTONIC, read once per io_step() */
    int64_t spin_ns;
    void *user;               /* the caller's */
};

/* 0, or -errno with a sentence. `id` is ASKR_IO_URING, ASKR_IO_EPOLL or ASKR_IO_SIM. */
int io_init(struct io *, enum askr_io_id id, const struct io_options *, askr_error *);
void io_fini(struct io *); /* no op may be in flight */

/* New connections, as fds with SOCK_CLOEXEC, blocking; fires until cancelled or an error. Only for a listener that no other
 * process accepts from: io_uring's multishot ACCEPT is exclusive and sticky. */
void io_accept(struct io *, struct io_op *, int listen_fd, io_done_fn *);
/* Received bytes, in pool buffers; may fire until the end of the stream (multishot). A final event
 * with a positive result means: start it again for more. */
void io_recv(struct io *, struct io_op *, int fd, io_done_fn *);
/* All of it, or -errno. `iov` and the bytes stay the backend's until done. count <= IO_IOV_MAX. */
void io_send(struct io *, struct io_op *, int fd, const struct iovec *, uint32_t count, io_done_fn *);
/* `size` bytes of `file` from `offset`, by pread semantics. Fewer only if the file ended: the result
 * is what was sent. */
void io_sendfile(struct io *, struct io_op *, int fd, int file, int64_t offset, int64_t size,
                 io_done_fn *);
/* Readiness edges: fires at least once after each; may fire spuriously; fires until cancelled. */
void io_poll(struct io *, struct io_op *, int fd, uint32_t events, io_done_fn *);
void io_close(struct io *, struct io_op *, int fd, io_done_fn *);
void io_cancel(struct io *, struct io_op *);
/* Is the op between its start and its final event? */
bool io_pending(const struct io_op *);

/* Submit what was queued, wait until an event or `deadline_ns` (CLOCK_MONOTONIC, NEVER allowed, the
 * past does not block), run what completed. Returns how many events ran, or -errno when the backend
 * itself broke. */
int io_step(struct io *, int64_t deadline_ns);

void io_buf_put(struct io *, struct io_buf *);

/* For backends. */
struct io_buf *io_buf_get(struct io *); /* NULL when the pool is empty */
void io_ready(struct io *, struct io_op *, int32_t result);
int io_run_ready(struct io *);
void io_finish(struct io *, struct io_op *, struct io_event); /* run done for a final event */

extern const struct io_backend io_epoll;
extern const struct io_backend io_uring_backend; /* absent when built without liburing */
extern const struct io_backend io_sim;

#endif
