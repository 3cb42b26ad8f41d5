/* SPDX-License-Identifier: MIT
 * What a peer may cost. Work that it makes us do without asking for anything is paid from a budget
 * that refills with time; what has no honest use is refused at once. nghttp2 has limits of its own
 * for some of this; they differ between versions, so none is relied on. */
#include "proto/h2_parts.h"

enum frame_type { /* RFC 9113 section 6 and RFC 9218 section 7.1 */
                  DATA,
                  HEADERS,
                  PRIORITY,
                  RST_STREAM,
                  SETTINGS,
                  PUSH_PROMISE,
                  PING,
                  GOAWAY,
                  WINDOW_UPDATE,
                  CONTINUATION,
                  PRIORITY_UPDATE = 16,
};

void h2_tick(struct h2 *h2, int64_t now_ns)
{
    h2->now_ns = now_ns;
    int64_t passed_ns = now_ns - h2->budget_ns;
    int64_t step_ns = NS_PER_S / H2_BUDGET_PER_S;
    if (h2->budget_ns == 0 || passed_ns >= step_ns * H2_BUDGET_MAX) {
        h2->budget = H2_BUDGET_MAX;
        h2->budget_ns = now_ns;
    } else if (passed_ns >= step_ns) {
        uint32_t budget = h2->budget + (uint32_t)(passed_ns / step_ns);
        h2->budget = budget < H2_BUDGET_MAX ? budget : H2_BUDGET_MAX;
        h2->budget_ns = now_ns - passed_ns % step_ns;
    }
}

void h2_give_up(struct h2 *h2, enum h2_error error)
{
    if (h2->ended)
        return;
    h2->ended = true;
    if (h2->refused)
        return;
    if (nghttp2_session_terminate_session(h2->session, (uint32_t)error) != 0)
        h2->failed = true;
}

void h2_charge(struct h2 *h2, uint32_t cost)
{
    if (h2->budget < cost) {
        h2_calm(h2);
        return;
    }
    h2->budget -= cost;
}

void h2_earn(struct h2 *h2)
{
    if (h2->updates_free < H2_UPDATES_FREE_MAX)
        h2->updates_free += H2_UPDATES_FREE;
}

/* A WINDOW_UPDATE answers DATA; those that do not are work for nothing. */
static void judge_update(struct h2 *h2)
{
    if (h2->updates_free > 0)
        h2->updates_free--;
    else
        h2_charge(h2, H2_COST_FRAME);
}

static void judge_block(struct h2 *h2, uint32_t size, bool continued)
{
    h2->continuations = continued ? h2->continuations + 1 : 0;
    h2->block_size = continued ? h2->block_size + size : size;
    if (h2->continuations > H2_CONTINUATIONS_MAX || h2->block_size > H2_FIELD_BLOCK_SIZE_MAX)
        h2_calm(h2);
}

void h2_note_reset(struct h2 *h2, int32_t id)
{
    int32_t *place = &h2->resets[h2->reset_count++ % H2_RESETS_KEPT];
    if (*place > h2->forgotten)
        h2->forgotten = *place;
    *place = id;
}

static bool was_reset(const struct h2 *h2, int32_t id)
{
    for (size_t i = 0; i < H2_RESETS_KEPT; i++)
        if (h2->resets[i] == id)
            return true;
    return id <= h2->forgotten;
}

static int32_t id_of(const struct h2 *h2)
{
    const uint8_t *at = h2->frame_head + 5;
    return (at[0] & 0x7f) << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void judge_reset(struct h2 *h2)
{
    const struct h2_stream *stream = nghttp2_session_get_stream_user_data(h2->session, id_of(h2));
    if (stream == NULL || !stream->left)
        h2_charge(h2, H2_COST_RESET);
}

static void judge_ping(struct h2 *h2)
{
    if ((h2->frame_head[4] & NGHTTP2_FLAG_ACK) && h2->pings > 0)
        h2->pings--;
    else
        h2_charge(h2, H2_COST_FRAME);
}

/* A stream that is over, and not because we reset it: the peer knew (RFC 9113 section 5.1). nghttp2
 * ignores what comes for it, since it does not remember who ended a stream. */
static void judge_stream(struct h2 *h2)
{
    int32_t id = id_of(h2);
    if (id > 0 && id % 2 == 1 && id <= nghttp2_session_get_last_proc_stream_id(h2->session) &&
        nghttp2_session_find_stream(h2->session, id) == NULL && !was_reset(h2, id))
        h2_give_up(h2, H2_STREAM_CLOSED);
}

bool h2_judge_frame(struct h2 *h2)
{
    switch (h2->frame_head[3]) {
    case DATA: /* h2.c looks at what is in it */
        judge_stream(h2);
        break;
    case PRIORITY:
        if (id_of(h2) == 0) /* RFC 9113 section 6.3; nghttp2 does not look at it any more */
            h2_give_up(h2, H2_PROTOCOL_ERROR);
        h2_charge(h2, H2_COST_FRAME);
        break;
    case HEADERS:
        judge_stream(h2);
        judge_block(h2, h2->frame_left, false);
        break;
    case CONTINUATION:
        judge_block(h2, h2->frame_left, true);
        break;
    case SETTINGS:
        if ((h2->frame_head[4] & NGHTTP2_FLAG_ACK) == 0)
            h2_charge(h2, H2_COST_SETTINGS);
        break;
    case RST_STREAM:
        judge_reset(h2);
        break;
    case PING:
        judge_ping(h2);
        break;
    case WINDOW_UPDATE:
        judge_update(h2);
        break;
    default: /* GOAWAY, PRIORITY_UPDATE, and types that do not exist */
        h2_charge(h2, H2_COST_FRAME);
        break;
    }
    return !h2->ended;
}
