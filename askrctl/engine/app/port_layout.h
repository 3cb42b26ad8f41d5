/* SPDX-License-Identifier: MIT
 * The shared memory of a port, as both ends see it: request slots, a queue of tags, a ring of
 * request body bytes, a ring of framed answers, and who sleeps. Only port*.c include it.
 *
 * Each word has one writer, but a slot's state (compare-and-swap decides between "started" and
 * "revoked") and the two sleep words. Positions count bytes for ever and are taken modulo the
 * ring's size, so full and empty differ. Memory starts as zeros, which is a valid empty port.
 *
 * Sleeping without a lost wake-up: the sleeper exchanges its word, then looks whether there is
 * something to do; the other end stores what is new, then exchanges (or clears bits of) that same
 * word, and rings when it was set. All are read-modify-writes of one word, so one of the two comes
 * second and sees what the first wrote before: either the news, or the wish to be rung. */
#ifndef ASKR_PORT_LAYOUT_H
#define ASKR_PORT_LAYOUT_H

#include <stdatomic.h>

#include "app/port.h"

enum {
    PORT_QUEUE_SIZE = 256,       /* tags; revoked ones stay until the application passes them */
    PORT_HEAD_SIZE_MAX = 65536,  /* response fields of one head; nginx takes 4 to 64 KiB */
    PORT_CHUNK_SIZE_MAX = 65536, /* of a BODY frame: the worker sends it while the next is made */
    PORT_INDEX_BITS = 8,         /* of a tag; the other 24 are the slot's generation, never 0 */
    PORT_STATE_BITS = 2,
    CACHE_LINE_SIZE = 64,
    MEMORY_PAGE_SIZE = 4096,
};

enum port_slot_state { PORT_SLOT_IDLE, PORT_SLOT_QUEUED, PORT_SLOT_STARTED, PORT_SLOT_REVOKED };

/* What an application sleeps for, and what there may be news about. */
enum port_news {
    PORT_NEWS_REQUEST = 1, /* a request, or drain */
    PORT_NEWS_ROOM = 2,    /* in the response ring */
    PORT_NEWS_BODY = 4,
    PORT_NEWS_ABORT = 8,
};

enum port_frame_kind {
    PORT_FRAME_READY = 1,
    PORT_FRAME_BOOT_FAILED,
    PORT_FRAME_STARTED,
    PORT_FRAME_INTERIM,
    PORT_FRAME_HEAD,
    PORT_FRAME_BODY,
    PORT_FRAME_FLUSH,
    PORT_FRAME_END,
    PORT_FRAME_FINISHED, /* stands for END as well where there was none */
    PORT_FRAME_TRAILERS,
};

/* In front of every message in the response ring. Frames begin at multiples of its size, so a frame
 * wraps at the end of the ring only behind its header. */
struct port_frame {
    uint32_t tag; /* 0 for READY and BOOT_FAILED */
    uint8_t kind; /* enum port_frame_kind */
    uint8_t failed;
    uint16_t status; /* END, FINISHED: CPU time, as port_pack_ns() has it */
    uint64_t value;  /* bytes that follow; a clock for STARTED, END and FINISHED, which have none */
};

/* In front of each field's name and value in a HEAD, INTERIM or TRAILERS frame. */
struct port_frame_field {
    uint32_t name_size, value_size;
};

/* A string of a slot: where it begins in `text`, and its size without the NUL behind it. */
struct port_text {
    uint32_t offset, size;
};

struct port_slot_field {
    struct port_text name, value;
};

struct port_slot_head {
    struct port_text method, target, path, query, host, script_filename, script_name, path_info;
    struct port_text document_root, remote_address, server_address;
    struct port_text content_type, cookie, authorization;
    struct port_text body; /* inline, when body_size <= PORT_INLINE_BODY_MAX */
    int64_t body_size;
    uint16_t remote_port, server_port, protocol, field_count;
    uint16_t variable_count;
    bool has_body, https;
    struct port_slot_field fields[HTTP_FIELDS_MAX];
    struct port_slot_field variables[PORT_VARIABLES_MAX];
};

#define PORT_SLOT_TEXT_SIZE (PORT_SLOT_SIZE - 2 * sizeof(uint32_t) - sizeof(struct port_slot_head))

struct port_slot {
    _Atomic uint32_t state;       /* generation << PORT_STATE_BITS | enum port_slot_state */
    _Atomic uint32_t aborted_tag; /* the tag whose client left */
    struct port_slot_head head;
    char text[PORT_SLOT_TEXT_SIZE]; /* begins with a NUL: the absent string */
};

struct port_shared {
    struct {
        _Atomic uint64_t queue_written; /* tags */
        _Atomic uint64_t response_read; /* bytes; what lies before may be overwritten */
        _Atomic uint64_t body_written;  /* bytes */
        _Atomic uint64_t body_start;    /* where the body of body_tag begins */
        _Atomic uint32_t body_tag;
        _Atomic uint32_t draining;
    } worker __attribute__((aligned(CACHE_LINE_SIZE)));
    struct {
        _Atomic uint64_t queue_read;
        _Atomic uint64_t response_written;
        _Atomic uint64_t body_read;
    } app __attribute__((aligned(CACHE_LINE_SIZE)));
    _Atomic uint32_t app_sleeps __attribute__((aligned(CACHE_LINE_SIZE))); /* enum port_news bits */
    _Atomic uint32_t worker_sleeps __attribute__((aligned(CACHE_LINE_SIZE)));
    _Atomic uint32_t queue[PORT_QUEUE_SIZE];
    struct port_slot slots[PORT_SLOTS] __attribute__((aligned(CACHE_LINE_SIZE)));
    char body[PORT_BODY_RING_SIZE] __attribute__((aligned(MEMORY_PAGE_SIZE)));
    char responses[PORT_RESPONSE_RING_SIZE];
};

_Static_assert(sizeof(struct port_slot) == PORT_SLOT_SIZE, "no padding");
_Static_assert(sizeof(struct port_frame) == 16, "a frame's header divides the ring");
_Static_assert((PORT_QUEUE_SIZE & (PORT_QUEUE_SIZE - 1)) == 0, "a power of two");
_Static_assert(PORT_HEAD_SIZE_MAX + sizeof(struct port_frame) <= PORT_RESPONSE_RING_SIZE / 2,
               "a head fits the ring, wherever it begins");

/* F_SEAL_* a port must have, and the right size: the other end can then not take pages away. */
int port_check_memory(int memfd, askr_error *);

static inline uint32_t port_tag_index(uint32_t tag)
{
    return tag & ((1u << PORT_INDEX_BITS) - 1);
}

static inline uint32_t port_slot_word(uint32_t tag, enum port_slot_state state)
{
    return tag >> PORT_INDEX_BITS << PORT_STATE_BITS | (uint32_t)state;
}

/* Bytes a frame takes in the ring, the header included. */
static inline uint64_t port_frame_extent(uint64_t payload_size)
{
    const uint64_t unit = sizeof(struct port_frame);
    return unit + (payload_size + unit - 1) / unit * unit;
}

/* A duration in 16 bits, so that END needs no payload: 11 of them count, 5 shift. Below 2 µs it is
 * exact, above it is off by at most 1/2048; 73 minutes is the most. */
static inline uint16_t port_pack_ns(int64_t duration_ns)
{
    const uint64_t max = UINT64_C(2047) << 31;
    uint64_t value = duration_ns > 0 ? (uint64_t)duration_ns : 0;
    if (value >= max)
        return UINT16_MAX;
    uint32_t shift = 0;
    if (value >= 2048) {
        shift = 53 - (uint32_t)__builtin_clzll(value);
        value = (value + (UINT64_C(1) << (shift - 1))) >> shift;
        if (value == 2048) {
            value = 1024;
            shift++;
        }
    }
    return (uint16_t)(value << 5 | shift);
}

static inline int64_t port_unpack_ns(uint16_t packed)
{
    return (int64_t)((uint64_t)(packed >> 5) << (packed & 31));
}

/* Copy into and out of a ring whose size is a power of two. */
static inline void port_ring_put(char *ring, size_t ring_size, uint64_t position,
                                 struct slice bytes)
{
    size_t at = (size_t)position & (ring_size - 1);
    size_t first = size_min(bytes.size, ring_size - at);
    memcpy(ring + at, bytes.data, first);
    if (UNLIKELY(first < bytes.size))
        memcpy(ring, bytes.data + first, bytes.size - first);
}

static inline void port_ring_get(const char *ring, size_t ring_size, uint64_t position, void *out,
                                 size_t size)
{
    size_t at = (size_t)position & (ring_size - 1);
    size_t first = size_min(size, ring_size - at);
    memcpy(out, ring + at, first);
    if (UNLIKELY(first < size))
        memcpy((char *)out + first, ring, size - first);
    /* What was copied is what will be checked: the compiler must not read the ring again. */
    __asm__ volatile("" ::: "memory");
}

#endif
