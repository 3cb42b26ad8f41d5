/* SPDX-License-Identifier: MIT
 * Response heads (RFC 9110 section 6, RFC 9112 section 4). The application says what it wants to
 * say; where the body ends and what becomes of the connection is ours alone, so its fields about
 * that are dropped, and nothing it writes can end a line early.
 * One pass: when both a bad field and a full buffer are ahead, the one that comes first is told. */
#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

#include <errno.h>

struct writer {
    char *at, *end;
    bool full, upgrade; /* an Upgrade field was written */
};

static void put(struct writer *writer, struct slice text)
{
    if ((size_t)(writer->end - writer->at) < text.size) {
        writer->full = true;
        return;
    }
    memcpy(writer->at, text.data, text.size);
    writer->at += text.size;
}

struct slice h1_number(char digits[static H1_DIGITS_MAX], int64_t number)
{
    char *end = digits + H1_DIGITS_MAX, *at = end;
    assert(number >= 0);
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (struct slice){at, (size_t)(end - at)};
}

static void put_number(struct writer *writer, int64_t number)
{
    char digits[H1_DIGITS_MAX];
    put(writer, h1_number(digits, number));
}

static void put_field(struct writer *writer, struct slice name, struct slice value)
{
    if ((size_t)(writer->end - writer->at) < name.size + value.size + 4) {
        writer->full = true;
        return;
    }
    char *at = writer->at;
    memcpy(at, name.data, name.size);
    at += name.size;
    *at++ = ':';
    *at++ = ' ';
    memcpy(at, value.data, value.size);
    at += value.size;
    *at++ = '\r';
    *at++ = '\n';
    writer->at = at;
}

bool h1_valid_field(const struct http_field *field)
{
    const char *name_end = field->name.data + field->name.size;
    return field->name.size > 0 && h1_skip(field->name.data, name_end, H1_TOKEN) == name_end &&
           h1_valid_value(field->value);
}

bool h1_valid_value(struct slice value)
{
    return h1_all_value(value.data, value.data + value.size);
}

bool h1_is_ours(struct slice name, int status)
{
    switch (name.size) {
    case 2:
        return h1_reads(name, SLICE("te"));
    case 7:
        return status != 101 && status != 426 && h1_reads(name, SLICE("upgrade"));
    case 10:
        return h1_reads(name, SLICE("connection")) || h1_reads(name, SLICE("keep-alive"));
    case 14:
        return h1_reads(name, SLICE("content-length"));
    case 16:
        return h1_reads(name, SLICE("proxy-connection"));
    case 17:
        return h1_reads(name, SLICE("transfer-encoding"));
    default:
        return false;
    }
}

static enum h1_framing framing_of(const struct h1_response *response)
{
    int status = response->status;
    if (response->head_request || status < 200 || status == 204 || status == 205 || status == 304)
        return H1_NO_BODY;
    if (response->content_length >= 0)
        return H1_SIZED;
    return response->http10 ? H1_CLOSE : H1_CHUNKED;
}

/* Content-Length, -1 for none. A 1xx or 204 must not have one (RFC 9110 section 8.6); a 205 has no
 * content and says so (section 15.3.6). */
static int64_t length_to_say(const struct h1_response *response)
{
    if (response->status < 200 || response->status == 204)
        return -1;
    return response->status == 205 ? 0 : response->content_length;
}

static void put_status_line(struct writer *writer, int status)
{
    put(writer, SLICE("HTTP/1.1 "));
    put_number(writer, status);
    put(writer, SLICE(" "));
    put(writer, slice_of(http_reason(status)));
    put(writer, SLICE("\r\n"));
}

/* The application's fields, then Date and Server where it has none of its own. */
static int put_fields(struct writer *writer, const struct h1_response *response)
{
    bool has_date = false, has_server = false, has_hsts = response->hsts.size == 0;
    for (size_t i = 0; i < response->field_count; i++) {
        const struct http_field *field = &response->fields[i];
        if (!h1_valid_field(field))
            return -EINVAL;
        if (h1_is_ours(field->name, response->status))
            continue;
        has_date |= h1_reads(field->name, SLICE("date"));
        has_server |= h1_reads(field->name, SLICE("server"));
        writer->upgrade |= field->name.size == 7 && h1_reads(field->name, SLICE("upgrade"));
        if (!has_hsts)
            has_hsts = h1_reads(field->name, SLICE("strict-transport-security"));
        put_field(writer, field->name, field->value);
    }
    if (!has_date && response->date.size > 0)
        put_field(writer, SLICE("Date"), response->date);
    if (!has_server && response->server.size > 0)
        put_field(writer, SLICE("Server"), response->server);
    if (!has_hsts)
        put_field(writer, SLICE("Strict-Transport-Security"), response->hsts);
    return 0;
}

/* RFC 9110 section 7.8: who sends Upgrade names it as an option. */
static void put_connection(struct writer *writer, const char *persistence)
{
    bool both = writer->upgrade && *persistence != '\0';
    if (!writer->upgrade && *persistence == '\0')
        return;
    put(writer, SLICE("Connection: "));
    put(writer, slice_of(persistence));
    put(writer, both ? SLICE(", ") : SLICE(""));
    put(writer, writer->upgrade ? SLICE("upgrade\r\n") : SLICE("\r\n"));
}

static void put_framing(struct writer *writer, const struct h1_response *response,
                        enum h1_framing framing)
{
    int64_t length = length_to_say(response);
    if (length >= 0) {
        put(writer, SLICE("Content-Length: "));
        put_number(writer, length);
        put(writer, SLICE("\r\n"));
    }
    if (framing == H1_CHUNKED)
        put(writer, SLICE("Transfer-Encoding: chunked\r\n"));
    if (response->status < 200) {
        put_connection(writer, ""); /* the final response says what becomes of it */
        return;
    }
    const char *persistence = response->close || framing == H1_CLOSE ? "close"
                              : response->http10                     ? "keep-alive"
                                                                     : "";
    put_connection(writer, persistence);
}

int64_t h1_write_head(char *out, size_t size, const struct h1_response *response,
                      enum h1_framing *framing)
{
    struct writer writer = {out, out + size, false, false};
    if (response->status < 100 || response->status > 999 ||
        response->field_count > H1_RESPONSE_FIELDS_MAX)
        return -EINVAL;
    *framing = framing_of(response);
    put_status_line(&writer, response->status);
    if (put_fields(&writer, response) < 0)
        return -EINVAL;
    put_framing(&writer, response, *framing);
    put(&writer, SLICE("\r\n"));
    return writer.full ? 0 : writer.at - out;
}

size_t h1_write_chunk_prefix(char out[static H1_CHUNK_PREFIX_SIZE], size_t chunk_size)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = 1;
    assert(chunk_size > 0); /* 0 would end the body */
    while (count < 16 && chunk_size >> (4 * count) != 0)
        count++;
    for (size_t i = 0; i < count; i++)
        out[i] = digits[chunk_size >> (4 * (count - 1 - i)) & 15];
    out[count] = '\r';
    out[count + 1] = '\n';
    return count + 2;
}
