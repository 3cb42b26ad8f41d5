/* SPDX-License-Identifier: MIT
 * One client connection: bytes in, the exchange that is being served, bytes out, and the one timer
 * that says how long we wait for what the connection is waiting for.
 *
 * Happy path: conn_open(), bytes feed the protocol, an exchange answers, the answer is flushed at
 * the end of the turn, the connection idles without any buffer. Failure modes: the peer leaves (the
 * exchange is abandoned), breaks the protocol (an error answer, then a lingering close), or is too
 * slow (408 while a request is half read, a reset while it does not take its answer). */
#ifndef ASKR_CONN_H
#define ASKR_CONN_H

#include <sys/socket.h>

#include "base/timer.h"
#include "io/io.h"
#include "proto/h1.h"
#include "serve/address.h"

enum {
    /* What was on its way when reading was paused, at most: all the buffers of one turn, and once
     * more those that the kernel filled until it heard of the pause. */
    CONN_INPUT_HELD_MAX = 2 * IO_BUF_COUNT * IO_BUF_SIZE,
    CONN_INPUT_PAUSE = 16384,       /* pipelined bytes held before reading is paused */
    CONN_PIPELINE_OUTPUT = 65536,   /* answers queued before the next pipelined request is begun */
    CONN_LINGER_SIZE_MAX = 1 << 20, /* bytes of a refused body that are read and dropped */
};
#define CONN_STARVED_NS NS_PER_S
#define CONN_LINGER_NS (2 * NS_PER_S) /* how long a refused client may take to read why */
/* The same for one that was refused nothing: a round trip, in which a request crosses our end. */
#define CONN_LINGER_BRIEF_NS (250 * NS_PER_MS)

struct worker;
struct exchange;
struct output;
struct protocol;
struct h2_conn;
struct websocket;

enum conn_wait {
    CONN_IDLE,      /* for the first byte of a request */
    CONN_PROXY,     /* for the head of the PROXY protocol */
    CONN_HANDSHAKE, /* for TLS */
    CONN_HEAD,      /* for the rest of a head */
    CONN_BODY,      /* for the rest of a body */
    CONN_ANSWER,    /* for the application: no timer here */
    CONN_WRITE,     /* for the peer to take bytes */
    CONN_WINDOW,    /* … or to say that it will: flow control */
    CONN_STARVED,   /* the same, of a peer that asked much and takes nothing */
    CONN_LINGER,    /* for the peer to close after an error */
};

struct conn {
    struct io_op recv_op;
    struct timer timer;
    struct worker *worker;
    struct conn *next, **link; /* all connections */
    struct conn *next_dirty;
    const struct protocol *protocol;
    struct h1 h1;
    struct exchange *exchange;   /* HTTP/1.1: the one being served */
    struct h2_conn *h2;          /* HTTP/2: its streams */
    struct websocket *websocket; /* WebSocket over HTTP/1.1: all there is */
    struct output *output;
    char *held; /* input not consumed yet */
    uint32_t held_size, held_capacity;
    int fd;
    uint8_t wait;        /* enum conn_wait */
    uint8_t own;         /* which of our addresses: address_own() */
    uint8_t evict_queue; /* enum evict_queue; with the next three it is evict.h's */
    struct conn *evict_next, **evict_link;
    int64_t evict_since_ns; /* in this queue */
    bool dirty : 1;
    bool reading : 1; /* recv_op is armed */
    bool paused : 1;  /* recv_op was cancelled to hold the peer back */
    bool close : 1;   /* once the output has been sent */
    bool linger : 1;  /* ... and then wait for the peer */
    bool brief : 1;   /* ... but not for long: nothing was under way */
    bool closing : 1; /* ops are being ended */
    bool closed : 1;  /* and the fd is being closed */
    bool peer_closed : 1;
    bool begun : 1;       /* it is known what is spoken */
    bool served : 1;      /* had an answer: an idle close is no error */
    bool secure : 1;      /* the head of a struct secure: TLS */
    bool has_tls : 1;     /* ... allocated as one; `secure` once TLS begins */
    bool redirect : 1;    /* came by a listener that sends everything to https */
    bool evicted : 1;     /* closing, for a newcomer's sake */
    bool counted : 1;     /* among its address's: per_address.h */
    bool proxied : 1;     /* came by a proxy that says from whom: speak_proxy.h */
    uint64_t progress;    /* body bytes, or bytes acked by the peer, at the last timer */
    struct owed {         /* a head or a body that is waited for, also while we write: */
        int64_t until_ns; /* conn_timer.c */
        uint64_t progress;
        uint32_t requests;
        uint8_t wait; /* enum conn_wait; CONN_WRITE: there is none */
    } owed;
    size_t bodies_memory; /* of all its requests */
    uint64_t received;    /* body bytes of this request */
    int64_t begun_ns;     /* when the first bytes of a head came that is not complete; 0 */
    uint32_t requests;    /* begun, ever */
    uint64_t sent;        /* bytes handed to the kernel, ever */
    struct exchange *parked, *parked_last; /* answered, and not yet sent to their end: split.h */
    struct address peer;
};

/* `flags`: enum askr_listener_flags. NULL when memory is out. */
struct conn *conn_open(struct worker *, int fd, const struct sockaddr *, uint32_t flags);
/* End it now; the exchange, if any, is abandoned. Safe to call twice. */
void conn_close(struct conn *);
/* End it as soon as what it has to say is sent; over TLS with close_notify. */
void conn_finish(struct conn *);
/* Bytes of the peer's, decrypted. */
void conn_take(struct conn *, struct slice bytes);
/* The peer will send nothing more. */
void conn_peer_closed(struct conn *);
/* There is output: it is flushed at the end of the turn. */
void conn_dirty(struct conn *);
void conn_flush_dirty(struct worker *);
/* The exchange is complete on both sides, or the connection was told to close: go on. */
void conn_resume(struct conn *);
/* From output.c: a send has ended. */
void conn_sent(struct conn *, int64_t result);
/* The output chain, made on first use; NULL when memory is out. */
struct output *conn_output(struct conn *);
/* Strict-Transport-Security of this connection's answers; empty without. */
struct slice conn_hsts(const struct conn *);
/* Has it had as many requests as limits.requests_per_connection lets it have? */
bool conn_is_spent(const struct conn *);
/* From now on it is HTTP/2: after the preface was seen, or ALPN. 0 or -ENOMEM. */
int conn_speak_h2(struct conn *);
/* When the supervisor asked for a drain: idle connections are closed after their grace. */
void conns_drain(struct worker *, int64_t now_ns);

#endif
