/* SPDX-License-Identifier: MIT
 * What the application's end of a port remembers, shared by port_app*.c alone. */
#ifndef ASKR_PORT_APP_END_H
#define ASKR_PORT_APP_END_H

#include <sys/types.h>

#include "app/port_app.h"
#include "app/port_layout.h"

/* An answer that is ready waits at most this long for a bell when another request is to be started;
 * a bell costs about 2 µs on the worker's core, so batches of short requests share one. */
#define PORT_UNRUNG_MAX_NS (150 * NS_PER_US)

struct askr_exchange {
    struct askr_port *port;
    uint32_t tag;
    struct port_slot *slot;
    bool active, headed, ended, trailed;
    int64_t body_left;  /* request body not yet read */
    uint32_t inline_at; /* its next byte in the slot's text, when it is there */
    bool body_streamed; /* it comes through the body ring instead */
    bool body_begun;    /* ... where `port->body_read` is its next byte */
    int64_t ended_ns;   /* when it ended */
    struct askr_request request;
    struct askr_field fields[HTTP_FIELDS_MAX];
    struct askr_field variables[PORT_VARIABLES_MAX];
};

struct askr_port {
    struct port_shared *shared;
    int worker_bell_fd;
    pid_t zygote_pid; /* our parent */
    int sleep_fd;     /* epoll set with the application's bell in it, edge-triggered */
    uint64_t queue_read;
    uint64_t written;        /* end of our frames in the response ring */
    uint64_t body_read;      /* position in the body ring */
    uint64_t body_announced; /* what it was when the worker was last rung */
    bool unrung;             /* the worker has not been rung for what we wrote */
    int64_t cpu_ns;          /* this thread's CPU clock when it was last told */
    bool lingers;            /* the last request went on for long after its answer */
    int64_t answered_ns;     /* when the first answer it has not been rung for was complete; 0 */
    struct askr_exchange exchange;
};

/* port_app_sleep.c. Tell the worker, if it sleeps, that there is something for it. */
void port_app_ring(struct askr_port *);
/* Sleep until one of `news` has come or the deadline has passed; the worker is told first what it
 * has not been told. `room` is how much PORT_NEWS_ROOM asks for. False: the deadline passed. */
bool port_app_sleep(struct askr_port *, uint32_t news, uint64_t room, int64_t deadline_ns);
bool port_app_aborted(struct askr_exchange *);
/* Free bytes of the response ring. */
uint64_t port_app_room(const struct askr_port *);
/* Bytes of the request body that are in the body ring. */
uint64_t port_app_body_there(const struct askr_exchange *);

/* port_app_take.c: the request. */
int port_app_take(struct askr_port *, struct askr_exchange **out, int64_t timeout_ns);
const struct askr_request *port_app_request(struct askr_exchange *);
int64_t port_app_read(struct askr_exchange *, void *buf, size_t size);

/* port_app_answer.c: the answer. */
void port_app_ready(struct askr_port *);
void port_app_boot_failed(struct askr_port *, const char *why);
/* STARTED, for a request that was just taken at `now_ns`. */
void port_app_started(struct askr_exchange *, int64_t now_ns);
int port_app_head(struct askr_exchange *, int status, const struct askr_field *, size_t count);
int port_app_interim(struct askr_exchange *, int status, const struct askr_field *, size_t count);
int port_app_trailers(struct askr_exchange *, const struct askr_field *, size_t count);
int port_app_write(struct askr_exchange *, const void *data, size_t size);
int port_app_flush(struct askr_exchange *);
int port_app_end(struct askr_exchange *);
void port_app_answered(struct askr_exchange *, enum askr_outcome);
void port_app_finish(struct askr_exchange *, enum askr_outcome);

#endif
