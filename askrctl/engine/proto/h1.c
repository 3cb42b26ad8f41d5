/* SPDX-License-Identifier: MIT
 * The HTTP/1.1 reader's frame: which part of a request is next, and how a body that has a size is
 * taken (RFC 9112 section 6). One request after the other; between two of them the state is as
 * h1_init() left it. A refusal is for ever: after it nobody can say where a request begins. */
#include "proto/h1_parts.h"

void h1_init(struct h1 *h1, const struct h1_limits *limits)
{
    assert(limits->head_size_max <= HTTP_HEAD_SIZE_MAX);
    assert(limits->target_size_max <= limits->head_size_max);
    assert(limits->fields_max <= HTTP_FIELDS_MAX);
    assert(limits->body_size_max >= 0);
    *h1 = (struct h1){.limits = limits, .state = H1_AT_HEAD};
}

bool h1_mid_request(const struct h1 *h1)
{
    return h1->state != H1_AT_HEAD || h1->scanned + h1->line_size > 0;
}

bool h1_refuse(struct h1 *h1, int status, const char *text)
{
    h1->error_status = (uint16_t)status;
    h1->error_text = text;
    return false;
}

enum h1_event h1_take_body(struct h1 *h1, struct slice *input, struct slice *body)
{
    assert(h1->body_left > 0);
    size_t size = input->size;
    if ((uint64_t)h1->body_left < size)
        size = (size_t)h1->body_left;
    if (size == 0)
        return H1_NEED_DATA;
    *body = (struct slice){input->data, size};
    *input = (struct slice){input->data + size, input->size - size};
    h1->body_left -= (int64_t)size;
    h1->body_size += (int64_t)size;
    assert(h1->body_size <= h1->limits->body_size_max);
    return H1_BODY;
}

/* What follows the head that has just been read. */
static enum h1_state state_after_head(struct h1 *h1, const struct http_request *request)
{
    h1->body_size = 0;
    h1->body_left = request->chunked ? 0 : request->content_length;
    if (request->chunked)
        return H1_AT_CHUNK_SIZE;
    return request->content_length > 0 ? H1_AT_SIZED_BODY : H1_AT_END;
}

static enum h1_event finish_request(struct h1 *h1)
{
    h1_init(h1, h1->limits);
    return H1_END;
}

enum h1_event h1_next(struct h1 *h1, struct slice *input, struct http_request *request,
                      struct slice *body)
{
    enum h1_event event = H1_ERROR;
    switch ((enum h1_state)h1->state) {
    case H1_FAILED:
        break;
    case H1_AT_HEAD:
        event = h1_read_head(h1, input, request);
        if (event == H1_REQUEST)
            h1->state = (uint8_t)state_after_head(h1, request);
        break;
    case H1_AT_SIZED_BODY:
        event = h1_take_body(h1, input, body);
        if (h1->body_left == 0)
            h1->state = H1_AT_END;
        break;
    case H1_AT_END:
        return finish_request(h1);
    default:
        event = h1_read_chunked(h1, input, body);
        if (event == H1_END)
            return finish_request(h1);
        break;
    }
    if (event == H1_ERROR)
        h1->state = H1_FAILED;
    assert(event != H1_ERROR || h1->error_status >= 400);
    return event;
}
