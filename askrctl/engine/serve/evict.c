/* SPDX-License-Identifier: MIT
 * The queues of evict.h. A connection enters one when it begins to wait and leaves it when it is
 * served or ends, so nothing is ever searched for, however many connections there are. */
#include "serve/evict.h"

#include "serve/protocol.h"
#include "serve/worker.h"

#define RETRY_NS (200 * NS_PER_MS) /* with nobody to evict: some connection will end by itself */

static enum evict_queue queue_for(const struct conn *conn, enum conn_wait wait)
{
    switch (wait) {
    case CONN_IDLE:
        return conn->served ? EVICT_IDLE : EVICT_HEAD;
    case CONN_PROXY:
    case CONN_HANDSHAKE:
    case CONN_HEAD:
    case CONN_LINGER:
        return EVICT_HEAD;
    case CONN_BODY:
    case CONN_ANSWER:
    case CONN_WRITE:
    case CONN_WINDOW:
    case CONN_STARVED:
        break;
    }
    return EVICT_NOT;
}

void evict_forget(struct conn *conn)
{
    if (conn->evict_queue == EVICT_NOT)
        return;
    struct evict_list *list = &conn->worker->evictions.lists[conn->evict_queue];
    *conn->evict_link = conn->evict_next;
    if (conn->evict_next != NULL)
        conn->evict_next->evict_link = conn->evict_link;
    else
        list->last = conn->evict_link;
    conn->evict_queue = EVICT_NOT;
}

void evict_note(struct conn *conn, enum conn_wait wait)
{
    enum evict_queue queue = queue_for(conn, wait);
    if (queue == conn->evict_queue)
        return; /* from handshake to head: it has been waiting all along */
    evict_forget(conn);
    if (queue == EVICT_NOT)
        return;
    struct evict_list *list = &conn->worker->evictions.lists[queue];
    if (list->last == NULL)
        list->last = &list->first;
    conn->evict_queue = (uint8_t)queue;
    conn->evict_since_ns = conn->worker->io.now_ns;
    conn->evict_next = NULL;
    conn->evict_link = list->last;
    *list->last = conn;
    list->last = &conn->evict_next;
}

/* The one that has waited longest. One that reads a head beside requests under way (HTTP/2) is not
 * waiting; it comes back here when it is. */
static struct conn *longest(struct worker *worker, enum evict_queue queue)
{
    for (;;) {
        struct conn *conn = worker->evictions.lists[queue].first;
        if (conn == NULL || conn->wait == CONN_PROXY || !conn->protocol->busy(conn))
            return conn;
        evict_forget(conn);
    }
}

static struct conn *choose(struct worker *worker)
{
    struct conn *slow = longest(worker, EVICT_HEAD), *idle = longest(worker, EVICT_IDLE);
    int64_t age_ns = slow == NULL ? 0 : worker->io.now_ns - slow->evict_since_ns;
    if (slow != NULL && (age_ns >= EVICT_SLOW_NS || (idle == NULL && age_ns >= EVICT_NEW_NS)))
        return slow;
    return idle;
}

int64_t evict_wait(struct worker *worker)
{
    struct evictions *evictions = &worker->evictions;
    evictions->wanted = true; /* evict_gone() wakes the listener: one at a time goes */
    if (evictions->leaving > 0)
        return RETRY_NS;
    if (choose(worker) != NULL)
        return 0;
    const struct conn *first = evictions->lists[EVICT_HEAD].first;
    int64_t wait_ns =
        first == NULL ? RETRY_NS : first->evict_since_ns + EVICT_NEW_NS - worker->io.now_ns;
    return wait_ns > 0 ? wait_ns : RETRY_NS;
}

void evict_one(struct worker *worker)
{
    struct conn *conn = choose(worker);
    if (conn == NULL)
        return; /* it has got a request meanwhile: then there is one connection too many */
    worker->status->evicted++;
    worker->evictions.leaving++;
    conn->evicted = true;
    conn_close(conn);
}

void evict_gone(struct conn *conn)
{
    struct evictions *evictions = &conn->worker->evictions;
    if (conn->evicted)
        evictions->leaving--;
    if (LIKELY(!evictions->wanted))
        return;
    evictions->wanted = false;
    listeners_hurry(conn->worker);
}
