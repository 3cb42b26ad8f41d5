/* SPDX-License-Identifier: MIT
 * What the files of HTTP/2 behind the seam share: a connection's streams, and where the body of
 * each answer waits for its turn. speak_h2.c has the connection, speak_h2_answer.c the answers,
 * speak_h2_fill.c what goes out, speak_h2_slow.c who is too slow, speak_h2_memory.c what nghttp2
 * allocates. */
#ifndef ASKR_SPEAK_H2_H
#define ASKR_SPEAK_H2_H

#include "proto/h2.h"
#include "serve/chain.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/protocol.h"
#include "serve/worker.h"

enum {
    STREAM_MEMORY_MAX = 65536, /* of a flushed answer; then its application waits */
    STREAMS_FREE_MAX = 1024,   /* a worker keeps for reuse: 160 KiB */
    STARVED_STREAMS = 32,      /* answers for which the peer gives no window: "zero window" */
    STARVED_WINDOW = 1024,     /* … and never meant to */
    IDLE_PROBES = 2,           /* the first may be answered with the end of an answer */
};

/* How far something had got when it was last looked at. */
struct pace {
    int64_t since_ns; /* 0: it is not waited for */
    uint64_t size;
};

struct stream {
    struct h2_stream h2;
    struct h2_conn *owner;
    struct exchange *exchange;   /* until its answer is said */
    struct websocket *websocket; /* ... from then on, if that is what it was for */
    struct trailers *trailers;   /* of the answer, which waits to be sent; or NULL */
    size_t owed;                 /* bytes of its window to be given back once they are stored */
    char *held;                  /* of its input, while it may not receive */
    size_t held_size;
    struct chain body; /* of the answer */
    struct stream *next, **link;
    int64_t body_size;    /* of the request, so far */
    struct pace bringing; /* it */
    struct pace taking;   /* the answer */
    bool received;        /* the request is complete */
    bool ends;            /* its answer was said, and is not all stored yet */
};

struct h2_conn {
    struct h2 *h2;
    struct conn *conn;
    struct stream *streams;
    size_t allocated; /* by nghttp2 */
    size_t waiting;   /* bytes of all streams' bodies in memory */
    uint32_t websocket_count;
    int64_t starved_ns; /* since when it seems to collect answers; 0: it does not */
    uint32_t probes;    /* whether the peer reads while it waits for nothing */
    uint32_t probed_at; /* how many requests there had been */
    bool warned, shut;
};

static inline struct stream *stream_of(const struct exchange *exchange)
{
    return CONTAINER_OF(exchange->owner, struct stream, exchange);
}

/* speak_h2.c */
void stream_free(struct stream *);
/* GOAWAY, and no more is read. */
void h2_leave(struct conn *, enum h2_error);

/* speak_h2_slow.c: what is waited for of the peer; and an end to what is too slow. */
enum conn_wait h2_waits_for(const struct conn *);
void h2_judge(struct conn *);

/* speak_h2_memory.c */
struct h2_memory h2_memory_for(struct h2_conn *);

/* speak_h2_answer.c: members of protocol_h2. */
void h2_recall(struct exchange *);
int h2_go_on(struct exchange *);
int h2_interim(struct exchange *, const struct answer_head *);
int h2_head(struct exchange *, const struct answer_head *);
int h2_body(struct exchange *, struct slice bytes);
int h2_file(struct exchange *, const struct file_range *);
int h2_end_answer(struct exchange *);
void h2_cut_answer(struct exchange *);
bool h2_has_room(const struct exchange *);
void stream_stored(struct chain *, int64_t stored); /* of an answer's body: chain_told_fn */

/* speak_h2_ws.c */
void h2_carry(struct conn *, struct exchange **owner, struct websocket *);
void h2_websocket_hear(struct stream *, struct slice bytes);
void h2_websocket_ended(struct stream *);
void h2_websocket_free(struct stream *);
/* Of all streams: take what is held; say goodbye. */
void h2_websockets_go_on(struct h2_conn *);
void h2_websockets_leave(struct h2_conn *);

/* speak_h2_fill.c */
void h2_fill(struct conn *);

#endif
