/* SPDX-License-Identifier: MIT
 * SHA-1 (RFC 3174), for the handshake of WebSocket alone, which proves nothing by it: there is no
 * library to ask in a build without TLS. */
#ifndef ASKR_SHA1_H
#define ASKR_SHA1_H

#include "base/base.h"

enum { SHA1_SIZE = 20, SHA1_INPUT_MAX = 119 /* two blocks, less the mark and the length */ };

void sha1(struct slice input, uint8_t digest[static SHA1_SIZE]);

#endif
