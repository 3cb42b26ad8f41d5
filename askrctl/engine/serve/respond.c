/* SPDX-License-Identifier: MIT
 * Answers of our own: files, redirects, OPTIONS and error pages. */
#include <errno.h>
#include <stdio.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/worker.h"

enum {
    OWN_HEAD_SIZE = 2048, /* a head with at most a dozen short fields */
    PAGE_SIZE_MAX = 2048, /* an error page; a boot error of 512 bytes is its longest part */
};

/* The parts of a head that follow from the exchange and the worker, not from the answer. */
static struct h1_response response_for(struct exchange *exchange, int status)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    exchange->status = status;
    if (!exchange->keep_alive || worker->draining || !exchange_complete(exchange))
        conn->close = true;
    return (struct h1_response){
        .status = status,
        .head_request = exchange->head_request,
        .http10 = exchange->http10,
        .close = conn->close,
        .content_length = -1,
        .date = worker_date(worker),
        .server = slice_of(worker->config->server_header),
    };
}

static int write_head(struct conn *conn, const struct h1_response *response,
                      enum h1_framing *framing)
{
    struct output *output = conn_output(conn);
    char *room = output == NULL ? NULL : output_room(output, OWN_HEAD_SIZE);
    if (room == NULL)
        return -ENOMEM;
    int64_t size = h1_write_head(room, OWN_HEAD_SIZE, response, framing);
    if (size <= 0)
        return size < 0 ? (int)size : -E2BIG;
    output_added(output, (size_t)size);
    return 0;
}

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

static size_t error_fields(struct http_field fields[static 2], int status)
{
    size_t count = 0;
    fields[count++] = (struct http_field){SLICE("Content-Type"), SLICE("text/html; charset=utf-8")};
    if (status == 405) /* RFC 9110 section 15.5.6 demands it */
        fields[count++] = (struct http_field){SLICE("Allow"), SLICE("GET, HEAD, OPTIONS")};
    else if (status == 503)
        fields[count++] = (struct http_field){SLICE("Retry-After"), SLICE("1")};
    return count;
}

static int write_error(struct conn *conn, struct h1_response *response, const char *detail)
{
    char page[PAGE_SIZE_MAX];
    struct http_field fields[2];
    enum h1_framing framing;
    size_t size = write_page(page, sizeof page, response->status, detail);
    response->content_length = (int64_t)size;
    response->fields = fields;
    response->field_count = error_fields(fields, response->status);
    int result = write_head(conn, response, &framing);
    if (result == 0 && framing != H1_NO_BODY)
        result = output_append(conn->output, (struct slice){page, size});
    return result;
}

void respond_error(struct exchange *exchange, int status, const char *detail)
{
    assert(!exchange->head_sent);
    struct h1_response response = response_for(exchange, status);
    finish(exchange, write_error(exchange->conn, &response, detail));
}

void respond_protocol_error(struct conn *conn, int status, const char *detail)
{
    struct worker *worker = conn->worker;
    if (conn->exchange != NULL)
        exchange_abandon(conn->exchange);
    conn->close = conn->linger = true;
    worker->status->requests++;
    worker->status->responses[status / 100]++;
    struct h1_response response = {
        .status = status,
        .close = true,
        .date = worker_date(worker),
        .server = slice_of(worker->config->server_header),
    };
    if (write_error(conn, &response, detail) < 0)
        conn_close(conn);
    else
        conn_dirty(conn);
}

void respond_options(struct exchange *exchange, const char *allow)
{
    struct http_field field = {SLICE("Allow"), slice_of(allow)};
    enum h1_framing framing;
    struct h1_response response = response_for(exchange, 204);
    response.fields = &field;
    response.field_count = 1;
    finish(exchange, write_head(exchange->conn, &response, &framing));
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
    if (size < 0 || (size_t)size >= OWN_HEAD_SIZE / 2) {
        respond_error(exchange, 414, NULL);
        return;
    }
    struct http_field field = {SLICE("Location"), {location, (size_t)size}};
    enum h1_framing framing;
    struct h1_response response = response_for(exchange, 301);
    response.content_length = 0;
    response.fields = &field;
    response.field_count = 1;
    finish(exchange, write_head(exchange->conn, &response, &framing));
}

static int send_parts(struct conn *conn, struct static_entry *entry, struct static_answer *answer)
{
    struct output *output = conn->output;
    int result = 0;
    for (uint32_t i = 0; i < answer->part_count && result == 0; i++) {
        const struct static_part *part = &answer->parts[i];
        result = output_append(output, (struct slice){part->head, part->head_size});
        if (result != 0)
            break;
        if (answer->content != NULL) {
            struct slice bytes = {answer->content + part->offset, (size_t)part->size};
            result = output_append(output, bytes);
        } else {
            static_retain(entry);
            result = output_file(output, entry, answer->fd, part->offset, part->size);
        }
    }
    if (result == 0)
        result = output_append(output, (struct slice){answer->tail, answer->tail_size});
    return result;
}

/* The body of a file's answer, by whichever way is cheapest. */
static int send_file(struct conn *conn, struct static_entry *entry, struct static_answer *answer)
{
    if (answer->part_count > 0)
        return send_parts(conn, entry, answer);
    if (answer->content != NULL) {
        struct slice bytes = {answer->content + answer->offset, (size_t)answer->content_length};
        return output_append(conn->output, bytes);
    }
    if (answer->content_length == 0)
        return 0;
    static_retain(entry);
    return output_file(conn->output, entry, answer->fd, answer->offset, answer->content_length);
}

void respond_file(struct exchange *exchange, struct static_target *target)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    struct static_answer answer;
    enum h1_framing framing;
    static_answer(worker->files, target->entry, &worker->request, &answer);
    struct h1_response response = response_for(exchange, answer.status);
    response.content_length = answer.content_length;
    response.fields = answer.fields;
    response.field_count = answer.field_count;
    int result = write_head(conn, &response, &framing);
    if (result == 0 && framing != H1_NO_BODY)
        result = send_file(conn, target->entry, &answer);
    static_release(worker->files, target->entry);
    finish(exchange, result);
}
