/* SPDX-License-Identifier: MIT
 * Whose bucket a request is paid from: the hash of a rule and of what tells clients apart by it. */
#ifndef ASKR_RATE_KEY_H
#define ASKR_RATE_KEY_H

#include "base/http.h"

struct askr_rate;
struct exchange;

/* From one rule's buckets to another's: two rules never pay from the same. */
uint64_t rate_key_seed(const struct askr_rate *, uint64_t seed);
/* The hash; false: the rule does not hold for this client. The request is in worker->request. */
bool rate_key(const struct exchange *, const struct askr_rate *, uint64_t seed, uint64_t *owner);
/* Of all fields and cookies of the name; empty or none at all: 0. */
uint64_t rate_key_header(const struct http_request *, struct slice name, uint64_t seed);
uint64_t rate_key_cookie(const struct http_request *, struct slice name, uint64_t seed);

#endif
