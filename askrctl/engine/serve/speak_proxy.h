/* SPDX-License-Identifier: MIT
 * What a connection speaks before everything else on a listener that asks for it: the PROXY
 * protocol (proto/proxy.h). Then come TLS, or HTTP, as on any other listener, and the connection's
 * addresses are those that the proxy told. A connection has this behind its own struct, so that
 * those of other listeners are not larger for it.
 *
 * Failure modes: a peer that is not of a trusted network, what is no head, and one that does not
 * come in time: the connection is closed without a word, and counted. */
#ifndef ASKR_SPEAK_PROXY_H
#define ASKR_SPEAK_PROXY_H

#include "proto/proxy.h"
#include "serve/conn.h"

struct proxied {
    struct own_address own; /* where the client reached the proxy; family 0: not told */
    bool secure;            /* the client spoke TLS to the proxy */
};

extern const struct protocol protocol_proxy;

/* May a connection of this peer be taken from a listener with these flags? Counts a refusal. */
bool proxy_admits(struct worker *, const struct sockaddr *peer, uint32_t flags);
/* Of a connection that has `proxied` set. */
struct proxied *proxied_of(struct conn *);
/* Where the client reached us, or the proxy that says so. */
const struct own_address *conn_own(struct conn *);
/* Did the client come by TLS, to us or to the proxy? */
bool conn_is_https(struct conn *);

#endif
