/* SPDX-License-Identifier: MIT
 * One worker: the loop, and everything its parts share. A worker shares nothing with the others but
 * the listeners and the pages of counters.
 *
 * One turn of the loop: wait for I/O and run what completed; take the applications' answers; hand
 * over queued requests; ring each application at most once; take answers once more (an application
 * on this core may already have run); start one send for each connection that has something to say.
 */
#ifndef ASKR_WORKER_H
#define ASKR_WORKER_H

#include "app/static.h"
#include "base/timer.h"
#include "io/io.h"
#include "proto/h1.h"
#include "serve/address.h"
#include "serve/apps.h"
#include "serve/chain.h"
#include "serve/compress.h"
#include "serve/control.h"
#include "serve/evict.h"
#include "serve/per_address.h"
#include "serve/rate_limit.h"
#include "serve/request_id.h"
#include "serve/route.h"
#include "serve/site.h"
#include "serve/split.h"
#include "serve/websocket.h"

enum {
    HTTP_DATE_SIZE = 29,      /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    EXCHANGES_FREE_MAX = 256, /* kept for reuse: about 1 MiB */
};
#define HEARTBEAT_NS \
    (100 * NS_PER_MS) /* the supervisor replaces a worker after 1.2 s without one */

struct conn;
struct exchange;
struct output;
struct recorder;
struct tracer;
struct secure;
struct tls_context;
struct stream;

/* Memory for nghttp2 that is kept for reuse: speak_h2_memory.c. */
enum { H2_BLOCK_STEP = 64, H2_BLOCK_STEPS = 16 };
struct h2_blocks {
    struct h2_free_block *free[H2_BLOCK_STEPS]; /* by size, in steps */
    size_t size;                                /* of all of them */
};
void h2_blocks_free(struct h2_blocks *);

struct listener {
    struct io_op op;
    struct worker *worker;
    int fd;
    uint32_t flags;    /* enum askr_listener_flags */
    int64_t retry_ns;  /* when a deferred or failed accept is tried again; NEVER */
    int reserve_start; /* the first descriptor that is kept for open connections */
    bool deferring;
    bool full;                /* the next one takes the place of another: evict.h */
    uint64_t others_accepted; /* when the deferral began */
};

struct worker {
    struct io io;
    const struct askr_worker_config *config;
    struct askr_worker_status *status; /* our page */
    char *status_map;                  /* all pages */
    size_t status_size;
    struct timer_wheel timers;
    struct site *sites;
    uint32_t site_count;
    struct host *hosts; /* of all sites; NULL: there is one site, for every host */
    uint32_t host_count;
    struct h1_limits limits;
    struct apps apps;
    struct own_addresses own_addresses;
    struct split_worker split;
    struct routes routes;
    struct trust trust;
    struct compressors compressors;
    struct websockets websockets;
    struct accesslog *log;     /* NULL: none */
    struct recorder *recorder; /* NULL: nobody records */
    uint32_t records_open;
    struct tracer *tracer; /* NULL: no traces */

    struct listener listeners[ASKR_LISTENERS_MAX];
    uint32_t listener_count;
    struct io_op control_op, bell_op;

    struct conn *conns; /* all open ones, doubly linked */
    uint32_t conn_count;
    struct evictions evictions;
    struct per_address per_address;
    struct rates rates;
    struct conn *dirty; /* those with output to flush this turn */
    struct exchange *exchanges_free;
    uint32_t exchanges_free_count;
    struct output *outputs_free;
    struct piece *pieces_free;
    uint32_t pieces_free_count;
    size_t spools_ahead; /* bytes of all spools that are in memory, on their way to the disk */
    struct stream *streams_free;
    uint32_t streams_free_count;
    struct h2_blocks blocks;

    struct tls_context *tls;                      /* for new connections; NULL without TLS */
    struct secure *handshakes, **handshakes_last; /* those with input to work on, in turn */
    char *tls_plain, *tls_cipher; /* scratch for one record each; NULL without TLS */

    /* Scratch for the request that is being parsed; request_of says whose it is. */
    struct http_request request;
    struct static_target target;
    struct exchange *request_of;

    int64_t heartbeat_ns; /* the next one */
    int64_t date_ns;      /* when the date text is next renewed */
    char date[HTTP_DATE_SIZE + 1];

    int64_t sendfile_told_ns; /* when the supervisor last heard of a file that was not sent */

    bool fds_short; /* the last connection took a descriptor of the reserve */
    bool draining;
    bool drops_idle; /* while it drains: it gives no grace to who has had an answer */
    bool kept;       /* it drains, but does not end */
    bool listeners_stopped, listen_again;
    int64_t drain_deadline_ns, idle_deadline_ns;
    int failure; /* -errno that ends the loop */
};

/* serve/listener.c */
int listeners_open(struct worker *, askr_error *);
/* The same later; how many there are has been checked. After listeners_stop() as soon as that is
 * done; otherwise a second call does nothing. */
void listeners_begin(struct worker *);
void listeners_stop(struct worker *);
/* There is room again: look at once. */
void listeners_hurry(struct worker *);
void listeners_retry(struct worker *, int64_t now_ns);
int64_t listeners_next(const struct worker *);
bool listeners_idle(const struct worker *);

/* serve/control.c */
void control_open(struct worker *);
/* With a text behind it, cut at CONTROL_TEXT_MAX. */
void control_say(struct worker *, enum control_kind kind, uint32_t value, struct slice text);
void control_send(struct worker *, enum control_kind, uint32_t place, int32_t pid, uint32_t value);

/* serve/status.c */
int status_open(struct worker *, askr_error *);
void status_close(struct worker *);
void status_beat(struct worker *, int64_t now_ns);
/* The page of the worker with this index in our generation. */
const struct askr_worker_status *status_page(const struct worker *, uint32_t index);

/* serve/worker.c: what askr_worker_run() is made of, for a fuzzer that plays the world around a
 * worker. Opened, it has neither listeners nor a supervisor; closing ends all that is open. */
int worker_open(struct worker *, const struct askr_worker_config *, askr_error *);
void worker_turn(struct worker *);
void worker_close(struct worker *);
void worker_drain(struct worker *, int64_t deadline_ns);
/* Drain, and stay; worker_listen() begins anew. */
void worker_keep(struct worker *, int64_t deadline_ns);
void worker_listen(struct worker *);
struct slice worker_date(struct worker *);

#endif
