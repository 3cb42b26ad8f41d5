/* SPDX-License-Identifier: MIT
 * A z_stream that takes its memory from an encoder_memory: for gzip (encode_gzip.c) and for
 * permessage-deflate (ws_deflate.c). Only they may include this: zlib is seen by nobody else. */
#ifndef ASKR_ZLIB_STREAM_H
#define ASKR_ZLIB_STREAM_H

#include <zlib.h>

#include "proto/encoding.h"

/* Not initialised for either direction yet. `memory` must stay where it is for as long as the
 * stream lives. NULL: no memory. */
z_stream *zlib_stream_new(struct encoder_memory *memory);

/* After deflateEnd() or inflateEnd(), or where neither init succeeded. */
void zlib_stream_free(struct encoder_memory *memory, z_stream *stream);

#endif
