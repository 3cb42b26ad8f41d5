/* SPDX-License-Identifier: MIT
 * The ABI between the engine and an application module such as askr_php.so.
 *
 * A module exports one symbol, `askr_module`, and links nothing of ours: all it may call arrives in
 * the host table, so loader flags and symbol visibility never matter. Applications pull: take an
 * exchange, read it, answer it, finish it. The engine never calls into a running interpreter, so no
 * foreign lock, exception or longjmp crosses its frames.
 *
 * Happy path: start() once in the zygote; after each fork serve() once: ready(), then take(),
 * request(), read()*, head(), write()*, finish() until take() says -ESHUTDOWN. Every call on an
 * exchange but finish() may answer -ECONNABORTED: the client has left; finish() is still owed. */
#ifndef ASKR_MODULE_H
#define ASKR_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASKR_MODULE_ABI 5

struct askr_port;     /* one application process's end of its port */
struct askr_exchange; /* one request and its answer; valid from take() to finish() */

/* A view of bytes that are not ours. Strings in a request are NUL-terminated as well: the size does
 * not count the NUL, and an absent string has data == "" and size == 0. */
struct askr_text {
    const char *data;
    uint32_t size;
};

struct askr_field {
    struct askr_text name, value;
};

/* A complete request head, in CGI terms (RFC 3875 where a name is shared). Field names keep the
 * client's spelling and are screened: only [A-Za-z0-9-] survives, `Proxy` never does. */
struct askr_request {
    struct askr_text method; /* "GET" */
    struct askr_text target; /* REQUEST_URI: as received, without scheme and authority */
    struct askr_text path;   /* decoded and normalised path */
    struct askr_text query;  /* after the first '?', undecoded */
    struct askr_text host;   /* Host or :authority, with its port when the client sent one */
    struct askr_text
        script_filename; /* absolute path of the script to run; worker mode: the worker script */
    struct askr_text script_name; /* "/index.php" */
    struct askr_text path_info;   /* "/x" of /index.php/x, or "" */
    struct askr_text document_root;
    struct askr_text remote_address; /* "127.0.0.1", "::1", or "" on a unix socket */
    struct askr_text server_address;
    struct askr_text content_type; /* value of Content-Type, or "" */
    struct askr_text cookie;       /* Cookie values joined with "; ", or "" */
    struct askr_text authorization;
    int64_t content_length; /* complete size of the body; 0 when there is none */
    bool has_body;          /* the client announced a body, even an empty one */
    bool https;
    uint16_t remote_port, server_port;
    uint16_t protocol; /* 1000, 1001, 2000: HTTP/1.0, 1.1, 2 */
    uint16_t field_count;
    const struct askr_field *fields;
    uint16_t variable_count; /* CGI variables of ours: SSL_CLIENT_VERIFY and its kin */
    const struct askr_field *variables;
};

enum askr_outcome {
    ASKR_DONE = 0, /* the answer is complete */
    ASKR_FAILED =
        1, /* the application failed: 500 if no head has gone out, else the answer is cut off */
};

enum askr_level { ASKR_DEBUG = 0, ASKR_INFO = 1, ASKR_WARN = 2, ASKR_ERROR = 3 };

/* Everything a module may call. Sizes are bytes; errors are -errno. Blocking calls sleep in the
 * kernel and wake for an abort. */
struct askr_host {
    uint32_t abi;

    /* This process can serve now: requests are handed over only after it. Call once. */
    void (*ready)(struct askr_port *);
    /* This process cannot serve; `why` (one line) goes to the log and to the 503 page. */
    void (*boot_failed)(struct askr_port *, const char *why);

    /* 1: an exchange; 0: timed out (timeout_ns < 0 waits for ever); -ESHUTDOWN: drain, exit. */
    int (*take)(struct askr_port *, struct askr_exchange **out, int64_t timeout_ns);
    const struct askr_request *(*request)(struct askr_exchange *);
    /* Next body bytes; blocks; 0 at the end of the body. */
    int64_t (*read)(struct askr_exchange *, void *buf, size_t size);
    /* The final response head. Once, before the first write(). */
    int (*head)(struct askr_exchange *, int status, const struct askr_field *, size_t count);
    /* A 1xx head (103 Early Hints); any number, before head(). */
    int (*interim)(struct askr_exchange *, int status, const struct askr_field *, size_t count);
    /* Response body bytes: all of them, or -errno. Blocks while the port is full. */
    int (*write)(struct askr_exchange *, const void *data, size_t size);
    /* Fields behind the body; once, at any time before the answer ends. -EOPNOTSUPP: the client has
     * not asked for them (TE: trailers), and gets none. -EALREADY: there are some. */
    int (*trailers)(struct askr_exchange *, const struct askr_field *, size_t count);
    /* What was written so far must reach the client now; the answer becomes a streamed one. */
    int (*flush)(struct askr_exchange *);
    /* The client got its whole answer; the script may go on. write() is refused afterwards. */
    int (*end)(struct askr_exchange *);
    /* The same where little is expected to follow, so that it costs no bell of its own, and for a
     * failed answer too. Nothing after end(). */
    void (*answered)(struct askr_exchange *, enum askr_outcome);
    /* Always the last call on an exchange, also after errors, end() and answered(): this process
     * wants the next one. Until then its time counts for the request. */
    void (*finish)(struct askr_exchange *, enum askr_outcome);
    bool (*aborted)(struct askr_exchange *);

    /* To the server's log. `request_id`: of the request it is about, or NULL. */
    void (*log)(enum askr_level, const char *request_id, const char *text);
    /* Ask for a new generation in place of this one, as an operator's reload does: fresh processes,
     * fresh caches. Returns at once. */
    void (*reload)(struct askr_port *);
};

struct askr_setting {
    const char *key, *value;
};

struct askr_module {       /* exported as `askr_module` */
    uint32_t abi;          /* ASKR_MODULE_ABI the module was built with */
    const char *name;      /* "php" */
    const char *built_for; /* "8.2.36 NTS": what its headers said */
    /* In the zygote, once, before any fork: library start-up, shared caches. 0, or -1 and a
     * sentence of at most `size` bytes in `error`. */
    int (*start)(const struct askr_host *, const struct askr_setting *, size_t count, char *error,
                 size_t size);
    /* In an application process: serve the port until it drains. The exit status of the process. */
    int (*serve)(struct askr_port *);
    /* JSON facts for `askrctl doctor`, after start(): needs `size` bytes, else -1. */
    int (*describe)(char *json, size_t size);
    /* In the zygote: what a process forked from it is doing now, a frame a line, innermost first.
     * Reads its memory from outside, so that it neither helps nor notices, whatever it is stuck in.
     * 0 or -errno. May be NULL. */
    int (*trace)(int32_t pid, char *text, size_t size);
    /* In a process forked from the zygote for this alone, which ends then: JSON of the caches that
     * the processes share, as they are now. 0, or -1. May be NULL. */
    int (*caches)(char *json, size_t size);
};

#endif
