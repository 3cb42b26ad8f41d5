/* SPDX-License-Identifier: MIT
 * zlib's allocator calls (zlib.h, alloc_func) as those of an encoder_memory. */
#include "proto/zlib_stream.h"

static void *allocate(void *user, unsigned count, unsigned size)
{
    const struct encoder_memory *memory = user;
    size_t total;
    if (__builtin_mul_overflow((size_t)count, (size_t)size, &total))
        return NULL;
    return memory->allocate(memory->user, total);
}

static void release(void *user, void *memory)
{
    const struct encoder_memory *owner = user;
    owner->release(owner->user, memory);
}

z_stream *zlib_stream_new(struct encoder_memory *memory)
{
    z_stream *stream = memory->allocate(memory->user, sizeof *stream);
    if (stream != NULL)
        *stream = (z_stream){.zalloc = allocate, .zfree = release, .opaque = memory};
    return stream;
}

void zlib_stream_free(struct encoder_memory *memory, z_stream *stream)
{
    memory->release(memory->user, stream);
}
