/* SPDX-License-Identifier: MIT
 * The engine's public surface, as declarations only. Read twice: by the C compiler through
 * askr/api.h and by cffi through _build.py; it therefore has no preprocessor lines. */

enum askr_io_id {
    ASKR_IO_NONE = 0,
    ASKR_IO_URING = 1,
    ASKR_IO_EPOLL = 2,
    ASKR_IO_SIM = 3 /* in memory, deterministic: tests and fuzzers */
};

typedef struct askr_error {
    int errnum;     /* positive errno, 0 when no error */
    char text[252]; /* one sentence for an operator */
} askr_error;

enum askr_limits {
    ASKR_LISTENERS_MAX = 16,
    ASKR_WORKERS_MAX = 256,
    ASKR_APPS_MAX = 256, /* application processes of one worker, of all its sites */
    ASKR_SITES_MAX = 64,
    ASKR_RATES_MAX = 16,      /* rate limits */
    ASKR_BUCKETS = 514,       /* of a histogram: base/histogram.h */
    ASKR_ROUTES_MAX = 64,     /* "(other)" included: a series of metrics for each */
    ASKR_ROUTE_NAME_SIZE = 56 /* bytes, with a NUL */
};

/* Where the time of answered requests went. Each is measured by itself, none is the rest of others;
 * docs/observability.md says from where to where. */
struct askr_split {
    uint64_t requests;
    uint64_t read_ns, queue_ns, app_wall_ns, app_cpu_ns, write_ns, client_ns;
    uint64_t after_wall_ns, after_cpu_ns;      /* the application, between its answer and its end */
    uint64_t io_cpu_user_ns, io_cpu_system_ns; /* the worker's own thread, since it serves */
    uint64_t io_cpu_serving_ns;                /* of it: in heartbeats that answered something */
    uint64_t app_held_ns; /* time in which at least one request was with an application */
};

enum askr_histogram {
    ASKR_HISTOGRAM_APP = 0,  /* first byte in to last byte out, answered by an application */
    ASKR_HISTOGRAM_SELF = 1, /* the same, answered by the worker: files, redirects, errors */
    ASKR_HISTOGRAM_QUEUE = 2,
    ASKR_HISTOGRAM_APP_WALL = 3,
    ASKR_SITE_HISTOGRAMS = 3 /* those before it are kept by site */
};

/* What is counted of answers, each once: for its site where there are several, else, and when it
 * was of none of them, for the worker. Readers add them up. */
struct askr_tally {
    uint64_t responses[10]; /* by the first digit of the status; [0]: there was none */
    uint64_t histograms[3][514];
};

/* Requests of one route that an application answered: serve/route.h. */
struct askr_route {
    char name[56];
    uint64_t failed;         /* with 5xx */
    uint64_t histogram[514]; /* first byte in to last byte out */
};

/* One application process as its worker sees it. */
struct askr_app_status {
    int32_t pid;       /* 0: no process */
    uint32_t state;    /* enum askr_app_state */
    uint64_t requests; /* finished */
    uint64_t restarts; /* of this place, this worker's life */
    int64_t since_ns;  /* CLOCK_MONOTONIC of the running request's start; 0 when idle */
    char method[8];    /* of the request that was taken last, both cut to what fits; */
    char path[120];    /* no query: it may hold what is nobody's business */
};

enum askr_app_state {
    ASKR_APP_NONE = 0,
    ASKR_APP_BOOTING = 1,
    ASKR_APP_IDLE = 2,
    ASKR_APP_BUSY = 3, /* for readers: one that is idle, but for its since_ns */
    ASKR_APP_FAILED = 4,
    ASKR_APP_DEAD = 5,
    ASKR_APP_LEAVING = 6 /* it was told to go, and finishes what it has */
};

enum askr_listener_flags {
    ASKR_LISTENER_TLS = 1,
    ASKR_LISTENER_REDIRECT = 2, /* every request is sent to the same URL by https */
    ASKR_LISTENER_PROXY = 4     /* connections begin with the PROXY protocol */
};

enum askr_server_timing { ASKR_TIMING_OFF = 0, ASKR_TIMING_ON = 1, ASKR_TIMING_TRUSTED = 2 };

/* Whose traceparent is believed. */
enum askr_trace_accept { ASKR_TRACE_NOBODY = 0, ASKR_TRACE_ALL = 1, ASKR_TRACE_TRUSTED = 2 };

/* Which fields of a trusted proxy say who the client is. */
enum askr_forwarded {
    ASKR_FORWARDED_OFF = 0,
    ASKR_FORWARDED_X = 1,       /* X-Forwarded-For, -Proto, -Host, -Port */
    ASKR_FORWARDED_STANDARD = 2 /* Forwarded, RFC 7239 */
};

enum askr_worker_state {
    ASKR_WORKER_NONE = 0,
    ASKR_WORKER_STARTING = 1,
    ASKR_WORKER_READY = 2,
    ASKR_WORKER_DRAINING = 3,
    ASKR_WORKER_FAILED = 4,
    ASKR_WORKER_KEPT = 5 /* takes no connections, and is ready to take them again */
};

/* One site of a worker, where there are several. What it shares with the page counts there too,
 * but for its tally. */
struct askr_site_status {
    char name[64];
    uint64_t queue_full, queue_expired, timeouts, app_deaths;
    uint64_t sendfile_refused; /* answers that named a file the site may not send */
    uint32_t queue_depth, inflight;
    int64_t queue_wait_ns;
    char boot_error[256];
    struct askr_tally tally;
};

/* One worker's page of the status memory: written by that worker alone, read by all. */
struct askr_worker_status {
    int64_t heartbeat_ns; /* CLOCK_MONOTONIC, at least every 100 ms */
    int32_t pid;
    uint32_t state; /* enum askr_worker_state */
    uint32_t generation;
    uint32_t backend;      /* enum askr_io_id it runs on */
    int32_t backend_errno; /* why the requested backend did not open; 0 */
    uint32_t connections;  /* open now */
    uint32_t queue_depth;  /* requests waiting for an application now */
    uint32_t inflight;     /* requests an application holds now */
    uint64_t accepted;     /* connections, ever */
    uint64_t bytes_in, bytes_out;
    uint64_t errors;          /* connections ended by a protocol error */
    uint64_t timeouts;        /* 408, 504 and silent closes by a timer */
    uint64_t queue_full;      /* 503: the queue was full */
    uint64_t queue_expired;   /* 503: queue_timeout */
    uint64_t app_deaths;      /* processes that died under a worker's eyes */
    uint64_t tls_handshakes;  /* completed, ever */
    uint64_t tls_resumed;     /* of those: with a ticket */
    uint64_t tls_failed;      /* handshakes that ended in an alert */
    int64_t queue_wait_ns;    /* how long the oldest request in the queue has been waiting; 0 */
    uint64_t log_lines;       /* of the access log, that the file took or will take */
    uint64_t log_dropped;     /* ... that were lost: the file was too slow, or full */
    uint64_t proxy_refused;   /* connections: no trusted peer, or no head of the PROXY protocol */
    uint64_t rate_limited;    /* requests: 429 */
    uint64_t address_refused; /* connections: their address had as many as it may have */
    uint64_t evicted;         /* connections closed to make room for new ones */
    uint64_t abandoned;       /* requests whose client left before they were answered */
    uint64_t websockets;      /* open now */
    uint64_t websocket_messages; /* received, ever */
    char boot_error[512];        /* last reason an application could not boot, or "" */

    uint64_t records;         /* of the recording, that were sent to it */
    uint64_t records_lost;    /* ... that it did not take, or that could not be made */
    uint64_t records_skipped; /* ... that were over its rate */
    uint64_t spans;           /* of traces, that the exporter has */
    uint64_t spans_lost;      /* ... that it did not take */

    uint32_t app_count;
    struct askr_app_status apps[256];
    struct askr_split split;
    struct askr_tally tally;
    uint64_t app_wall[514]; /* ASKR_HISTOGRAM_APP_WALL */
    uint32_t route_count;
    struct askr_route routes[64]; /* the first is "(other)" */
    uint32_t site_count;
    struct askr_site_status sites[64];
};

/* Where a symlink beneath the document root may lead. */
enum askr_symlinks {
    ASKR_SYMLINKS_BENEATH = 0,     /* nowhere but beneath the document root */
    ASKR_SYMLINKS_APPLICATION = 1, /* beneath the served application */
    ASKR_SYMLINKS_FOLLOW = 2,      /* anywhere */
    ASKR_SYMLINKS_NEVER = 3
};

/* What tells clients apart. A request without the field or cookie counts for its address. */
enum askr_rate_key { ASKR_RATE_ADDRESS = 0, ASKR_RATE_HEADER = 1, ASKR_RATE_COOKIE = 2 };

/* One rate limit: a bucket of `burst` requests for each client, into which `count` more come in
 * each `period_s` seconds. */
struct askr_rate {
    const char *name;     /* in RateLimit and RateLimit-Policy */
    const char *path;     /* where it holds: this path, and all below it */
    uint32_t key;         /* enum askr_rate_key */
    const char *key_name; /* of the field or cookie */
    uint32_t count, period_s, burst;
};

/* Of a path, decoded and normalised; or of what replaces it. */
struct askr_pattern {
    const char *before; /* the "*" */
    const char *behind; /* ... or NULL: there is none, and `before` is all of it */
};

enum askr_edit { ASKR_EDIT_SET = 0, ASKR_EDIT_ADD = 1, ASKR_EDIT_REMOVE = 2 };
struct askr_header_edit {
    uint32_t edit; /* enum askr_edit */
    const char *name, *value;
};

/* Which answers a rule for header fields is for. */
enum askr_answers {
    ASKR_ANSWERS_ALL = 0,
    ASKR_ANSWERS_OK = 1,   /* with a status below 400 */
    ASKR_ANSWERS_FILES = 2 /* files that the worker sends, not for an application */
};
struct askr_header_rule {
    const struct askr_pattern *paths;
    uint32_t path_count;
    const struct askr_header_edit *edits;
    uint32_t edit_count;
    uint32_t answers; /* enum askr_answers */
};

struct askr_redirect {
    struct askr_pattern source, target;
    const char *const *hosts; /* in lower case; ".example.org" is every name below it */
    uint32_t host_count;      /* 0: all hosts */
    int status;
};

/* A folder that an application may have files sent from. */
struct askr_sendfile_root {
    const char *prefix; /* of a path on disk, or of a URI; without a slash at its end */
    const char *root;   /* absolute path of the folder */
    int internal;       /* the prefix is of a URI, by X-Accel-Redirect */
};

/* What one host name leads to. */
struct askr_site_config {
    const char *name;
    const char *const *hosts;  /* in lower case; ".example.org" is every name below it */
    uint32_t host_count;       /* 0 in all sites: the first is for every host */
    const char *root;          /* document root */
    const char *front;         /* front controller relative to root, or NULL */
    const char *worker_script; /* absolute path, or NULL: classic mode */
    const char *index_files[4];
    const char *application; /* the served path; the root lies in it */
    uint32_t symlinks;       /* enum askr_symlinks */
    int precompressed, scripts;
    const char *no_scripts[9]; /* "/uploads": no .php beneath it is a script; NULL ends the list */
    uint32_t app_count; /* places for application processes, behind those of the sites before it;
                           0: static files only */
    const struct askr_header_rule *headers;
    uint32_t header_count; /* <= 32 */
    const struct askr_redirect *redirects;
    uint32_t redirect_count;
    const struct askr_sendfile_root *sendfile;    /* the first whose prefix fits counts */
    uint32_t sendfile_count;                      /* 0: no files are sent for an application */
    const char *sendfile_type, *sendfile_mapping; /* X-Sendfile-Type, X-Accel-Mapping; or NULL */
};

/* Everything a worker is told. Pointers stay the caller's; the call does not keep them after it
 * returns. */
struct askr_worker_config {
    uint32_t index, count, generation;
    uint32_t backend; /* enum askr_io_id */
    int listeners[16];
    uint32_t listener_count;
    uint32_t listener_flags[16]; /* enum askr_listener_flags */
    int tls_fd;                  /* sealed memfd: certificates and keys (proto/tls.h); or -1 */
    const char *hsts;            /* value of Strict-Transport-Security over TLS, or NULL */
    uint32_t https_port;         /* where a redirecting listener sends to */
    int hold_listeners;          /* take connections only when the supervisor says so */
    int bell_fd;                 /* eventfd that this worker's application processes ring; or -1 */
    int control_fd;              /* SOCK_SEQPACKET to the supervisor: see serve/control.h */
    int status_fd;               /* memfd of ASKR_WORKERS_MAX pages of askr_status_stride() bytes */
    uint32_t status_slot;        /* which page is this worker's */
    const struct askr_site_config *sites;
    uint32_t site_count;       /* at least one */
    int default_site;          /* the index of the one for hosts that none has; or -1 */
    int unknown_host;          /* without: the status that they get */
    const char *server_header; /* "askrctl", or "" for none */
    const char *temp_dir;      /* where bodies and answers spool */
    uint32_t head_size_max, target_size_max, fields_max;
    int64_t body_size_max;
    uint32_t queue_max;
    uint32_t connections_max;         /* of this worker */
    uint32_t connections_per_address; /* 0: no limit */
    uint32_t requests_per_connection; /* 0: no limit */
    uint32_t streams_max;             /* of one HTTP/2 connection at a time; 0: no HTTP/2 */
    int64_t proxy_timeout_ns, handshake_timeout_ns;
    int64_t head_timeout_ns, body_timeout_ns, keepalive_timeout_ns, write_timeout_ns;
    int64_t queue_timeout_ns, request_timeout_ns, kill_grace_ns, drain_timeout_ns;
    uint32_t body_rate_min; /* bytes per second a body must keep up with after body_timeout */
    int64_t spin_ns;
    int log_fd;                  /* the access log, or -1; taken over */
    const char *log_template;    /* docs/observability.md */
    int log_json;                /* escape values for JSON */
    const char *trusted_proxies; /* networks, separated by spaces */
    int forwarded;               /* enum askr_forwarded */
    int server_timing;           /* enum askr_server_timing */
    const char *encodings;       /* of answers, the best first: "zstd br gzip"; or NULL */
    const char *encoding_types;  /* media types and patterns, separated by spaces */
    int64_t encoding_size_min;   /* smaller answers are not compressed */
    int trace_fd;                /* spans go there, and 0 is none; taken over */
    int trace_accept;            /* enum askr_trace_accept */
    int trace_parent_based;      /* a believed parent says what is sampled, not the bound */
    uint64_t trace_bound;        /* of 2^64 traces so many are sampled; UINT64_MAX: all */
    const char *health_path;     /* answered without an application; NULL or "": none */
    const char *route_patterns;  /* separated by spaces, or NULL: serve/route.h */
    uint32_t route_segments;     /* of paths that match none, that name their route; 0: other */
    struct askr_rate rates[16];  /* enum askr_limits ASKR_RATES_MAX */
    uint32_t rate_count;
    int rate_fd;                /* memory of all workers' buckets: askr_rate_size(); or -1 */
    const char *websocket_echo; /* the path of the echo endpoint; NULL or "": none */
    int64_t websocket_message_max, websocket_frame_max; /* bytes */
    int64_t websocket_memory_max; /* of one worker: unfinished messages, and contexts */
    int64_t websocket_ping_ns, websocket_pong_ns, websocket_close_ns;
    int64_t websocket_idle_ns; /* 0: for ever */
    uint32_t websocket_bits;   /* of the windows of permessage-deflate; 0: not offered */
    int websocket_forget;      /* no context takeover */
};

const char *askr_version(void);

/* 1 when this build has the backend. */
int askr_io_built(enum askr_io_id id);
/* Open a ring (or epoll set) with production sizes, and close it. 0 or -errno with a sentence. */
int askr_io_try(enum askr_io_id id, askr_error *error);

/* 1 when this build has TLS. */
int askr_tls_built(void);
/* Would a worker take this TLS store (proto/tls.h)? 0 or -errno with a sentence. */
int askr_tls_check(const void *store, size_t size, askr_error *error);
/* 1 when this build speaks HTTP/2. */
int askr_http2_built(void);

/* Bytes of a batch of spans as workers send them, and of what askr_spans_encode() makes of it. */
enum { ASKR_SPANS_SIZE_MAX = 16384, ASKR_OTLP_SIZE_MAX = 262144 };
/* A batch as the `spans` of an OTLP ScopeSpans (proto/otlp.h): bytes of `otlp`, and how many spans;
 * -EINVAL when it is none of ours. */
int64_t askr_spans_encode(const void *batch, size_t size, uint8_t *otlp, uint32_t *count);

/* Run a worker until it has drained. Blocks; releases the GIL. 0, or -errno with a sentence. */
int askr_worker_run(const struct askr_worker_config *config, askr_error *error);

size_t askr_status_stride(void); /* bytes from one worker's page to the next */
size_t askr_port_size(void);     /* bytes of a port's memfd */
/* Bytes of the memory for so many buckets; what is in it at first is random, then zeroes. */
size_t askr_rate_size(uint32_t buckets);
size_t askr_rate_seed_size(void); /* the random part */
/* Where a bucket of a histogram begins, in nanoseconds; < ASKR_BUCKETS. */
int64_t askr_bucket_start_ns(uint32_t index);
/* What readers make of the ASKR_BUCKETS numbers of a histogram: base/histogram.c. */
void askr_histogram_add(uint64_t *sum, const uint64_t *counts);
/* What has come since `before`; nothing where there is less now. */
void askr_histogram_since(uint64_t *counts, const uint64_t *before);
/* For each bucket of `ends`, in order: how many lie in front of it. Returns how many there are. */
uint64_t askr_histogram_below(const uint64_t *counts, const uint32_t *ends, uint32_t end_count,
                              uint64_t *below);
/* The middle of the bucket in which the quantile lies; -1: there is none. */
double askr_histogram_quantile_s(const uint64_t *counts, double share);
/* Each duration taken for the middle of its bucket. */
double askr_histogram_sum_s(const uint64_t *counts);
