/* SPDX-License-Identifier: MIT
 * What the files of the HTTP/1.1 reader share: the states, and the step of each part.
 * h1.c dispatches; h1_head.c reads lines, h1_target.c and h1_fields.c say what they mean,
 * h1_chunked.c takes chunks apart. Whatever refuses says why with h1_refuse() and returns false. */
#ifndef ASKR_H1_PARTS_H
#define ASKR_H1_PARTS_H

#include "proto/h1.h"

enum { H1_DIGITS_MAX = 19 }; /* of a number of 63 bits */

enum h1_state {
    H1_AT_HEAD,
    H1_AT_SIZED_BODY,
    H1_AT_CHUNK_SIZE,
    H1_AT_EXTENSION_NAME, /* its first byte; the next state has the others */
    H1_AT_EXTENSION_NAME_REST,
    H1_AT_EXTENSION_VALUE,
    H1_AT_EXTENSION_VALUE_REST,
    H1_AT_QUOTED,
    H1_AT_ESCAPED,
    H1_AT_QUOTED_END,
    H1_AT_CHUNK_SIZE_LF,
    H1_AT_CHUNK_DATA,
    H1_AT_CHUNK_DATA_CR,
    H1_AT_CHUNK_DATA_LF,
    H1_AT_TRAILER,
    H1_AT_TRAILER_NAME,
    H1_AT_TRAILER_VALUE,
    H1_AT_TRAILER_LF,
    H1_AT_LAST_LF,
    H1_AT_END,
    H1_FAILED,
};

/* Note why the input is refused. Returns false, for `return h1_refuse(…)`. */
bool h1_refuse(struct h1 *, int status, const char *text);

/* H1_REQUEST, H1_NEED_DATA or H1_ERROR. On H1_REQUEST the head is consumed and judged. */
enum h1_event h1_read_head(struct h1 *, struct slice *input, struct http_request *);
/* Split request->target by its form (RFC 9112 section 3.2). An absolute one sets the authority. */
bool h1_judge_target(struct h1 *, struct http_request *);
/* The fields that decide about routing and framing. */
bool h1_judge_fields(struct h1 *, struct http_request *);
/* uri-host [ ":" port ], not empty. */
bool h1_valid_authority(struct slice);
/* H1_BODY, H1_NEED_DATA, H1_END or H1_ERROR. */
enum h1_event h1_read_chunked(struct h1 *, struct slice *input, struct slice *body);
/* Hand out what `input` has of the body_left bytes (of a sized body or a chunk). */
enum h1_event h1_take_body(struct h1 *, struct slice *input, struct slice *body);

/* What HTTP/2 shares. By the name of a method; HTTP_OTHER for one we do not know. */
enum http_method h1_method_of(struct slice name);
/* request->target at its first '?', into path and query. */
void h1_split_target(struct http_request *);
/* Digits only. -1: there is something else, nothing, or more than a file can have. */
int64_t h1_length_of(struct slice digits);
/* RFC 9110 section 5: a token, and a value that cannot end its line. */
bool h1_valid_field(const struct http_field *);
bool h1_valid_value(struct slice value);
/* In decimal, at the end of `digits`. */
struct slice h1_number(char digits[static H1_DIGITS_MAX], int64_t number);
/* Framing and hop-by-hop fields (RFC 9110 section 7.6.1) are ours to write. */
bool h1_is_ours(struct slice name, int status);

#endif
