/* SPDX-License-Identifier: MIT
 * A connection under TLS: what joins proto/tls.h to a connection and its output. Bytes received are
 * decrypted and given to conn_take(); pieces of the output are encrypted as they are sent, a few
 * records ahead, so that a slow reader holds no more than that twice.
 *
 * Handshakes wait their turn in a queue of the worker, and a turn of the loop works on them for
 * HANDSHAKES_TURN_NS at most: a thousand new clients cost the others a millisecond, not a second.
 *
 * Failure modes: a handshake that fails, or a broken record, sends its alert and closes; plain HTTP
 * gets a 400 in clear text; an end of stream without close_notify is the client's leaving, and
 * nothing that was cut off is taken for complete. Without OpenSSL secure_off.c stands in. */
#ifndef ASKR_SECURE_H
#define ASKR_SECURE_H

#include "proto/tls.h"
#include "serve/conn.h"

enum {
    SECURE_AHEAD_SIZE = 65536,  /* encrypted before the peer takes it: one send */
    SECURE_CIPHER_MAX = 196608, /* with answers to TLS messages that the peer does not read */
    SECURE_RECORD_SMALL = 1024, /* a record is not made smaller to fill a piece up */

    /* Bytes that bring no data: orders for new keys, each of which costs 7 us and no peer needs in
     * 2^24 records; attempts to renegotiate; warnings. A record may come in parts, so that one of
     * 16 KiB is such bytes until its end has come. */
    SECURE_EMPTY_MAX = 65536,
    SECURE_EMPTY_PER_S = 4096,
    SECURE_RECORD_OVERHEAD = 64, /* of a record with data; its head, nonce and tag are half of it */
};
#define HANDSHAKES_TURN_NS (1 * NS_PER_MS) /* four with RSA, a dozen with ECDSA */

struct secure {
    struct conn conn; /* first: whoever has the connection has this */
    struct tls tls;
    struct secure *next, **link; /* in the queue of handshakes */
    char *held;                  /* what was received for the handshake and waits its turn */
    uint32_t held_size, held_capacity;
    uint32_t fact_count;
    int32_t spare; /* bytes without data that it may still send; it refills with time */
    int64_t spare_ns;
    bool ended;               /* the stream did, behind what is held */
    struct http_field *facts; /* of the client's certificate, for applications; or NULL */
};

static inline struct secure *secure_of(struct conn *conn)
{
    assert(conn->secure);
    return CONTAINER_OF(conn, struct secure, conn);
}

static inline bool secure_is_ready(const struct conn *conn)
{
    return CONTAINER_OF(conn, const struct secure, conn)->tls.ready;
}

/* Does it hold as much as it may, waiting for its turn? */
static inline bool secure_is_full(const struct conn *conn)
{
    return CONTAINER_OF(conn, const struct secure, conn)->held_size >= CONN_INPUT_PAUSE;
}

/* Of the worker: contexts and scratch. Loading takes over the fd; on failure what was there stays.
 */
int secure_open(struct worker *, askr_error *);
int secure_load(struct worker *, int fd, askr_error *);
void secure_close(struct worker *);
/* Work on the handshakes that wait. */
void secure_turn(struct worker *);

/* Of a connection. */
/* With `extra` bytes behind it. TLS begins once conn.secure is set. */
struct conn *secure_new(struct worker *, size_t extra);
void secure_fini(struct conn *);
/* Bytes came, or the end of the stream. */
void secure_receive(struct conn *, struct slice bytes);
void secure_end(struct conn *);
/* Send close_notify. True: it is on its way; false: it has gone, or cannot be sent. */
bool secure_say_goodbye(struct conn *);

/* secure_output.c */
void secure_flush(struct output *);

#endif
