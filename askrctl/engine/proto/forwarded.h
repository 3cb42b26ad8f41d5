/* SPDX-License-Identifier: MIT
 * What proxies say in header fields of the client they had: X-Forwarded-For and its siblings, or
 * Forwarded (RFC 7239). Each proxy adds an element on the right, and a client may have put anything
 * on the left: so lists are read from the right, and no further than one has to. Quotes are found
 * from the right as well: an open one on the left spoils only what stands there.
 *
 * Who may be believed is the caller's to know. Slices point into the fields' values. */
#ifndef ASKR_FORWARDED_H
#define ASKR_FORWARDED_H

#include "base/http.h"
#include "proto/proxy.h"

enum {
    FORWARDED_HOPS_MAX = 32,      /* proxies in a row that are looked at; who has more than five? */
    FORWARDED_HOST_SIZE_MAX = 255 /* RFC 1035 section 2.3.4 */
};

/* A list that may be spread over several fields of the same name. */
struct forwarded_list {
    const struct http_field *fields;
    size_t field_count; /* those not begun yet; the last is next */
    struct slice name;
    struct slice rest; /* of the field that was begun */
    bool begun;
};

void forwarded_begin(struct forwarded_list *, const struct http_request *, struct slice name);
/* The next element to the left, without white space around it; false: there is none. */
bool forwarded_next(struct forwarded_list *, struct slice *element);

/* A node: an address with or without a port (0), IPv6 with or without brackets. False for
 * "unknown", names and nonsense. */
bool forwarded_node(struct slice text, enum proxy_family *, struct proxy_end *);
/* The value of a parameter of a Forwarded element, unquoted; empty when there is none, twice, or
 * when the element is not valid. */
struct slice forwarded_parameter(struct slice element, struct slice name);
/* A host with or without a port, as in Host. */
bool forwarded_host(struct slice text);
/* 1 to 65535, else 0. */
uint16_t forwarded_port(struct slice text);

#endif
