/* SPDX-License-Identifier: MIT
 * A request as every layer sees it: what a protocol produces and an application is given.
 * Slices point into the bytes the protocol was fed and live as long as those. */
#ifndef ASKR_HTTP_H
#define ASKR_HTTP_H

#include "base/base.h"

enum {
    HTTP_FIELDS_MAX = 100,       /* nginx and Apache: 100; a browser sends about 15 */
    HTTP_HEAD_SIZE_MAX = 32768,  /* request line and fields together; Node 16 KiB, nginx 32 KiB */
    HTTP_TARGET_SIZE_MAX = 8192, /* RFC 9112 section 3 asks for at least 8000 */
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_TRACE,
    HTTP_CONNECT,
    HTTP_OTHER, /* a valid token we have no name for; method_name has it */
};

struct http_field {
    struct slice name, value; /* value without surrounding white space */
};

struct http_request {
    enum http_method method;
    struct slice method_name;
    struct slice target;    /* origin-form: path and query; "*" for OPTIONS * */
    struct slice path;      /* target up to '?', still percent-encoded */
    struct slice query;     /* after '?', or empty */
    struct slice authority; /* Host, or the authority of an absolute-form target */
    struct slice protocol;  /* that a CONNECT of HTTP/2 asks for (RFC 8441); else empty */
    int64_t content_length; /* -1: no length given (no body, or chunked) */
    uint16_t version;       /* 1000 or 1001 */
    bool chunked;
    bool keep_alive; /* what the client asked for; HTTP/1.0 needs it spelled out */
    bool expect_continue;
    bool upgrade; /* Connection: upgrade with an Upgrade field */
    uint16_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* A body was announced, though it may be empty. */
static inline bool http_has_body(const struct http_request *request)
{
    return request->chunked || request->content_length >= 0;
}

/* The standard reason phrase, "Unknown" for a status without one. Never NULL. */
const char *http_reason(int status);

#endif
