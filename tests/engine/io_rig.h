/* SPDX-License-Identifier: MIT
 * What the tests of the I/O contract share: an open backend (a "rig"), ops that note what happened
 * to them ("probes"), and a peer that is a TCP socket for a real backend and sim.h for the
 * simulated one.
 *
 * Every test function gets a fresh rig, once for each backend; io_uring counts twice, because
 * kernels before 6.0 have no multishot recv. Waiting is stepping until something holds: STEPS
 * bounds it, so a lost event fails its check instead of hanging. */
#ifndef IO_RIG_H
#define IO_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/backend.h"
#include "io/sim.h"
#ifdef ASKR_HAVE_LIBURING
#include "io/uring.h"
#endif
#include "tap.h"

enum { STEPS = 400, PROBE_DATA = 64 };
#define STEP_NS (50 * NS_PER_MS)

struct rig {
    struct io io;
    const char *name;
    bool one_shot;
};

/* Both ends of a connection; the backend drives `fd`. */
struct link {
    int fd;
    int peer;
};

struct probe {
    struct io_op op;
    struct rig *rig;
    int events, finals, inside;
    int32_t first, last, final; /* results */
    void *user;                 /* the test's */
    int64_t bytes;
    unsigned long sum;     /* of the bytes and their places: tells a lost or swapped one */
    char data[PROBE_DATA]; /* the first bytes */
    bool restart;          /* a recv that ended with data */
    struct io_buf *kept;   /* hold buffers back instead of returning them */
    bool keep;
};

/* Set while an io_* function runs: `done` must not be called inside it (rule 1). */
static bool io_rig_starting;

#define STARTING(call)           \
    do {                         \
        io_rig_starting = true;  \
        call;                    \
        io_rig_starting = false; \
    } while (0)

#define UNTIL(rig, condition)                                                     \
    for (int io_rig_left = STEPS; io_rig_left > 0 && !(condition); io_rig_left--) \
    step(rig)

static inline void step(struct rig *rig)
{
    int result = io_step(&rig->io, rig->io.now_ns + STEP_NS);
    assert(result >= 0);
}

/* Let happen what can happen now. */
static inline void settle(struct rig *rig)
{
    for (int quiet = 0, left = STEPS; quiet < 3 && left > 0; left--)
        quiet = io_step(&rig->io, 0) == 0 ? quiet + 1 : 0;
}

static inline bool is_sim(const struct rig *rig)
{
    return rig->io.backend == &io_sim;
}

static inline unsigned long sum_of(const char *bytes, size_t size, int64_t from)
{
    unsigned long sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)bytes[i] * (unsigned long)(from + (int64_t)i + 1);
    return sum;
}

static inline void note(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    probe->events++;
    probe->finals += !event.more;
    probe->inside += io_rig_starting;
    probe->last = event.result;
    if (probe->events == 1)
        probe->first = event.result;
    if (!event.more)
        probe->final = event.result;
    if (event.buf != NULL) {
        for (int64_t i = 0; i < event.result && probe->bytes + i < PROBE_DATA; i++)
            probe->data[probe->bytes + i] = event.buf->data[i];
        probe->sum += sum_of(event.buf->data, (size_t)event.result, probe->bytes);
        probe->bytes += event.result;
        if (probe->keep) {
            event.buf->next = probe->kept;
            probe->kept = event.buf;
        } else {
            io_buf_put(io, event.buf);
        }
    }
    if (!event.more && event.result > 0 && probe->restart)
        STARTING(io_recv(io, op, op->fd, note));
}

static inline void give_back(struct probe *probe)
{
    for (struct io_buf *buf; (buf = probe->kept) != NULL;) {
        probe->kept = buf->next;
        io_buf_put(&probe->rig->io, buf);
    }
}

/* A recv that is started again until the stream ends, whatever the backend's way of ending one. */
static inline void read_on(struct rig *rig, struct probe *probe, int fd)
{
    probe->rig = rig;
    probe->restart = true;
    STARTING(io_recv(&rig->io, &probe->op, fd, note));
}

static inline void send_on(struct rig *rig, struct probe *probe, int fd, struct io_slices slices)
{
    probe->rig = rig;
    STARTING(io_send(&rig->io, &probe->op, fd, slices, note));
}

static inline void stop(struct rig *rig, struct probe *probe)
{
    probe->restart = false;
    STARTING(io_cancel(&rig->io, &probe->op));
    UNTIL(rig, !io_pending(&probe->op));
}

static inline void close_fd(struct rig *rig, int fd)
{
    struct probe probe = {.rig = rig};
    STARTING(io_close(&rig->io, &probe.op, fd, note));
    UNTIL(rig, probe.finals == 1);
    assert(probe.finals == 1 && probe.final == 0);
}

/* --- the peer --- */

/* Blocking, on a port of its own. */
static inline int listen_somewhere(struct sockaddr_in *name)
{
    socklen_t size = sizeof *name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int failed = bind(fd, (struct sockaddr *)name, size) || listen(fd, 64) ||
                 getsockname(fd, (struct sockaddr *)name, &size);
    assert(!failed);
    return fd;
}

static inline int connect_to(const struct sockaddr_in *name)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int size = 1 << 16; /* or the kernel would take megabytes that nobody reads */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    int failed = connect(fd, (const struct sockaddr *)name, sizeof *name);
    assert(!failed);
    return fd;
}

static inline struct link link_up(struct rig *rig)
{
    if (is_sim(rig))
        return (struct link){sim_socket(&rig->io), -1};
    struct sockaddr_in name;
    int listener = listen_somewhere(&name);
    struct link link = {.peer = connect_to(&name)};
    link.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    assert(link.fd >= 0);
    int size = 1 << 16, on = 1;
    setsockopt(link.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return link;
}

static inline void peer_send(struct rig *rig, struct link link, const char *bytes, size_t size)
{
    if (link.peer < 0) {
        sim_feed(&rig->io, link.fd, bytes, size);
        return;
    }
    ssize_t sent = send(link.peer, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert(sent == (ssize_t)size);
}

/* What is there now, at most `size`. */
static inline size_t peer_take(struct rig *rig, struct link link, char *bytes, size_t size)
{
    if (link.peer < 0)
        return sim_take(&rig->io, link.fd, bytes, size);
    ssize_t got = recv(link.peer, bytes, size, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

static inline void peer_shutdown(struct rig *rig, struct link link)
{
    if (link.peer < 0)
        sim_shutdown(&rig->io, link.fd);
    else
        shutdown(link.peer, SHUT_WR);
}

static inline void peer_reset(struct rig *rig, struct link *link)
{
    if (link->peer < 0) {
        sim_reset(&rig->io, link->fd);
        return;
    }
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(link->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(link->peer);
    link->peer = -1;
}

static inline void link_down(struct rig *rig, struct link link)
{
    close_fd(rig, link.fd);
    if (link.peer >= 0)
        close(link.peer);
}

/* --- running --- */

typedef void rig_test(struct rig *);

struct rig_kind {
    const char *name;
    enum askr_io_id id;
    bool one_shot;
};

static const struct rig_kind rig_kinds[] = {
    {"io_uring", ASKR_IO_URING, false},   {"io_uring, one-shot", ASKR_IO_URING, true},
    {"epoll", ASKR_IO_EPOLL, false},      {"sim", ASKR_IO_SIM, false},
    {"sim, one-shot", ASKR_IO_SIM, true},
};

/* False when this machine or build has no such backend; `error` says why. */
static inline bool rig_open(struct rig *rig, const struct rig_kind *kind,
                            const struct io_options *options, askr_error *error)
{
    *rig = (struct rig){.name = kind->name, .one_shot = kind->one_shot};
    if (io_init(&rig->io, kind->id, options, error) < 0)
        return false;
    if (kind->one_shot && is_sim(rig))
        sim_one_shot(&rig->io);
#ifdef ASKR_HAVE_LIBURING
    else if (kind->one_shot)
        uring_without_multishot(&rig->io);
#endif
    return true;
}

static inline void rig_run(const struct rig_kind *kind, rig_test *const *tests, size_t count,
                           const struct io_options *options)
{
    for (size_t i = 0; i < count; i++) {
        struct rig *rig = malloc(sizeof *rig);
        askr_error error;
        assert(rig != NULL);
        if (rig_open(rig, kind, options, &error)) {
            tests[i](rig);
            OK(rig->io.inflight == 0 && rig->io.bufs_out == 0,
               "%s: test %zu leaves no op and no buffer behind", kind->name, i);
            io_fini(&rig->io);
        } else {
            OK(true, "%s # SKIP %s", kind->name, error.text);
        }
        free(rig);
    }
}

#define RIG_RUN_ALL(tests, options)                                                    \
    do {                                                                               \
        for (size_t io_rig_kind = 0; io_rig_kind < COUNT_OF(rig_kinds); io_rig_kind++) \
            rig_run(&rig_kinds[io_rig_kind], tests, COUNT_OF(tests), options);         \
    } while (0)

#endif
