/* SPDX-License-Identifier: MIT
 * Which precompressed sibling a client takes (RFC 9110 section 12.5.3). */
#include "app/static_parts.h"
#include "base/accept_encoding.h"

const struct static_coding static_codings[STATIC_ENCODINGS] = {
    [STATIC_PLAIN] = {{"", 0}, {"", 0}},
    [STATIC_BROTLI] = {{"br", 2}, {".br", 3}},
    [STATIC_ZSTD] = {{"zstd", 4}, {".zst", 4}},
    [STATIC_GZIP] = {{"gzip", 4}, {".gz", 3}},
};

static const enum encoding codings[STATIC_ENCODINGS] = {
    [STATIC_PLAIN] = ENCODING_NONE,
    [STATIC_BROTLI] = ENCODING_BROTLI,
    [STATIC_ZSTD] = ENCODING_ZSTD,
    [STATIC_GZIP] = ENCODING_GZIP,
};

enum static_encoding static_encoding_of(enum encoding encoding)
{
    enum static_encoding i = STATIC_PLAIN;
    while (codings[i] != encoding)
        i++;
    return i;
}

enum static_encoding static_choose(const struct http_request *request,
                                   struct static_entry *const there[STATIC_ENCODINGS])
{
    struct accept_encoding accept;
    enum static_encoding best = STATIC_PLAIN;
    accept_encoding_of(request, &accept);
    for (enum static_encoding i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++)
        if (there[i] != NULL && accept_encoding_better(&accept, codings[i], codings[best]))
            best = i;
    return best;
}
