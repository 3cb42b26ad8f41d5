/* SPDX-License-Identifier: MIT
 * libzstd without memory: linked with --wrap, each of our calls of it fails once and is told. */
#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "proto/encoding.h"
#include "tap.h"

static int countdown = -1;

static bool is_due(void)
{
    return countdown >= 0 && countdown-- == 0;
}

/* The names are the linker's. */
ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
size_t __real_ZSTD_CCtx_reset(ZSTD_CCtx *state, ZSTD_ResetDirective what);
size_t __wrap_ZSTD_CCtx_reset(ZSTD_CCtx *state, ZSTD_ResetDirective what);
size_t __real_ZSTD_CCtx_setParameter(ZSTD_CCtx *state, ZSTD_cParameter name, int value);
size_t __wrap_ZSTD_CCtx_setParameter(ZSTD_CCtx *state, ZSTD_cParameter name, int value);
size_t __real_ZSTD_compressStream2(ZSTD_CCtx *state, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
                                   ZSTD_EndDirective end);
size_t __wrap_ZSTD_compressStream2(ZSTD_CCtx *state, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
                                   ZSTD_EndDirective end);

static const size_t no_memory = (size_t)-ZSTD_error_memory_allocation;

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
    return is_due() ? NULL : __real_ZSTD_createCCtx();
}

size_t __wrap_ZSTD_CCtx_reset(ZSTD_CCtx *state, ZSTD_ResetDirective what)
{
    return is_due() ? no_memory : __real_ZSTD_CCtx_reset(state, what);
}

size_t __wrap_ZSTD_CCtx_setParameter(ZSTD_CCtx *state, ZSTD_cParameter name, int value)
{
    return is_due() ? no_memory : __real_ZSTD_CCtx_setParameter(state, name, value);
}

size_t __wrap_ZSTD_compressStream2(ZSTD_CCtx *state, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
                                   ZSTD_EndDirective end)
{
    return is_due() ? no_memory : __real_ZSTD_compressStream2(state, out, in, end);
}

static int64_t encode(void)
{
    static const struct encoder_memory unused = {NULL, NULL, NULL};
    char out[256];
    struct encoder encoder;
    struct encoder_step step = {SLICE("Hello"), ENCODER_END, out, sizeof out, false};
    int64_t result = encoder_open(&encoder, ENCODING_ZSTD, &unused);
    if (result == 0)
        result = encoder_begin(&encoder, 5);
    while (result >= 0 && !step.done)
        result = encoder_run(&encoder, &step);
    encoder_close(&encoder);
    return result;
}

int main(void)
{
    int failed = 0;
    int64_t result;
    do {
        countdown = failed;
        result = encode();
        failed += result == -ENOMEM;
    } while (result == -ENOMEM && failed < 100);
    OK(failed == 7 && result > 0, "each of %d calls that can run out of memory says so", failed);
    return TAP_END();
}
