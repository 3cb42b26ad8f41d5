/* SPDX-License-Identifier: MIT
 * Fields behind the body of an answer (RFC 9110 section 6.5), which come when the receiver has
 * already acted on the head: so none that frames or routes a message, says what its content is, who
 * may see it or how long it lives (section 6.5.1), and no cookies. */
#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

#include <errno.h>

static const struct slice kept_out[] = {
    SLICE("age"),
    SLICE("cache-control"),
    SLICE("content-encoding"),
    SLICE("content-location"),
    SLICE("content-range"),
    SLICE("content-type"),
    SLICE("date"),
    SLICE("expires"),
    SLICE("host"),
    SLICE("location"),
    SLICE("pragma"),
    SLICE("proxy-authenticate"),
    SLICE("retry-after"),
    SLICE("set-cookie"),
    SLICE("strict-transport-security"),
    SLICE("trailer"),
    SLICE("upgrade"),
    SLICE("vary"),
    SLICE("www-authenticate"),
};

bool h1_may_trail(const struct http_field *field)
{
    if (!h1_valid_field(field) || h1_is_ours(field->name, 200))
        return false;
    for (size_t i = 0; i < COUNT_OF(kept_out); i++)
        if (h1_reads(field->name, kept_out[i]))
            return false;
    return true;
}

static char *put(char *at, struct slice text)
{
    memcpy(at, text.data, text.size);
    return at + text.size;
}

int64_t h1_write_trailers(char *out, size_t size, const struct http_field *fields, size_t count)
{
    size_t needed = 5;
    for (size_t i = 0; i < count; i++)
        needed += fields[i].name.size + fields[i].value.size + 4;
    if (needed > size)
        return -E2BIG;
    char *at = put(out, SLICE("0\r\n"));
    for (size_t i = 0; i < count; i++) {
        assert(h1_may_trail(&fields[i]));
        at = put(put(at, fields[i].name), SLICE(": "));
        at = put(put(at, fields[i].value), SLICE("\r\n"));
    }
    return put(at, SLICE("\r\n")) - out;
}
