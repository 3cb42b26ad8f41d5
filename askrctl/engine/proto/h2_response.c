/* SPDX-License-Identifier: MIT
 * Answers in HTTP/2 (RFC 9113 section 8.1): heads by the rules of h1_response.c, and how many body
 * bytes wait behind them. nghttp2 keeps a copy of a head until it is sent, but for names that are
 * usual and for what is ours. */
#include "proto/h2_parts.h"

#include <errno.h>

#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

enum { OWN_FIELDS = 5 /* :status, date, server, HSTS, content-length */ };

struct list {
    nghttp2_nv at[H1_RESPONSE_FIELDS_MAX + OWN_FIELDS];
    size_t count;
    char status[3], length[H1_DIGITS_MAX];
    uint8_t has; /* bits of enum h2_own */
};

enum { COPY, KEEP_NAME = NGHTTP2_NV_FLAG_NO_COPY_NAME, KEEP_VALUE = NGHTTP2_NV_FLAG_NO_COPY_VALUE };

/* What nghttp2 need not copy lives as long as it may want it, a name in lower case. */
static void put(struct list *list, struct slice name, struct slice value, uint8_t keep)
{
    list->at[list->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.data,
        .value = (uint8_t *)(uintptr_t)value.data,
        .namelen = name.size,
        .valuelen = value.size,
        .flags = keep,
    };
}

/* The application's fields that are not ours to write, as in HTTP/1.1. Spaces around a value are
 * nobody's (RFC 9113 section 8.2.1 forbids them). */
static int put_fields(struct list *list, const struct http_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct http_field field = fields[i];
        const struct h2_name *usual = h2_usual_name(field.name);
        if (usual != NULL ? !h1_valid_value(field.value) : !h1_valid_field(&field))
            return -EINVAL;
        if (usual != NULL) {
            list->has |= usual->own;
            put(list, (struct slice){usual->text, field.name.size}, slice_trim(field.value),
                KEEP_NAME);
        } else if (!h1_is_ours(field.name, 200)) {
            put(list, field.name, slice_trim(field.value), COPY);
        }
    }
    return 0;
}

static void put_status(struct list *list, int status)
{
    for (int i = 2; i >= 0; i--, status /= 10)
        list->status[i] = (char)('0' + status % 10);
    put(list, SLICE(":status"), (struct slice){list->status, 3}, KEEP_NAME);
}

static void put_length(struct list *list, const struct h2_response *response)
{
    int64_t length = response->status == 205 ? 0 : response->content_length;
    if (length < 0 || response->status < 200 || response->status == 204)
        return;
    put(list, SLICE("content-length"), h1_number(list->length, length), KEEP_NAME);
}

static int compose(struct list *list, const struct h2_response *response)
{
    list->count = list->has = 0;
    put_status(list, response->status);
    if (put_fields(list, response->fields, response->field_count) < 0)
        return -EINVAL;
    if (response->date.size > 0 && !(list->has & H2_OWN_DATE))
        put(list, SLICE("date"), response->date, KEEP_NAME | KEEP_VALUE);
    if (response->server.size > 0 && !(list->has & H2_OWN_SERVER))
        put(list, SLICE("server"), response->server, KEEP_NAME | KEEP_VALUE);
    if (response->hsts.size > 0 && !(list->has & H2_OWN_HSTS))
        put(list, SLICE("strict-transport-security"), response->hsts, KEEP_NAME | KEEP_VALUE);
    put_length(list, response);
    return 0;
}

/* nghttp2 wants to hear of them when the end of the body is asked for, and no sooner. */
static int submit_trailers(nghttp2_session *session, const struct h2_stream *stream)
{
    struct list list = {.count = 0};
    if (stream->trailer_count > H1_RESPONSE_FIELDS_MAX ||
        put_fields(&list, stream->trailers, stream->trailer_count) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return nghttp2_submit_trailer(session, stream->id, list.at, list.count) == 0
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* How much of the stream's body goes into the next frame. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)id;
    (void)buf;
    (void)user;
    struct h2_stream *stream = source->ptr;
    size_t size = stream->waiting < room ? (size_t)stream->waiting : room;
    if (size == 0 && !stream->ended) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!stream->ended || size < stream->waiting)
        return (ssize_t)size;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->trailer_count > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        int result = submit_trailers(session, stream);
        if (result < 0)
            return result;
    }
    return (ssize_t)size;
}

/* The answer to a HEAD has the fields of a GET, and no body; nor has a 204, a 205 or a 304. */
static bool may_have_body(const struct h2_stream *stream, int status)
{
    return !stream->head_request && status != 204 && status != 205 && status != 304;
}

int h2_respond(struct h2 *h2, struct h2_stream *stream, const struct h2_response *response,
               bool *has_body)
{
    struct list list;
    if (h2->refused)
        return -ENOMEM;
    if (response->status < 100 || response->status > 999 ||
        response->field_count > H1_RESPONSE_FIELDS_MAX || compose(&list, response) < 0)
        return -EINVAL;
    int result;
    if (response->status < 200) {
        *has_body = true;
        result = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, list.at,
                                        list.count, NULL);
    } else {
        nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read};
        *has_body = may_have_body(stream, response->status);
        result = nghttp2_submit_response(h2->session, stream->id, list.at, list.count,
                                         *has_body ? &provider : NULL);
    }
    return result == NGHTTP2_ERR_NOMEM ? -ENOMEM : 0;
}

static void resume(struct h2 *h2, struct h2_stream *stream)
{
    if (!stream->deferred || h2->refused)
        return;
    stream->deferred = false;
    if (nghttp2_session_resume_data(h2->session, stream->id) == NGHTTP2_ERR_NOMEM)
        h2->failed = true;
}

void h2_write(struct h2 *h2, struct h2_stream *stream, size_t size)
{
    assert(!stream->ended);
    stream->waiting += size;
    resume(h2, stream);
}

void h2_end(struct h2 *h2, struct h2_stream *stream)
{
    stream->ended = true;
    resume(h2, stream);
}

void h2_cut(struct h2 *h2, struct h2_stream *stream, enum h2_error error)
{
    if (!stream->attached || h2->refused)
        return;
    h2_note_reset(h2, stream->id);
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id, (uint32_t)error) != 0)
        h2->failed = true;
}
