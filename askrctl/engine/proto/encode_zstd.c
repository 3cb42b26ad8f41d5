/* SPDX-License-Identifier: MIT
 * zstd (RFC 8878) by libzstd, of which only the stable functions are used: its allocator can be
 * chosen by others only, so its memory is bounded by the parameters. RFC 9659 lets a client refuse
 * windows above 8 MiB; ours are 128 KiB. */
#include "proto/encoding_parts.h"

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

static int error_of(size_t result)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? -ENOMEM : -EIO;
}

static void zstd_close(struct encoder *encoder)
{
    ZSTD_freeCCtx(encoder->state);
    encoder->state = NULL;
}

static int zstd_open(struct encoder *encoder)
{
    static const struct {
        ZSTD_cParameter name;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, ZSTD_LEVEL},
        {ZSTD_c_windowLog, ZSTD_WINDOW_BITS},
        {ZSTD_c_hashLog, ZSTD_TABLE_BITS},
        {ZSTD_c_chainLog, ZSTD_TABLE_BITS},
    };
    ZSTD_CCtx *state = ZSTD_createCCtx();
    if (state == NULL)
        return -ENOMEM;
    encoder->state = state;
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        size_t result = ZSTD_CCtx_setParameter(state, parameters[i].name, parameters[i].value);
        if (ZSTD_isError(result)) {
            zstd_close(encoder);
            return error_of(result);
        }
    }
    return 0;
}

static int zstd_begin(struct encoder *encoder, int64_t size)
{
    ZSTD_CCtx *state = encoder->state;
    size_t result = ZSTD_CCtx_reset(state, ZSTD_reset_session_only);
    if (!ZSTD_isError(result) && size >= 0) /* small bodies get small tables */
        result = ZSTD_CCtx_setPledgedSrcSize(state, (unsigned long long)size);
    return ZSTD_isError(result) ? error_of(result) : 0;
}

static int64_t zstd_run(struct encoder *encoder, struct encoder_step *step)
{
    static const ZSTD_EndDirective directives[] = {[ENCODER_MORE] = ZSTD_e_continue,
                                                   [ENCODER_FLUSH] = ZSTD_e_flush,
                                                   [ENCODER_END] = ZSTD_e_end};
    ZSTD_inBuffer in = {step->input.data, step->input.size, 0};
    ZSTD_outBuffer out = {step->out, step->size, 0};
    size_t left = ZSTD_compressStream2(encoder->state, &out, &in, directives[step->goal]);
    if (ZSTD_isError(left))
        return error_of(left);
    step->input = (struct slice){step->input.data + in.pos, in.size - in.pos};
    step->done = step->input.size == 0 && (step->goal == ENCODER_MORE || left == 0);
    return (int64_t)out.pos;
}

const struct encoder_kind encoder_zstd = {zstd_open, zstd_begin, zstd_run, zstd_close};
