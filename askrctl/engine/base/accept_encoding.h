/* SPDX-License-Identifier: MIT
 * What a client says of content codings in Accept-Encoding (RFC 9110 section 12.5.3). Files that
 * lie beside their compressed siblings and answers that are compressed on the way read it alike.
 *
 * Happy path: accept_encoding_of() a request, then accept_encoding_weight(). What is not valid
 * counts as refused: a coding that is not certain is not sent. */
#ifndef ASKR_ACCEPT_ENCODING_H
#define ASKR_ACCEPT_ENCODING_H

#include "base/http.h"

/* The codings of the IANA registry that we speak, and none. */
enum encoding { ENCODING_NONE, ENCODING_BROTLI, ENCODING_ZSTD, ENCODING_GZIP, ENCODINGS };

extern const struct slice encoding_names[ENCODINGS]; /* as in Content-Encoding; "" for none */

/* Thousandths: "q=0.5" is 500. -1: not named. */
struct accept_encoding {
    int16_t weights[ENCODINGS]; /* [ENCODING_NONE] is "identity" */
    int16_t others;             /* "*" */
};

/* What a request says, in all of its fields of the name: together they are one list (RFC 9110
 * section 5.3). */
void accept_encoding_of(const struct http_request *, struct accept_encoding *);
/* Nothing was said: everything but a plain answer is refused. */
void accept_encoding_init(struct accept_encoding *);
/* The value of one field; several fields are one list. */
void accept_encoding_read(struct accept_encoding *, struct slice value);
/* > 0: it may be sent. A plain answer may be, unless it was refused by name. */
int accept_encoding_weight(const struct accept_encoding *, enum encoding);
/* Is this better than the best so far? A coding that was accepted beats a plain answer that was not
 * asked for by a higher weight; between equals the one that was tried first stays. */
bool accept_encoding_better(const struct accept_encoding *, enum encoding, enum encoding best);
#endif
