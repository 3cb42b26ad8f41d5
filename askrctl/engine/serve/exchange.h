/* SPDX-License-Identifier: MIT
 * One request and its answer, between a protocol (protocol.h) and whatever answers: a file, an
 * application process, or ourselves with an error page. An HTTP/1.1 connection has one at a time.
 *
 * States: receiving (head parsed, body coming in, and stored if it is large) → queued (complete, no
 * application free) → handed (in a port) → answered. An exchange whose client has left is revoked
 * from its port, or abandoned there: the port's table then drops what the application still says.
 */
#ifndef ASKR_EXCHANGE_H
#define ASKR_EXCHANGE_H

#include "app/port.h"
#include "app/static.h"
#include "base/http.h"
#include "serve/accesslog.h"
#include "serve/split.h"
#include "serve/spool.h"

enum {
    EXCHANGE_ARENA_SIZE = 2048,  /* a browser's request head and an answer's fields fit */
    BODY_MEMORY_MAX = 65536,     /* request body kept in memory; past it a temporary file */
    BODIES_MEMORY_MAX = 1 << 20, /* … and all bodies of one connection together */
    ANSWER_HELD_MAX = 262144,    /* answer body held back to send it with its length */
    ANSWER_INTERIMS_MAX = 16,    /* 103s of one answer: they wait in memory for a slow client */
};

struct compressor;
struct conn;
struct worker;
struct piece;
struct app;
struct sendfile;
struct site;
struct static_entry;
struct static_answer;
struct answer_head;
struct forwarded;
struct record;
struct trace;
struct trailers;

enum exchange_state {
    EXCHANGE_RECEIVING,
    EXCHANGE_QUEUED,
    EXCHANGE_HANDED,
    EXCHANGE_ANSWERED, /* everything to say has been said to the output */
};

struct body { /* of the request */
    char *memory;
    struct spool *spool; /* NULL, or the temporary file for all of it */
    int64_t size;
    int64_t fed; /* bytes the application has been given */
};

struct exchange {
    struct conn *conn;
    struct exchange **owner;       /* where the protocol keeps it: NULL there once it is freed */
    struct exchange *next, **link; /* the queue */
    struct site *site;             /* that is asked; NULL: it could not be told */
    struct app *app;               /* handed to */
    uint32_t tag;
    uint8_t state; /* enum exchange_state */
    uint8_t interims;
    bool for_app : 1;
    bool bodyless : 1; /* no body was announced, or an empty one */
    bool received : 1; /* the request is complete */
    bool head_request : 1, http10 : 1, keep_alive : 1;
    bool head_known : 1; /* the application gave status and fields */
    bool head_sent : 1;
    bool streaming : 1; /* flush() was called: no spooling */
    bool spooling : 1;
    bool cut : 1;          /* the answer ends early */
    bool bare : 1;         /* once the head is known: no body follows, whatever is written */
    bool sized : 1;        /* ... or one of an announced length */
    bool chunked : 1;      /* ... or, HTTP/1.1, one in chunks */
    bool limited : 1;      /* refused by a rate limit */
    bool upgraded : 1;     /* its connection, or stream, is a WebSocket's from now on */
    bool from_file : 1;    /* a file is sent, not for an application */
    bool not_plain : 1;    /* the client refuses an answer that is not compressed */
    uint32_t header_rules; /* those of the site that are for it, a bit for each */
    uint8_t encoding;      /* enum encoding that the client would take for it */
    int status;
    uint32_t route;      /* serve/route.h: known once an application answers */
    int64_t length_left; /* of a sized answer */
    struct split_times times;
    struct slice request_id;
    struct accesslog_facts *facts; /* NULL without an access log or a trace */
    struct sendfile *sendfile;     /* the file that the application wants sent; NULL: none */
    struct forwarded *forwarded;   /* what a trusted proxy says of the client; or NULL */
    struct record *record;         /* for `askrctl record`; or NULL */
    struct trace *trace;           /* NULL: no traces are made */
    int64_t said;                  /* bytes of the answer's body */
    uint64_t position;             /* parked: of the connection's bytes, where this answer's end */
    struct slice head;             /* the request head's bytes, kept to be parsed again */
    struct body body;

    struct http_field *fields; /* the application's answer */
    size_t field_count;
    int64_t content_length;          /* what the application announced; -1 */
    struct piece *held, **held_last; /* answer body before its framing is known */
    size_t held_size;
    int64_t bare_size;             /* of the body that is not sent, as far as it was written */
    struct compressor *compressor; /* of a streamed answer (compress.h); NULL */
    struct trailers *trailers;     /* behind its body (trailers.h); NULL */

    void *overflow; /* arena blocks that did not fit */
    uint32_t arena_used;
    _Alignas(16) char arena[EXCHANGE_ARENA_SIZE];
};

/* The request head has been parsed into worker->request; `head` are its bytes, from which the
 * protocol can recall it. Answers at once what needs no application; 0, or -ENOMEM. */
int exchange_begin(struct conn *, struct exchange **owner, struct slice head);
/* There is no request to begin, or it went wrong: 400, 408, 431 and the like. */
void exchange_refuse(struct conn *, struct exchange **owner, int status, const char *detail);
/* Request body bytes. */
void exchange_body(struct exchange *, struct slice bytes);
/* More of a request body is stored, or can be read, or neither: spool_told_fn. */
void exchange_stored(struct spool *, int64_t stored);
/* The request is complete. */
void exchange_received(struct exchange *);
/* The client has left, or must be cut off. Frees the exchange. */
void exchange_abandon(struct exchange *);
/* Answer with an error page of ours, if nothing has gone out yet; else cut the answer off.
 * `detail` may be NULL. */
void exchange_fail(struct exchange *, int status, const char *detail);
/* Back to the worker's free list; nothing but its memory is left of it. */
void exchange_recycle(struct exchange *);
/* Has the client sent all it announced? If not, an answer leaves the rest unread. */
static inline bool exchange_complete(const struct exchange *exchange)
{
    return exchange->received || exchange->bodyless;
}
/* Memory that lives as long as the exchange; NULL when out. */
void *exchange_allocate(struct exchange *, size_t size);
/* Put the head into worker->request again and resolve its path into worker->target. */
void exchange_parse(struct exchange *);

/* Forget the application's body that was held back: another answer goes out instead. */
void exchange_drop_held(struct exchange *);
/* ... and what was to follow it. */
void exchange_drop_trailers(struct exchange *);
/* Forget the file in worker->target that is not going to be sent. */
void exchange_drop_target(struct worker *);

/* serve/answer.c: what an application says. Each may find the client gone: then nothing happens. */
void answer_interim(struct exchange *, const struct port_message *);
void answer_head(struct exchange *, const struct port_message *);
void answer_body(struct exchange *, struct slice bytes);
void answer_flush(struct exchange *);
void answer_end(struct exchange *, bool failed);
/* May the application's next bytes be taken? False holds the application back. */
bool answer_has_room(const struct exchange *);

/* serve/timing.c: Server-Timing, if it is asked for. `fields` has room for one more. */
void timing_add(struct exchange *);

/* serve/health.c: does worker->request ask for the health path? Its answer. */
bool health_is_asked(const struct worker *);
void respond_health(struct exchange *);

/* serve/respond.c: what we say ourselves. */
void respond_error(struct exchange *, int status, const char *detail);
void respond_file(struct exchange *, struct static_target *);
/* A file, with this head; takes over the reference. */
void respond_entry(struct exchange *, struct static_entry *, const struct static_answer *,
                   const struct answer_head *);
void respond_redirect(struct exchange *, const struct http_request *);
/* To the same URL by https. */
void respond_to_https(struct exchange *);
void respond_location(struct exchange *, int status, struct slice location);
/* Certificate authorities prove a name by plain HTTP (RFC 8555 section 8.3). */
bool exchange_is_challenge(struct slice path);
/* The host as the client named it, without its port. */
struct slice host_of(struct slice authority);
void respond_options(struct exchange *, const char *allow);
/* All of the answer has been said: end it, or cut it. */
void exchange_answered(struct exchange *);

/* serve/body.c */
/* Past `memory_max` bytes, which is PORT_INLINE_BODY_MAX at least, it goes to a file, and
 * exchange_stored() is told. 0 or -errno. */
int body_append(struct exchange *, struct slice bytes, size_t memory_max);
/* Bytes of it in memory to stay. */
static inline size_t body_memory(const struct body *body)
{
    return body->memory != NULL ? (size_t)body->size : 0;
}
/* Bytes on their way to a file. */
static inline size_t body_ahead(const struct body *body)
{
    return body->spool != NULL ? (size_t)(body->spool->size - body->spool->stored) : 0;
}
/* Must the client wait until more of it is stored? */
static inline bool body_is_full(const struct body *body)
{
    return body->spool != NULL && spool_is_full(body->spool);
}
void body_free(struct body *);
/* Give the started application what there is room for. 0 or -errno when the spool cannot be read.
 */
int body_feed(struct body *, struct port *);

#endif
