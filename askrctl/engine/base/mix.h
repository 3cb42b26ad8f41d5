/* SPDX-License-Identifier: MIT
 * Numbers for names: splitmix64's finisher, which makes a counter over a random seed look random.
 * They do not repeat within 2^64; who has seen some can tell the next: no secrets from here. */
#ifndef ASKR_MIX_H
#define ASKR_MIX_H

#include <stdint.h>

#define MIX_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t mix64(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

#endif
