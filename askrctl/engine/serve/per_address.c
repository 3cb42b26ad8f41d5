/* SPDX-License-Identifier: MIT
 * The table of per_address.h: open addressing with linear probing, half full at most. A place that
 * becomes free is filled from behind, so that every entry stays reachable from its home. */
#include "serve/per_address.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hash.h"
#include "serve/conn.h"
#include "serve/worker.h"

enum { SPARE = 64 }; /* places for connections that limits.connections does not count */

int per_address_open(struct worker *worker, askr_error *error)
{
    struct per_address *table = &worker->per_address;
    if (worker->config->connections_per_address == 0)
        return 0;
    table->capacity = 2;
    while (table->capacity < 2 * (worker->config->connections_max + SPARE))
        table->capacity *= 2;
    table->counts = calloc(table->capacity, sizeof *table->counts);
    if (table->counts == NULL)
        return askr_fail(error, ENOMEM, "no memory to count connections of %u addresses",
                         worker->config->connections_max);
    if (getrandom(&table->seed, sizeof table->seed, GRND_NONBLOCK) < 0)
        table->seed = (uint64_t)clock_now_ns() ^ (uint64_t)(uintptr_t)table->counts;
    return 0;
}

void per_address_close(struct worker *worker)
{
    free(worker->per_address.counts);
    worker->per_address.counts = NULL;
}

bool address_is_limited(const struct worker *worker, const struct address *address)
{
    return (address->family == AF_INET || address->family == AF_INET6) &&
           !trust_has(worker, address);
}

uint64_t address_client(const struct address *address)
{
    uint64_t client = 0;
    memcpy(&client, address->bytes, address->family == AF_INET ? 4 : 8);
    return client;
}

static bool is_counted(const struct worker *worker, const struct address *address)
{
    return worker->per_address.counts != NULL && address_is_limited(worker, address);
}

/* Where an entry would be if nothing were in its way. The seed is secret, so that no client can
 * choose addresses that all have one home. */
static uint32_t home_of(const struct per_address *table, uint64_t client)
{
    uint64_t hash = hash_bytes(table->seed, (const char *)&client, sizeof client);
    return (uint32_t)hash & (table->capacity - 1);
}

/* Its entry, or the free place for it. */
static struct address_count *find(struct per_address *table, const struct address *address)
{
    uint64_t client = address_client(address);
    uint32_t at = home_of(table, client);
    for (;; at = (at + 1) & (table->capacity - 1)) {
        struct address_count *entry = &table->counts[at];
        if (entry->count == 0 || (entry->client == client && entry->family == address->family))
            return entry;
    }
}

bool per_address_admits(struct worker *worker, const struct address *address)
{
    if (LIKELY(!is_counted(worker, address)))
        return true;
    if (find(&worker->per_address, address)->count < worker->config->connections_per_address)
        return true;
    worker->status->address_refused++;
    return false;
}

void per_address_enter(struct conn *conn)
{
    struct per_address *table = &conn->worker->per_address;
    if (LIKELY(!is_counted(conn->worker, &conn->peer)))
        return;
    struct address_count *entry = find(table, &conn->peer);
    if (entry->count == 0) {
        if (table->used >= table->capacity / 2)
            return;
        table->used++;
        *entry = (struct address_count){.client = address_client(&conn->peer),
                                        .family = conn->peer.family};
    }
    entry->count++;
    conn->counted = true;
}

/* Move back what the free place at `hole` would hide. */
static void fill_hole(struct per_address *table, uint32_t hole)
{
    uint32_t mask = table->capacity - 1;
    for (uint32_t at = (hole + 1) & mask; table->counts[at].count > 0; at = (at + 1) & mask) {
        uint32_t home = home_of(table, table->counts[at].client);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its home is behind the hole */
        table->counts[hole] = table->counts[at];
        table->counts[at].count = 0;
        hole = at;
    }
}

void per_address_leave(struct conn *conn)
{
    struct per_address *table = &conn->worker->per_address;
    if (LIKELY(!conn->counted))
        return;
    conn->counted = false;
    struct address_count *entry = find(table, &conn->peer);
    assert(entry->count > 0);
    if (--entry->count > 0)
        return;
    table->used--;
    fill_hole(table, (uint32_t)(entry - table->counts));
}
