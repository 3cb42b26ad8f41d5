/* SPDX-License-Identifier: MIT
 * Content codings of answers: gzip by zlib, br by libbrotlienc, zstd by libzstd, behind the same
 * four functions. Bytes in, bytes out, pulled: no fd, no clock, no knowledge of who is answered.
 *
 * Happy path: encoder_open() once, then for each body encoder_begin() and encoder_run() until it is
 * done with ENCODER_END. Failure modes: memory is out (-ENOMEM), or the library refuses to go on
 * (-EIO); then the encoder can only be closed. A build may lack any of the libraries. */
#ifndef ASKR_ENCODING_H
#define ASKR_ENCODING_H

#include "base/accept_encoding.h"
#include "base/http.h"

enum {
    ENCODER_ROOM_MIN = 64, /* of one step: zlib repeats the mark of a flush that found no room */
    /* What one encoder may cost; the levels and windows below are chosen to stay under it, and the
     * tests measure that they do. */
    ENCODER_MEMORY_MAX = 1280 * 1024,
};

/* Levels for a server that compresses each answer anew. Measured on 256 KiB of HTML, one virtual
 * CPU: gzip 4 takes 2.3 ms and leaves 18.1 %, gzip 6 twice as long for 17.0 %; br 3 takes 1.5 ms
 * and leaves 17.8 %, br 5 3.8 ms for 15.8 %; zstd 3 takes 0.6 ms and leaves 18.3 %, zstd 6 2.1 ms
 * for 15.9 %. Windows of 64 to 128 KiB hold a page; larger ones cost memory for each stream. */
enum {
    GZIP_LEVEL = 4,
    GZIP_MEMORY_LEVEL = 8, /* zlib's default: 268 KB in all */
    BROTLI_LEVEL = 3,
    BROTLI_WINDOW_BITS = 16,
    ZSTD_LEVEL = 3,
    ZSTD_WINDOW_BITS = 17,
    ZSTD_TABLE_BITS = 15, /* of both its hash tables: 2 × 128 KiB */
};

/* zlib and brotli take their memory from here; libzstd has malloc(3) of its own. */
struct encoder_memory {
    void *(*allocate)(void *user, size_t size);
    void (*release)(void *user, void *memory); /* may be NULL */
    void *user;
};

enum encoder_goal {
    ENCODER_MORE,  /* what the encoder wants to give */
    ENCODER_FLUSH, /* everything so far can be decoded by what has come out */
    ENCODER_END,   /* and the body is complete */
};

struct encoder_step {
    struct slice input; /* what is left of it, afterwards */
    enum encoder_goal goal;
    char *out;
    size_t size; /* at least ENCODER_ROOM_MIN */
    bool done;   /* all input is taken, and the goal reached */
};

struct encoder {
    const struct encoder_kind *kind;
    void *state;
    struct encoder_memory memory;
};

/* Is the library for it in this build? */
bool encoding_built(enum encoding);
int encoder_open(struct encoder *, enum encoding, const struct encoder_memory *);
/* Start a body. `size` is all of it, or -1. */
int encoder_begin(struct encoder *, int64_t size);
/* Bytes written to step->out, or -errno. */
int64_t encoder_run(struct encoder *, struct encoder_step *);
void encoder_close(struct encoder *);

/* encoding_rules.c: what is compressed, and how that is told. */
struct encoding_rules {
    enum encoding order[ENCODINGS]; /* as the server would have it, between equals */
    uint32_t count;                 /* 0: nothing is compressed */
    int64_t size_min;
    const char *types; /* separated by spaces; a star at either end stands for anything */
};

/* `names`: codings, separated by spaces; those that are not built are left out. */
void encoding_rules_init(struct encoding_rules *, const char *names);
enum encoding encoding_choose(const struct encoding_rules *, const struct accept_encoding *);

enum { ENCODING_NO_FIELD = -1 };

/* What an answer's fields say of compressing it: places in the array, or ENCODING_NO_FIELD. */
struct encoding_traits {
    bool allowed; /* its kind is compressed: only its size may still be against it */
    bool varies;  /* Vary names Accept-Encoding, or everything */
    int vary, etag, accept_ranges;
    struct slice weak_etag; /* the caller's, once it has made one */
};

void encoding_look(const struct encoding_rules *, int status, const struct http_field *,
                   size_t count, struct encoding_traits *);

#endif
