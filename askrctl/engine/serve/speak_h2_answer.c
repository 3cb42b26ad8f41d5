/* SPDX-License-Identifier: MIT
 * Answers over HTTP/2: the head goes to nghttp2 at once, the body waits in the stream's chain. What
 * the streams of one connection keep in memory is bounded together; past it bodies that may wait go
 * to a file, and those that were flushed hold their application back. */
#include "serve/speak_h2.h"

#include <errno.h>

#include "serve/trailers.h"

void h2_recall(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    const char *reason;
    int status = h2_read_head(exchange->head, &worker->limits, &worker->request, &reason);
    assert(status == 0); /* it was accepted once, and these are the same bytes */
    (void)status;
}

int h2_go_on(struct exchange *exchange)
{
    struct answer_head head = {.status = 100, .content_length = -1};
    return h2_interim(exchange, &head);
}

int h2_interim(struct exchange *exchange, const struct answer_head *answer)
{
    struct stream *stream = stream_of(exchange);
    struct h2_response response = {
        .status = answer->status,
        .content_length = -1,
        .fields = answer->fields,
        .field_count = answer->field_count,
    };
    bool has_body;
    return h2_respond(stream->owner->h2, &stream->h2, &response, &has_body);
}

/* What is appended: to memory, or to a file. */
static int append(struct exchange *exchange, struct slice bytes)
{
    struct stream *stream = stream_of(exchange);
    struct h2_conn *h2 = stream->owner;
    if (exchange->spooling && stream->body.spooled == 0)
        exchange->spooling = false; /* the client has caught up */
    if (!exchange->streaming && h2->waiting + bytes.size > OUTPUT_MEMORY_MAX)
        exchange->spooling = true;
    if (exchange->spooling)
        return chain_spool(&stream->body, bytes); /* stream_stored() comes */
    size_t before = stream->body.memory;
    int result = chain_append(&stream->body, bytes);
    h2->waiting += stream->body.memory - before;
    if (result == 0)
        h2_write(h2->h2, &stream->h2, bytes.size);
    return result;
}

void stream_stored(struct chain *chain, int64_t stored)
{
    struct stream *stream = CONTAINER_OF(chain, struct stream, body);
    struct h2 *h2 = stream->owner->h2;
    conn_dirty(stream->owner->conn);
    if (stored >= 0) {
        h2_write(h2, &stream->h2, (size_t)stored);
        if (stream->ends && chain->ahead == 0)
            h2_end(h2, &stream->h2);
    } else if (stream->exchange != NULL) {
        exchange_fail(stream->exchange, 503, NULL);
    } else {
        h2_cut(h2, &stream->h2, H2_INTERNAL_ERROR);
    }
}

/* Pieces go over as they are while there is room for them in memory. */
static int take_held(struct exchange *exchange)
{
    struct stream *stream = stream_of(exchange);
    struct h2_conn *h2 = stream->owner;
    int result = 0;
    for (struct piece *piece; (piece = exchange->held) != NULL && result == 0;) {
        struct slice bytes = {piece->data + piece->begin, piece->end - piece->begin};
        exchange->held = piece->next;
        piece->next = NULL;
        if (exchange->spooling || h2->waiting + bytes.size > OUTPUT_MEMORY_MAX) {
            result = append(exchange, bytes);
            piece_free(stream->body.worker, piece);
            continue;
        }
        chain_push(&stream->body, piece);
        h2->waiting += bytes.size;
        h2_write(h2->h2, &stream->h2, bytes.size);
    }
    if (exchange->held == NULL)
        exchange->held_last = &exchange->held;
    return result;
}

int h2_head(struct exchange *exchange, const struct answer_head *answer)
{
    struct stream *stream = stream_of(exchange);
    struct worker *worker = exchange->conn->worker;
    struct h2_response response = {
        .status = answer->status,
        .content_length = answer->content_length,
        .date = worker_date(worker),
        .server = slice_of(worker->config->server_header),
        .hsts = conn_hsts(exchange->conn),
        .fields = answer->fields,
        .field_count = answer->field_count,
    };
    bool has_body;
    int result = h2_respond(stream->owner->h2, &stream->h2, &response, &has_body);
    if (result < 0)
        return result;
    exchange->bare = !has_body;
    exchange->sized = has_body && answer->content_length >= 0;
    if (has_body && take_held(exchange) < 0)
        exchange->cut = true; /* the head is said: only the end can tell */
    conn_dirty(exchange->conn);
    return 0;
}

int h2_body(struct exchange *exchange, struct slice bytes)
{
    conn_dirty(exchange->conn);
    return append(exchange, bytes);
}

int h2_file(struct exchange *exchange, const struct file_range *range)
{
    struct stream *stream = stream_of(exchange);
    int result = chain_range(&stream->body, range);
    if (result == 0)
        h2_write(stream->owner->h2, &stream->h2, (size_t)range->size);
    return result;
}

int h2_end_answer(struct exchange *exchange)
{
    struct stream *stream = stream_of(exchange);
    stream->h2.leave = !stream->received;
    if (UNLIKELY(exchange->trailers != NULL) && !exchange->bare) {
        stream->trailers = exchange->trailers;
        exchange->trailers = NULL;
        stream->h2.trailers = stream->trailers->fields;
        stream->h2.trailer_count = stream->trailers->count;
    }
    stream->ends = stream->body.ahead > 0;
    if (!stream->ends)
        h2_end(stream->owner->h2, &stream->h2);
    conn_dirty(exchange->conn);
    return 0;
}

void h2_cut_answer(struct exchange *exchange)
{
    struct stream *stream = stream_of(exchange);
    h2_cut(stream->owner->h2, &stream->h2, H2_INTERNAL_ERROR);
    conn_dirty(exchange->conn);
}

bool h2_has_room(const struct exchange *exchange)
{
    const struct stream *stream = stream_of(exchange);
    if (exchange->streaming && stream->body.memory >= STREAM_MEMORY_MAX)
        return false;
    return chain_may_spool(&stream->body);
}
