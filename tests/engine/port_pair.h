/* SPDX-License-Identifier: MIT
 * Both ends of a port for a test: sealed memory, two bells, the worker's end open. The
 * application's end is opened by the test in the same process, or by a process it forks. */
#ifndef PORT_PAIR_H
#define PORT_PAIR_H

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/port.h"
#include "app/port_app.h"

struct pair {
    int memfd, app_bell, worker_bell;
    struct port *worker;
    struct askr_port *app;
};

static inline void must(bool fine, const char *what)
{
    if (!fine) {
        perror(what);
        abort();
    }
}

static inline int sealed_memory(size_t size)
{
    int fd = memfd_create("port", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    must(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "memfd");
    must(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0, "seal");
    return fd;
}

static inline struct pair pair_open(void)
{
    struct pair pair = {.memfd = sealed_memory(port_shm_size()),
                        .app_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                        .worker_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    askr_error error;
    must(port_open(&pair.worker, pair.memfd, pair.app_bell, &error) == 0, error.text);
    return pair;
}

static inline void pair_open_app(struct pair *pair)
{
    askr_error error;
    must(port_app_open(&pair->app, pair->memfd, pair->app_bell, pair->worker_bell, &error) == 0,
         error.text);
}

static inline void pair_close(struct pair *pair)
{
    if (pair->app != NULL)
        port_app_close(pair->app);
    port_close(pair->worker);
    close(pair->memfd);
    close(pair->app_bell);
    close(pair->worker_bell);
}

/* Sleeps until the application rings, unless there is something already. */
static inline void pair_sleep(struct pair *pair)
{
    if (!port_arm(pair->worker))
        return;
    struct pollfd bell = {.fd = pair->worker_bell, .events = POLLIN};
    uint64_t rings;
    must(poll(&bell, 1, 30000) == 1, "the application does not ring");
    must(read(pair->worker_bell, &rings, sizeof rings) == (ssize_t)sizeof rings, "bell");
}

/* The next message; sleeps for it. */
static inline enum port_event pair_next(struct pair *pair, struct port_message *message)
{
    for (;;) {
        enum port_event event = port_next(pair->worker, message);
        if (event != PORT_NONE)
            return event;
        port_publish(pair->worker);
        pair_sleep(pair);
    }
}

/* A GET for `path` with nothing else in it. */
static inline struct port_request plain_request(struct http_request *http, const char *path)
{
    memset(http, 0, offsetof(struct http_request, fields));
    http->method_name = SLICE("GET");
    http->target = http->path = slice_of(path);
    http->authority = SLICE("localhost");
    http->content_length = -1;
    http->version = 1001;
    return (struct port_request){.http = http, .path = http->path};
}

#endif
