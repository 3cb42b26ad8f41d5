/* SPDX-License-Identifier: MIT
 * The digest of sha1.h, of an input that is at hand and short. */
#include "proto/sha1.h"

enum { BLOCK = 64, LENGTH_SIZE = 8, ROUNDS = 80 };

static uint32_t rotate(uint32_t word, int by)
{
    return word << by | word >> (32 - by);
}

static void expand(const uint8_t *block, uint32_t words[static ROUNDS])
{
    for (size_t i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (size_t i = 16; i < ROUNDS; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
}

/* RFC 3174 section 5. */
static uint32_t mix(size_t round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void take_block(uint32_t state[static 5], const uint8_t *block)
{
    uint32_t words[ROUNDS], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    expand(block, words);
    for (size_t i = 0; i < ROUNDS; i++) {
        uint32_t next = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1(struct slice input, uint8_t digest[static SHA1_SIZE])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t padded[2 * BLOCK] = {0};
    assert(input.size <= SHA1_INPUT_MAX);
    size_t size = input.size + 1 + LENGTH_SIZE <= BLOCK ? BLOCK : sizeof padded;
    memcpy(padded, input.data, input.size);
    padded[input.size] = 0x80;
    padded[size - 2] = (uint8_t)(input.size * 8 >> 8);
    padded[size - 1] = (uint8_t)(input.size * 8);
    for (size_t at = 0; at < size; at += BLOCK)
        take_block(state, padded + at);
    for (size_t i = 0; i < SHA1_SIZE; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}
