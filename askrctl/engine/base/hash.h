/* SPDX-License-Identifier: MIT
 * A 64-bit hash of bytes. With a secret seed it spreads keys that a client chooses; with 0 it names
 * content in an ETag, where it has to tell versions of one file apart, not to resist their author.
 */
#ifndef ASKR_HASH_H
#define ASKR_HASH_H

#include "base/base.h"

uint64_t hash_bytes(uint64_t seed, const char *data, size_t size);

#endif
