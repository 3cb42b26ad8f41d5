/* SPDX-License-Identifier: MIT
 * Timers: a wheel of TIMER_SLOTS slots, each TIMER_TICK_NS wide, made for deadlines that are moved
 * far more often than they pass. Moving one later is a store: the timer stays in its slot and is
 * put where it belongs when that slot comes round. Owned by the loop, not by an I/O backend. */
#ifndef ASKR_TIMER_H
#define ASKR_TIMER_H

#include "base/base.h"

enum {
    TIMER_SLOTS = 512, /* with a tick of 16.8 ms: one turn of the wheel is 8.6 s */
    TIMER_TICK_SHIFT = 24,
};
#define TIMER_TICK_NS (INT64_C(1) << TIMER_TICK_SHIFT)

struct timer;
typedef void timer_fire_fn(struct timer *, int64_t now_ns);

struct timer {
    struct timer *next, **link; /* link is NULL while the timer is not set */
    int64_t deadline_ns;
    int64_t tick; /* which turn of which slot it waits in */
    timer_fire_fn *fire;
};

struct timer_wheel {
    struct timer *slots[TIMER_SLOTS];
    uint64_t occupied[TIMER_SLOTS / 64];
    int64_t tick; /* everything before this one has fired */
};

void timer_wheel_init(struct timer_wheel *, int64_t now_ns);
void timer_init(struct timer *, timer_fire_fn *);
/* Fires from timer_wheel_run() at the first tick past the deadline. Setting it again moves it. */
void timer_set(struct timer_wheel *, struct timer *, int64_t deadline_ns);
void timer_clear(struct timer_wheel *, struct timer *);
/* When timer_wheel_run() has something to look at next; NEVER when no timer is set. */
int64_t timer_wheel_next(const struct timer_wheel *);
/* Fire all that is due; a timer may set or clear itself and others. */
void timer_wheel_run(struct timer_wheel *, int64_t now_ns);

#endif
