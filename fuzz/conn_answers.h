/* SPDX-License-Identifier: MIT
 * What a client of fuzz_conn.c makes of the bytes it got: an answer to each of its requests, in
 * their order, framed so that nobody can disagree about where it ends. Written apart from the
 * server, as plainly as possible; only the reader of requests is the server's, which has a fuzzer
 * of its own. */
#ifndef CONN_ANSWERS_H
#define CONN_ANSWERS_H

#include <strings.h>

#include "conn_h2.h"
#include "conn_world.h"

enum { ASKED_MAX = 4096 };

struct asked {
    bool head, get;
    struct slice method, target; /* in what the client said */
    size_t body_size;
    uint64_t body_sum;
};

struct questions {
    struct asked asked[ASKED_MAX];
    size_t begun, complete; /* requests: heads, and those with all of their body */
    bool broken;            /* something that is no request came after them */
    bool upgrade; /* the last one asked for a WebSocket: what follows depends on the answer */
};

struct answer {
    int status;
    bool interim, close, chunked, echo, whole; /* whole: it ended where it had to */
    int64_t length;                            /* -1: not announced */
    size_t body_size;
    uint64_t body_sum;  /* from the byte behind the first line break on */
    struct slice first; /* of an echo: its first line */
    bool is_pattern;    /* the body is that of pattern.bin */
};

static uint64_t sum_bytes(uint64_t sum, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        sum = (sum ^ (uint8_t)bytes.data[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void read_questions(const struct world *world, const struct client *client,
                           struct questions *questions)
{
    static struct http_request request;
    struct slice input = {client->said, client->said_size}, body;
    struct h1 h1;
    h1_init(&h1, &world->worker->limits);
    questions->begun = questions->complete = 0;
    questions->broken = questions->upgrade = false;
    for (;;) {
        struct asked *last = &questions->asked[questions->begun > 0 ? questions->begun - 1 : 0];
        switch (h1_next(&h1, &input, &request, &body)) {
        case H1_NEED_DATA:
            return;
        case H1_ERROR:
            questions->broken = true;
            return;
        case H1_REQUEST:
            if (questions->begun == ASKED_MAX) {
                questions->broken = true;
                return;
            }
            questions->asked[questions->begun++] = (struct asked){
                .head = request.method == HTTP_HEAD,
                .get = request.method == HTTP_GET,
                .method = request.method_name,
                .target = request.target,
            };
            questions->upgrade = request.upgrade && slice_equals(request.path, SLICE("/ws"));
            if (questions->upgrade)
                return;
            break;
        case H1_BODY:
            last->body_size += body.size;
            last->body_sum = sum_bytes(last->body_sum, body);
            break;
        case H1_END:
            questions->complete++;
            break;
        }
    }
}

/* A line without its CRLF. False when it has not come, or not all of it. */
static bool take_line(struct slice *left, struct slice *line)
{
    const char *end = memchr(left->data, '\n', left->size);
    if (left->size == 0 || end == NULL)
        return false;
    size_t size = (size_t)(end - left->data);
    assert(size > 0 && end[-1] == '\r'); /* never a bare line feed */
    *line = (struct slice){left->data, size - 1};
    for (size_t i = 0; i < line->size; i++)
        assert(line->data[i] == '\t' || (uint8_t)line->data[i] >= 0x20);
    left->data += size + 1;
    left->size -= size + 1;
    return true;
}

static bool is_named(struct slice line, const char *name, struct slice *value)
{
    size_t size = strlen(name);
    if (line.size <= size || line.data[size] != ':' || strncasecmp(line.data, name, size) != 0)
        return false;
    *value = (struct slice){line.data + size + 1, line.size - size - 1};
    while (value->size > 0 && value->data[0] == ' ')
        *value = (struct slice){value->data + 1, value->size - 1};
    return true;
}

static int64_t number_of(struct slice text, int base)
{
    int64_t number = 0;
    assert(text.size > 0 && text.size <= 15);
    for (size_t i = 0; i < text.size; i++) {
        char digit[2] = {text.data[i], '\0'};
        char *end;
        number = number * base + strtol(digit, &end, base);
        assert(end == digit + 1); /* no sign, no space, nothing but digits */
    }
    return number;
}

static void note_field(struct answer *answer, struct slice line)
{
    struct slice value;
    const char *colon = memchr(line.data, ':', line.size);
    assert(colon != NULL && colon > line.data && colon[-1] != ' ');
    if (is_named(line, "Content-Length", &value)) {
        assert(answer->length < 0 && !answer->chunked); /* one framing, said once */
        answer->length = number_of(value, 10);
    } else if (is_named(line, "Transfer-Encoding", &value)) {
        assert(answer->length < 0 && !answer->chunked && slice_equals(value, SLICE("chunked")));
        answer->chunked = true;
    } else if (is_named(line, "Connection", &value)) {
        answer->close =
            slice_equals(value, SLICE("close")) || slice_equals(value, SLICE("close, upgrade"));
        assert(answer->close || slice_equals(value, SLICE("keep-alive")) ||
               slice_equals(value, SLICE("keep-alive, upgrade")) ||
               slice_equals(value, SLICE("upgrade")));
    } else if (is_named(line, "Location", &value)) {
        assert(value.size > 1 && value.data[0] == '/'); /* it names no other host */
        assert(value.data[1] != '/' && value.data[1] != '\\');
    } else if (is_named(line, "X-Echo", &value)) {
        answer->echo = slice_equals(value, SLICE("1"));
    }
}

/* Status line and fields. False when they have not all come. */
static bool take_head(struct slice *left, struct answer *answer)
{
    struct slice line;
    *answer = (struct answer){.length = -1, .is_pattern = true};
    if (!take_line(left, &line))
        return false;
    assert(line.size >= 13 && memcmp(line.data, "HTTP/1.1 ", 9) == 0 && line.data[12] == ' ');
    answer->status = (int)number_of((struct slice){line.data + 9, 3}, 10);
    assert(answer->status >= 100);
    answer->interim = answer->status < 200;
    while (take_line(left, &line)) {
        if (line.size == 0)
            return true;
        note_field(answer, line);
    }
    return false;
}

static void note_body(struct answer *answer, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size && answer->is_pattern; i++)
        answer->is_pattern = bytes.data[i] == pattern_at(answer->body_size + i);
    if (answer->body_size == 0) {
        const char *end = memchr(bytes.data, '\n', bytes.size);
        if (end != NULL)
            answer->first = (struct slice){bytes.data, (size_t)(end - bytes.data)};
    }
    size_t skip = answer->body_size == 0 && answer->first.data != NULL ? answer->first.size + 1 : 0;
    if (answer->echo)
        answer->body_sum =
            sum_bytes(answer->body_sum, (struct slice){bytes.data + skip, bytes.size - skip});
    answer->body_size += bytes.size;
}

/* Bytes of the body. False when fewer than that have come. */
static bool take_bytes(struct slice *left, struct answer *answer, size_t size)
{
    struct slice bytes = {left->data, size_min(size, left->size)};
    if (bytes.size > 0)
        note_body(answer, bytes);
    left->data += bytes.size;
    left->size -= bytes.size;
    return bytes.size == size;
}

/* Whole fields, none of which tells another story than the head, and an empty line. */
static bool take_trailers(struct slice *left)
{
    struct slice line, value;
    while (take_line(left, &line)) {
        if (line.size == 0)
            return true;
        assert(memchr(line.data, ':', line.size) != NULL);
        assert(!is_named(line, "Content-Length", &value) && !is_named(line, "X-Echo", &value) &&
               !is_named(line, "Transfer-Encoding", &value) &&
               !is_named(line, "Set-Cookie", &value));
    }
    return false;
}

static bool take_chunks(struct slice *left, struct answer *answer)
{
    struct slice line;
    while (take_line(left, &line)) {
        size_t size = (size_t)number_of(line, 16);
        if (size == 0)
            return take_trailers(left);
        if (!take_bytes(left, answer, size) || !take_line(left, &line))
            return false;
        assert(line.size == 0);
    }
    return false;
}

/* One answer, interim or final. False when it has not all come. */
static bool take_answer(struct slice *left, struct answer *answer, bool to_head)
{
    if (!take_head(left, answer))
        return false;
    bool bare = answer->interim || to_head || answer->status == 204 || answer->status == 205 ||
                answer->status == 304;
    if (bare)
        answer->whole = true;
    else if (answer->chunked)
        answer->whole = take_chunks(left, answer);
    else if (answer->length >= 0)
        answer->whole = take_bytes(left, answer, (size_t)answer->length);
    else {
        assert(answer->close); /* nothing else could end it */
        take_bytes(left, answer, left->size);
    }
    return answer->whole;
}

static void check_content(const struct asked *asked, const struct answer *answer)
{
    if (answer->echo && !asked->head) {
        size_t size = asked->method.size + 1 + asked->target.size;
        const char *space = answer->first.data + asked->method.size;
        assert(answer->first.size == size && *space == ' ' &&
               memcmp(answer->first.data, asked->method.data, asked->method.size) == 0 &&
               memcmp(space + 1, asked->target.data, asked->target.size) == 0);
        assert(answer->body_size == size + 1 + asked->body_size);
        assert(answer->body_sum == asked->body_sum);
    }
    if (asked->get && answer->status == 200 && slice_equals(asked->target, SLICE("/pattern.bin")))
        assert(answer->is_pattern && answer->body_size == PATTERN_SIZE);
}

/* Frames of a WebSocket: whole, not masked, and nothing behind a Close. The last may be cut off. */
static void check_frames(struct slice left)
{
    bool closed = false;
    while (left.size >= 2) {
        const uint8_t *head = (const uint8_t *)left.data;
        uint8_t opcode = head[0] & 0x0f;
        size_t size = head[1], at = 2;
        assert(!closed && (head[0] & 0xb0) == 0x80 && size < 127);
        assert(opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10));
        assert(opcode < 8 || (size < 126 && head[0] < 0xc0));
        if (size == 126) {
            if (left.size < 4)
                return;
            size = (size_t)head[2] << 8 | head[3];
            at = 4;
            assert(size >= 126);
        }
        if (left.size < at + size)
            return;
        closed = opcode == 8;
        left = (struct slice){left.data + at + size, left.size - at - size};
    }
    assert(!closed || left.size == 0);
}

/* Hold all that a client got against what it asked. `settled`: it has taken everything, and nobody
 * has anything more to do. */
static void check_answers(const struct world *world, const struct client *client, bool settled)
{
    static struct questions questions;
    struct slice left = {client->got, client->got_size};
    struct answer answer = {0};
    size_t finals = 0;
    bool whole = true;
    if (!client->used)
        return;
    if (speaks_h2(client)) {
        h2_check(client);
        return;
    }
    read_questions(world, client, &questions);
    while (left.size > 0 && whole && !(finals > 0 && answer.close && !answer.interim)) {
        assert(finals <= questions.begun);
        const struct asked *asked = &questions.asked[finals];
        bool known = finals < questions.begun;
        if (!known && questions.upgrade)
            return;
        whole = take_answer(&left, &answer, known && asked->head);
        if (whole && answer.status == 101) {
            assert(questions.upgrade && finals + 1 == questions.begun);
            check_frames(left);
            return;
        }
        if (!whole || answer.interim)
            continue;
        if (known)
            check_content(asked, &answer);
        finals++;
    }
    assert(finals <= questions.begun + 1);
    /* Nothing follows an answer that closes. A 408 has a body also when what had not come yet would
     * have made it a HEAD. */
    if (whole && answer.status != 408)
        assert(left.size == 0);
    if (questions.upgrade)
        return;
    if (!settled || world->troubled || client->left || !client_is_open(world, client))
        return;
    bool closing = finals > 0 && answer.close;
    assert(whole && (closing || (finals == questions.complete && !questions.broken)));
}

#endif
