/* SPDX-License-Identifier: MIT
 * A request's head, line by line (RFC 9112 sections 2 to 5).
 *
 * A line is judged when all of it has arrived: what is refused depends on the bytes so far, never
 * on how they were split. A head that arrives in one piece, as nearly all do, is read in one pass.
 * Otherwise `scanned` bytes of good lines and `line_size` searched bytes of the next are not looked
 * at again until the head is complete; then it is read once more, because the input may have moved
 * and with it what the slices in *request point to.
 *
 * Lines end with CRLF. RFC 9112 section 2.2 would let us take a bare LF: smuggling lives on it. */
#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

enum progress { COMPLETE, PARTIAL, REFUSED };

static const struct slice methods[] = {
    [HTTP_GET] = {"GET", 3},     [HTTP_HEAD] = {"HEAD", 4},     [HTTP_POST] = {"POST", 4},
    [HTTP_PUT] = {"PUT", 3},     [HTTP_DELETE] = {"DELETE", 6}, [HTTP_OPTIONS] = {"OPTIONS", 7},
    [HTTP_PATCH] = {"PATCH", 5}, [HTTP_TRACE] = {"TRACE", 5},   [HTTP_CONNECT] = {"CONNECT", 7},
};

enum http_method h1_method_of(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (slice_equals(methods[i], name))
            return (enum http_method)i;
    return HTTP_OTHER;
}

/* "HTTP/1.1" CRLF: ten bytes, moving *cursor past them. A 1.x that does not exist yet is to be
 * treated as 1.1 (RFC 9110 section 2.5). */
static bool read_version(struct h1 *h1, const char **cursor, const char *end,
                         struct http_request *request)
{
    const char *at = *cursor;
    if (end - at < 10 || memcmp(at, "HTTP/", 5) != 0 || !h1_is(at[5], H1_DIGIT) || at[6] != '.' ||
        !h1_is(at[7], H1_DIGIT))
        return h1_refuse(h1, 400, "the request line does not end with an HTTP version");
    if (at[8] != '\r' || at[9] != '\n')
        return h1_refuse(h1, 400, "the request line does not end with CRLF");
    if (at[5] != '1')
        return h1_refuse(h1, 505, "the request is not in HTTP/1");
    request->version = at[7] == '0' ? 1000 : 1001;
    *cursor = at + 10;
    return true;
}

/* method SP request-target SP HTTP-version CRLF, single spaces (RFC 9112 section 3). */
static bool read_request_line(struct h1 *h1, const char **cursor, const char *end,
                              struct http_request *request)
{
    const char *method = *cursor;
    const char *method_end = h1_skip(method, end, H1_TOKEN);
    if (method_end == method || method_end == end || *method_end != ' ')
        return h1_refuse(h1, 400, "the request line does not begin with a method");
    const char *target = method_end + 1;
    const char *target_end = h1_skip(target, end, H1_TARGET);
    if (target_end == target || target_end == end || *target_end != ' ')
        return h1_refuse(h1, 400, "the request target is empty or has a forbidden byte");
    if ((size_t)(target_end - target) > h1->limits->target_size_max)
        return h1_refuse(h1, 414, "the request target is too long");
    request->method_name = (struct slice){method, (size_t)(method_end - method)};
    request->method = h1_method_of(request->method_name);
    request->target = (struct slice){target, (size_t)(target_end - target)};
    *cursor = target_end + 1;
    return read_version(h1, cursor, end, request) && h1_judge_target(h1, request);
}

static bool refuse_field_name(struct h1 *h1, const char *name, const char *end)
{
    if (h1_is_blank(*name))
        return h1_refuse(h1, 400, "a field line is folded or begins with white space");
    const char *stop = h1_skip(name, end, H1_TOKEN);
    if (stop > name && stop < end && h1_is_blank(*stop))
        return h1_refuse(h1, 400, "white space between a field name and its colon");
    return h1_refuse(h1, 400, "a field name is empty or has a forbidden byte");
}

/* field-name ":" OWS field-value OWS CRLF (RFC 9112 section 5); `*cursor` is not at the end. */
static bool read_field(struct h1 *h1, const char **cursor, const char *end,
                       struct http_field *field)
{
    const char *name = *cursor;
    const char *colon = h1_skip(name, end, H1_TOKEN);
    if (colon == name || colon == end || *colon != ':')
        return refuse_field_name(h1, name, end);
    const char *value = colon + 1;
    while (value < end && h1_is_blank(*value))
        value++;
    const char *stop = h1_skip_value(value, end);
    if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return h1_refuse(h1, 400, "a field value has a control byte, or no CRLF behind it");
    *cursor = stop + 2;
    while (stop > value && h1_is_blank(stop[-1]))
        stop--;
    field->name = (struct slice){name, (size_t)(colon - name)};
    field->value = (struct slice){value, (size_t)(stop - value)};
    return true;
}

/* Line number `index` of the head: the request line, fields, and the empty line, after which
 * *cursor stands behind CRLF without anything having been stored. */
static bool read_line(struct h1 *h1, const char **cursor, const char *end,
                      struct http_request *request, size_t index)
{
    const char *line = *cursor;
    if (line == end)
        return false;
    if (index == 0)
        return read_request_line(h1, cursor, end, request);
    if (*line == '\r') {
        if (end - line < 2 || line[1] != '\n')
            return h1_refuse(h1, 400, "a CR without LF");
        *cursor = line + 2;
        return true;
    }
    if (index > h1->limits->fields_max)
        return h1_refuse(h1, 431, "too many fields");
    return read_field(h1, cursor, end, &request->fields[index - 1]);
}

/* The line at `line` could not be read: because it is not all there, or because it is bad. */
static enum progress suspend(struct h1 *h1, const char *data, const char *line, const char *end)
{
    h1->scanned = (uint32_t)(line - data);
    h1->line_size = (uint32_t)(end - line);
    if (h1->line_size > 0 && memchr(line, '\n', h1->line_size) != NULL) {
        assert(h1->error_status != 0);
        return REFUSED;
    }
    h1->error_status = 0;
    h1->error_text = NULL;
    return PARTIAL;
}

/* Go on from where the last call stopped: first, has the line that it could not read ended now? */
static enum progress read_lines(struct h1 *h1, const char *data, const char *end,
                                struct http_request *request)
{
    const char *line = data + h1->scanned;
    const char *unseen = line + h1->line_size;
    assert(unseen <= end);
    if (h1->line_size > 0 && memchr(unseen, '\n', (size_t)(end - unseen)) == NULL) {
        h1->line_size = (uint32_t)(end - line);
        return PARTIAL;
    }
    for (;;) {
        const char *next = line;
        if (!read_line(h1, &next, end, request, h1->head_lines))
            return suspend(h1, data, line, end);
        bool empty = next - line == 2;
        line = next;
        if (empty)
            break;
        h1->head_lines++;
    }
    h1->scanned = (uint32_t)(line - data);
    h1->line_size = 0;
    return COMPLETE;
}

/* CRLFs before a request line are dropped (RFC 9112 section 2.2), a few of them. False: there is
 * nothing behind them yet, or nothing good. The first byte is judged before its line is complete,
 * because what speaks another protocol, such as TLS, may never send a LF. */
static bool skip_empty_lines(struct h1 *h1, struct slice *input)
{
    while (input->size >= 2 && input->data[0] == '\r' && input->data[1] == '\n') {
        if (h1->empty_lines == H1_EMPTY_LINES_MAX)
            return h1_refuse(h1, 400, "too many empty lines before a request");
        h1->empty_lines++;
        *input = (struct slice){input->data + 2, input->size - 2};
    }
    if (input->size == 0 || (input->size == 1 && input->data[0] == '\r'))
        return false;
    return h1_is(input->data[0], H1_TOKEN) ||
           h1_refuse(h1, 400, "the request line does not begin with a method");
}

static void forget_lines(struct h1 *h1)
{
    h1->scanned = 0;
    h1->line_size = 0;
    h1->head_lines = 0;
}

static bool finish_head(struct h1 *h1, struct slice *input, struct http_request *request)
{
    request->field_count = (uint16_t)(h1->head_lines - 1);
    request->protocol = SLICE("");
    *input = (struct slice){input->data + h1->scanned, input->size - h1->scanned};
    forget_lines(h1);
    return h1_judge_fields(h1, request);
}

enum h1_event h1_read_head(struct h1 *h1, struct slice *input, struct http_request *request)
{
    if (h1->scanned + h1->line_size == 0 && !skip_empty_lines(h1, input))
        return h1->error_status == 0 ? H1_NEED_DATA : H1_ERROR;
    bool resumed = h1->head_lines > 0;
    size_t size = size_min(input->size, h1->limits->head_size_max);
    enum progress progress = read_lines(h1, input->data, input->data + size, request);
    if (progress == COMPLETE && resumed) {
        forget_lines(h1);
        progress = read_lines(h1, input->data, input->data + size, request);
        assert(progress == COMPLETE);
    }
    if (progress == COMPLETE)
        return finish_head(h1, input, request) ? H1_REQUEST : H1_ERROR;
    if (progress == PARTIAL && size < h1->limits->head_size_max)
        return H1_NEED_DATA;
    if (progress == PARTIAL && h1->head_lines == 0)
        h1_refuse(h1, 414, "the request line is too long");
    else if (progress == PARTIAL)
        h1_refuse(h1, 431, "the head is too large");
    return H1_ERROR;
}
