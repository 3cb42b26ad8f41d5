/* SPDX-License-Identifier: MIT
 * How the application's end sleeps and rings. Bells cost more than all else a port does, so the
 * worker is rung only when we are about to sleep, or when something must reach it now; and an
 * exchange on the sleep word (app/port_layout.h) tells whether it needs a bell at all. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "app/port_app_end.h"

void port_app_ring(struct askr_port *port)
{
    port->unrung = false;
    port->answered_ns = 0;
    port->body_announced = port->body_read;
    if (atomic_exchange(&port->shared->worker_sleeps, 0) == 0)
        return;
    uint64_t one = 1;
    ssize_t rung = write(port->worker_bell_fd, &one, sizeof one);
    (void)rung; /* EAGAIN: the counter is full, so the bell is ringing already */
}

bool port_app_aborted(struct askr_exchange *exchange)
{
    return atomic_load_explicit(&exchange->slot->aborted_tag, memory_order_acquire) ==
           exchange->tag;
}

uint64_t port_app_room(const struct askr_port *port)
{
    uint64_t read = atomic_load_explicit(&port->shared->worker.response_read, memory_order_acquire);
    return PORT_RESPONSE_RING_SIZE - (port->written - read);
}

uint64_t port_app_body_there(const struct askr_exchange *exchange)
{
    struct port_shared *shared = exchange->port->shared;
    if (atomic_load_explicit(&shared->worker.body_tag, memory_order_acquire) != exchange->tag)
        return 0;
    uint64_t start = exchange->body_begun
                         ? exchange->port->body_read
                         : atomic_load_explicit(&shared->worker.body_start, memory_order_acquire);
    return atomic_load_explicit(&shared->worker.body_written, memory_order_acquire) - start;
}

static bool request_came(const struct askr_port *port)
{
    struct port_shared *shared = port->shared;
    return atomic_load_explicit(&shared->worker.draining, memory_order_acquire) != 0 ||
           atomic_load_explicit(&shared->worker.queue_written, memory_order_acquire) !=
               port->queue_read;
}

static bool news_came(struct askr_port *port, uint32_t news, uint64_t room)
{
    return ((news & PORT_NEWS_REQUEST) && request_came(port)) ||
           ((news & PORT_NEWS_ROOM) && port_app_room(port) >= room) ||
           ((news & PORT_NEWS_BODY) && port_app_body_there(&port->exchange) > 0) ||
           ((news & PORT_NEWS_ABORT) && port_app_aborted(&port->exchange));
}

/* Milliseconds for epoll_wait(2), rounded up so that it does not wake too early; -1: for ever. */
static int timeout_ms(int64_t left_ns)
{
    const int64_t ms_max = 24 * 3600 * 1000;
    int64_t ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms < ms_max ? (int)ms : (int)ms_max;
}

bool port_app_sleep(struct askr_port *port, uint32_t news, uint64_t room, int64_t deadline_ns)
{
    if (port->unrung || port->body_announced != port->body_read)
        port_app_ring(port);
    bool came = false;
    int64_t left_ns = 1;
    while (!came && left_ns > 0) {
        atomic_exchange(&port->shared->app_sleeps, news);
        came = news_came(port, news, room);
        left_ns = deadline_ns == NEVER ? NEVER : deadline_ns - clock_now_ns();
        if (!came && left_ns > 0) {
            struct epoll_event event;
            int count =
                epoll_wait(port->sleep_fd, &event, 1, left_ns == NEVER ? -1 : timeout_ms(left_ns));
            assert(count >= 0 || errno == EINTR); /* a signal is no news: look and sleep again */
        }
    }
    atomic_store_explicit(&port->shared->app_sleeps, 0, memory_order_relaxed);
    return came;
}
