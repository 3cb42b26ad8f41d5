/* SPDX-License-Identifier: MIT
 * br (RFC 7932) by libbrotlienc. Its encoder cannot be reset, so each body has a new one.
 *
 * Out of memory, the library as distributions build it calls exit(3) (BROTLI_ENCODER_EXIT_ON_OOM is
 * its default). So an allocation that fails never returns to it: the way back is a jump over its
 * frames, which hold nothing but memory of ours. The blocks are linked, as HTTP/2's are
 * (h2_memory.c): the encoder is not entered again, and its blocks are given back without it. */
#include "proto/encoding_parts.h"

#include <brotli/encode.h>
#include <errno.h>
#include <setjmp.h>

struct block {
    struct block *next, **link;
};

struct brotli {
    BrotliEncoderState *state;
    struct block *blocks;
    const struct encoder_memory *memory;
    bool refused; /* memory was: state must not be looked at */
    jmp_buf out_of_memory;
};

static void *allocate(void *user, size_t size)
{
    struct brotli *brotli = user;
    struct block *block = brotli->memory->allocate(brotli->memory->user, sizeof *block + size);
    if (block == NULL)
        longjmp(brotli->out_of_memory, 1);
    block->next = brotli->blocks;
    block->link = &brotli->blocks;
    if (block->next != NULL)
        block->next->link = &block->next;
    brotli->blocks = block;
    return block + 1;
}

static void release(void *user, void *memory)
{
    struct brotli *brotli = user;
    if (memory == NULL)
        return;
    struct block *block = (struct block *)memory - 1;
    *block->link = block->next;
    if (block->next != NULL)
        block->next->link = block->link;
    brotli->memory->release(brotli->memory->user, block);
}

static int brotli_open(struct encoder *encoder)
{
    struct brotli *brotli = encoder->memory.allocate(encoder->memory.user, sizeof *brotli);
    if (brotli == NULL)
        return -ENOMEM;
    memset(brotli, 0, offsetof(struct brotli, out_of_memory));
    brotli->memory = &encoder->memory;
    encoder->state = brotli;
    return 0;
}

/* All it has is memory, refused or not. */
static void drop(struct brotli *brotli)
{
    while (brotli->blocks != NULL)
        release(brotli, brotli->blocks + 1);
    brotli->state = NULL;
}

static void brotli_close(struct encoder *encoder)
{
    struct brotli *brotli = encoder->state;
    if (brotli == NULL)
        return;
    drop(brotli);
    encoder->memory.release(encoder->memory.user, brotli);
    encoder->state = NULL;
}

static int brotli_begin(struct encoder *encoder, int64_t size)
{
    struct brotli *brotli = encoder->state;
    drop(brotli);
    brotli->refused = setjmp(brotli->out_of_memory) != 0;
    if (brotli->refused)
        return -ENOMEM;
    BrotliEncoderState *state = BrotliEncoderCreateInstance(allocate, release, brotli);
    assert(state != NULL);
    brotli->state = state;
    bool is_set = BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, BROTLI_LEVEL) &&
                  BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BROTLI_WINDOW_BITS);
    if (size > 0 && size <= UINT32_MAX)
        is_set &= BrotliEncoderSetParameter(state, BROTLI_PARAM_SIZE_HINT, (uint32_t)size);
    return is_set ? 0 : -EIO;
}

/* In a function of its own, so that no variable lives across the jump. */
static int64_t take_step(BrotliEncoderState *state, struct encoder_step *step)
{
    static const BrotliEncoderOperation operations[] = {
        [ENCODER_MORE] = BROTLI_OPERATION_PROCESS,
        [ENCODER_FLUSH] = BROTLI_OPERATION_FLUSH,
        [ENCODER_END] = BROTLI_OPERATION_FINISH,
    };
    const uint8_t *next_in = (const uint8_t *)step->input.data;
    uint8_t *next_out = (uint8_t *)step->out;
    size_t in = step->input.size, out = step->size;
    if (!BrotliEncoderCompressStream(state, operations[step->goal], &in, &next_in, &out, &next_out,
                                     NULL))
        return -EIO;
    step->input = (struct slice){(const char *)next_in, in};
    step->done = in == 0 && !BrotliEncoderHasMoreOutput(state) &&
                 (step->goal != ENCODER_END || BrotliEncoderIsFinished(state));
    return (int64_t)(step->size - out);
}

static int64_t brotli_run(struct encoder *encoder, struct encoder_step *step)
{
    struct brotli *brotli = encoder->state;
    assert(!brotli->refused && brotli->state != NULL);
    if (setjmp(brotli->out_of_memory) != 0) {
        brotli->refused = true;
        return -ENOMEM;
    }
    return take_step(brotli->state, step);
}

const struct encoder_kind encoder_brotli = {brotli_open, brotli_begin, brotli_run, brotli_close};
