/* SPDX-License-Identifier: MIT
 * Token buckets in memory that all workers of the machine, of all generations, share: a client has
 * one allowance, whichever worker it meets, and keeps its debts over a reload.
 *
 * A bucket is two words: whose it is, as a hash with a secret seed, and when it is full again. That
 * moment is all there is to know (the generic cell rate algorithm): a token taken moves it by one
 * interval, and when it lies `burst` intervals ahead there is none left. A full bucket is as good
 * as none, so it may be given to somebody else; when all that a client could have are in use, it
 * gets the one that is full first, whose owner then has a full one again.
 *
 * No locks: words are changed by compare-and-swap. Only when two workers give the same bucket away
 * at the same moment may one request be let through, or refused, that should not be. */
#ifndef ASKR_RATE_TABLE_H
#define ASKR_RATE_TABLE_H

#include "base/base.h"

enum { RATE_WAYS = 8 }; /* buckets that a client can have: two cache lines */

struct rate_bucket {
    uint64_t owner;  /* hash; 0: nobody's yet */
    int64_t full_ns; /* CLOCK_MONOTONIC */
};

struct rate_memory {            /* shared */
    _Alignas(64) uint64_t seed; /* written once, before anybody looks */
    _Alignas(64) struct rate_bucket buckets[];
};

struct rate_allowance {
    int64_t interval_ns; /* in which one token comes */
    uint32_t burst;      /* … up to so many */
};

/* How many buckets fit, as a power of two; < RATE_WAYS: it is too small. */
uint32_t rate_table_count(size_t size);
/* Take a token: 0, or how many nanoseconds it is until there is one. */
int64_t rate_table_take(struct rate_memory *, uint32_t count, uint64_t owner,
                        const struct rate_allowance *, int64_t now_ns);

#endif
