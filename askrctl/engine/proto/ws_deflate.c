/* SPDX-License-Identifier: MIT
 * The contexts of permessage-deflate (ws_deflate.h), by zlib: DEFLATE without a head (RFC 1951). */
#include "proto/ws_deflate.h"

#include <errno.h>
#include <limits.h>

#include "proto/zlib_stream.h"

/* Of z_stream.data_type after inflate(): bits not used of the last byte, and "before a block". */
enum { UNUSED_BITS = 31, BEFORE_BLOCK = 128 };

/* Its tables as large as its window asks for: 1 << (level + 9) bytes. */
enum { MEMORY_LEVEL_BITS = 7, MEMORY_LEVEL_MAX = 8 };

bool ws_deflate_built(void)
{
    return true;
}

/* --- theirs ----------------------------------------------------------------------------------- */

void ws_inflater_init(struct ws_inflater *inflater, uint8_t bits,
                      const struct encoder_memory *memory)
{
    assert(bits >= WS_BITS_MIN && bits <= WS_BITS_MAX);
    *inflater = (struct ws_inflater){.memory = *memory, .bits = bits};
}

static int open_inflater(struct ws_inflater *inflater)
{
    z_stream *stream = zlib_stream_new(&inflater->memory);
    if (stream == NULL)
        return -ENOMEM;
    if (inflateInit2(stream, -inflater->bits) != Z_OK) {
        zlib_stream_free(&inflater->memory, stream);
        return -ENOMEM;
    }
    inflater->state = stream;
    return 0;
}

/* One step of zlib's. A block may say that it is the last of its stream (RFC 7692 section 7.2.3.4);
 * then another stream begins, which refers to the same window. */
static int inflate_part(z_stream *stream)
{
    int result = inflate(stream, Z_SYNC_FLUSH);
    if (result == Z_STREAM_END)
        return inflateResetKeep(stream) == Z_OK ? 0 : -EBADMSG;
    if (result == Z_MEM_ERROR)
        return -ENOMEM;
    /* Z_BUF_ERROR: there was nothing to do. */
    return result == Z_OK || result == Z_BUF_ERROR ? 0 : -EBADMSG;
}

int64_t ws_inflate(struct ws_inflater *inflater, struct slice *input, char *out, size_t size)
{
    unsigned before;
    assert(input->size <= UINT_MAX && size > 0);
    if (inflater->state == NULL && open_inflater(inflater) < 0)
        return -ENOMEM;
    z_stream *stream = inflater->state;
    stream->next_in = (z_const Bytef *)(uintptr_t)input->data;
    stream->avail_in = (unsigned)input->size;
    stream->next_out = (Bytef *)out;
    stream->avail_out = (unsigned)size_min(size, UINT_MAX);
    size = stream->avail_out;
    int result;
    do {
        before = stream->avail_in;
        result = inflate_part(stream);
    } while (result == 0 && stream->avail_in > 0 && stream->avail_in < before &&
             stream->avail_out > 0);
    size_t written = size - stream->avail_out;
    /* What came before the mistake is told first, however much of the input was at hand; zlib
     * remembers, and says it again. */
    if (result < 0 && (result != -EBADMSG || written == 0))
        return result;
    *input = (struct slice){(const char *)stream->next_in, stream->avail_in};
    inflater->pending = stream->avail_out == 0 || result < 0;
    return (int64_t)written;
}

bool ws_inflater_at_end(const struct ws_inflater *inflater)
{
    const z_stream *stream = inflater->state;
    return (stream->data_type & (BEFORE_BLOCK | UNUSED_BITS)) == BEFORE_BLOCK;
}

void ws_inflater_forget(struct ws_inflater *inflater)
{
    if (inflater->state != NULL)
        inflateReset(inflater->state);
}

void ws_inflater_close(struct ws_inflater *inflater)
{
    z_stream *stream = inflater->state;
    if (stream == NULL)
        return;
    inflateEnd(stream);
    zlib_stream_free(&inflater->memory, stream);
    inflater->state = NULL;
}

/* --- ours ------------------------------------------------------------------------------------- */

static int memory_level(int bits)
{
    int level = bits - MEMORY_LEVEL_BITS;
    return level > MEMORY_LEVEL_MAX ? MEMORY_LEVEL_MAX : level;
}

void ws_deflater_init(struct ws_deflater *deflater, uint8_t bits,
                      const struct encoder_memory *memory)
{
    assert(bits >= WS_BITS_MIN && bits <= WS_BITS_MAX);
    *deflater = (struct ws_deflater){.memory = *memory, .bits = bits};
}

static int open_deflater(struct ws_deflater *deflater)
{
    /* zlib has no window of 8 bits without a head. In one of 9 it looks back 250 bytes at most (its
     * window less MIN_LOOKAHEAD), which a window of 8 has. */
    int bits = deflater->bits == WS_BITS_MIN ? WS_BITS_MIN + 1 : deflater->bits;
    z_stream *stream = zlib_stream_new(&deflater->memory);
    if (stream == NULL)
        return -ENOMEM;
    if (deflateInit2(stream, WS_DEFLATE_LEVEL, Z_DEFLATED, -bits, memory_level(bits),
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        zlib_stream_free(&deflater->memory, stream);
        return -ENOMEM;
    }
    deflater->state = stream;
    return 0;
}

int64_t ws_deflate(struct ws_deflater *deflater, struct encoder_step *step)
{
    assert(step->input.size <= UINT_MAX && step->size >= WS_DEFLATE_ROOM_MIN);
    if (deflater->state == NULL && open_deflater(deflater) < 0)
        return -ENOMEM;
    z_stream *stream = deflater->state;
    stream->next_in = (z_const Bytef *)(uintptr_t)step->input.data;
    stream->avail_in = (unsigned)step->input.size;
    stream->next_out = (Bytef *)step->out;
    stream->avail_out = (unsigned)size_min(step->size, UINT_MAX);
    size_t room = stream->avail_out;
    int result = deflate(stream, step->goal == ENCODER_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH);
    if (result != Z_OK && result != Z_BUF_ERROR)
        return -EIO;
    step->input = (struct slice){(const char *)stream->next_in, stream->avail_in};
    step->done = stream->avail_in == 0 && stream->avail_out > 0;
    return (int64_t)(room - stream->avail_out);
}

void ws_deflater_forget(struct ws_deflater *deflater)
{
    if (deflater->state != NULL)
        deflateReset(deflater->state);
}

void ws_deflater_close(struct ws_deflater *deflater)
{
    z_stream *stream = deflater->state;
    if (stream == NULL)
        return;
    deflateEnd(stream);
    zlib_stream_free(&deflater->memory, stream);
    deflater->state = NULL;
}
