/* SPDX-License-Identifier: MIT
 * Socket addresses as applications are told them: REMOTE_ADDR and SERVER_ADDR.
 *
 * A server is reached at few addresses of its own, so their texts are kept, and a connection
 * remembers which is its: asking the kernel was one system call for each request. */
#ifndef ASKR_ADDRESS_H
#define ASKR_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/base.h"

/* Own addresses kept; what comes after them is asked for each request. */
enum { ADDRESSES_OWN_MAX = 16 };

struct address {
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX; 0: not known yet */
    uint16_t port;
    uint8_t bytes[16];
};

struct address_text {
    uint8_t size; /* 0: a unix socket, or not known */
    char text[INET6_ADDRSTRLEN];
};

struct own_address {
    struct address address;
    struct address_text text;
};

struct own_addresses {
    uint32_t count;
    struct own_address known[ADDRESSES_OWN_MAX];
    struct own_address other; /* the last that found no room */
};

struct address address_of(const struct sockaddr *);
/* An IPv4 address in IPv6's clothes (::ffff:0:0/96, RFC 4291 section 2.5.5.2), as a listener for
 * both sees its clients, is IPv4. address_of() has done it. */
void address_unmap(struct address *);
struct address_text address_format(const struct address *);

/* Where the client of `fd` reached us. `*remembered` is the caller's, 0 at first. */
const struct own_address *address_own(struct own_addresses *, int fd, uint8_t *remembered);

static inline struct slice address_slice(const struct address_text *text)
{
    return (struct slice){text->text, text->size};
}

#endif
