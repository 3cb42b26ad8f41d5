/* SPDX-License-Identifier: MIT
 * Who has to go when limits.connections is reached, or the last descriptors are: a cap that lets
 * newcomers wait would be the denial of service that it is there to prevent. Connections that wait
 * for a request are queued by how long they have done so, and one goes for each newcomer:
 *
 *   1. one that has been at its first request, or in a head, for longer than EVICT_SLOW_NS
 *   2. the one that has been idle between requests for the longest time
 *   3. one that has been at its head for longer than EVICT_NEW_NS
 *
 * One with a request under way is never evicted: body, answer and application have limits of their
 * own (conn_timer.c). Whoever goes is closed without a word, as an idle connection is. */
#ifndef ASKR_EVICT_H
#define ASKR_EVICT_H

#include "serve/conn.h"

#define EVICT_SLOW_NS NS_PER_S /* a request is here 1 s after the connect, handshake and all */
#define EVICT_NEW_NS (100 * NS_PER_MS) /* … and nobody is sent away who may just have sent it */

enum evict_queue { EVICT_NOT, EVICT_HEAD, EVICT_IDLE, EVICT_QUEUES };

struct evict_list {
    struct conn *first, **last;
};

struct evictions { /* a worker's */
    struct evict_list lists[EVICT_QUEUES];
    uint32_t leaving; /* evicted and not gone yet */
    bool wanted;      /* a newcomer waits for a place */
};

/* What the connection waits for has changed. */
void evict_note(struct conn *, enum conn_wait);
/* It is closing. */
void evict_forget(struct conn *);
/* It is gone; whoever waits for a place is looked at again. */
void evict_gone(struct conn *);
/* A newcomer needs a place: 0 when evict_one() would make one, else after how many nanoseconds it
 * is worth another look. */
int64_t evict_wait(struct worker *);
void evict_one(struct worker *);

#endif
