/* SPDX-License-Identifier: MIT
 * Answers of our own: files, redirects, OPTIONS and error pages. */
#include <errno.h>
#include <stdio.h>

#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/rate_limit.h"
#include "serve/worker.h"

enum {
    LOCATION_SIZE_MAX = 1024, /* of a redirect to a directory */
    PAGE_SIZE_MAX = 2048,     /* an error page; a boot error of 512 bytes is its longest part */
};

static void finish(struct exchange *exchange, int result)
{
    struct conn *conn = exchange->conn;
    if (result < 0) {
        conn_close(conn);
        return;
    }
    exchange_answered(exchange);
    conn_dirty(conn);
}

/* Text that goes into a page must not be able to speak HTML. */
static size_t escape(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text != '\0' && used + 8 < size; text++) {
        const char *entity = *text == '<'   ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '&' ? "&amp;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity == NULL) {
            out[used++] = *text;
            continue;
        }
        size_t length = strlen(entity);
        memcpy(out + used, entity, length);
        used += length;
    }
    out[used] = '\0';
    return used;
}

static size_t write_page(char *page, size_t size, int status, const char *detail)
{
    char escaped[PAGE_SIZE_MAX / 2] = "";
    if (detail != NULL)
        escape(escaped, sizeof escaped, detail);
    int written = snprintf(page, size,
                           "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                           "<meta name=\"color-scheme\" content=\"light dark\">"
                           "<title>%d %s</title>\n<h1>%d %s</h1>\n%s%s%s</html>\n",
                           status, http_reason(status), status, http_reason(status),
                           detail != NULL ? "<p>" : "", escaped, detail != NULL ? "</p>\n" : "");
    assert(written > 0 && (size_t)written < size);
    return (size_t)written;
}

enum { ERROR_FIELDS_MAX = 3 };

static size_t error_fields(struct http_field fields[static ERROR_FIELDS_MAX], int status)
{
    size_t count = 0;
    fields[count++] = (struct http_field){SLICE("Content-Type"), SLICE("text/html; charset=utf-8")};
    if (status == 405) /* RFC 9110 section 15.5.6 demands it */
        fields[count++] = (struct http_field){SLICE("Allow"), SLICE("GET, HEAD, OPTIONS")};
    else if (status == 503)
        fields[count++] = (struct http_field){SLICE("Retry-After"), SLICE("1")};
    /* What to come back with: RFC 9110 section 15.5.22, RFC 6455 section 4.4. */
    if (status == 426) {
        fields[count++] = (struct http_field){SLICE("Upgrade"), SLICE("websocket")};
        fields[count++] = (struct http_field){SLICE("Sec-WebSocket-Version"), SLICE("13")};
    }
    return count;
}

static int write_error(struct exchange *exchange, int status, const char *detail)
{
    char page[PAGE_SIZE_MAX];
    struct http_field fields[ERROR_FIELDS_MAX + RATE_LIMIT_FIELDS];
    size_t size = write_page(page, sizeof page, status, detail);
    struct rate_limit_text text;
    size_t count = error_fields(fields, status);
    if (status == 429)
        count += rate_limit_fields(exchange, fields + count, &text);
    struct answer_head head = {
        .status = status,
        .content_length = (int64_t)size,
        .fields = fields,
        .field_count = count,
    };
    int result = say_head(exchange, &head);
    return result < 0 ? result : say_body(exchange, (struct slice){page, size});
}

void respond_error(struct exchange *exchange, int status, const char *detail)
{
    exchange_drop_held(exchange);
    exchange_drop_trailers(exchange);
    finish(exchange, write_error(exchange, status, detail));
}

/* A head with one field and no body. */
static void respond_bare(struct exchange *exchange, int status, struct http_field field)
{
    struct answer_head head = {
        .status = status, .content_length = 0, .fields = &field, .field_count = 1};
    finish(exchange, say_head(exchange, &head));
}

void respond_location(struct exchange *exchange, int status, struct slice location)
{
    respond_bare(exchange, status, (struct http_field){SLICE("Location"), location});
}

void respond_options(struct exchange *exchange, const char *allow)
{
    respond_bare(exchange, 204, (struct http_field){SLICE("Allow"), slice_of(allow)});
}

void respond_redirect(struct exchange *exchange, const struct http_request *request)
{
    char location[HTTP_TARGET_SIZE_MAX + 2];
    struct slice path = request->path;
    /* "//host/" would send the client to another site: keep one leading slash. Browsers read a
     * backslash as one. */
    while (path.size > 1 && (path.data[1] == '/' || path.data[1] == '\\')) {
        path.data++;
        path.size--;
    }
    int size =
        snprintf(location, sizeof location, "/%.*s/%s%.*s", (int)path.size - 1, path.data + 1,
                 request->query.size > 0 ? "?" : "", (int)request->query.size, request->query.data);
    if (size < 0 || (size_t)size >= LOCATION_SIZE_MAX) {
        respond_error(exchange, 414, NULL);
        return;
    }
    respond_location(exchange, 301, (struct slice){location, (size_t)size});
}

struct slice host_of(struct slice authority)
{
    if (authority.size == 0)
        return authority;
    const char *bracket = memchr(authority.data, ']', authority.size);
    size_t skip = bracket == NULL ? 0 : (size_t)(bracket - authority.data);
    const char *colon = memchr(authority.data + skip, ':', authority.size - skip);
    if (colon != NULL)
        authority.size = (size_t)(colon - authority.data);
    return authority;
}

void respond_to_https(struct exchange *exchange)
{
    char location[LOCATION_SIZE_MAX], port[8] = "";
    const struct worker *worker = exchange->conn->worker;
    const struct http_request *request = &worker->request;
    if (request->authority.size == 0) {
        respond_error(exchange, 400, "name a host, or use https://");
        return;
    }
    struct slice host = host_of(request->authority);
    if (worker->config->https_port != 443)
        snprintf(port, sizeof port, ":%u", worker->config->https_port & 0xffff);
    int size = snprintf(location, sizeof location, "https://%.*s%s%.*s", (int)host.size, host.data,
                        port, (int)request->target.size, request->target.data);
    if (size < 0 || (size_t)size >= sizeof location) {
        respond_error(exchange, 414, NULL);
        return;
    }
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    /* 308 keeps the method. */
    respond_location(exchange, reads ? 301 : 308, (struct slice){location, (size_t)size});
}

static struct file_range range_of(struct static_entry *entry, const struct static_answer *answer,
                                  int64_t offset, int64_t size)
{
    return (struct file_range){entry, answer->content, answer->fd, offset, size};
}

static int say_parts(struct exchange *exchange, struct static_entry *entry,
                     const struct static_answer *answer)
{
    int result = 0;
    for (uint32_t i = 0; i < answer->part_count && result == 0; i++) {
        const struct static_part *part = &answer->parts[i];
        struct file_range range = range_of(entry, answer, part->offset, part->size);
        result = say_body(exchange, (struct slice){part->head, part->head_size});
        if (result == 0)
            result = say_file(exchange, &range);
    }
    if (result == 0)
        result = say_body(exchange, (struct slice){answer->tail, answer->tail_size});
    return result;
}

/* The body of a file's answer, by whichever way is cheapest. */
static int say_content(struct exchange *exchange, struct static_entry *entry,
                       const struct static_answer *answer)
{
    if (exchange->bare)
        return 0;
    if (answer->part_count > 0)
        return say_parts(exchange, entry, answer);
    struct file_range range = range_of(entry, answer, answer->offset, answer->content_length);
    return say_file(exchange, &range);
}

void respond_entry(struct exchange *exchange, struct static_entry *entry,
                   const struct static_answer *answer, const struct answer_head *head)
{
    int result = say_head(exchange, head);
    if (result == 0)
        result = say_content(exchange, entry, answer);
    static_release(entry);
    finish(exchange, result);
}

void respond_file(struct exchange *exchange, struct static_target *target)
{
    struct static_answer answer;
    exchange->from_file = true;
    static_answer(exchange->site->files, target->entry, &exchange->conn->worker->request, &answer);
    struct answer_head head = {
        .status = answer.status,
        .content_length = answer.content_length,
        .fields = answer.fields,
        .field_count = answer.field_count,
    };
    respond_entry(exchange, target->entry, &answer, &head);
}
