/* SPDX-License-Identifier: MIT
 * Who asks, when the peer is a proxy that may be believed (trust_has()): the client's address by
 * the rightmost untrusted element of what the proxies say, and the scheme, host and port it asked
 * for. Without such a proxy nothing is kept and the connection's own facts are the answer.
 *
 * Invariant: nothing is taken from an element that was not written by a trusted peer. */
#ifndef ASKR_SERVE_FORWARDED_H
#define ASKR_SERVE_FORWARDED_H

#include "serve/address.h"
#include "serve/exchange.h"

enum forwarded_scheme { FORWARDED_NO_SCHEME, FORWARDED_HTTP, FORWARDED_HTTPS };

struct forwarded {
    struct address client;
    uint8_t scheme;    /* enum forwarded_scheme */
    uint16_t port;     /* the one that the client asked; 0: not told */
    struct slice host; /* … and the name; empty: not told */
};

/* The request is in worker->request. */
void forwarded_note(struct exchange *);

const struct address *exchange_client(const struct exchange *);
bool exchange_is_https(const struct exchange *);
/* The host and port that the client named; the request is in worker->request. */
struct slice exchange_authority(const struct exchange *);
uint16_t exchange_port(const struct exchange *, uint16_t own);

#endif
