/* SPDX-License-Identifier: MIT
 * HTTP/2, sans-IO (RFC 9113, RFC 7541, RFC 9218), the server's side, on libnghttp2: bytes in,
 * events out, pulled; frames out, pulled. Owns no fd, reads no clock (it is told the time), takes
 * no lock; memory comes from the caller's allocator, which may refuse.
 *
 * Reading: h2_next() takes all of the input, a frame at a time, and returns at each event. Writing:
 * the caller says heads (h2_respond) and how many body bytes wait (h2_write, h2_end); h2_output()
 * then says what to send now, by priority and as far as the peer's windows reach. Body bytes never
 * pass through here: H2_OUT_DATA asks the caller for so many bytes of a stream.
 *
 * A peer's mistake costs its stream, or the connection: then a GOAWAY is in the output and
 * h2_over() is true once that has been taken. A peer that keeps us busy with anything but requests
 * is told ENHANCE_YOUR_CALM: see the limits below, each with the attack that it ends. */
#ifndef ASKR_H2_H
#define ASKR_H2_H

#include "base/http.h"
#include "proto/h1.h"

enum {
    H2_PREFACE_SIZE = 24,
    H2_FRAME_HEAD_SIZE = 9,
    H2_STREAM_WINDOW = 256 << 10, /* bytes of a body on their way: 20 Mbit/s at 100 ms */
    H2_CONN_WINDOW = 1 << 20,
    H2_MEMORY_MAX = 1 << 20, /* of nghttp2, for one connection; a full one uses a fifth */

    /* Frames that cost us more than the peer are paid for from a budget, which refills with time.
     * A page of 200 images whose visitor leaves costs 800. */
    H2_BUDGET_MAX = 1000,
    H2_BUDGET_PER_S = 100,
    H2_COST_FRAME = 1,    /* PING, PRIORITY, empty DATA, frames of unknown types */
    H2_COST_RESET = 4,    /* "rapid reset", and "made you reset": a stream that ends by an error;
                             not of a stream that we have left */
    H2_COST_SETTINGS = 8, /* each is acknowledged */
    H2_UPDATES_FREE = 2,  /* WINDOW_UPDATEs for each DATA frame we sent; more cost as a frame */
    H2_UPDATES_FREE_MAX = 256,

    H2_CONTINUATIONS_MAX = 8, /* of one field block, as nghttp2 has it: "CONTINUATION flood" */
    H2_FIELD_BLOCK_SIZE_MAX = 64 << 10, /* compressed */
    H2_LIST_EXCESS = 4, /* times the limit of a head: past it not 431, but the end: "HPACK bomb" */
    H2_FIELDS_EXCESS = 4,       /* the same for the number of fields */
    H2_TRAILER_SIZE_MAX = 4096, /* of a request; read and dropped */
};

struct h2; /* opaque; memory from the allocator */

struct h2_memory {
    /* Zeroed memory is not needed. NULL refuses. `size` may be 0, `old` may be NULL. */
    void *(*resize)(void *user, void *old, size_t size);
    void (*release)(void *user, void *old);
    void *user;
};

/* The caller's, embedded in what it keeps of a stream, from H2_REQUEST to H2_CLOSED. */
struct h2_stream {
    struct h2_stream *next; /* in the list of closed ones */
    int32_t id;
    bool head_request : 1; /* set by the caller before h2_respond(): no body will follow */
    bool attached : 1;
    bool ended : 1;                    /* nothing follows what waits */
    bool deferred : 1;                 /* nghttp2 waits for h2_write() */
    bool leave : 1;                    /* no more of the request once the answer is out: */
    bool left : 1;                     /* … it is, and what still comes is nobody's */
    const struct http_field *trailers; /* behind the body: set before h2_end(), kept to the end */
    size_t trailer_count;
    uint64_t waiting; /* body bytes said and not asked for yet */
    uint64_t sent;    /* body bytes asked for */
};

enum h2_event {
    H2_NEED_DATA, /* all input is taken */
    H2_REQUEST,   /* a new stream: news->head; attach it, or refuse it, before the next call */
    H2_BODY,      /* news->stream, news->body: give the bytes' window back with h2_consume() */
    H2_END,       /* news->stream: the request is complete (not after a H2_REQUEST with `end`) */
    H2_CLOSED,    /* news->stream: over, for whatever reason; it may be freed now */
    H2_ERROR,     /* the connection is of no use: send what h2_output() has, and close */
};

struct h2_news {
    struct h2_stream *stream;
    struct slice head; /* for h2_read_head(); valid until the next call */
    struct slice body;
    int status; /* H2_REQUEST: not 0 when the head was too large to be kept: 431 */
    bool end;   /* H2_REQUEST: no body follows */
};

enum h2_error {
    H2_NO_ERROR = 0,
    H2_PROTOCOL_ERROR = 1,
    H2_INTERNAL_ERROR = 2,
    H2_STREAM_CLOSED = 5,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_ENHANCE_YOUR_CALM = 11,
};

/* Does this input begin with the client's preface (RFC 9113 section 3.4)? 1 yes, 0 no, -1 it may:
 * all of the input is the preface's beginning. */
int h2_preface(struct slice input);

/* `limits` are kept. `connect`: a CONNECT may ask for a protocol (RFC 8441). NULL when the
 * allocator refuses. */
struct h2 *h2_open(const struct h2_memory *, const struct h1_limits *limits, uint32_t streams_max,
                   bool connect);
void h2_free(struct h2 *);
/* The time, for budgets; before h2_next(), as often as it is known better. */
void h2_tick(struct h2 *, int64_t now_ns);
enum h2_event h2_next(struct h2 *, struct slice *input, struct h2_news *);
/* The stream of the H2_REQUEST just returned. */
void h2_attach(struct h2 *, struct h2_stream *);
void h2_refuse(struct h2 *, enum h2_error); /* … or no stream */
/* … of a stream that was left, only the connection's: so at most H2_STREAM_WINDOW more come. */
void h2_consume(struct h2 *, struct h2_stream *, size_t size);
/* Is a head half read? */
bool h2_mid_head(const struct h2 *);

/* The request of a head; slices point into `head`. 0, or the status of a refusal with its reason:
 * then the method is set as far as it is known, and nothing else may be used. */
int h2_read_head(struct slice head, const struct h1_limits *, struct http_request *,
                 const char **reason);

struct h2_response {
    int status;
    int64_t content_length;          /* -1: unknown */
    struct slice date, server, hsts; /* or empty; kept until sent, when the date may be another */
    const struct http_field *fields; /* the application's; those we write are dropped */
    size_t field_count;
};

/* A final head, or an interim one (1xx). `has_body`: false ends the stream. 0, -EINVAL for a field
 * that is not valid and as h1_write_head(), -E2BIG past `H2_HEAD_OUT_MAX`, -ENOMEM. */
int h2_respond(struct h2 *, struct h2_stream *, const struct h2_response *, bool *has_body);
/* So many bytes more wait. */
void h2_write(struct h2 *, struct h2_stream *, size_t size);
void h2_end(struct h2 *, struct h2_stream *);
/* End it by an error. H2_CLOSED still comes. */
void h2_cut(struct h2 *, struct h2_stream *, enum h2_error);

enum h2_out {
    H2_OUT_NONE,
    H2_OUT_BYTES, /* *bytes, until the next call */
    H2_OUT_DATA,  /* *bytes, and behind them *size body bytes of *stream */
    H2_OUT_ERROR, /* memory is out */
};
enum h2_out h2_output(struct h2 *, struct slice *bytes, struct h2_stream **stream, size_t *size);
/* A stream that h2_output() closed; NULL when there is none left. It may be freed. */
struct h2_stream *h2_closed(struct h2 *);

/* A PING, to learn whether the peer reads while it waits for nothing. */
void h2_probe(struct h2 *);
uint32_t h2_probed(const struct h2 *); /* how many it has answered */
/* A first GOAWAY that closes nothing, and a PING to learn when it was read (RFC 9113 section 6.8).
 */
void h2_warn(struct h2 *);
bool h2_warned(const struct h2 *); /* the peer has read the warning */
/* The last GOAWAY: streams that are open are lost. */
void h2_shut(struct h2 *, enum h2_error);
/* Everything has been said in both directions. */
bool h2_over(const struct h2 *);
/* How much the peer will take of each new stream before it must say more: 0 is a threat. */
uint32_t h2_peer_window(const struct h2 *);

#endif
