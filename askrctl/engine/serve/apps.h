/* SPDX-License-Identifier: MIT
 * The application processes of a worker, and the queues in front of them (site.h).
 *
 * Dispatch is first-fit by place: an application that answers in microseconds is handed a batch, so
 * that one wake-up carries many requests; one that is slow, or is busy right now, gets one at a
 * time, so that nothing waits behind it while another is idle. What was handed ahead to an
 * application that then turns out to be stuck is taken back. */
#ifndef ASKR_APPS_H
#define ASKR_APPS_H

#include "app/port.h"
#include "io/io.h"

#define APP_BATCH_NS \
    (200 * NS_PER_US) /* work handed ahead of one application: four wake-ups' worth */
#define APP_STALL_NS (2 * NS_PER_MS) /* handed-ahead requests are taken back after this */

struct worker;
struct exchange;
struct site;

struct handed {                /* one request in the port */
    struct exchange *exchange; /* NULL: the client left, the application does not know yet */
    uint32_t tag;
    bool busy, started;
    int64_t put_ns, taken_ns, ended_ns; /* split.h */
    struct handed_name {                /* what it asks for, as askr_app_status will show it */
        char method[8], path[120];
        uint32_t path_size;
    } * name;
};

struct app {
    struct io_op pidfd_op;
    struct worker *worker;
    struct site *site; /* whose requests it serves */
    struct port *port; /* NULL: no process in this place */
    struct askr_app_status *status;
    int memfd, bell_fd, pidfd;
    int32_t pid;
    uint32_t place;
    bool ready, failed; /* failed: it said that it cannot boot, and will exit */
    bool retiring;      /* it was told to go */
    bool overdue;       /* its request was answered with 504 and has still not ended */
    bool watched;       /* pidfd_op is in flight */
    bool gone;          /* its process has ended: what it said is taken, room or not */
    bool leaving;       /* given up; the place is free once pidfd_op has ended */
    int32_t next_pid;   /* who takes the place then; 0: nobody yet */
    int next_fds[3];
    struct handed handed[PORT_SLOTS];
    struct handed_name names[PORT_SLOTS];
    const struct handed_name *taken_name; /* of what it took last; NULL: the page shows that */
    uint32_t handed_count;
    struct handed *served; /* the one it has begun; NULL: none */
    int64_t started_ns;    /* of the request being served; 0: none */
    int64_t pace_ns;       /* smoothed time per request */
    int64_t began_ns;      /* the same by the application's clock */
    int64_t told_ns;       /* when it last told its CPU time */
};

struct apps {
    struct app app[ASKR_APPS_MAX];
    uint32_t count;
    uint32_t first;        /* the place that is heard first, so that none is always the last */
    uint32_t queued;       /* requests in the queues of all sites */
    uint32_t handed_count; /* in all ports */
};

void apps_init(struct worker *);
/* A process for this place; takes over the fds. */
void apps_attach(struct worker *, uint32_t place, int32_t pid, int fds[static 3]);
/* Hand it nothing more: it ends when it has finished what it has. */
void apps_retire(struct worker *, uint32_t place, int32_t pid);
/* A complete request: hand it over, queue it, or answer 503. */
void apps_submit(struct exchange *);
/* The client left while the request was queued or handed over. */
void apps_forget(struct exchange *);
/* Read what the applications said. Returns how many messages. */
uint32_t apps_drain(struct worker *, int64_t now_ns);
void apps_dispatch(struct worker *, int64_t now_ns);
/* Ring those that sleep and have something to do. */
void apps_publish(struct worker *);
/* Ask to be rung. False: there are answers already. */
bool apps_arm(struct worker *);
/* Every heartbeat: what the page shows of what they do. */
void apps_beat(struct worker *);
/* Time-outs of the queues and of running requests; every heartbeat. */
void apps_tick(struct worker *, int64_t now_ns);
/* When handed-ahead requests must be looked at again; NEVER. */
int64_t apps_next(const struct worker *, int64_t now_ns);
void apps_stop(struct worker *);
bool apps_any_ready(const struct site *);

#endif
