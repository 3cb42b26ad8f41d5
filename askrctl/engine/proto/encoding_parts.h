/* SPDX-License-Identifier: MIT
 * What a coding is to encoding.c. Each library has one file, and is seen by no other. */
#ifndef ASKR_ENCODING_PARTS_H
#define ASKR_ENCODING_PARTS_H

#include "proto/encoding.h"

struct encoder_kind {
    int (*open)(struct encoder *);
    int (*begin)(struct encoder *, int64_t size);
    int64_t (*run)(struct encoder *, struct encoder_step *);
    void (*close)(struct encoder *);
};

extern const struct encoder_kind encoder_gzip, encoder_brotli, encoder_zstd;

#endif
