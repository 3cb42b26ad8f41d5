/* SPDX-License-Identifier: MIT
 * Invariant: whatever the bytes and however they are split, the HTTP/1.1 reader consumes them or
 * asks for more, hands out slices of its input only, says the same, and what it took for requests
 * reads as the same requests once more when it is written down plainly.
 *
 * The input is what a connection sends. The limits are small, so that a fuzzer reaches them. */
#include <stdlib.h>
#include <strings.h>

#include "proto/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const struct h1_limits tight = {
    .head_size_max = 512, .target_size_max = 64, .fields_max = 8, .body_size_max = 256};
static const struct h1_limits roomy = {.head_size_max = HTTP_HEAD_SIZE_MAX,
                                       .target_size_max = HTTP_TARGET_SIZE_MAX,
                                       .fields_max = HTTP_FIELDS_MAX,
                                       .body_size_max = INT64_MAX};

/* What was understood: `meaning` is a hash over it, in which the cut of the body has no part. */
struct reading {
    uint64_t meaning;
    size_t request_count;
    int error_status;
    char *plain; /* the requests in plain form, or NULL when nobody asks for it */
    size_t plain_size;
};

/* On in every build: assert() would do, but a fuzzer must not depend on how it was configured. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static void mean(struct reading *reading, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        reading->meaning = (reading->meaning ^ (uint8_t)bytes.data[i]) * UINT64_C(0x100000001b3);
}

/* A part that cannot run into the next one. */
static void mean_part(struct reading *reading, struct slice part)
{
    mean(reading, part);
    mean(reading, (struct slice){(const char *)&part.size, sizeof part.size});
}

static void write_plain(struct reading *reading, struct slice bytes)
{
    if (reading->plain == NULL)
        return;
    memcpy(reading->plain + reading->plain_size, bytes.data, bytes.size);
    reading->plain_size += bytes.size;
}

static bool is_host(struct slice name)
{
    return name.size == 4 && strncasecmp(name.data, "host", 4) == 0;
}

static bool inside(struct slice part, struct slice whole)
{
    return part.size == 0 || (part.data >= whole.data && part.size <= whole.size &&
                              part.data + part.size <= whole.data + whole.size);
}

/* Whatever the reader takes for a field can be sent in an answer, and cannot end a line there. */
static void check_as_answer(const struct http_request *request)
{
    char head[4096];
    enum h1_framing framing;
    struct h1_response response = {.status = 200,
                                   .content_length = -1,
                                   .fields = request->fields,
                                   .field_count = request->field_count};
    int64_t size = h1_write_head(head, sizeof head, &response, &framing);
    must(size > 4 && framing == H1_CHUNKED);
    for (int64_t i = 0; i < size - 4; i++) {
        must(head[i] != '\n' || head[i - 1] == '\r');
        must(head[i] != '\r' || (head[i + 1] == '\n' && head[i + 2] != '\r'));
    }
    must(memcmp(head + size - 4, "\r\n\r\n", 4) == 0);
}

static void check_slices(const struct http_request *request, struct slice head)
{
    must(inside(request->method_name, head) && inside(request->authority, head));
    must(request->target.size == 1 || inside(request->target, head)); /* "/" and "*" are ours */
    must(request->target.data == request->path.data || request->path.size == 1);
    must(request->field_count <= HTTP_FIELDS_MAX);
    for (size_t i = 0; i < request->field_count; i++)
        must(inside(request->fields[i].name, head) && inside(request->fields[i].value, head));
}

static void mean_request(struct reading *reading, const struct http_request *request)
{
    const int64_t numbers[] = {request->version,    request->content_length,  request->chunked,
                               request->keep_alive, request->expect_continue, request->upgrade};
    mean(reading, (struct slice){(const char *)numbers, sizeof numbers});
    mean_part(reading, request->method_name);
    mean_part(reading, request->path);
    mean_part(reading, request->query);
    mean_part(reading, request->authority);
    for (size_t i = 0; i < request->field_count; i++) {
        if (is_host(request->fields[i].name))
            continue; /* the authority says it, also when the target overrules it */
        mean_part(reading, request->fields[i].name);
        mean_part(reading, request->fields[i].value);
    }
}

static void write_plain_head(struct reading *reading, const struct http_request *request)
{
    write_plain(reading, request->method_name);
    write_plain(reading, SLICE(" "));
    write_plain(reading, request->target);
    write_plain(reading, request->version == 1000 ? SLICE(" HTTP/1.0\r\nHost:")
                                                  : SLICE(" HTTP/1.1\r\nHost:"));
    write_plain(reading, request->authority);
    for (size_t i = 0; i < request->field_count; i++) {
        if (is_host(request->fields[i].name))
            continue;
        write_plain(reading, SLICE("\r\n"));
        write_plain(reading, request->fields[i].name);
        write_plain(reading, SLICE(":"));
        write_plain(reading, request->fields[i].value);
    }
    write_plain(reading, SLICE("\r\n\r\n"));
}

static void take_body(struct reading *reading, struct slice body, bool chunked)
{
    char prefix[H1_CHUNK_PREFIX_SIZE];
    mean(reading, body);
    if (chunked)
        write_plain(reading, (struct slice){prefix, h1_write_chunk_prefix(prefix, body.size)});
    write_plain(reading, body);
    if (chunked)
        write_plain(reading, SLICE("\r\n"));
}

static void take(struct reading *reading, enum h1_event event, const struct http_request *request,
                 struct slice body)
{
    if (event == H1_REQUEST) {
        mean_request(reading, request);
        write_plain_head(reading, request);
        check_as_answer(request);
    } else if (event == H1_BODY) {
        take_body(reading, body, request->chunked);
    } else if (event == H1_END) {
        mean(reading, SLICE("end"));
        write_plain(reading, request->chunked ? SLICE("0\r\n\r\n") : SLICE(""));
        reading->request_count++;
    }
}

/* Offer `input` in growing windows, as a connection does. `step`: 0 for all at once, else a seed of
 * steps of 1 to `step` bytes. */
static void read_all(struct reading *reading, const struct h1_limits *limits, struct slice input,
                     size_t step)
{
    struct http_request request;
    struct h1 h1;
    h1_init(&h1, limits);
    size_t used = 0, offered = 0, random = step;
    enum h1_event event = H1_NEED_DATA;
    while (offered < input.size && event != H1_ERROR) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t more = step == 0 ? input.size : 1 + (random >> 33) % step;
        offered = size_min(input.size, offered + more);
        struct slice window = {input.data + used, offered - used}, body = {NULL, 0};
        do {
            struct slice before = window;
            event = h1_next(&h1, &window, &request, &body);
            must(window.data + window.size == before.data + before.size && inside(window, before));
            must(event == H1_NEED_DATA || event == H1_END || event == H1_ERROR ||
                 window.size < before.size);
            must(event != H1_BODY || (body.size > 0 && inside(body, before)));
            if (event == H1_REQUEST)
                check_slices(&request, before);
            take(reading, event, &request, body);
        } while (event != H1_NEED_DATA && event != H1_ERROR);
        used = offered - window.size;
    }
    reading->error_status = event == H1_ERROR ? h1.error_status : 0;
    must((reading->error_status == 0) == (h1.error_text == NULL));
}

static void must_agree(const struct reading *whole, const struct h1_limits *limits,
                       struct slice input, size_t step)
{
    struct reading split = {0};
    read_all(&split, limits, input, step);
    must(split.meaning == whole->meaning && split.error_status == whole->error_status);
    must(split.request_count == whole->request_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 1, 5,
                                   100}; /* one for each input: three cost half the speed */
    struct slice input = {(const char *)data, size};
    /* A head grows by a Host of its own, a body byte by a chunk's prefix and end. */
    struct reading whole = {.plain = malloc(16 * size + 64)}, again = {0};
    must(whole.plain != NULL);
    read_all(&whole, &tight, input, 0);
    must_agree(&whole, &tight, input, steps[whole.meaning % COUNT_OF(steps)]);
    read_all(&again, &roomy, (struct slice){whole.plain, whole.plain_size}, 0);
    must(again.error_status == 0 && again.request_count == whole.request_count);
    must(again.meaning == whole.meaning);
    free(whole.plain);
    return 0;
}
