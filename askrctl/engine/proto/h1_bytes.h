/* SPDX-License-Identifier: MIT
 * Which bytes may stand where in HTTP/1.1, as one table, and scanners over it.
 * A scanner returns the first byte that is not of its class, or `end`; it never reads `end` itself,
 * so input may stop right before an unmapped page. */
#ifndef ASKR_H1_BYTES_H
#define ASKR_H1_BYTES_H

#include "base/base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum h1_class {
    H1_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
    H1_VALUE = 2,  /* field-vchar, SP, HTAB; obs-text is let through, RFC 9110 section 5.5 */
    H1_TARGET = 4, /* visible bytes but '#', raw UTF-8 and {}|^" too: browsers send them */
    H1_HOST = 8,   /* reg-name without pct-encoded and ',', RFC 3986 section 3.2.2 */
    H1_DIGIT = 16,
    H1_HEX = 32,
};

extern const uint8_t h1_classes[256];

static inline bool h1_is(char byte, enum h1_class class)
{
    return (h1_classes[(unsigned char)byte] & class) != 0;
}

static inline const char *h1_skip(const char *at, const char *end, enum h1_class class)
{
    while (at < end && h1_is(*at, class))
        at++;
    return at;
}

/* h1_skip(at, end, H1_VALUE), sixteen bytes at a time: values are most of a head. */
static inline const char *h1_skip_value(const char *at, const char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
        __m128i delete = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
        int stops = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), delete));
        if (stops != 0)
            return at + __builtin_ctz((unsigned)stops);
        at += 16;
    }
#endif
    return h1_skip(at, end, H1_VALUE);
}

static inline bool h1_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Does `text` read `lower` (lower case, RFC 9110 section 5.1), whatever the case of its letters? */
static inline bool h1_reads(struct slice text, struct slice lower)
{
    if (text.size != lower.size)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if ((byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte) != lower.data[i])
            return false;
    }
    return true;
}

#endif
