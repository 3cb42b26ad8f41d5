/* SPDX-License-Identifier: MIT
 * More ends for io_rig.h: listeners ("doors") that somebody knocks at, and things that can be
 * polled
 * ("sources": an eventfd, or the simulated kind). */
#ifndef IO_RIG_FDS_H
#define IO_RIG_FDS_H

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "io_rig.h"

struct door {
    int fd;
    struct sockaddr_in name;
};

static inline struct door door_open(struct rig *rig)
{
    struct door door = {.fd = -1};
    if (is_sim(rig))
        door.fd = sim_listener(&rig->io);
    else
        door.fd = listen_somewhere(&door.name);
    return door;
}

/* A new connection. Returns the peer's end; -1 when that is sim.h. */
static inline int door_knock(struct rig *rig, const struct door *door)
{
    if (!is_sim(rig))
        return connect_to(&door->name);
    sim_connect(&rig->io, door->fd);
    return -1;
}

/* accept4() as a listener's poll calls it: a new fd, or -errno. */
static inline int door_take(struct rig *rig, const struct door *door)
{
    if (is_sim(rig))
        return sim_accept(&rig->io, door->fd);
    int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static inline int source_open(struct rig *rig)
{
    int fd = is_sim(rig) ? sim_source(&rig->io) : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(fd >= 0);
    return fd;
}

/* Becomes readable, or is so once more. */
static inline void source_ring(struct rig *rig, int fd)
{
    if (is_sim(rig)) {
        sim_fire(&rig->io, fd, EPOLLIN);
        return;
    }
    int failed = eventfd_write(fd, 1);
    assert(!failed);
}

/* Read it: it is not readable until it rings again. */
static inline void source_calm(struct rig *rig, int fd)
{
    if (is_sim(rig)) {
        sim_calm(&rig->io, fd);
        return;
    }
    eventfd_t value;
    int failed = eventfd_read(fd, &value);
    assert(!failed);
}

static inline void accept_on(struct rig *rig, struct probe *probe, int fd, io_done_fn *done)
{
    probe->rig = rig;
    STARTING(io_accept(&rig->io, &probe->op, fd, done));
}

static inline void poll_on(struct rig *rig, struct probe *probe, int fd, uint32_t events)
{
    probe->rig = rig;
    STARTING(io_poll(&rig->io, &probe->op, fd, events, note));
}

/* Let this process open `count` more fds than it has, and no others. The lowest free number is the
 * limit then, because all below it are taken. Returns what to put back. */
static inline struct rlimit fds_limit(int count)
{
    struct rlimit before;
    int taken[16], lowest = -1;
    assert(count < (int)COUNT_OF(taken));
    for (int i = 0; i <= count; i++)
        lowest = taken[i] = dup(0);
    for (int i = 0; i <= count; i++)
        close(taken[i]);
    getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit limit = {.rlim_cur = (rlim_t)lowest, .rlim_max = before.rlim_max};
    int failed = setrlimit(RLIMIT_NOFILE, &limit);
    assert(lowest >= 0 && !failed);
    return before;
}

/* Room for tests that need thousands. False when the machine does not give them. */
static inline bool fds_allow(rlim_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= count)
        return true;
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= count;
}

#endif
