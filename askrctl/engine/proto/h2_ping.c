/* SPDX-License-Identifier: MIT
 * PINGs that we send to learn what the peer has read: what was sent before one has been read when
 * it is answered. Its eight bytes say which it is, and of which stream. */
#include "proto/h2_parts.h"

struct text {
    char mark[3];
    uint8_t kind; /* enum h2_ping */
    int32_t id;
};

void h2_ping(struct h2 *h2, enum h2_ping kind, int32_t id)
{
    struct text text = {{'a', 's', 'k'}, (uint8_t)kind, id};
    uint8_t bytes[8];
    static_assert(sizeof text == sizeof bytes, "RFC 9113 section 6.7");
    if (h2->refused)
        return;
    memcpy(bytes, &text, sizeof bytes);
    if (nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, bytes) != 0)
        h2->failed = true;
    h2->pings++;
}

/* The peer had the time to see its answer: now it can be told to stop sending (RFC 9113 section
 * 8.1). Sooner, clients would take the reset for the end of their request and show no answer, as
 * curl 7.88 does. */
static void stop_sending(struct h2 *h2, int32_t id)
{
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(h2->session, id);
    if (stream != NULL && stream->left)
        h2_cut(h2, stream, H2_NO_ERROR);
}

void h2_hear_pong(struct h2 *h2, const uint8_t *bytes)
{
    struct text text;
    memcpy(&text, bytes, sizeof text);
    if (memcmp(text.mark, "ask", sizeof text.mark) != 0)
        return;
    if (text.kind == H2_PING_PROBE)
        h2->probed++;
    else if (text.kind == H2_PING_WARNING)
        h2->warned = true;
    else if (text.kind == H2_PING_ANSWER)
        stop_sending(h2, text.id);
}
