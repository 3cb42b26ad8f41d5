/* SPDX-License-Identifier: MIT
 * The hash of hash.h: eight bytes at a time, a 128-bit product folded to 64 (the mix of wyhash). */
#include "base/hash.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const char *data, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, data, size);
    return word;
}

uint64_t hash_bytes(uint64_t seed, const char *data, size_t size)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15), other = UINT64_C(0xd6e8feb86659fd93);
    uint64_t hash = mix(seed ^ odd, size ^ other);
    for (; size >= 8; data += 8, size -= 8)
        hash = mix(hash ^ word_at(data, 8), odd ^ (hash >> 32)) + other;
    if (size > 0)
        hash = mix(hash ^ word_at(data, size), other);
    return mix(hash ^ odd, other);
}
