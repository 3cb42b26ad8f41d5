/* SPDX-License-Identifier: MIT
 * A request's head in HTTP/2: kept as one run of bytes while its fields are decoded, so that it can
 * be copied and read again; then judged by the rules that an HTTP/1.1 head is held to, as far as
 * nghttp2 has not applied those of RFC 9113 section 8 already (names in lower case, pseudo-fields
 * once and first, no connection-specific fields, content-length against the DATA that came).
 *
 * The form: one byte, 1 when no body follows; then fields, each two sizes of 16 bits, its name and
 * its value. A field whose name has no bytes is one that was taken out. */
#include "proto/h2_parts.h"

#include <errno.h>

#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

struct packed {
    uint16_t name_size, value_size;
};

/* RFC 9113 section 6.5.2 counts 32 bytes for each field, for what it costs to keep. */
enum { FIELD_OVERHEAD = 32 };

void h2_begin_head(struct h2 *h2, bool is_trailer)
{
    h2->in_head = true;
    h2->is_trailer = is_trailer;
    h2->too_large = false;
    h2->head_size = 1;
    h2->list_size = h2->field_count = h2->cookie_count = 0;
}

static int grow_head(struct h2 *h2, size_t size)
{
    size_t capacity = h2->head_capacity == 0 ? H2_HEAD_BEGIN_SIZE : h2->head_capacity;
    while (capacity < size)
        capacity *= 2;
    if (capacity == h2->head_capacity)
        return 0;
    char *head = h2->memory.resize(h2->memory.user, h2->head, capacity);
    if (head == NULL)
        return -ENOMEM;
    h2->head = head;
    h2->head_capacity = (uint32_t)capacity;
    return 0;
}

static int pack(struct h2 *h2, struct slice name, struct slice value)
{
    struct packed sizes = {(uint16_t)name.size, (uint16_t)value.size};
    if (grow_head(h2, h2->head_size + sizeof sizes + name.size + value.size) < 0)
        return -ENOMEM;
    char *at = h2->head + h2->head_size;
    memcpy(at, &sizes, sizeof sizes);
    memcpy(at + sizeof sizes, name.data, name.size);
    memcpy(at + sizeof sizes + name.size, value.data, value.size);
    h2->head_size += (uint32_t)(sizeof sizes + name.size + value.size);
    return 0;
}

int h2_keep_field(struct h2 *h2, struct slice name, struct slice value)
{
    uint32_t limit = h2->is_trailer ? H2_TRAILER_SIZE_MAX : h2->limits->head_size_max;
    uint32_t fields_max = h2->limits->fields_max;
    bool is_cookie = slice_equals(name, SLICE("cookie"));
    h2->list_size += (uint32_t)(name.size + value.size) + FIELD_OVERHEAD;
    if (is_cookie)
        h2->cookie_count++;
    else if (name.size > 0 && name.data[0] != ':')
        h2->field_count++;
    /* An answer is owed to who made a mistake, but not to who goes on and on. */
    if (h2->list_size > limit * H2_LIST_EXCESS || h2->field_count > fields_max * H2_FIELDS_EXCESS)
        h2_calm(h2);
    h2->too_large |= h2->list_size > limit || h2->field_count > fields_max;
    return h2->too_large || h2->is_trailer ? 0 : pack(h2, name, value);
}

/* The next field at *at, which moves past it. */
static struct http_field unpack(const char **at)
{
    struct packed sizes;
    memcpy(&sizes, *at, sizeof sizes);
    const char *name = *at + sizeof sizes;
    *at = name + sizes.name_size + sizes.value_size;
    return (struct http_field){{name, sizes.name_size}, {name + sizes.name_size, sizes.value_size}};
}

/* Cookies may come one by one for the sake of compression; whoever does not speak HTTP/2 gets them
 * as one field (RFC 9113 section 8.2.3). The joined one goes to the end, its parts are taken out.
 */
static int join_cookies(struct h2 *h2)
{
    size_t room = h2->head_size + (size_t)h2->list_size + sizeof(struct packed);
    if (grow_head(h2, room) < 0)
        return -ENOMEM;
    char *end = h2->head + h2->head_size, *joined = end + sizeof(struct packed) + 6;
    size_t size = 0;
    for (const char *at = h2->head + 1; at < end;) {
        char *start = h2->head + (at - h2->head);
        struct http_field field = unpack(&at);
        if (!slice_equals(field.name, SLICE("cookie")))
            continue;
        if (size > 0) {
            memcpy(joined + size, "; ", 2);
            size += 2;
        }
        memcpy(joined + size, field.value.data, field.value.size);
        size += field.value.size;
        struct packed out = {0, (uint16_t)(field.name.size + field.value.size)};
        memcpy(start, &out, sizeof out);
    }
    struct packed sizes = {6, (uint16_t)size};
    memcpy(end, &sizes, sizeof sizes);
    memcpy(end + sizeof sizes, "cookie", 6);
    h2->head_size += (uint32_t)(sizeof sizes + 6 + size);
    return 0;
}

int h2_finish_head(struct h2 *h2, bool end)
{
    h2->in_head = false;
    if (grow_head(h2, 1) < 0)
        return -ENOMEM;
    h2->head[0] = end;
    return h2->cookie_count > 1 && !h2->too_large ? join_cookies(h2) : 0;
}

/* --- what it says ----------------------------------------------------------------------------- */

struct found { /* besides what goes straight into the request */
    struct slice host, authority, length;
    bool has_host, has_authority, has_length, expect_continue, expect_other, end;
};

static void take_pseudo_field(const struct http_field *field, struct http_request *request,
                              struct found *found)
{
    if (slice_equals(field->name, SLICE(":method"))) {
        request->method_name = field->value;
        request->method = h1_method_of(field->value);
    } else if (slice_equals(field->name, SLICE(":path"))) {
        request->target = field->value;
    } else if (slice_equals(field->name, SLICE(":authority"))) {
        found->authority = field->value;
        found->has_authority = true;
    } else if (slice_equals(field->name, SLICE(":protocol"))) {
        request->protocol = field->value;
    } /* :scheme says how the client believes to have come; only the connection knows */
}

static void note_field(const struct http_field *field, struct found *found)
{
    if (slice_equals(field->name, SLICE("host"))) {
        found->host = field->value;
        found->has_host = true;
    } else if (slice_equals(field->name, SLICE("content-length"))) {
        found->length = field->value;
        found->has_length = true;
    } else if (slice_equals(field->name, SLICE("expect"))) {
        bool go_on = h1_reads(field->value, SLICE("100-continue"));
        found->expect_continue |= go_on;
        found->expect_other |= !go_on;
    }
}

/* Fields in their order, Host first: it is made of :authority when that is there (RFC 9113 section
 * 8.3.1). False: more than `fields_max`. */
static bool take_fields(struct slice head, const struct h1_limits *limits,
                        struct http_request *request, struct found *found)
{
    request->field_count = 1;
    const char *at = head.data + 1, *end = head.data + head.size;
    while (at < end) {
        struct http_field field = unpack(&at);
        if (field.name.size == 0)
            continue;
        if (field.name.data[0] == ':') {
            take_pseudo_field(&field, request, found);
            continue;
        }
        note_field(&field, found);
        if (slice_equals(field.name, SLICE("host")))
            continue;
        if (request->field_count >= limits->fields_max)
            return false;
        request->fields[request->field_count++] = field;
    }
    struct slice host = found->has_authority ? found->authority : found->host;
    request->fields[0] = (struct http_field){SLICE("host"), host};
    return true;
}

static int refuse(int status, const char **reason, const char *text)
{
    *reason = text;
    return status;
}

static int judge_authority(struct http_request *request, const struct found *found,
                           const char **reason)
{
    request->authority = request->fields[0].value;
    if (!h1_valid_authority(request->authority))
        return refuse(400, reason, "the authority is not a host");
    if (found->has_authority && found->has_host && !slice_equals(found->host, found->authority))
        return refuse(400, reason, "Host and :authority differ");
    return 0;
}

static int judge_target(struct http_request *request, const struct h1_limits *limits,
                        const char **reason)
{
    struct slice target = request->target;
    if (request->method == HTTP_CONNECT && request->protocol.size == 0)
        return refuse(501, reason, "CONNECT is for proxies");
    if (request->method == HTTP_CONNECT && !slice_equals(request->protocol, SLICE("websocket")))
        return refuse(501, reason, "CONNECT asks for a protocol that is not spoken here");
    if (target.size > limits->target_size_max)
        return refuse(414, reason, "the request target is too long");
    const char *end = target.data + target.size;
    bool asterisk = slice_equals(target, SLICE("*")) && request->method == HTTP_OPTIONS;
    if (target.size == 0 || (target.data[0] != '/' && !asterisk) ||
        h1_skip(target.data, end, H1_TARGET) != end)
        return refuse(400, reason, "the path is empty, not a path, or has a forbidden byte");
    h1_split_target(request);
    return 0;
}

static int judge_length(struct http_request *request, const struct found *found,
                        const struct h1_limits *limits, const char **reason)
{
    request->content_length = found->has_length ? h1_length_of(found->length) : -1;
    if (request->method == HTTP_CONNECT) { /* what follows belongs to its protocol */
        request->content_length = -1;
        request->chunked = request->expect_continue = false;
        return 0;
    }
    if (found->has_length && request->content_length < 0)
        return refuse(400, reason, "content-length is not a number");
    if (request->content_length > limits->body_size_max)
        return refuse(413, reason, "the body is too large");
    request->chunked = !found->end && !found->has_length; /* a body of unknown length */
    if (found->expect_other)
        return refuse(417, reason, "Expect is not 100-continue");
    request->expect_continue = found->expect_continue && !found->end;
    return 0;
}

int h2_read_head(struct slice head, const struct h1_limits *limits, struct http_request *request,
                 const char **reason)
{
    struct found found = {.end = head.data[0] != 0};
    request->method = HTTP_OTHER;
    request->method_name = request->target = request->protocol = (struct slice){"", 0};
    request->version = 2000;
    request->keep_alive = true;
    request->upgrade = false;
    if (!take_fields(head, limits, request, &found))
        return refuse(431, reason, "too many fields");
    int status = judge_target(request, limits, reason);
    if (status == 0)
        status = judge_authority(request, &found, reason);
    if (status == 0)
        status = judge_length(request, &found, limits, reason);
    return status;
}
