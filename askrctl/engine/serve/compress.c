/* SPDX-License-Identifier: MIT
 * The bodies of compressed answers (compress.h). Compressors are kept for the next answer, because
 * to allocate and fault in their memory costs more than to compress a small page. */
#include "serve/compress.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/compress_head.h"
#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/worker.h"

enum { STEP_SIZE = 16384 }; /* compressed bytes of a stream that are said at a time */

static void *allocate(void *user, size_t size)
{
    (void)user;
    return malloc(size);
}

static void release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

void compress_open(struct worker *worker)
{
    const struct askr_worker_config *config = worker->config;
    struct encoding_rules *rules = &worker->compressors.rules;
    encoding_rules_init(rules, config->encodings != NULL ? config->encodings : "");
    rules->types = config->encoding_types != NULL ? config->encoding_types : "";
    rules->size_min = config->encoding_size_min;
}

static void discard(struct compressor *compressor)
{
    encoder_close(&compressor->encoder);
    free(compressor);
}

void compress_close(struct worker *worker)
{
    struct compressors *all = &worker->compressors;
    assert(all->open_count == 0);
    for (enum encoding i = 0; i < ENCODINGS; i++)
        for (struct compressor *compressor; (compressor = all->free[i]) != NULL;) {
            all->free[i] = compressor->next;
            discard(compressor);
        }
}

bool compress_is_tired(const struct worker *worker)
{
    return worker->compressors.spent >= COMPRESS_TURN_MAX;
}

void compress_choose(struct exchange *exchange)
{
    const struct worker *worker = exchange->conn->worker;
    const struct encoding_rules *rules = &worker->compressors.rules;
    struct accept_encoding accept;
    if (rules->count == 0)
        return;
    accept_encoding_of(&worker->request, &accept);
    exchange->encoding = (uint8_t)encoding_choose(rules, &accept);
    exchange->not_plain = accept_encoding_weight(&accept, ENCODING_NONE) == 0;
}

/* Ready for a body of `size` bytes, -1 for who knows. NULL: there is none to be had. */
static struct compressor *take(struct compressors *all, enum encoding encoding, int64_t size)
{
    static const struct encoder_memory memory = {allocate, release, NULL};
    struct compressor *compressor = all->free[encoding];
    if (all->open_count >= COMPRESSORS_MAX)
        return NULL;
    if (compressor != NULL) {
        all->free[encoding] = compressor->next;
        all->free_count[encoding]--;
    } else {
        compressor = calloc(1, sizeof *compressor);
        if (compressor == NULL)
            return NULL;
        compressor->encoding = encoding;
        if (encoder_open(&compressor->encoder, encoding, &memory) < 0) {
            free(compressor);
            return NULL;
        }
    }
    if (encoder_begin(&compressor->encoder, size) < 0) {
        discard(compressor);
        return NULL;
    }
    all->open_count++;
    return compressor;
}

static void give_back(struct compressors *all, struct compressor *compressor)
{
    enum encoding encoding = compressor->encoding;
    assert(all->open_count > 0);
    all->open_count--;
    if (all->free_count[encoding] >= COMPRESSORS_FREE_MAX) {
        discard(compressor);
        return;
    }
    compressor->next = all->free[encoding];
    all->free[encoding] = compressor;
    all->free_count[encoding]++;
}

void compress_drop(struct exchange *exchange)
{
    struct compressor *compressor = exchange->compressor;
    if (LIKELY(compressor == NULL))
        return;
    exchange->compressor = NULL;
    give_back(&exchange->conn->worker->compressors, compressor);
}

int64_t compress_block(struct worker *worker, enum encoding encoding, struct slice body, char *out,
                       size_t size)
{
    struct compressors *all = &worker->compressors;
    struct compressor *compressor =
        compress_is_tired(worker) ? NULL : take(all, encoding, (int64_t)body.size);
    if (compressor == NULL)
        return -EAGAIN;
    struct encoder_step step = {.input = body, .goal = ENCODER_END};
    size_t used = 0;
    all->spent += body.size;
    while (!step.done && size - used >= ENCODER_ROOM_MIN) {
        step.out = out + used;
        step.size = size - used;
        int64_t written = encoder_run(&compressor->encoder, &step);
        if (written < 0) {
            discard(compressor); /* it may be in any state: not for reuse */
            all->open_count--;
            return -EAGAIN;
        }
        used += (size_t)written;
    }
    give_back(all, compressor);
    return step.done ? (int64_t)used : 0;
}

/* What has been compressed, in pieces as exchange->held has them. */
struct pieces {
    struct piece *first, **last;
    size_t size;
};

/* Room in the last piece, or in a new one. */
static struct piece *room_of(struct worker *worker, struct pieces *out)
{
    struct piece *piece = out->first == NULL ? NULL : CONTAINER_OF(out->last, struct piece, next);
    if (piece != NULL && piece_room(piece) >= ENCODER_ROOM_MIN)
        return piece;
    struct piece *added = piece_new(worker);
    if (added == NULL)
        return NULL;
    if (piece == NULL)
        added->begin = added->end = PIECE_HEADROOM;
    *out->last = added;
    out->last = &added->next;
    return added;
}

static int run_into(struct exchange *exchange, struct pieces *out, struct slice input,
                    enum encoder_goal goal)
{
    struct worker *worker = exchange->conn->worker;
    struct encoder_step step = {.input = input, .goal = goal};
    worker->compressors.spent += input.size;
    while (!step.done) {
        struct piece *piece = room_of(worker, out);
        if (piece == NULL)
            return -ENOMEM;
        step.out = piece->data + piece->end;
        step.size = piece_room(piece);
        int64_t written = encoder_run(&exchange->compressor->encoder, &step);
        if (written < 0)
            return (int)written;
        piece->end += (uint32_t)written;
        out->size += (size_t)written;
    }
    return 0;
}

/* Put what is held, compressed, in its place. */
static int compress_held(struct exchange *exchange, enum encoder_goal goal)
{
    struct pieces out = {.first = NULL};
    out.last = &out.first;
    int result = 0;
    for (struct piece *piece = exchange->held; piece != NULL && result == 0; piece = piece->next)
        result = run_into(exchange, &out,
                          (struct slice){piece->data + piece->begin, piece->end - piece->begin},
                          ENCODER_MORE);
    if (result == 0 && goal != ENCODER_MORE)
        result = run_into(exchange, &out, SLICE(""), goal);
    if (result == 0) {
        exchange_drop_held(exchange);
        if (out.size > 0) {
            exchange->held = out.first;
            exchange->held_last = out.last;
            exchange->held_size = out.size;
            return 0;
        }
    }
    for (struct piece *piece; (piece = out.first) != NULL;) {
        out.first = piece->next;
        piece_free(exchange->conn->worker, piece);
    }
    return result;
}

/* The body, or what there is of it. False: it stays as it is. */
static bool compress_begun(struct exchange *exchange, bool complete)
{
    struct compressors *all = &exchange->conn->worker->compressors;
    int64_t announced = exchange->content_length;
    if (announced < (int64_t)exchange->held_size)
        announced = -1; /* nonsense, as answer.c has it */
    exchange->compressor =
        take(all, (enum encoding)exchange->encoding, complete ? (int64_t)exchange->held_size : -1);
    if (exchange->compressor == NULL)
        return false;
    exchange->compressor->left = announced < 0 ? -1 : announced - (int64_t)exchange->held_size;
    enum encoder_goal goal = complete              ? ENCODER_END
                             : exchange->streaming ? ENCODER_FLUSH
                                                   : ENCODER_MORE;
    if (compress_held(exchange, goal) < 0) {
        /* It may be in any state: not for reuse. */
        discard(exchange->compressor);
        exchange->compressor = NULL;
        all->open_count--;
        return false;
    }
    if (complete)
        compress_drop(exchange);
    else
        exchange->content_length = -1;
    return true;
}

void compress_head(struct exchange *exchange, bool complete)
{
    const struct encoding_rules *rules = &exchange->conn->worker->compressors.rules;
    struct encoding_traits traits;
    if (rules->count == 0 || exchange->field_count + 2 > H1_RESPONSE_FIELDS_MAX)
        return;
    encoding_look(rules, exchange->status, exchange->fields, exchange->field_count, &traits);
    if (!traits.allowed)
        return;
    compress_put_vary(exchange, &traits);
    if (exchange->encoding == ENCODING_NONE)
        return;
    enum compress_verdict verdict = compress_judge(exchange, rules, complete);
    if (verdict == COMPRESS_NOT || compress_prepare(exchange, &traits) < 0)
        return;
    if (verdict == COMPRESS_YES && !exchange->bare && !compress_begun(exchange, complete))
        return;
    compress_put(exchange, &traits, verdict == COMPRESS_YES);
    if (exchange->bare && verdict == COMPRESS_YES)
        exchange->content_length = -1; /* of the plain body: that of the other is not known */
}

static int compress_say(struct exchange *exchange, struct slice bytes, enum encoder_goal goal)
{
    char out[STEP_SIZE];
    struct encoder_step step = {.input = bytes, .goal = goal, .out = out, .size = sizeof out};
    exchange->conn->worker->compressors.spent += bytes.size;
    while (!step.done) {
        int64_t written = encoder_run(&exchange->compressor->encoder, &step);
        int result =
            written < 0 ? (int)written : say_body(exchange, (struct slice){out, (size_t)written});
        if (result < 0)
            return result;
    }
    return 0;
}

int compress_body(struct exchange *exchange, struct slice bytes)
{
    struct compressor *compressor = exchange->compressor;
    if (compressor->left >= 0) {
        bytes.size = size_min(bytes.size, (size_t)compressor->left);
        compressor->left -= (int64_t)bytes.size;
    }
    return compress_say(exchange, bytes, ENCODER_MORE);
}

int compress_flush(struct exchange *exchange)
{
    return compress_say(exchange, SLICE(""), ENCODER_FLUSH);
}

int compress_end(struct exchange *exchange)
{
    if (exchange->compressor->left > 0)
        return -EIO; /* less than was announced: the client must be able to tell */
    int result = compress_say(exchange, SLICE(""), ENCODER_END);
    if (result == 0)
        compress_drop(exchange);
    return result;
}
