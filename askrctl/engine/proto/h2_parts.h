/* SPDX-License-Identifier: MIT
 * What the files of the HTTP/2 protocol share: the state of a connection, and the step of each
 * part. h2.c opens and reads, h2_budget.c counts what a peer costs us, h2_head.c keeps and judges
 * heads, h2_response.c says answers, h2_output.c takes frames out. */
#ifndef ASKR_H2_PARTS_H
#define ASKR_H2_PARTS_H

#include <nghttp2/nghttp2.h>

#include "proto/h2.h"

enum {
    H2_HEAD_BEGIN_SIZE = 1024, /* memory for a head, at first; it grows twofold */
    H2_RESETS_KEPT = 128,      /* more than a connection has streams, by default */
};

struct h2 {
    nghttp2_session *session;
    const struct h1_limits *limits;
    struct h2_memory memory;
    nghttp2_mem mem;
    struct h2_block *blocks; /* that nghttp2 has */

    /* The frame that is being read: nghttp2 gets no byte of the next one in the same call, so that
     * at most one stream has news afterwards. */
    uint32_t frame_left; /* of its payload, or of the preface */
    uint8_t frame_head[H2_FRAME_HEAD_SIZE];
    uint8_t frame_head_size;

    /* News of this frame. */
    struct h2_stream *stream;
    struct slice body;
    int32_t request_id;
    bool request, end, has_body;
    struct h2_stream *closed, **closed_last;

    /* The head that is being read, in the form of h2_head.c. */
    char *head;
    uint32_t head_size, head_capacity;
    uint32_t list_size; /* by RFC 9113 section 6.5.2 */
    uint32_t field_count, cookie_count;
    bool in_head, is_trailer, too_large;

    /* What the peer has cost us. */
    int64_t now_ns, budget_ns;
    uint32_t budget, updates_free;
    uint32_t pings;  /* of ours, not answered yet: the answers are free */
    uint32_t probed; /* those of h2_probe() that were answered */
    uint32_t continuations, block_size;

    /* Data that h2_output() is about to ask for. */
    struct h2_stream *data_stream;
    size_t data_size;
    uint8_t data_head[H2_FRAME_HEAD_SIZE];

    /* Streams that we reset: what the peer had sent before it knew is ignored. */
    int32_t resets[H2_RESETS_KEPT];
    uint32_t reset_count;
    int32_t forgotten; /* the latest of those that are not kept any more */

    bool refused;               /* nghttp2 was refused memory: it must not be called any more */
    bool failed, warned, ended; /* ended: the last GOAWAY is said, nothing more is read */
};

/* h2_memory.c */
nghttp2_mem h2_memory_of(struct h2 *);
void h2_release_all(struct h2 *);

/* h2_budget.c. A frame's head has been read; false: it is one too many. */
bool h2_judge_frame(struct h2 *);
void h2_charge(struct h2 *, uint32_t cost);
/* We sent DATA: the peer may give window for it. */
void h2_earn(struct h2 *);
/* The peer's last: GOAWAY with this error, and nothing more is read. */
void h2_give_up(struct h2 *, enum h2_error);
static inline void h2_calm(struct h2 *h2)
{
    h2_give_up(h2, H2_ENHANCE_YOUR_CALM);
}
void h2_note_reset(struct h2 *, int32_t id);

/* h2_head.c */
void h2_begin_head(struct h2 *, bool is_trailer);
/* 0 or -ENOMEM */
int h2_keep_field(struct h2 *, struct slice name, struct slice value);
int h2_finish_head(struct h2 *, bool end);

/* h2_names.c */
enum h2_own { H2_OWN_DATE = 1, H2_OWN_SERVER = 2, H2_OWN_HSTS = 4 };
struct h2_name {
    const char *text; /* in lower case */
    uint8_t own;      /* a bit of enum h2_own: we add it where it is missing */
};
/* One of those that answers mostly have, whatever the case of its letters; NULL: none of them. */
const struct h2_name *h2_usual_name(struct slice name);

/* h2_ping.c: PINGs of ours, each with a meaning. */
enum h2_ping { H2_PING_PROBE = 1, H2_PING_WARNING, H2_PING_ANSWER /* … of a stream */ };
void h2_ping(struct h2 *, enum h2_ping, int32_t id);
/* One was answered. */
void h2_hear_pong(struct h2 *, const uint8_t *text);

/* h2_output.c: callbacks. */
int h2_on_frame_sent(nghttp2_session *, const nghttp2_frame *, void *user);
int h2_on_send_data(nghttp2_session *, nghttp2_frame *, const uint8_t *head, size_t size,
                    nghttp2_data_source *, void *user);

#endif
