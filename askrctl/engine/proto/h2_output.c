/* SPDX-License-Identifier: MIT
 * Frames out. nghttp2 chooses which: by urgency and turn (RFC 9218 section 10), within the peer's
 * windows. A head or a control frame comes as bytes; for DATA the caller adds the body. */
#include "proto/h2_parts.h"

int h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                    size_t size, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    struct h2 *h2 = user;
    struct h2_stream *stream = source->ptr;
    memcpy(h2->data_head, head, H2_FRAME_HEAD_SIZE);
    h2->data_stream = stream;
    h2->data_size = size;
    assert(size <= stream->waiting);
    stream->waiting -= size;
    stream->sent += size;
    h2_earn(h2);
    return NGHTTP2_ERR_PAUSE; /* the frame counts as sent; nghttp2_session_mem_send() returns */
}

/* Errors that a peer provokes; the others are ours. */
static bool is_provoked(uint32_t error)
{
    return error != NGHTTP2_NO_ERROR && error != NGHTTP2_INTERNAL_ERROR && error != NGHTTP2_CANCEL;
}

/* A stream whose answer is out while its request is not all in: the rest is not wanted. */
static void leave(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream =
        frame->hd.type == NGHTTP2_DATA /* which h2_on_send_data() has just seen */
            ? h2->data_stream
            : nghttp2_session_get_stream_user_data(h2->session, frame->hd.stream_id);
    if (stream == NULL || !stream->leave)
        return;
    stream->left = true;
    h2_ping(h2, H2_PING_ANSWER, stream->id);
}

int h2_on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        h2_note_reset(h2, frame->hd.stream_id);
        if (is_provoked(frame->rst_stream.error_code))
            h2_charge(h2, H2_COST_RESET);
    } else if (end && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)) {
        leave(h2, frame);
    }
    return 0;
}

enum h2_out h2_output(struct h2 *h2, struct slice *bytes, struct h2_stream **stream, size_t *size)
{
    const uint8_t *data;
    if (h2->failed || h2->refused)
        return H2_OUT_ERROR;
    h2->data_stream = NULL;
    ssize_t result = nghttp2_session_mem_send(h2->session, &data);
    if (result < 0 || h2->refused) {
        h2->failed = true;
        return H2_OUT_ERROR;
    }
    if (h2->data_stream != NULL) {
        assert(result == 0);
        *bytes = (struct slice){(const char *)h2->data_head, H2_FRAME_HEAD_SIZE};
        *stream = h2->data_stream;
        *size = h2->data_size;
        return H2_OUT_DATA;
    }
    *bytes = (struct slice){(const char *)data, (size_t)result};
    return result == 0 ? H2_OUT_NONE : H2_OUT_BYTES;
}

struct h2_stream *h2_closed(struct h2 *h2)
{
    struct h2_stream *stream = h2->closed;
    if (stream == NULL)
        return NULL;
    h2->closed = stream->next;
    if (h2->stream == stream)
        h2->stream = NULL;
    if (h2->closed == NULL)
        h2->closed_last = &h2->closed;
    return stream;
}
