/* SPDX-License-Identifier: MIT
 * What compressing makes of an answer's head: shared by compress.c and compress_head.c. */
#ifndef ASKR_COMPRESS_HEAD_H
#define ASKR_COMPRESS_HEAD_H

#include "proto/encoding.h"
#include "serve/exchange.h"

enum compress_verdict {
    COMPRESS_NOT,
    COMPRESS_YES,
    COMPRESS_PERHAPS, /* no body will tell (304), or its size is not known (HEAD): the entity-tag
                         must match that of either */
};

/* The client takes a coding, and the kind of answer is compressed: is this one? */
enum compress_verdict compress_judge(const struct exchange *, const struct encoding_rules *,
                                     bool complete);
/* The answer depends on Accept-Encoding, whether this client's is compressed or not. */
void compress_put_vary(struct exchange *, const struct encoding_traits *);
/* Get the memory for a weak entity-tag, while the answer may still go out as it is. */
int compress_prepare(struct exchange *, struct encoding_traits *);
/* Say so in the fields; `encoded`: there is a coding for sure. */
void compress_put(struct exchange *, const struct encoding_traits *, bool encoded);

#endif
