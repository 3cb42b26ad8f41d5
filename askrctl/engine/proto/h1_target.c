/* SPDX-License-Identifier: MIT
 * The request target by its four forms (RFC 9112 section 3.2), and what a valid authority is.
 * Afterwards `target` is origin-form, or "*", whatever was sent. */
#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

static bool valid_port(struct slice port)
{
    unsigned number = 0;
    for (size_t i = 0; i < port.size; i++) {
        if (!h1_is(port.data[i], H1_DIGIT))
            return false;
        number = number * 10 + (unsigned)(port.data[i] - '0');
        if (number > UINT16_MAX)
            return false;
    }
    return true; /* also when empty: port = *DIGIT, RFC 3986 section 3.2.3 */
}

/* The size of the "[…]" at the beginning, 0 when it is not an IPv6 address by its bytes. Zone
 * identifiers and the future's address formats are for nobody to send to us. */
static size_t ip_literal_size(struct slice text)
{
    assert(text.data[0] == '[');
    size_t size = 1;
    while (size < text.size &&
           (h1_is(text.data[size], H1_HEX) || text.data[size] == ':' || text.data[size] == '.'))
        size++;
    bool closed = size < text.size && text.data[size] == ']';
    return closed && size >= 3 ? size + 1 : 0;
}

/* reg-name or IPv4 address, but without ',': a list of hosts to some, a part of one to others. */
static size_t host_name_size(struct slice text)
{
    size_t size = 0;
    while (size < text.size) {
        if (h1_is(text.data[size], H1_HOST))
            size++;
        else if (text.data[size] == '%' && text.size - size >= 3 &&
                 h1_is(text.data[size + 1], H1_HEX) && h1_is(text.data[size + 2], H1_HEX))
            size += 3;
        else
            break;
    }
    return size;
}

bool h1_valid_authority(struct slice text)
{
    if (text.size == 0)
        return false;
    size_t size = text.data[0] == '[' ? ip_literal_size(text) : host_name_size(text);
    if (size == 0)
        return false;
    if (size == text.size)
        return true;
    return text.data[size] == ':' &&
           valid_port((struct slice){text.data + size + 1, text.size - size - 1});
}

void h1_split_target(struct http_request *request)
{
    struct slice target = request->target;
    const char *mark = memchr(target.data, '?', target.size);
    request->path = target;
    request->query = (struct slice){target.data + target.size, 0};
    if (mark == NULL)
        return;
    request->path.size = (size_t)(mark - target.data);
    request->query = (struct slice){mark + 1, target.size - request->path.size - 1};
}

/* The size of "http://" or "https://" at the beginning, 0 without. */
static size_t scheme_size(struct slice target)
{
    static const struct slice schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (target.size >= schemes[i].size &&
            h1_reads((struct slice){target.data, schemes[i].size}, schemes[i]))
            return schemes[i].size;
    return 0;
}

/* "http://host/path?query" (RFC 9112 section 3.2.2): its authority, then origin-form. */
static bool judge_absolute_form(struct h1 *h1, struct http_request *request, size_t scheme)
{
    struct slice rest = {request->target.data + scheme, request->target.size - scheme};
    size_t size = 0;
    while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?')
        size++;
    request->authority = (struct slice){rest.data, size};
    if (!h1_valid_authority(request->authority))
        return h1_refuse(h1, 400, "the request target's authority is not a host");
    request->target = (struct slice){rest.data + size, rest.size - size};
    if (request->target.size == 0)
        request->target = request->method == HTTP_OPTIONS ? SLICE("*") : SLICE("/");
    /* "http://host?query" would need a '/' that is not in the input. No client sends it. */
    if (request->target.data[0] == '?')
        return h1_refuse(h1, 400, "the request target has a query but no path");
    h1_split_target(request);
    return true;
}

bool h1_judge_target(struct h1 *h1, struct http_request *request)
{
    struct slice target = request->target;
    request->authority = (struct slice){target.data, 0};
    if (request->method == HTTP_CONNECT)
        return h1_refuse(h1, 501, "CONNECT is for proxies");
    bool asterisk = target.size == 1 && target.data[0] == '*';
    if (target.data[0] == '/' || (asterisk && request->method == HTTP_OPTIONS)) {
        h1_split_target(request);
        return true;
    }
    size_t scheme = scheme_size(target);
    if (scheme == 0)
        return h1_refuse(h1, 400, "the request target is neither a path nor an http URL");
    return judge_absolute_form(h1, request, scheme);
}
