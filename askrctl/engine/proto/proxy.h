/* SPDX-License-Identifier: MIT
 * The head of the PROXY protocol, versions 1 and 2, by which a proxy in front of us says whose
 * connection this is: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Whether the peer
 * may say so is the caller's to know: nothing in the head proves it.
 *
 * proxy_read() is given the input from the connection's first byte on, again with more behind it
 * after PROXY_NEED_DATA; the head is consumed in one piece, and what follows stays. The verdict
 * does not depend on how the bytes were split. A first byte that begins no head fails at once. */
#ifndef ASKR_PROXY_H
#define ASKR_PROXY_H

#include "base/base.h"

enum {
    PROXY_V1_SIZE_MAX = 107,   /* section 2.1, with its line end */
    PROXY_V2_PREFIX_SIZE = 16, /* section 2.2: what comes before the addresses */
    PROXY_V2_SIZE_MAX = 4096,  /* with TLVs; a certificate of some 3 KiB has room */
    PROXY_TLVS_MAX = 64,       /* HAProxy sends at most 12, AWS 3 */
    PROXY_ADDRESS_SIZE = 16,
};

enum proxy_event { PROXY_NEED_DATA, PROXY_DONE, PROXY_ERROR };

/* Whose addresses a head has. None: LOCAL, UNKNOWN, UNSPEC, and what is no TCP over IP; then the
 * connection's own are the ones that count. */
enum proxy_family { PROXY_NONE, PROXY_INET, PROXY_INET6 };

struct proxy_end {
    uint8_t bytes[PROXY_ADDRESS_SIZE]; /* IPv4 has 4 */
    uint16_t port;
};

struct proxy_head {
    uint8_t version; /* 1 or 2 */
    uint8_t family;  /* enum proxy_family */
    bool secure;     /* PP2_TYPE_SSL: the client spoke TLS to the proxy */
    struct proxy_end source, target;
};

enum proxy_event proxy_read(struct slice *input, struct proxy_head *);

/* CRC32c (RFC 3720 appendix B.4), continued from `crc`; 0 at first. */
uint32_t proxy_crc32c(uint32_t crc, struct slice bytes);

#endif
