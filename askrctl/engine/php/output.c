/* SPDX-License-Identifier: MIT
 * From PHP's output layer to the host: head, body, flush, end.
 *
 * Small writes are gathered, because a script without output_buffering writes one echo at a time
 * and each host write is a message; flush() and the end of the request send what is there. A client
 * that left is noticed at the next host call and reported the PHP way: the script is ended unless
 * it asked for ignore_user_abort. That longjmps, so it is done last, in the callbacks only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "askr_php.h"

enum {
    HEAD_FIELDS_MAX = 128, /* what a port message holds; real answers have 5 to 30 */
};

/* After a refused call nothing more is offered to the host. */
static int note_refusal(struct php_request *request, int result)
{
    if (result >= 0)
        return 0;
    request->refused = true;
    request->failed = result != -ECONNABORTED;
    return result;
}

int output_drain(struct php_request *request)
{
    size_t size = request->gathered;
    if (request->refused)
        return -ECONNABORTED;
    if (size == 0 || request->ended)
        return 0;
    request->gathered = 0;
    return note_refusal(request, php.host->write(request->exchange, request->gather, size));
}

static int gather(struct php_request *request, const char *data, size_t size)
{
    if (size > OUTPUT_GATHER_SIZE - request->gathered) {
        int result = output_drain(request);
        if (result)
            return result;
    }
    if (size >= OUTPUT_GATHER_SIZE)
        return note_refusal(request, php.host->write(request->exchange, data, size));
    memcpy(request->gather + request->gathered, data, size);
    request->gathered += size;
    return 0;
}

/* Printed before the first request: kept, as it often says why a worker script gave up. */
static void keep_boot_output(const char *data, size_t size)
{
    struct php_worker *worker = &php.worker;
    size_t room = BOOT_OUTPUT_SIZE - 1 - worker->output_size;
    size_t kept = size < room ? size : room;
    if (worker->booted)
        return;
    memcpy(worker->output + worker->output_size, data, kept);
    worker->output_size += kept;
    worker->output[worker->output_size] = '\0';
}

size_t output_write(const char *data, size_t size)
{
    struct php_request *request = SG(server_context);
    if (!request || request->ended)
        return size;
    if (!request->exchange) {
        keep_boot_output(data, size);
        return size;
    }
    if (request->refused || gather(request, data, size))
        php_handle_aborted_connection();
    return size;
}

void output_flush(void *server_context)
{
    struct php_request *request = server_context;
    if (!request || !request->exchange || request->ended)
        return;
    sapi_send_headers();
    if (output_drain(request) || note_refusal(request, php.host->flush(request->exchange)))
        php_handle_aborted_connection();
}

/* "Name: value" as PHP keeps it; the value may be empty. */
static bool split_field(const sapi_header_struct *header, struct askr_field *field)
{
    const char *colon = memchr(header->header, ':', header->header_len);
    if (!colon || colon == header->header)
        return false;
    const char *end = header->header + header->header_len;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    field->name = (struct askr_text){header->header, (uint32_t)(colon - header->header)};
    field->value = (struct askr_text){value, (uint32_t)(end - value)};
    return true;
}

/* CGI scripts name their status in a field (RFC 3875 section 6.3.3); php-fpm knows it too. */
static bool is_status(const struct askr_field *field, int *status)
{
    if (field->name.size != 6 || strncasecmp(field->name.data, "Status", 6) != 0)
        return false;
    long code = strtol(field->value.data, NULL, 10);
    if (code >= 200 && code <= 599)
        *status = (int)code;
    return true;
}

/* How many fields, or -E2BIG. */
static int collect_fields(sapi_headers_struct *headers, struct askr_field *fields, int *status)
{
    zend_llist_position position;
    int count = 0;
    sapi_header_struct *header = zend_llist_get_first_ex(&headers->headers, &position);
    for (; header; header = zend_llist_get_next_ex(&headers->headers, &position)) {
        struct askr_field field;
        if (!split_field(header, &field) || is_status(&field, status))
            continue;
        if (count == HEAD_FIELDS_MAX)
            return -E2BIG;
        fields[count++] = field;
    }
    return count;
}

static void refuse_head(struct php_request *request)
{
    char line[128];
    snprintf(line, sizeof line, "the script set more than %d header fields: answered with 500",
             HEAD_FIELDS_MAX);
    log_lines(ASKR_ERROR, line);
    note_refusal(request, -E2BIG);
}

/* sapi_module.send_headers: also called by headers_send() with a 1xx status in place. */
int output_send_head(sapi_headers_struct *headers)
{
    struct php_request *request = SG(server_context);
    if (!request || !request->exchange || request->ended || request->refused || request->head_sent)
        return SAPI_HEADER_SENT_SUCCESSFULLY;
    struct askr_field fields[HEAD_FIELDS_MAX];
    int status = SG(sapi_headers).http_response_code;
    int count = collect_fields(headers, fields, &status);
    if (count < 0) {
        refuse_head(request);
    } else if (status >= 100 && status < 200) {
        note_refusal(request, php.host->interim(request->exchange, status, fields, (size_t)count));
    } else {
        request->head_sent = true;
        status = status ? status : 200;
        note_refusal(request, php.host->head(request->exchange, status, fields, (size_t)count));
    }
    return SAPI_HEADER_SENT_SUCCESSFULLY;
}

/* finish_request(): the client gets its whole answer now, the script goes on unheard. */
bool output_end(struct php_request *request)
{
    if (!request || !request->exchange || request->ended)
        return false;
    php_output_end_all();
    php_header();
    if (output_drain(request) == 0)
        note_refusal(request, php.host->end(request->exchange));
    request->ended = true;
    return true;
}
