/* SPDX-License-Identifier: MIT
 * Composing where a redirect leads (redirect.h). What the client wrote goes into it percent-encoded
 * and behind a slash, so that it can neither end the field nor name another host. */
#include "serve/redirect.h"

#include <strings.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/forwarded.h"
#include "serve/rules.h"
#include "serve/worker.h"

enum { LOCATION_MAX = HTTP_TARGET_SIZE_MAX + 1024 }; /* a head has room for it */

struct location {
    char text[LOCATION_MAX];
    size_t size;
    bool full;
};

static void put(struct location *location, struct slice text)
{
    if (text.size > sizeof location->text - location->size) {
        location->full = true;
        return;
    }
    memcpy(location->text + location->size, text.data, text.size);
    location->size += text.size;
}

/* RFC 3986 section 3.3: what may stand in a path as it is. */
static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("/-._~!$&'()*+,;=:@", c) != NULL);
}

static void put_encoded(struct location *location, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (is_plain(text.data[i]))
            put(location, (struct slice){text.data + i, 1});
        else
            put(location, (struct slice){escaped, sizeof escaped});
    }
}

/* "//host/" and, to browsers, "/\\host/" name another site; a backslash was encoded already. */
static void keep_one_slash(struct location *location)
{
    size_t extra = 0;
    while (extra + 1 < location->size && location->text[0] == '/' &&
           location->text[extra + 1] == '/')
        extra++;
    location->size -= extra;
    memmove(location->text, location->text + extra, location->size);
}

static void put_target(struct location *location, const struct askr_pattern *target,
                       struct slice rest)
{
    struct slice before = slice_of(target->before);
    put(location, before);
    if (target->behind != NULL) {
        if (rest.size > 0 && rest.data[0] == '/' && before.size > 0 &&
            before.data[before.size - 1] == '/')
            rest = (struct slice){rest.data + 1, rest.size - 1};
        put_encoded(location, rest);
        put(location, slice_of(target->behind));
    }
    keep_one_slash(location);
}

static bool begins(struct slice *text, struct slice word)
{
    if (text->size < word.size || strncasecmp(text->data, word.data, word.size) != 0)
        return false;
    *text = (struct slice){text->data + word.size, text->size - word.size};
    return true;
}

/* Would the client come back with the same request? */
static bool is_here(const struct exchange *exchange, const struct location *location)
{
    struct slice left = {location->text, location->size};
    struct slice path = exchange->conn->worker->request.path;
    bool https = exchange_is_https(exchange);
    if (left.size > 0 && left.data[0] != '/') {
        if (!begins(&left, https ? SLICE("https://") : SLICE("http://")) ||
            !begins(&left, exchange_authority(exchange)))
            return false;
        if (left.size == 0)
            return slice_equals(path, SLICE("/"));
    }
    return slice_equals(left, path);
}

static void put_query(struct location *location, struct slice query)
{
    if (query.size == 0)
        return;
    bool more = memchr(location->text, '?', location->size) != NULL;
    put(location, more ? SLICE("&") : SLICE("?"));
    put(location, query);
}

/* Certificate authorities ask for these by the name that the certificate is for: what sends a whole
 * site elsewhere must not send them along. */
static bool is_exempt(const struct exchange *exchange, const struct askr_redirect *redirect)
{
    return redirect->source.behind != NULL &&
           exchange_is_challenge(exchange->conn->worker->request.path);
}

bool redirect_try(struct exchange *exchange, const struct askr_redirect *redirect)
{
    struct worker *worker = exchange->conn->worker;
    struct slice rest;
    if (!pattern_matches(&redirect->source, worker->target.path, &rest) ||
        is_exempt(exchange, redirect) ||
        (redirect->host_count > 0 && !rules_host_is_one_of(host_of(exchange_authority(exchange)),
                                                           redirect->hosts, redirect->host_count)))
        return false;
    struct location location = {.size = 0, .full = false};
    put_target(&location, &redirect->target, rest);
    if (is_here(exchange, &location))
        return false;
    put_query(&location, worker->request.query);
    exchange_drop_target(worker);
    if (location.full)
        respond_error(exchange, 414, NULL);
    else
        respond_location(exchange, redirect->status, (struct slice){location.text, location.size});
    return true;
}
