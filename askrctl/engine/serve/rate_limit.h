/* SPDX-License-Identifier: MIT
 * limits.rate: how often a client may ask, by rules for parts of the site. Each rule that holds for
 * a request takes one token from the client's bucket (rate_table.h); when there is none, the
 * request is answered 429 by the worker, before an application hears of it. What the worker says of
 * itself is not limited: the health path, redirects to https.
 *
 * Invariant: a rule sees paths only decoded and normalised, and what a front controller would see
 * (PATH_INFO), so that no other spelling of a path leads around it. */
#ifndef ASKR_RATE_LIMIT_H
#define ASKR_RATE_LIMIT_H

#include "askr/api.h"
#include "base/http.h"
#include "serve/rate_table.h"

enum { RATE_LIMIT_FIELDS = 3 };

struct exchange;
struct worker;

struct rates { /* a worker's */
    const struct askr_rate *rules;
    uint32_t count; /* 0: no limit */
    struct rate_memory *memory;
    size_t size;
    uint32_t buckets;
    struct rate_allowance allowances[ASKR_RATES_MAX];
    uint64_t seeds[ASKR_RATES_MAX];
    /* Of the request that was refused last, for its answer. */
    uint32_t refused_by;
    int64_t wait_ns;
};

struct rate_limit_text {
    char retry_after[24], policy[96], state[96];
};

int rate_limit_open(struct worker *, askr_error *);
void rate_limit_close(struct worker *);
/* The request is in worker->request and worker->target. Counts a refusal. */
bool rate_limit_admits(struct exchange *);
/* Retry-After and RateLimit (draft-ietf-httpapi-ratelimit-headers-11) for the answer to it. */
size_t rate_limit_fields(const struct exchange *, struct http_field fields[static 3],
                         struct rate_limit_text *);

#endif
