/* SPDX-License-Identifier: MIT
 * Protocol Buffers, the writing half: fields of a message one behind the other into the caller's
 * memory. What does not fit is not written, and `full` says so. A message inside of a message gets
 * room for its size first, in a fixed number of bytes, which is filled in when it is complete: a
 * varint may have more bytes than it needs. */
#ifndef ASKR_PROTOBUF_H
#define ASKR_PROTOBUF_H

#include "base/base.h"

struct protobuf {
    uint8_t *at, *end;
    bool full;
};

enum protobuf_wire {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2,
    PROTOBUF_FIXED32 = 5
};

static inline bool protobuf_room(struct protobuf *out, size_t size)
{
    out->full |= (size_t)(out->end - out->at) < size;
    return !out->full;
}

static inline void protobuf_raw(struct protobuf *out, const void *data, size_t size)
{
    if (size == 0 || !protobuf_room(out, size))
        return;
    memcpy(out->at, data, size);
    out->at += size;
}

static inline void protobuf_varint(struct protobuf *out, uint64_t value)
{
    if (!protobuf_room(out, 10))
        return;
    for (; value >= 0x80; value >>= 7)
        *out->at++ = (uint8_t)(value | 0x80);
    *out->at++ = (uint8_t)value;
}

static inline void protobuf_tag(struct protobuf *out, uint32_t field, enum protobuf_wire wire)
{
    protobuf_varint(out, field << 3 | (uint32_t)wire);
}

static inline void protobuf_bytes(struct protobuf *out, uint32_t field, const void *data,
                                  size_t size)
{
    protobuf_tag(out, field, PROTOBUF_BYTES);
    protobuf_varint(out, size);
    protobuf_raw(out, data, size);
}

static inline void protobuf_number(struct protobuf *out, uint32_t field, uint64_t value)
{
    protobuf_tag(out, field, PROTOBUF_VARINT);
    protobuf_varint(out, value);
}

static inline void protobuf_fixed64(struct protobuf *out, uint32_t field, const void *value)
{
    protobuf_tag(out, field, PROTOBUF_FIXED64);
    protobuf_raw(out, value, 8);
}

/* A message begins; what protobuf_end() needs. `width`: bytes of its size, of 7 bits each. */
static inline uint8_t *protobuf_begin(struct protobuf *out, uint32_t field, size_t width)
{
    protobuf_tag(out, field, PROTOBUF_BYTES);
    if (!protobuf_room(out, width))
        return NULL;
    out->at += width;
    return out->at;
}

static inline void protobuf_end(struct protobuf *out, uint8_t *begun, size_t width)
{
    if (out->full)
        return;
    size_t size = (size_t)(out->at - begun);
    assert(size >> (7 * width) == 0);
    for (size_t i = 0; i < width; i++, size >>= 7)
        (begun - width)[i] = (uint8_t)((size & 0x7f) | (i + 1 < width ? 0x80 : 0));
}

#endif
