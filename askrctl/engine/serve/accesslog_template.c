/* SPDX-License-Identifier: MIT
 * Lines of the access log: a template, compiled once, and the values of its variables. A line has
 * all of its parts, however much the peer said: what is too long is cut where it stands, so that
 * nobody can push the status out of a line, or the end off an object of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "serve/accesslog.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/forwarded.h"
#include "serve/route.h"
#include "serve/site.h"
#include "serve/worker.h"

#define VARIABLES(X) \
    X(remote_addr)   \
    X(remote_port)   \
    X(time_iso8601)  \
    X(time_local)    \
    X(request)       \
    X(method)        \
    X(target)        \
    X(protocol)      \
    X(host)          \
    X(referer)       \
    X(user_agent)    \
    X(request_id)    \
    X(status)        \
    X(bytes)         \
    X(outcome)       \
    X(worker)        \
    X(site)          \
    X(route)         \
    X(total)         \
    X(read)          \
    X(queue)         \
    X(app_wall)      \
    X(app_cpu)       \
    X(write)         \
    X(client)

#define AS_INDEX(name) IS_##name,
#define AS_NAME(name) #name,
enum variable { IS_TEXT, VARIABLES(AS_INDEX) VARIABLE_COUNT };
static const char *const names[] = {"", VARIABLES(AS_NAME)};

enum {
    PEER_KEPT = 128, /* bytes of a value of the peer's for which there is room in any case */
    OWN_MAX = 48,    /* of a value of ours: an address, a time, a number */
    PROTOCOL_SIZE = 8,
};

struct line {
    char *text;
    size_t size, room; /* for the value at hand: up to there */
    bool json;
};

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static uint8_t find(struct slice name)
{
    for (uint8_t i = 1; i < VARIABLE_COUNT; i++)
        if (slice_equals(name, slice_of(names[i])))
            return i;
    return IS_TEXT;
}

static size_t least_of(const struct accesslog_part *part)
{
    switch ((enum variable)part->variable) {
    case IS_TEXT:
        return part->text.size;
    case IS_request:
        return PEER_KEPT + 1 + PEER_KEPT + 1 + PROTOCOL_SIZE;
    case IS_method:
    case IS_target:
    case IS_host:
    case IS_referer:
    case IS_user_agent:
    case IS_site:
    case IS_route:
        return PEER_KEPT;
    case IS_request_id:
        return REQUEST_ID_SIZE_MAX;
    default:
        return OWN_MAX;
    }
}

static int keep_room(struct accesslog_template *template, askr_error *error)
{
    size_t size = 1; /* the line break */
    for (uint32_t i = template->count; i-- > 0;) {
        template->parts[i].behind = (uint16_t)size;
        size += least_of(&template->parts[i]);
        if (size > ACCESSLOG_LINE_MAX)
            return askr_fail(error, EINVAL, "the access log's format is longer than %d bytes",
                             ACCESSLOG_LINE_MAX);
    }
    return 0;
}

int accesslog_compile(struct accesslog_template *template, const char *text, bool json,
                      askr_error *error)
{
    *template = (struct accesslog_template){.json = json};
    while (*text != '\0') {
        if (template->count == ACCESSLOG_PARTS_MAX)
            return askr_fail(error, EINVAL, "the access log's format has more than %d parts",
                             ACCESSLOG_PARTS_MAX);
        struct accesslog_part *part = &template->parts[template->count++];
        if (*text != '$') {
            part->text = (struct slice){text, strcspn(text, "$")};
            text += part->text.size;
            continue;
        }
        struct slice name = {++text, 0};
        while (is_name(text[name.size]))
            name.size++;
        part->variable = find(name);
        if (part->variable == IS_TEXT)
            return askr_fail(error, EINVAL, "the access log's format has an unknown variable $%.*s",
                             (int)name.size, name.data);
        text += name.size;
    }
    return keep_room(template, error);
}

/* --- values ----------------------------------------------------------------------------------- */

static void add(struct line *line, const char *bytes, size_t size)
{
    assert(size <= line->room - line->size);
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

/* One byte of the peer's. JSON knows no \x, and must be UTF-8, which these may not be. */
static size_t escape(char out[static 8], char c, bool json)
{
    unsigned char byte = (unsigned char)c;
    if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\')
        return (size_t)snprintf(out, 8, json ? "\\u%04x" : "\\x%02X", byte);
    out[0] = c;
    return 1;
}

static void add_escaped(struct line *line, struct slice value)
{
    char escaped[8];
    if (value.size == 0 && !line->json)
        add(line, "-", 1);
    for (size_t i = 0; i < value.size; i++) {
        size_t size = escape(escaped, value.data[i], line->json);
        if (size > line->room - line->size)
            return;
        add(line, escaped, size);
    }
}

static void add_number(struct line *line, int64_t number)
{
    char text[24];
    add(line, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)number));
}

/* Seconds with microseconds. */
static void add_seconds(struct line *line, int64_t duration_ns)
{
    char text[32];
    int64_t us = duration_ns > 0 ? duration_ns / NS_PER_US : 0;
    int size = snprintf(text, sizeof text, "%lld.%06lld", (long long)(us / 1000000),
                        (long long)(us % 1000000));
    add(line, text, (size_t)size);
}

static void add_time(struct line *line, bool iso)
{
    char text[48], date[32];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, iso ? "%Y-%m-%dT%H:%M:%S" : "%d/%b/%Y:%H:%M:%S +0000", &utc);
    int size = iso ? snprintf(text, sizeof text, "%s.%03ldZ", date, now.tv_nsec / 1000000)
                   : snprintf(text, sizeof text, "%s", date);
    add(line, text, (size_t)size);
}

static void add_address(struct line *line, const struct address *peer)
{
    char text[INET6_ADDRSTRLEN] = "unix:";
    if (peer->family == AF_INET || peer->family == AF_INET6)
        inet_ntop(peer->family, peer->bytes, text, sizeof text);
    add(line, text, strlen(text));
}

static void add_protocol(struct line *line, const struct accesslog_facts *facts)
{
    const char *name = facts->version == 1000   ? "HTTP/1.0"
                       : facts->version == 1001 ? "HTTP/1.1"
                                                : "HTTP/2.0";
    add(line, name, PROTOCOL_SIZE);
}

static void add_request(struct line *line, const struct accesslog_facts *facts)
{
    if (facts->method.size == 0) { /* it could not be read */
        add_escaped(line, facts->method);
        return;
    }
    const size_t behind_target = 1 + PROTOCOL_SIZE, behind_method = 1 + PEER_KEPT + behind_target;
    line->room -= behind_method;
    add_escaped(line, facts->method);
    line->room += behind_method - behind_target;
    add(line, " ", 1);
    add_escaped(line, facts->target);
    line->room += behind_target;
    add(line, " ", 1);
    add_protocol(line, facts);
}

static int64_t duration(const struct exchange *exchange, enum variable variable)
{
    struct split_parts parts = split_parts(exchange);
    switch (variable) {
    case IS_total:
        return parts.total_ns;
    case IS_read:
        return parts.read_ns;
    case IS_queue:
        return parts.queue_ns;
    case IS_app_wall:
        return parts.app_wall_ns;
    case IS_app_cpu:
        return parts.app_cpu_ns;
    case IS_write:
        return parts.write_ns;
    default:
        return parts.client_ns;
    }
}

static void add_variable(struct line *line, enum variable variable, struct exchange *exchange,
                         const char *how)
{
    static const struct accesslog_facts nothing = {.version = 1001};
    const struct accesslog_facts *facts = exchange->facts != NULL ? exchange->facts : &nothing;
    switch (variable) {
    case IS_remote_addr:
        add_address(line, exchange_client(exchange));
        break;
    case IS_remote_port:
        add_number(line, exchange_client(exchange)->port);
        break;
    case IS_time_iso8601:
    case IS_time_local:
        add_time(line, variable == IS_time_iso8601);
        break;
    case IS_request:
        add_request(line, facts);
        break;
    case IS_method:
        add_escaped(line, facts->method);
        break;
    case IS_target:
        add_escaped(line, facts->target);
        break;
    case IS_protocol:
        add_protocol(line, facts);
        break;
    case IS_host:
        add_escaped(line, facts->host);
        break;
    case IS_referer:
        add_escaped(line, facts->referer);
        break;
    case IS_user_agent:
        add_escaped(line, facts->user_agent);
        break;
    case IS_request_id:
        add_escaped(line, exchange->request_id);
        break;
    case IS_status: /* of a client that left before it had one: what nginx says */
        add_number(line, exchange->status != 0 ? exchange->status : 499);
        break;
    case IS_bytes:
        add_number(line, exchange->said);
        break;
    case IS_outcome:
        add(line, how, strlen(how));
        break;
    case IS_worker:
        add_number(line, exchange->conn->worker->config->index);
        break;
    case IS_site:
        add_escaped(line, site_name_of(exchange));
        break;
    case IS_route:
        add_escaped(line, route_of(exchange));
        break;
    default:
        add_seconds(line, duration(exchange, variable));
    }
}

size_t accesslog_format(const struct accesslog_template *template, struct exchange *exchange,
                        const char *how, char text[static ACCESSLOG_LINE_MAX])
{
    struct line line = {.text = text, .json = template->json};
    for (uint32_t i = 0; i < template->count; i++) {
        const struct accesslog_part *part = &template->parts[i];
        line.room = (size_t)ACCESSLOG_LINE_MAX - part->behind;
        if (part->variable == IS_TEXT)
            add(&line, part->text.data, part->text.size);
        else
            add_variable(&line, part->variable, exchange, how);
    }
    text[line.size] = '\n';
    return line.size + 1;
}
