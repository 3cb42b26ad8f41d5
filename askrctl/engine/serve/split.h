/* SPDX-License-Identifier: MIT
 * Where a request's time goes: stamps in its exchange, sums and histograms in the worker's page.
 *
 *   read      its first byte here → its last one
 *   queue     its last byte here → an application takes it (or it is refused)
 *   app_wall  taken → the answer is complete, by the application's clock
 *   app_cpu   CPU time of the application's thread up to there, by its own clock
 *   write     the first byte of the answer is known → the last one is with the kernel
 *   client    of sends: the peer's window was full. Within `write`, not beside it
 *
 * Stamps are the loop's clock, read once a turn, so a stamp costs a store. What an application says
 * of clocks is cut to what can be true before it is used. An answered exchange is parked with its
 * connection until its last byte has been handed over; then it is counted, and recycled. */
#ifndef ASKR_SPLIT_H
#define ASKR_SPLIT_H

#include "base/base.h"

struct app;
struct conn;
struct exchange;
struct handed;
struct port_message;
struct worker;

struct split_times { /* CLOCK_MONOTONIC; 0: not yet */
    int64_t began_ns, received_ns, taken_ns, first_ns;
    int64_t app_wall_ns, app_cpu_ns;
    int64_t client_ns;
};

/* The same as durations, up to now. */
struct split_parts {
    int64_t total_ns, read_ns, queue_ns, app_wall_ns, app_cpu_ns, write_ns, client_ns;
};

struct split_worker {
    uint64_t held_ns;           /* app_held_ns, without the now that it ends with: split_held() */
    uint64_t requests;          /* at the last heartbeat */
    int64_t user_ns, system_ns; /* CPU time of this thread, then */
};

/* The answer is complete and is as far as the connection's output. Takes the exchange over. */
void split_answered(struct exchange *);
/* The client left before its answer was complete. The exchange stays the caller's. */
void split_abandoned(struct exchange *);
/* A send had to wait for the peer so long. */
void split_waited(struct conn *, int64_t waited_ns);
/* More bytes are with the kernel, as conn->sent says; or the connection has ended. */
void split_sent(struct conn *);
void split_closed(struct conn *);

/* Of an exchange that is complete, or is being given up. */
struct split_parts split_parts(const struct exchange *);

/* What an application says. `exchange` of `handed` may be NULL: the client has left. */
void split_taken(struct app *, struct handed *, const struct port_message *);
void split_ended(struct app *, struct handed *, const struct port_message *);
void split_finished(struct app *, struct handed *, const struct port_message *);
/* Its process is gone, or given up. */
void split_lost(struct app *, struct handed *);
/* Applications hold requests from now on; or none any more. From when to when is added up as the
 * sum of the latter without that of the former. */
static inline void split_held(struct split_worker *own, int64_t now_ns)
{
    if (ASKR_METRICS)
        own->held_ns -= (uint64_t)now_ns;
}
static inline void split_released(struct split_worker *own, int64_t now_ns)
{
    if (ASKR_METRICS)
        own->held_ns += (uint64_t)now_ns;
}

/* The worker begins to serve; a heartbeat. */
void split_open(struct worker *);
void split_beat(struct worker *);

#endif
