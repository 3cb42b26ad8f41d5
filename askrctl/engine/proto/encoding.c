/* SPDX-License-Identifier: MIT
 * The codings of this build behind one set of functions (encoding.h). */
#include "proto/encoding_parts.h"

#include <errno.h>

static const struct encoder_kind *const kinds[ENCODINGS] = {
#ifdef ASKR_HAVE_BROTLI
    [ENCODING_BROTLI] = &encoder_brotli,
#endif
#ifdef ASKR_HAVE_ZSTD
    [ENCODING_ZSTD] = &encoder_zstd,
#endif
#ifdef ASKR_HAVE_ZLIB
    [ENCODING_GZIP] = &encoder_gzip,
#endif
};

bool encoding_built(enum encoding encoding)
{
    return kinds[encoding] != NULL;
}

int encoder_open(struct encoder *encoder, enum encoding encoding,
                 const struct encoder_memory *memory)
{
    *encoder = (struct encoder){.kind = kinds[encoding], .memory = *memory};
    return encoder->kind == NULL ? -ENOSYS : encoder->kind->open(encoder);
}

int encoder_begin(struct encoder *encoder, int64_t size)
{
    assert(size >= -1);
    return encoder->kind->begin(encoder, size);
}

int64_t encoder_run(struct encoder *encoder, struct encoder_step *step)
{
    assert(step->size >= ENCODER_ROOM_MIN);
    int64_t written = encoder->kind->run(encoder, step);
    assert(written <= (int64_t)step->size);
    return written;
}

void encoder_close(struct encoder *encoder)
{
    if (encoder->kind != NULL)
        encoder->kind->close(encoder);
    encoder->kind = NULL;
}
