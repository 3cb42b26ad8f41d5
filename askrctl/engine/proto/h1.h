/* SPDX-License-Identifier: MIT
 * HTTP/1.1, sans-IO (RFC 9110, RFC 9112): bytes in, events out, pulled; response heads as bytes.
 * Owns no fd, reads no clock, takes no lock, allocates nothing.
 *
 * Reading: call h1_next() with all unconsumed input until it says H1_NEED_DATA. A head is consumed
 * as one piece: until it is complete the same bytes must be offered again, with more behind them
 * (only the new ones are scanned). Body bytes are consumed as they come. The slices of a request
 * live as long as the input they point into; while a head is read *request is scratch space, so
 * what it held before is lost even when the answer is H1_NEED_DATA.
 *
 * Whatever a request smuggler sends is H1_ERROR: the caller answers error_status and closes. */
#ifndef ASKR_H1_H
#define ASKR_H1_H

#include "base/http.h"

enum h1_event {
    H1_NEED_DATA, /* nothing more in this input */
    H1_REQUEST,   /* *request is filled; body events follow, at least H1_END */
    H1_BODY,      /* *body holds decoded body bytes */
    H1_END,       /* the request is complete; the next h1_next() begins a new one */
    H1_ERROR,     /* error_status and error_text say why; every later call repeats it */
};

struct h1_limits {
    uint32_t head_size_max;   /* <= HTTP_HEAD_SIZE_MAX */
    uint32_t target_size_max; /* 414 past it */
    uint32_t fields_max;      /* 431 past it */
    int64_t body_size_max;    /* 413 past it */
};

enum {
    H1_CHUNK_EXTENSION_MAX = 256, /* bytes of one chunk's extensions; nobody sends any */
    H1_TRAILER_SIZE_MAX = 4096,   /* all trailer fields together; read and dropped */
    H1_EMPTY_LINES_MAX = 4,       /* CRLFs before a request line, RFC 9112 section 2.2 */
    H1_CHUNK_PREFIX_SIZE = 18,    /* 16 hex digits and CRLF */
    H1_RESPONSE_FIELDS_MAX = 128,
};

struct h1 {
    const struct h1_limits *limits;
    int64_t body_left;  /* of a sized body, or of the chunk */
    int64_t body_size;  /* decoded so far */
    uint32_t scanned;   /* head bytes in complete lines, which need no second look */
    uint32_t line_size; /* so far, of the head's last line, the chunk extension or the trailers */
    uint16_t error_status;
    uint8_t state;
    uint8_t empty_lines;
    uint8_t head_lines;     /* complete lines of a head that is not */
    const char *error_text; /* a constant: an identity to compare and a sentence to log */
};

void h1_init(struct h1 *, const struct h1_limits *);
/* Is a request half read (its head begun, or its body unfinished)? */
bool h1_mid_request(const struct h1 *);
enum h1_event h1_next(struct h1 *, struct slice *input, struct http_request *request,
                      struct slice *body);

/* How the end of a response body will be known (RFC 9112 section 6.3). */
enum h1_framing {
    H1_NO_BODY, /* HEAD, 1xx, 204, 205, 304 */
    H1_SIZED,   /* Content-Length */
    H1_CHUNKED,
    H1_CLOSE, /* HTTP/1.0 without a length: the connection ends the body */
};

struct h1_response {
    int status;
    bool head_request;               /* answer to HEAD: fields as for GET, no body */
    bool http10;                     /* the client speaks 1.0: no chunks, keep-alive spelled out */
    bool close;                      /* Connection: close */
    int64_t content_length;          /* -1: unknown */
    struct slice date;               /* IMF-fixdate, or empty: no Date */
    struct slice server;             /* or empty: no Server */
    struct slice hsts;               /* Strict-Transport-Security, or empty */
    const struct http_field *fields; /* the application's; those we write are dropped */
    size_t field_count;
};

/* Write a status line and fields, framing included. Returns bytes written, 0 when `size` is too
 * small, -EINVAL when a field name or value is not valid (RFC 9110 section 5: token, no control
 * bytes), for a status that has not three digits and past H1_RESPONSE_FIELDS_MAX. `framing` says
 * how the body must be sent: H1_CLOSE overrules `close`. */
int64_t h1_write_head(char *out, size_t size, const struct h1_response *, enum h1_framing *framing);
/* "1f\r\n": returns its size. The chunk's bytes and "\r\n" follow; "0\r\n\r\n" ends the body. */
size_t h1_write_chunk_prefix(char out[static H1_CHUNK_PREFIX_SIZE], size_t chunk_size);
/* May the field stand behind a body? Not if it decides about message, content or cache. */
bool h1_may_trail(const struct http_field *);
/* The last chunk of a body with fields behind it, each of which may: its size, or -E2BIG. */
int64_t h1_write_trailers(char *out, size_t size, const struct http_field *, size_t count);

#endif
