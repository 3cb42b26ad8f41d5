/* SPDX-License-Identifier: MIT
 * Answers of applications, compressed on their way to the client: one that was held back until it
 * is complete as a whole, with its length; one that is streamed as it comes, and at each flush() so
 * that the client can decode everything up to there. Below the seam of protocol.h nothing knows.
 *
 * Happy path: compress_choose() with the request, compress_head() before the answer's head is said,
 * then compress_body(), compress_flush() and compress_end(). Failure modes: no encoder can be had
 * before the head is said: the answer goes out plain; afterwards: it is cut. */
#ifndef ASKR_COMPRESS_H
#define ASKR_COMPRESS_H

#include "app/static.h"
#include "proto/encoding.h"

enum {
    COMPRESS_TURN_MAX = 131072, /* bytes a turn of the loop compresses: 1.2 ms by the slowest
                                   coding. Then applications wait for the next turn; the answer that
                                   is begun, ANSWER_HELD_MAX at most, is completed */
    COMPRESSORS_MAX = 64,       /* streams of a worker at a time: 80 MiB; more are sent plain */
    COMPRESSORS_FREE_MAX = 2,   /* of each coding, kept for reuse */
};

struct exchange;
struct worker;

struct compressor {
    struct compressor *next; /* in the free list */
    struct encoder encoder;
    enum encoding encoding;
    int64_t left; /* of the length that the application announced; -1: none */
};

struct compressors { /* of a worker */
    struct encoding_rules rules;
    struct compressor *free[ENCODINGS];
    uint32_t free_count[ENCODINGS], open_count;
    size_t spent;                /* bytes compressed in this turn */
    struct static_encoder files; /* for those in memory: compress_file.c */
};

void compress_open(struct worker *);
void compress_close(struct worker *);
/* May no more be compressed in this turn? */
bool compress_is_tired(const struct worker *);

/* The request is in worker->request: which coding would its client take? */
void compress_choose(struct exchange *);
/* Status, fields and what is held of the body are known, all of it if `complete`. There is room for
 * two more fields. */
void compress_head(struct exchange *, bool complete);
/* The head has been said, and exchange->compressor is there. 0 or -errno: the answer is to be cut.
 */
int compress_body(struct exchange *, struct slice bytes);
int compress_flush(struct exchange *);
int compress_end(struct exchange *);
/* A whole body: bytes written, 0 when there is no room for it, -EAGAIN when this turn has done
 * enough or there is no compressor. */
int64_t compress_block(struct worker *, enum encoding, struct slice body, char *out, size_t size);
/* compress_file.c: how the worker's files are compressed, or NULL. */
const struct static_encoder *compress_files(struct worker *);
/* Give the compressor back, if there is one. */
void compress_drop(struct exchange *);

#endif
