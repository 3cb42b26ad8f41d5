/* SPDX-License-Identifier: MIT
 * How many connections each client address has with this worker, so that one cannot take them all:
 * limits.connections_per_address. An IPv6 client is its /64, which is what a subscriber is given;
 * all addresses in it are one person's to choose from. Not counted: trusted proxies, who speak for
 * many, and unix sockets. Behind the PROXY protocol it is the source of its head that counts.
 *
 * Without the limit there is no table. With it, the table has room for limits.connections
 * addresses, which is as many as there can be. */
#ifndef ASKR_PER_ADDRESS_H
#define ASKR_PER_ADDRESS_H

#include "base/base.h"

struct address;
struct conn;
struct worker;

struct address_count {
    uint64_t client; /* address_client() */
    uint32_t family;
    uint32_t count; /* 0: the place is free */
};

struct per_address {
    struct address_count *counts; /* NULL: no limit */
    uint32_t capacity;            /* a power of two */
    uint32_t used;
    uint64_t seed;
};

/* Do limits on addresses hold for this one? Not for trusted proxies, nor for unix sockets. */
bool address_is_limited(const struct worker *, const struct address *);
/* Who it is, whichever of its addresses it uses: IPv4, or the /64 of IPv6. */
uint64_t address_client(const struct address *);

int per_address_open(struct worker *, askr_error *);
void per_address_close(struct worker *);
/* May this client have another connection? Counts a refusal. */
bool per_address_admits(struct worker *, const struct address *);
void per_address_enter(struct conn *);
/* Also for one that never entered. */
void per_address_leave(struct conn *);

#endif
