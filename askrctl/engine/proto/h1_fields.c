/* SPDX-License-Identifier: MIT
 * The fields that decide where a request goes and where it ends: Host (RFC 9112 section 3.2),
 * Content-Length and Transfer-Encoding (section 6), Connection, Upgrade, Expect (RFC 9110 sections
 * 7.6.1, 7.8, 10.1.1). Two readers of one request must not be able to differ about them, so every
 * way of saying a thing but the plain one is refused, also where the RFC offers a repair. */
#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

enum known { OTHER, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, EXPECT };

struct found {
    unsigned host_count, length_count, coding_count;
    struct slice *host;          /* in its field */
    struct slice length, coding; /* the last of each */
    bool close, keep_alive, upgrade_option, upgrade, expect_continue, expect_other;
};

static enum known recognise(struct slice name)
{
    switch (name.size) {
    case 4:
        return h1_reads(name, SLICE("host")) ? HOST : OTHER;
    case 6:
        return h1_reads(name, SLICE("expect")) ? EXPECT : OTHER;
    case 7:
        return h1_reads(name, SLICE("upgrade")) ? UPGRADE : OTHER;
    case 10:
        return h1_reads(name, SLICE("connection")) ? CONNECTION : OTHER;
    case 14:
        return h1_reads(name, SLICE("content-length")) ? CONTENT_LENGTH : OTHER;
    case 17:
        return h1_reads(name, SLICE("transfer-encoding")) ? TRANSFER_ENCODING : OTHER;
    default:
        return OTHER;
    }
}

/* A list of options; those that mean nothing to us are for others. */
static void read_connection(struct slice list, struct found *found)
{
    const char *at = list.data, *end = list.data + list.size;
    while (at < end) {
        const char *stop = memchr(at, ',', (size_t)(end - at));
        const char *next = stop == NULL ? end : stop + 1;
        stop = stop == NULL ? end : stop;
        while (at < stop && h1_is_blank(*at))
            at++;
        while (stop > at && h1_is_blank(stop[-1]))
            stop--;
        struct slice option = {at, (size_t)(stop - at)};
        found->close |= h1_reads(option, SLICE("close"));
        found->keep_alive |= h1_reads(option, SLICE("keep-alive"));
        found->upgrade_option |= h1_reads(option, SLICE("upgrade"));
        at = next;
    }
}

static void collect(struct http_field *field, struct found *found)
{
    switch (recognise(field->name)) {
    case HOST:
        found->host = &field->value;
        found->host_count++;
        break;
    case CONTENT_LENGTH:
        found->length = field->value;
        found->length_count++;
        break;
    case TRANSFER_ENCODING:
        found->coding = field->value;
        found->coding_count++;
        break;
    case CONNECTION:
        read_connection(field->value, found);
        break;
    case UPGRADE:
        found->upgrade = true;
        break;
    case EXPECT:
        if (h1_reads(field->value, SLICE("100-continue")))
            found->expect_continue = true;
        else
            found->expect_other = true;
        break;
    case OTHER:
        break;
    }
}

/* Exactly one in 1.1, even next to an absolute target that overrules it (RFC 9112 section 3.2).
 * Then it is made to say the same (section 3.2.2): an application that is asked by the one host
 * must not read another in the field. */
static bool judge_host(struct h1 *h1, const struct found *found, struct http_request *request)
{
    if (found->host_count > 1)
        return h1_refuse(h1, 400, "more than one Host");
    if (found->host_count == 0 && request->version > 1000)
        return h1_refuse(h1, 400, "no Host");
    if (found->host_count == 0)
        return true;
    if (found->host->size > 0 && !h1_valid_authority(*found->host))
        return h1_refuse(h1, 400, "Host is not a host");
    if (request->authority.size == 0)
        request->authority = *found->host;
    else
        *found->host = request->authority;
    return true;
}

int64_t h1_length_of(struct slice digits)
{
    int64_t length = 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (!h1_is(digits.data[i], H1_DIGIT) || __builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, digits.data[i] - '0', &length))
            return -1;
    }
    return digits.size == 0 ? -1 : length;
}

static bool judge_transfer_encoding(struct h1 *h1, const struct found *found,
                                    struct http_request *request)
{
    if (request->version == 1000)
        return h1_refuse(h1, 400, "Transfer-Encoding in HTTP/1.0");
    if (found->length_count > 0)
        return h1_refuse(h1, 400, "both Transfer-Encoding and Content-Length");
    if (found->coding_count > 1 || !h1_reads(found->coding, SLICE("chunked")))
        return h1_refuse(h1, 400, "Transfer-Encoding is not exactly chunked");
    request->chunked = true;
    return true;
}

static bool judge_framing(struct h1 *h1, const struct found *found, struct http_request *request)
{
    request->chunked = false;
    request->content_length = -1;
    if (found->coding_count > 0)
        return judge_transfer_encoding(h1, found, request);
    if (found->length_count == 0)
        return true;
    if (found->length_count > 1)
        return h1_refuse(h1, 400, "more than one Content-Length");
    request->content_length = h1_length_of(found->length);
    if (request->content_length < 0)
        return h1_refuse(h1, 400, "Content-Length is not a number");
    if (request->content_length > h1->limits->body_size_max)
        return h1_refuse(h1, 413, "the body is too large");
    return true;
}

bool h1_judge_fields(struct h1 *h1, struct http_request *request)
{
    struct found found = {0};
    for (size_t i = 0; i < request->field_count; i++)
        collect(&request->fields[i], &found);
    if (!judge_host(h1, &found, request) || !judge_framing(h1, &found, request))
        return false;
    if (found.expect_other)
        return h1_refuse(h1, 417, "Expect is not 100-continue");
    bool http11 = request->version > 1000;
    request->keep_alive = !found.close && (http11 || found.keep_alive);
    request->upgrade = http11 && found.upgrade && found.upgrade_option;
    /* A 1.0 client does not know what to do with a 100; without a body there is nothing to wait
     * with (RFC 9110 section 10.1.1). */
    request->expect_continue =
        http11 && found.expect_continue && (request->chunked || request->content_length > 0);
    return true;
}
