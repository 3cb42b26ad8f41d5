/* SPDX-License-Identifier: MIT
 * Whom we believe, and the name of a request: taken from X-Request-Id of a trusted proxy, else
 * made. The application gets it as that field, whatever the client sent, so that what it logs can
 * be found in the access log and in its own error log. */
#ifndef ASKR_REQUEST_ID_H
#define ASKR_REQUEST_ID_H

#include "base/base.h"

enum {
    REQUEST_ID_SIZE = 32,      /* hexadecimal digits of one that we make */
    REQUEST_ID_SIZE_MAX = 128, /* of one that we accept; nginx's and W3C's have 32 and 55 */
    TRUSTED_MAX = 64,
};

struct address;
struct exchange;
struct worker;

struct trusted_network {
    uint8_t family, prefix; /* AF_INET, AF_INET6 or AF_UNIX; bits that count */
    uint8_t bytes[16];
};

struct trust {
    struct trusted_network networks[TRUSTED_MAX];
    uint32_t count;
    uint64_t id_seed, id_count;
};

/* The configuration's networks, separated by spaces: 10.0.0.0/8 ::1 unix. 0, or -EINVAL. */
int trust_open(struct worker *, askr_error *);
bool trust_has(const struct worker *, const struct address *);

/* Give the exchange its id; its request is in worker->request. */
void request_id_note(struct exchange *);
/* Put it into worker->request, for the application. */
void request_id_put(struct exchange *);

#endif
