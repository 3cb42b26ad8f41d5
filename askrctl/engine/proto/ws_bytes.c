/* SPDX-License-Identifier: MIT
 * The two things that touch every byte of a message: its mask, sixteen bytes at a time, and whether
 * it is UTF-8, thirty-two at a time while it is ASCII. */
#include "proto/ws.h"

typedef uint8_t block __attribute__((vector_size(16)));

void ws_turn_mask(uint8_t mask[static 4], size_t by)
{
    uint8_t twice[8];
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(mask, twice + by % 4, 4);
}

void ws_unmask(char *out, const char *in, size_t size, uint8_t mask[static 4])
{
    block key;
    size_t at = 0;
    for (size_t i = 0; i < sizeof key; i += 4)
        memcpy((uint8_t *)&key + i, mask, 4);
    for (; size - at >= sizeof key; at += sizeof key) {
        block bytes;
        memcpy(&bytes, in + at, sizeof bytes);
        bytes ^= key;
        memcpy(out + at, &bytes, sizeof bytes);
    }
    for (; at < size; at++)
        out[at] = (char)(in[at] ^ mask[at % 4]);
    ws_turn_mask(mask, size);
}

static bool is_ascii(const char *bytes)
{
    uint64_t words[4];
    memcpy(words, bytes, sizeof words);
    return ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) == 0;
}

/* The first byte of a sequence says how many follow, and bounds the second: that is how overlong
 * forms, surrogates and what lies past U+10FFFF are known (RFC 3629 section 4). */
static bool begin(struct utf8 *utf8, uint8_t byte)
{
    *utf8 = (struct utf8){0, 0x80, 0xbf};
    if (byte < 0x80)
        return true;
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    utf8->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0)
        utf8->low = 0xa0;
    else if (byte == 0xed)
        utf8->high = 0x9f;
    else if (byte == 0xf0)
        utf8->low = 0x90;
    else if (byte == 0xf4)
        utf8->high = 0x8f;
    return true;
}

bool utf8_go_on(struct utf8 *utf8, struct slice bytes)
{
    const char *at = bytes.data, *end = bytes.data + bytes.size;
    while (at < end) {
        if (utf8->left == 0 && end - at >= 32 && is_ascii(at)) {
            at += 32;
            continue;
        }
        uint8_t byte = (uint8_t)*at++;
        if (utf8->left == 0) {
            if (!begin(utf8, byte))
                return false;
        } else if (byte < utf8->low || byte > utf8->high) {
            return false;
        } else {
            *utf8 = (struct utf8){(uint8_t)(utf8->left - 1), 0x80, 0xbf};
        }
    }
    return true;
}
