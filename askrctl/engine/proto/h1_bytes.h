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

#ifdef __SSE2__
/* A bit for each byte that is not of H1_VALUE. */
static inline int h1_value_stops(__m128i bytes)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i delete = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    return _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), delete));
}
#endif

/* h1_skip(at, end, H1_VALUE), sixteen bytes at a time: values are most of a head. */
static inline const char *h1_skip_value(const char *at, const char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        int stops = h1_value_stops(_mm_loadu_si128((const __m128i *)(const void *)at));
        if (stops != 0)
            return at + __builtin_ctz((unsigned)stops);
        at += 16;
    }
#endif
    return h1_skip(at, end, H1_VALUE);
}

/* Does h1_skip_value() reach the end? Short ones and ends are looked at without a loop. */
static inline bool h1_all_value(const char *at, const char *end)
{
#ifdef __SSE2__
    size_t size = (size_t)(end - at);
    if (size >= 8 && size < 16) {
        int64_t halves[2]; /* which may overlap */
        memcpy(&halves[0], at, 8);
        memcpy(&halves[1], end - 8, 8);
        return h1_value_stops(_mm_set_epi64x(halves[1], halves[0])) == 0;
    }
    if (size >= 16 && h1_value_stops(_mm_loadu_si128((const __m128i *)(const void *)(end - 16))))
        return false;
    if (size >= 16)
        end -= size % 16;
#endif
    return h1_skip_value(at, end) == end;
}

static inline bool h1_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* h1_reads() of `size` bytes, at most 8. A letter in lower case has the bits 0x40 and 0x20, one in
 * upper case only the former. */
static inline bool h1_reads_some(const char *text, const char *lower, size_t size)
{
    uint64_t bytes = 0, wanted = 0;
    memcpy(&bytes, text, size);
    memcpy(&wanted, lower, size);
    uint64_t letters = wanted & (wanted << 1) & UINT64_C(0x4040404040404040);
    return (bytes | letters >> 1) == wanted;
}

/* Does `text` read `lower`, whatever the case of its letters (RFC 9110 section 5.1)? `lower` has
 * none in upper case, and no bytes above 'z'. */
static inline bool h1_reads(struct slice text, struct slice lower)
{
    size_t size = lower.size, at = 0;
    if (text.size != size)
        return false;
    for (; at + 8 <= size; at += 8)
        if (!h1_reads_some(text.data + at, lower.data + at, 8))
            return false;
    if (size >= 8) /* the end, some of it once more */
        return h1_reads_some(text.data + size - 8, lower.data + size - 8, 8);
    if (size >= 4)
        return h1_reads_some(text.data, lower.data, 4) &&
               h1_reads_some(text.data + size - 4, lower.data + size - 4, 4);
    for (; at < size; at++)
        if (!h1_reads_some(text.data + at, lower.data + at, 1))
            return false;
    return true;
}

#endif
