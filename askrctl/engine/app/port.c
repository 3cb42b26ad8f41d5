/* SPDX-License-Identifier: MIT
 * The worker's end of a port: opening it, who holds which slot, request bodies, bells. port_put.c
 * writes requests, port_next.c reads answers.
 *
 * Invariant: nothing here follows what the application wrote without comparing it with struct port
 * first; a position of the application's that makes no sense costs it room, never us memory. */
#include "app/port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/port_worker.h"

size_t port_shm_size(void)
{
    return sizeof(struct port_shared);
}

int port_check_memory(int memfd, askr_error *error)
{
    const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
    int seals = fcntl(memfd, F_GET_SEALS);
    struct stat status;
    if (seals < 0 || fstat(memfd, &status) != 0)
        return askr_fail(error, errno, "a port needs a memfd: %s", strerror(errno));
    if ((seals & wanted) != wanted)
        return askr_fail(error, EINVAL, "a port's memory must be sealed against shrinking");
    if ((size_t)status.st_size != port_shm_size())
        return askr_fail(error, EINVAL, "a port has %zu bytes, this one has %lld", port_shm_size(),
                         (long long)status.st_size);
    return 0;
}

/* A full counter must never block us; the flag belongs to the file, so setting it here suffices. */
static int make_nonblocking(int fd, askr_error *error)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return askr_fail(error, errno, "a port's bell cannot be used: %s", strerror(errno));
    return 0;
}

int port_open(struct port **out, int memfd, int app_bell_fd, askr_error *error)
{
    int result = port_check_memory(memfd, error);
    if (result == 0)
        result = make_nonblocking(app_bell_fd, error);
    if (result != 0)
        return result;

    struct port *port = calloc(1, sizeof *port);
    if (port == NULL)
        return askr_fail(error, ENOMEM, "no memory for a port");
    port->shared = mmap(NULL, port_shm_size(), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (port->shared == MAP_FAILED) {
        result = askr_fail(error, errno, "cannot map a port: %s", strerror(errno));
        free(port);
        return result;
    }
    port->app_bell_fd = app_bell_fd;
    *out = port;
    return 0;
}

void port_close(struct port *port)
{
    munmap(port->shared, port_shm_size());
    free(port);
}

struct port_pending *port_find(struct port *port, uint32_t tag)
{
    uint32_t index = port_tag_index(tag);
    if (index >= PORT_SLOTS)
        return NULL;
    struct port_pending *pending = &port->pending[index];
    bool same = pending->in_use && pending->generation == tag >> PORT_INDEX_BITS;
    return same ? pending : NULL;
}

void port_free_slot(struct port *port, uint32_t tag)
{
    uint32_t index = port_tag_index(tag), at = 0;
    while (at < port->order_count && port->order[at] != index)
        at++;
    assert(at < port->order_count);
    port->order_count--;
    memmove(port->order + at, port->order + at + 1, port->order_count - at);
    port->pending[index].in_use = false;
}

bool port_revoke(struct port *port, uint32_t tag)
{
    struct port_pending *pending = port_find(port, tag);
    assert(pending != NULL);
    if (pending->started)
        return false;
    uint32_t queued = port_slot_word(tag, PORT_SLOT_QUEUED);
    if (!atomic_compare_exchange_strong(&port->shared->slots[port_tag_index(tag)].state, &queued,
                                        port_slot_word(tag, PORT_SLOT_REVOKED)))
        return false;
    port_free_slot(port, tag);
    return true;
}

void port_abort(struct port *port, uint32_t tag)
{
    assert(port_find(port, tag) != NULL);
    atomic_store_explicit(&port->shared->slots[port_tag_index(tag)].aborted_tag, tag,
                          memory_order_release);
    port->news |= PORT_NEWS_ABORT;
    if (tag == port->current)
        port->body_left = 0; /* nobody will read the rest */
}

/* The application's position is a hint: one outside of this body counts as "nothing read yet". */
size_t port_body_room(struct port *port)
{
    if (port->current == 0 || port->body_left == 0)
        return 0;
    assert(port->body_written >= port->body_start);
    port->body_read = atomic_load_explicit(&port->shared->app.body_read, memory_order_acquire);
    uint64_t unread = port->body_written - port->body_read;
    if (unread > port->body_written - port->body_start)
        unread = port->body_written - port->body_start;
    size_t room = unread < PORT_BODY_RING_SIZE ? PORT_BODY_RING_SIZE - (size_t)unread : 0;
    port->body_room = size_min(room, (size_t)port->body_left);
    port->body_starved = port->body_room == 0;
    return port->body_room;
}

void port_body_write(struct port *port, struct slice bytes)
{
    assert(bytes.size <= port->body_room);
    port_ring_put(port->shared->body, PORT_BODY_RING_SIZE, port->body_written, bytes);
    port->body_written += bytes.size;
    port->body_room -= bytes.size;
    port->body_left -= (int64_t)bytes.size;
    port->body_starved = port->body_room == 0 && port->body_left > 0;
    port->news |= PORT_NEWS_BODY;
}

void port_drain(struct port *port)
{
    port->draining = true;
    port->news |= PORT_NEWS_REQUEST;
}

void port_publish(struct port *port)
{
    struct port_shared *shared = port->shared;
    if (port->released != port->consumed) {
        port->released = port->consumed;
        port->news |= PORT_NEWS_ROOM;
    }
    if (port->news == 0)
        return;
    atomic_store_explicit(&shared->worker.response_read, port->released, memory_order_release);
    atomic_store_explicit(&shared->worker.queue_written, port->queue_written, memory_order_release);
    atomic_store_explicit(&shared->worker.body_written, port->body_written, memory_order_release);
    atomic_store_explicit(&shared->worker.draining, port->draining, memory_order_release);
    uint32_t news = port->news;
    port->news = 0;
    if (atomic_fetch_and(&shared->app_sleeps, ~news) & news) {
        uint64_t one = 1;
        ssize_t rung = write(port->app_bell_fd, &one, sizeof one);
        (void)rung; /* EAGAIN: the counter is full, so the bell is ringing already */
    }
}

/* All room for the body was used, and the application has read since. Said once: a worker that has
 * nothing to write after all must be able to sleep. */
static bool body_room_came(struct port *port)
{
    uint64_t read = atomic_load_explicit(&port->shared->app.body_read, memory_order_acquire);
    bool came = port->body_left > 0 && port->body_starved && read != port->body_read;
    port->body_starved = port->body_starved && !came;
    return came;
}

bool port_arm(struct port *port)
{
    if (port->phase == PORT_DEFUNCT)
        return true;
    if (port->finish_follows || port->body_frame_left > 0 || port->cursor != port->written)
        return false;
    atomic_exchange(&port->shared->worker_sleeps, 1);
    port->armed = true;
    uint64_t written =
        atomic_load_explicit(&port->shared->app.response_written, memory_order_acquire);
    return written == port->written && !body_room_came(port);
}

uint32_t port_outstanding(const struct port *port, uint32_t tags[static PORT_SLOTS],
                          bool started[static PORT_SLOTS])
{
    for (uint32_t i = 0; i < port->order_count; i++) {
        uint32_t index = port->order[i];
        uint32_t tag = port->pending[index].generation << PORT_INDEX_BITS | index;
        uint32_t word = atomic_load(&port->shared->slots[index].state);
        tags[i] = tag;
        /* Whatever is not plainly still queued may have been run: it must not be run twice. */
        started[i] = port->pending[index].started || word != port_slot_word(tag, PORT_SLOT_QUEUED);
    }
    return port->order_count;
}
