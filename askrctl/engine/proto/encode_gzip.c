/* SPDX-License-Identifier: MIT
 * gzip (RFC 1952) by zlib. The stream is reset between bodies, so that its 268 KB are allocated and
 * faulted in once. */
#include "proto/encoding_parts.h"

#include <errno.h>
#include <limits.h>

#include "proto/zlib_stream.h"

enum { GZIP_WINDOW_BITS = 15 + 16 }; /* 32 KiB; + 16 asks for a gzip head instead of zlib's */

static int gzip_open(struct encoder *encoder)
{
    z_stream *stream = zlib_stream_new(&encoder->memory);
    if (stream == NULL)
        return -ENOMEM;
    int result = deflateInit2(stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
                              Z_DEFAULT_STRATEGY);
    if (result != Z_OK) {
        zlib_stream_free(&encoder->memory, stream);
        return result == Z_MEM_ERROR ? -ENOMEM : -EIO;
    }
    encoder->state = stream;
    return 0;
}

static int gzip_begin(struct encoder *encoder, int64_t size)
{
    (void)size;
    return deflateReset(encoder->state) == Z_OK ? 0 : -EIO;
}

static int64_t gzip_run(struct encoder *encoder, struct encoder_step *step)
{
    static const int flushes[] = {
        [ENCODER_MORE] = Z_NO_FLUSH, [ENCODER_FLUSH] = Z_SYNC_FLUSH, [ENCODER_END] = Z_FINISH};
    z_stream *stream = encoder->state;
    assert(step->input.size <= UINT_MAX && step->size <= UINT_MAX);
    stream->next_in = (z_const Bytef *)(uintptr_t)step->input.data;
    stream->avail_in = (unsigned)step->input.size;
    stream->next_out = (Bytef *)step->out;
    stream->avail_out = (unsigned)step->size;
    int result = deflate(stream, flushes[step->goal]);
    /* Z_BUF_ERROR: there was nothing to do. */
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return -EIO;
    step->input = (struct slice){(const char *)stream->next_in, stream->avail_in};
    if (step->goal == ENCODER_END)
        step->done = result == Z_STREAM_END;
    else
        step->done = stream->avail_in == 0 && stream->avail_out > 0;
    return (int64_t)(step->size - stream->avail_out);
}

static void gzip_close(struct encoder *encoder)
{
    z_stream *stream = encoder->state;
    if (stream == NULL)
        return;
    deflateEnd(stream);
    zlib_stream_free(&encoder->memory, stream);
    encoder->state = NULL;
}

const struct encoder_kind encoder_gzip = {gzip_open, gzip_begin, gzip_run, gzip_close};
