/* SPDX-License-Identifier: MIT
 * An HTTP/2 connection opened, read and ended (h2.h). nghttp2 calls back; what it says is noted as
 * the news of the frame that is being read and handed out when it has returned, so nothing the
 * caller does can re-enter it. */
#include "proto/h2_parts.h"

#include <errno.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

int h2_preface(struct slice input)
{
    static_assert(sizeof preface - 1 == H2_PREFACE_SIZE, "RFC 9113 section 3.4");
    size_t size = size_min(input.size, H2_PREFACE_SIZE);
    if (memcmp(input.data, preface, size) != 0)
        return 0;
    return size == H2_PREFACE_SIZE ? 1 : -1;
}

/* --- what nghttp2 tells ----------------------------------------------------------------------- */

static struct h2_stream *stream_of(struct h2 *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    h2_begin_head(user, frame->headers.cat != NGHTTP2_HCAT_REQUEST);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)session;
    (void)frame;
    (void)flags;
    int result = h2_keep_field(user, (struct slice){(const char *)name, name_size},
                               (struct slice){(const char *)value, value_size});
    return result == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A field that RFC 9113 section 8.2.1 calls malformed: the stream's end, by PROTOCOL_ERROR. Without
 * this nghttp2 would leave it out. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_size, const uint8_t *value,
                             size_t value_size, uint8_t flags, void *user)
{
    (void)session, (void)frame, (void)name, (void)name_size;
    (void)value, (void)value_size, (void)flags, (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)session;
    (void)flags;
    struct h2 *h2 = user;
    h2->stream = stream_of(h2, id);
    h2->body = (struct slice){(const char *)data, size};
    h2->has_body = true;
    return 0;
}

static int headers_read(struct h2 *h2, const nghttp2_frame *frame, bool end)
{
    if (h2_finish_head(h2, end) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2->request_id = frame->hd.stream_id;
        h2->request = true;
    } else if (h2->too_large) {
        h2_calm(h2);
        return 0;
    }
    h2->end = end;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) /* else it has none yet */
            h2->stream = stream_of(h2, frame->hd.stream_id);
        return headers_read(h2, frame, end);
    case NGHTTP2_DATA:
        h2->stream = stream_of(h2, frame->hd.stream_id);
        h2->end = end;
        if (!end && frame->hd.length == frame->data.padlen)
            h2_charge(h2, H2_COST_FRAME);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h2_hear_pong(h2, frame->ping.opaque_data);
        break;
    case NGHTTP2_PRIORITY_UPDATE: {
        const nghttp2_ext_priority_update *update = frame->ext.payload;
        if (update->stream_id == 0)
            h2_give_up(h2, H2_PROTOCOL_ERROR);
        break;
    }
    default:
        break;
    }
    return 0;
}

/* nghttp2 resets the stream, or ends the connection, after this. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user)
{
    (void)session;
    (void)error;
    struct h2 *h2 = user;
    h2->in_head = false;
    h2_note_reset(h2, frame->hd.stream_id);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    (void)session;
    (void)error;
    struct h2 *h2 = user;
    struct h2_stream *stream = stream_of(h2, id);
    if (stream == NULL)
        return 0;
    stream->attached = false;
    stream->next = NULL;
    *h2->closed_last = stream;
    h2->closed_last = &stream->next;
    return 0;
}

/* --- opening and ending ----------------------------------------------------------------------- */

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, h2_on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_on_send_data);
}

/* The window is the caller's to give back; there is no need to remember closed streams, since RFC
 * 9113 has dropped the priority tree they were kept for. */
static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
}

static int open_session(struct h2 *h2)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return -ENOMEM;
    int result = nghttp2_option_new(&option);
    if (result == 0) {
        set_callbacks(callbacks);
        set_options(option);
        result = nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &h2->mem);
        nghttp2_option_del(option);
    }
    nghttp2_session_callbacks_del(callbacks);
    return result == 0 ? 0 : -ENOMEM;
}

static int say_settings(struct h2 *h2, uint32_t streams_max, bool connect)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->limits->head_size_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* last: nghttp2 refuses :protocol without */
    };
    size_t count = COUNT_OF(settings) - !connect;
    int result = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, count);
    if (result == 0)
        result = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                       H2_CONN_WINDOW);
    return result == 0 ? 0 : -ENOMEM;
}

struct h2 *h2_open(const struct h2_memory *memory, const struct h1_limits *limits,
                   uint32_t streams_max, bool connect)
{
    assert(streams_max > 0 && limits->head_size_max <= HTTP_HEAD_SIZE_MAX);
    struct h2 *h2 = memory->resize(memory->user, NULL, sizeof *h2);
    if (h2 == NULL)
        return NULL;
    *h2 = (struct h2){.limits = limits,
                      .memory = *memory,
                      .frame_left = H2_PREFACE_SIZE,
                      .budget = H2_BUDGET_MAX,
                      .updates_free = H2_UPDATES_FREE_MAX};
    h2->closed_last = &h2->closed;
    h2->mem = h2_memory_of(h2);
    if (open_session(h2) < 0 || say_settings(h2, streams_max, connect) < 0) {
        h2_free(h2);
        return NULL;
    }
    return h2;
}

void h2_free(struct h2 *h2)
{
    struct h2_memory memory = h2->memory;
    if (!h2->refused)
        nghttp2_session_del(h2->session);
    h2_release_all(h2);
    memory.release(memory.user, h2->head);
    memory.release(memory.user, h2);
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct slice take(struct slice *input, size_t size)
{
    struct slice taken = {input->data, size};
    *input = (struct slice){input->data + size, input->size - size};
    return taken;
}

static void feed(struct h2 *h2, struct slice bytes)
{
    h2->stream = NULL;
    if (nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.data, bytes.size) < 0)
        h2->failed = true;
}

/* A frame's head is judged before nghttp2 sees it, and given to it in one piece: nghttp2 counts a
 * CONTINUATION for each part of its head. */
static void read_head(struct h2 *h2, struct slice *input)
{
    size_t had = h2->frame_head_size;
    size_t size = size_min(input->size, H2_FRAME_HEAD_SIZE - had);
    memcpy(h2->frame_head + had, input->data, size);
    h2->frame_head_size = (uint8_t)(had + size);
    if (h2->frame_head_size < H2_FRAME_HEAD_SIZE) {
        take(input, size);
        return;
    }
    h2->frame_head_size = 0;
    h2->frame_left =
        (uint32_t)h2->frame_head[0] << 16 | (uint32_t)h2->frame_head[1] << 8 | h2->frame_head[2];
    if (!h2_judge_frame(h2))
        return;
    if (had > 0) {
        take(input, size);
        feed(h2, (struct slice){(const char *)h2->frame_head, H2_FRAME_HEAD_SIZE});
        return;
    }
    size_t payload = size_min(input->size - size, h2->frame_left);
    h2->frame_left -= (uint32_t)payload;
    feed(h2, take(input, size + payload));
}

static void read_some(struct h2 *h2, struct slice *input)
{
    if (h2->frame_left == 0) {
        read_head(h2, input);
        return;
    }
    size_t size = size_min(input->size, h2->frame_left);
    h2->frame_left -= (uint32_t)size;
    feed(h2, take(input, size));
}

/* The next of what one frame brought, if there is any left. */
static enum h2_event take_news(struct h2 *h2, struct h2_news *news)
{
    *news = (struct h2_news){.stream = h2->stream};
    if (h2->request) {
        h2->request = false;
        news->head = (struct slice){h2->head, h2->head_size};
        news->status = h2->too_large ? 431 : 0;
        news->end = h2->end;
        h2->end = false;
        return H2_REQUEST;
    }
    bool known = h2->stream != NULL && h2->stream->attached;
    if (h2->has_body && known) {
        h2->has_body = false;
        news->body = h2->body;
        return H2_BODY;
    }
    if (h2->end && known) {
        h2->end = false;
        return H2_END;
    }
    /* Of a stream that is over: the connection's window is still to be opened. */
    if (h2->has_body && !h2->refused)
        nghttp2_session_consume_connection(h2->session, h2->body.size);
    h2->has_body = h2->end = false;
    news->stream = h2_closed(h2);
    return news->stream == NULL ? H2_NEED_DATA : H2_CLOSED;
}

enum h2_event h2_next(struct h2 *h2, struct slice *input, struct h2_news *news)
{
    for (;;) {
        enum h2_event event = take_news(h2, news);
        if (event != H2_NEED_DATA)
            return event;
        if (h2->failed || h2->refused || h2->ended || !nghttp2_session_want_read(h2->session))
            return H2_ERROR;
        if (input->size == 0)
            return H2_NEED_DATA;
        read_some(h2, input);
    }
}

void h2_attach(struct h2 *h2, struct h2_stream *stream)
{
    stream->id = h2->request_id;
    if (h2->refused)
        return;
    stream->attached =
        nghttp2_session_set_stream_user_data(h2->session, h2->request_id, stream) == 0;
    assert(stream->attached);
}

void h2_refuse(struct h2 *h2, enum h2_error error)
{
    h2_note_reset(h2, h2->request_id);
    if (h2->refused)
        return;
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, h2->request_id,
                                  (uint32_t)error) != 0)
        h2->failed = true;
}

void h2_consume(struct h2 *h2, struct h2_stream *stream, size_t size)
{
    if (h2->refused)
        return;
    int result = stream->left ? nghttp2_session_consume_connection(h2->session, size)
                              : nghttp2_session_consume(h2->session, stream->id, size);
    if (result == NGHTTP2_ERR_NOMEM)
        h2->failed = true;
}

bool h2_mid_head(const struct h2 *h2)
{
    return h2->in_head;
}

/* --- ending ----------------------------------------------------------------------------------- */

void h2_probe(struct h2 *h2)
{
    h2_ping(h2, H2_PING_PROBE, 0);
}

uint32_t h2_probed(const struct h2 *h2)
{
    return h2->probed;
}

void h2_warn(struct h2 *h2)
{
    if (h2->refused)
        return;
    if (nghttp2_submit_shutdown_notice(h2->session) != 0)
        h2->failed = true;
    h2_ping(h2, H2_PING_WARNING, 0);
}

bool h2_warned(const struct h2 *h2)
{
    return h2->warned;
}

void h2_shut(struct h2 *h2, enum h2_error error)
{
    h2_give_up(h2, error);
}

bool h2_over(const struct h2 *h2)
{
    return h2->failed ||
           (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session));
}

uint32_t h2_peer_window(const struct h2 *h2)
{
    if (h2->refused)
        return 0;
    return nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
}
