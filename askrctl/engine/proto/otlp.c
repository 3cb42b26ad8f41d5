/* SPDX-License-Identifier: MIT
 * Spans as OTLP (otlp.h): opentelemetry/proto/trace/v1/trace.proto. */
#include "proto/otlp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "proto/protobuf.h"
#include "proto/span.h"

/* Numbers of the fields. */
enum {
    SCOPE_SPANS = 2,
    SPAN_FIELD_TRACE_ID = 1,
    SPAN_FIELD_ID = 2,
    SPAN_FIELD_STATE = 3,
    SPAN_FIELD_PARENT = 4,
    SPAN_FIELD_NAME = 5,
    SPAN_FIELD_KIND = 6,
    SPAN_FIELD_START = 7,
    SPAN_FIELD_END = 8,
    SPAN_FIELD_ATTRIBUTE = 9,
    SPAN_FIELD_STATUS = 15,
    SPAN_FIELD_FLAGS = 16,
    KEY = 1,
    VALUE = 2,
    VALUE_STRING = 1,
    VALUE_INT = 3,
    VALUE_DOUBLE = 4,
    STATUS_CODE = 3
};
enum { KIND_SERVER = 2, STATUS_ERROR = 2, FLAGS_KNOWN = 0x100, FLAGS_REMOTE = 0x200 };
enum { WIDTH = 2, WIDTH_SPAN = 3 }; /* of sizes: 16 KiB, and 2 MiB */

struct span {
    struct span_head head;
    struct slice texts[SPAN_TEXTS];
    struct slice error; /* error.type; empty: none */
    uint32_t worker;
    bool is_known; /* its method */
};

/* --- attributes ------------------------------------------------------------------------------- */

/* How many bytes of a well-formed character are there; 0: it is none (RFC 3629, section 4). */
static size_t utf8_size(const uint8_t *at, size_t left)
{
    static const struct {
        uint8_t first, last, second_low, second_high, size;
    } ranges[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        if (*at < ranges[i].first || *at > ranges[i].last)
            continue;
        if (ranges[i].size == 1)
            return 1;
        if (left < ranges[i].size || at[1] < ranges[i].second_low || at[1] > ranges[i].second_high)
            return 0;
        for (size_t next = 2; next < ranges[i].size; next++)
            if ((at[next] & 0xc0) != 0x80)
                return 0;
        return ranges[i].size;
    }
    return 0;
}

/* As UTF-8: a byte that is of none is the replacement character. */
static void put_text(struct protobuf *out, uint32_t field, struct slice text)
{
    static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};
    const uint8_t *at = (const uint8_t *)text.data, *end = at + text.size;
    uint8_t *begun = protobuf_begin(out, field, WIDTH);
    while (at < end) {
        const uint8_t *from = at;
        while (at < end && *at < 0x80)
            at++;
        protobuf_raw(out, from, (size_t)(at - from));
        if (at == end)
            break;
        size_t size = utf8_size(at, (size_t)(end - at));
        if (size > 0)
            protobuf_raw(out, at, size);
        else
            protobuf_raw(out, replacement, sizeof replacement);
        at += size > 0 ? size : 1;
    }
    protobuf_end(out, begun, WIDTH);
}

struct attribute {
    uint8_t *begun, *value;
};

static struct attribute begin(struct protobuf *out, struct slice key)
{
    struct attribute made = {.begun = protobuf_begin(out, SPAN_FIELD_ATTRIBUTE, WIDTH)};
    protobuf_bytes(out, KEY, key.data, key.size);
    made.value = protobuf_begin(out, VALUE, WIDTH);
    return made;
}

static void end(struct protobuf *out, struct attribute made)
{
    protobuf_end(out, made.value, WIDTH);
    protobuf_end(out, made.begun, WIDTH);
}

static void put_string(struct protobuf *out, struct slice key, struct slice text)
{
    struct attribute made = begin(out, key);
    put_text(out, VALUE_STRING, text);
    end(out, made);
}

/* One that is empty is left out. */
static void put_known(struct protobuf *out, struct slice key, struct slice text)
{
    if (text.size > 0)
        put_string(out, key, text);
}

static void put_int(struct protobuf *out, struct slice key, int64_t value)
{
    struct attribute made = begin(out, key);
    protobuf_number(out, VALUE_INT, (uint64_t)value);
    end(out, made);
}

static void put_seconds(struct protobuf *out, struct slice key, int64_t value_ns)
{
    double seconds = (double)value_ns / 1e9;
    struct attribute made = begin(out, key);
    protobuf_fixed64(out, VALUE_DOUBLE, &seconds);
    end(out, made);
}

/* --- what they are ---------------------------------------------------------------------------- */

static bool is_known_method(struct slice method)
{
    static const char *const known[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (slice_equals(method, slice_of(known[i])))
            return true;
    return false;
}

static struct slice outcome_of(const struct span_head *head)
{
    switch (head->outcome) {
    case 'o':
        return SLICE("done");
    case 'u':
        return SLICE("cut");
    case 'e':
        return SLICE("left");
    case 'i':
        return SLICE("limited");
    default:
        return SLICE("");
    }
}

static struct slice version_of(const struct span_head *head)
{
    switch (head->version) {
    case 1000:
        return SLICE("1.0");
    case 1001:
        return SLICE("1.1");
    case 2000:
        return SLICE("2");
    default:
        return SLICE("");
    }
}

/* Take a port off the end of a Host field: 0 when there is none. */
static int64_t cut_port(struct slice *host)
{
    const char *colon = host->size > 0 ? memrchr(host->data, ':', host->size) : NULL;
    if (colon == NULL || (colon > host->data && colon[-1] == ':'))
        return 0;
    size_t digits = (size_t)(host->data + host->size - colon) - 1;
    int64_t port = 0;
    if (digits == 0 || digits > 5)
        return 0;
    for (size_t i = 1; i <= digits; i++) {
        if (colon[i] < '0' || colon[i] > '9')
            return 0;
        port = 10 * port + (colon[i] - '0');
    }
    host->size = (size_t)(colon - host->data);
    return port;
}

static void put_host(struct protobuf *out, const struct span *span)
{
    struct slice host = span->texts[SPAN_HOST];
    int64_t port = cut_port(&host);
    for (; host.size > 0 && (host.data[0] == '[' || host.data[0] == ']'); host.size--)
        host.data++;
    while (host.size > 0 && (host.data[host.size - 1] == '[' || host.data[host.size - 1] == ']'))
        host.size--;
    put_string(out, SLICE("server.address"), host);
    put_int(out, SLICE("server.port"), port != 0 ? port : span->head.server_port);
}

/* An address as text; false for a unix socket. */
static bool put_address(struct protobuf *out, struct slice key, uint8_t family,
                        const uint8_t bytes[static 16])
{
    char text[INET6_ADDRSTRLEN];
    if ((family != 4 && family != 6) ||
        inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text) == NULL)
        return false;
    put_string(out, key, slice_of(text));
    return true;
}

static void put_request(struct protobuf *out, const struct span *span)
{
    const struct span_head *head = &span->head;
    struct slice method = span->texts[SPAN_METHOD];
    put_string(out, SLICE("http.request.method"), span->is_known ? method : SLICE("_OTHER"));
    if (!span->is_known)
        put_string(out, SLICE("http.request.method_original"), method);
    put_string(out, SLICE("url.scheme"), head->secure ? SLICE("https") : SLICE("http"));
    put_string(out, SLICE("url.path"), span->texts[SPAN_PATH]);
    put_host(out, span);
    put_string(out, SLICE("network.protocol.version"), version_of(head));
    if (put_address(out, SLICE("network.peer.address"), head->peer_family, head->peer_address))
        put_int(out, SLICE("network.peer.port"), head->peer_port);
    put_address(out, SLICE("client.address"), head->client_family, head->client_address);
    put_known(out, SLICE("user_agent.original"), span->texts[SPAN_AGENT]);
    put_int(out, SLICE("http.request.body.size"), head->request_size);
}

static void put_answer(struct protobuf *out, const struct span *span)
{
    const struct span_head *head = &span->head;
    if (head->status != 0)
        put_int(out, SLICE("http.response.status_code"), head->status);
    put_int(out, SLICE("http.response.body.size"), head->answer_size);
    put_known(out, SLICE("error.type"), span->error);
    put_known(out, SLICE("http.route"), span->texts[SPAN_ROUTE]);
    put_known(out, SLICE("askr.request_id"), span->texts[SPAN_ID]);
    put_known(out, SLICE("askr.site"), span->texts[SPAN_SITE]);
    put_string(out, SLICE("askr.outcome"), outcome_of(head));
    put_int(out, SLICE("askr.worker"), span->worker);
    put_string(out, SLICE("askr.answered_by"),
               head->for_app ? SLICE("application") : SLICE("server"));
    put_seconds(out, SLICE("askr.read_s"), head->read_ns);
    put_seconds(out, SLICE("askr.queue_s"), head->queue_ns);
    put_seconds(out, SLICE("askr.app_wall_s"), head->app_wall_ns);
    put_seconds(out, SLICE("askr.app_cpu_s"), head->app_cpu_ns);
    put_seconds(out, SLICE("askr.write_s"), head->write_ns);
    put_seconds(out, SLICE("askr.client_s"), head->client_ns);
}

/* --- a span ----------------------------------------------------------------------------------- */

/* The method, and the route if there is one: few names, whatever clients ask for. */
static void put_name(struct protobuf *out, const struct span *span)
{
    char name[2 * TRACE_TEXT_SIZE_MAX];
    struct slice method = span->is_known ? span->texts[SPAN_METHOD] : SLICE("HTTP");
    struct slice route = span->texts[SPAN_ROUTE];
    route.size = route.size < TRACE_TEXT_SIZE_MAX ? route.size : TRACE_TEXT_SIZE_MAX;
    int size =
        snprintf(name, sizeof name, "%.*s%s%.*s", (int)method.size, method.data,
                 route.size > 0 ? " " : "", (int)route.size, route.size > 0 ? route.data : "");
    put_text(out, SPAN_FIELD_NAME, (struct slice){name, (size_t)size});
}

static void put_span(struct protobuf *out, const struct span *span)
{
    const struct span_head *head = &span->head;
    int64_t end_ns = (int64_t)((uint64_t)head->start_ns + (uint64_t)head->total_ns);
    uint32_t flags = FLAGS_KNOWN | (head->has_parent ? FLAGS_REMOTE : 0);
    uint8_t *begun = protobuf_begin(out, SCOPE_SPANS, WIDTH_SPAN);
    protobuf_bytes(out, SPAN_FIELD_TRACE_ID, head->trace_id, sizeof head->trace_id);
    protobuf_bytes(out, SPAN_FIELD_ID, head->span_id, sizeof head->span_id);
    if (span->texts[SPAN_STATE].size > 0)
        put_text(out, SPAN_FIELD_STATE, span->texts[SPAN_STATE]);
    if (head->has_parent)
        protobuf_bytes(out, SPAN_FIELD_PARENT, head->parent_id, sizeof head->parent_id);
    put_name(out, span);
    protobuf_number(out, SPAN_FIELD_KIND, KIND_SERVER);
    protobuf_fixed64(out, SPAN_FIELD_START, &head->start_ns);
    protobuf_fixed64(out, SPAN_FIELD_END, &end_ns);
    put_request(out, span);
    put_answer(out, span);
    uint8_t *status = protobuf_begin(out, SPAN_FIELD_STATUS, 1);
    if (span->error.size > 0)
        protobuf_number(out, STATUS_CODE, STATUS_ERROR);
    protobuf_end(out, status, 1);
    protobuf_tag(out, SPAN_FIELD_FLAGS, PROTOBUF_FIXED32);
    protobuf_raw(out, &flags, sizeof flags);
    protobuf_end(out, begun, WIDTH_SPAN);
}

/* Its bytes of the batch, or 0 when it is cut off or of another version. */
static size_t read_span(struct slice data, struct span *span)
{
    size_t size = sizeof span->head;
    if (data.size < size)
        return 0;
    memcpy(&span->head, data.data, size);
    if (outcome_of(&span->head).size == 0 || version_of(&span->head).size == 0)
        return 0;
    for (size_t i = 0; i < SPAN_TEXTS; i++) {
        size_t text_size = span->head.text_sizes[i];
        if (text_size > data.size - size || text_size > TRACE_TEXT_SIZE_MAX)
            return 0;
        span->texts[i] = (struct slice){data.data + size, text_size};
        size += text_size;
    }
    return size;
}

/* 4xx is the client's, and no error of a server's span. `status` is the caller's memory. */
static void find_error(struct span *span, char status[static 8])
{
    const struct span_head *head = &span->head;
    span->error = SLICE("");
    if (head->status >= 500) {
        int size = snprintf(status, 8, "%u", head->status);
        span->error = (struct slice){status, (size_t)size};
    } else if (head->outcome == 'u' || head->outcome == 'e') {
        span->error = outcome_of(head);
    }
}

int64_t otlp_encode(struct slice batch, uint8_t out[static OTLP_SIZE_MAX], uint32_t *count)
{
    struct protobuf made = {.at = out, .end = out + OTLP_SIZE_MAX};
    struct span span;
    uint32_t head[2];
    char status[8];
    *count = 0;
    if (batch.size < sizeof head || batch.size > TRACE_BATCH_SIZE)
        return -EINVAL;
    memcpy(head, batch.data, sizeof head);
    if (head[0] != TRACE_MAGIC)
        return -EINVAL;
    span.worker = head[1];
    for (size_t at = sizeof head, size; at < batch.size; at += size, ++*count) {
        size = read_span((struct slice){batch.data + at, batch.size - at}, &span);
        if (size == 0)
            return -EINVAL;
        span.is_known = is_known_method(span.texts[SPAN_METHOD]);
        find_error(&span, status);
        put_span(&made, &span);
    }
    assert(!made.full);
    return made.at - out;
}
