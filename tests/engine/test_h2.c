/* SPDX-License-Identifier: MIT
 * The HTTP/2 protocol without sockets: the same events however the bytes are cut, heads judged,
 * bodies by windows and priority, budgets that time refills, memory that runs out at every point.
 */
#include "h2_rig.h"
#include "tap.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define GET_ROOT "\x82\x86\x84\x41\4test" /* GET http / and :authority, the last one remembered */
#define POST_ROOT "\x83\x86\x84\x41\4test"

struct buffer {
    char data[1 << 16];
    size_t size;
};

static void add(struct buffer *buffer, const void *data, size_t size)
{
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

static void add_frame(struct buffer *buffer, uint8_t type, uint8_t flags, uint32_t stream,
                      struct slice payload)
{
    uint8_t head[9] = {(uint8_t)(payload.size >> 16),
                       (uint8_t)(payload.size >> 8),
                       (uint8_t)payload.size,
                       type,
                       flags,
                       (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8),
                       (uint8_t)stream};
    add(buffer, head, sizeof head);
    add(buffer, payload.data, payload.size);
}

static void begin(struct buffer *buffer)
{
    buffer->size = 0;
    add(buffer, PREFACE, sizeof PREFACE - 1);
}

static struct slice all(const struct buffer *buffer)
{
    return (struct slice){buffer->data, buffer->size};
}

static bool has(const struct rig *rig, const char *text)
{
    return memmem(rig->trace, rig->trace_size, text, strlen(text)) != NULL;
}

static struct rig *rig_new(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (rig == NULL)
        abort();
    rig->failing = -1;
    return rig;
}

/* Input in all ways it can arrive says `expected`. */
static void check(const char *name, const struct buffer *input, const char *expected)
{
    static const size_t steps[] = {0, 1, 7, 100};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct rig *rig = rig_new();
        bool opened = rig_open(rig);
        if (opened)
            rig_feed_in_steps(rig, all(input), steps[i]);
        bool same = opened && rig->trace_size == strlen(expected) &&
                    memcmp(rig->trace, expected, rig->trace_size) == 0;
        OK(same, "%s, in steps of %zu", name, steps[i]);
        if (!same)
            printf("# it said:\n%.*s", (int)rig->trace_size, rig->trace);
        rig_close(rig);
        OK(rig->allocated == 0, "%s: memory is given back", name);
        free(rig);
    }
}

static void events(void)
{
    static struct buffer input;
    begin(&input);
    add_frame(&input, 1, 5, 1, SLICE(GET_ROOT));
    add_frame(&input, 1, 4, 3, SLICE(POST_ROOT));
    add_frame(&input, 0, 8, 3, SLICE("\2ab\0\0"));
    add_frame(&input, 0, 1, 3, SLICE("c"));
    check("two requests", &input,
          "request 1 status 0 end \n  GET\n  /\n  host\n    test\n"
          "request 3 status 0 \n  POST\n  /\n  host\n    test\nbody a\nbody b\nbody c\nend\n");
    begin(&input);
    add_frame(&input, 1, 1, 1, SLICE("\x82\x86\x84"));
    add_frame(&input, 9, 4, 1, SLICE("\x41\4test\0\6cookie\3a=1\0\1x\1y\0\6cookie\3b=2"));
    check("CONTINUATION and cookies", &input,
          "request 1 status 0 end \n  GET\n  /\n  host\n    test\n  x\n    y\n"
          "  cookie\n    a=1; b=2\n");
    begin(&input);
    add_frame(&input, 1, 4, 1, SLICE(POST_ROOT));
    add_frame(&input, 0, 0, 1, SLICE("z"));
    add_frame(&input, 1, 5, 1, SLICE("\0\5x-sum\1\61"));
    check("trailers", &input, "request 1 status 0 \n  POST\n  /\n  host\n    test\nbody z\nend\n");
    begin(&input);
    add_frame(&input, 1, 5, 1, SLICE("\x82\x86\x04\2ab\x41\4test"));
    check("a path that is none, nghttp2 resets it", &input, "");
    begin(&input);
    add_frame(&input, 1, 5, 1, SLICE("\x82\x86\x04\4/a#b\x41\4test"));
    check("a fragment", &input, "request 1 status 400 end \n");
    begin(&input);
    add_frame(&input, 1, 5, 1, SLICE(GET_ROOT "\x0f\x0d\2xx"));
    check("a length that is no number, nghttp2 resets it", &input, "");
}

static void prefaces(void)
{
    OK(h2_preface(SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == 1, "the preface");
    OK(h2_preface(SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore")) == 1, "the preface and more");
    OK(h2_preface(SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")) == 0, "not quite the preface");
    OK(h2_preface(SLICE("P")) == -1 && h2_preface(SLICE("")) == -1, "it may become the preface");
    OK(h2_preface(SLICE("PO")) == 0 && h2_preface(SLICE("GET ")) == 0, "it may not");
}

/* A connection whose settings have been exchanged. */
static struct rig *settled(struct buffer *input)
{
    struct rig *rig = rig_new();
    if (!rig_open(rig))
        abort();
    begin(input);
    rig_feed(rig, all(input));
    rig_drain(rig, false);
    input->size = 0;
    return rig;
}

static void send(struct rig *rig, struct buffer *input)
{
    rig_feed(rig, all(input));
    input->size = 0;
}

static void answers(void)
{
    static struct buffer input;
    struct rig *rig = settled(&input);
    add_frame(&input, 1, 5, 1, SLICE(GET_ROOT));
    send(rig, &input);
    rig_drain(rig, true);
    OK(has(rig, "out 1 4 1 ") && has(rig, "out 0 1 1 100\n"), "a head and a body that ends");
    OK(rig->closed_count == 1, "then the stream is closed");
    rig->quiet = true;
    add_frame(&input, 1, 4, 3, SLICE(POST_ROOT));
    send(rig, &input);
    struct rig_stream *stream = rig->streams[1];
    struct h2_response response = {.status = 204, .content_length = 5};
    bool has_body = true;
    stream->h2.leave = true;
    OK(h2_respond(rig->h2, &stream->h2, &response, &has_body) == 0 && !has_body, "204 has no body");
    rig_drain(rig, true);
    OK(has(rig, "out 1 5 3 "), "so its head ends the stream");
    OK(has(rig, "out 6 0 0 8\n") && rig->closed_count == 1, "and it is asked who has read it");
    add_frame(&input, 0, 0, 3, SLICE("rest"));
    add_frame(&input, 6, 1, 0, SLICE("ask\3\3\0\0\0"));
    send(rig, &input);
    rig_drain(rig, true);
    OK(has(rig, "out 3 0 3 4\n") && rig->closed_count == 2, "then the rest is not waited for");
    struct http_field bad = {SLICE("X"), SLICE("a\nb")};
    response =
        (struct h2_response){.status = 200, .content_length = -1, .fields = &bad, .field_count = 1};
    OK(h2_respond(rig->h2, &stream->h2, &response, &has_body) == -EINVAL,
       "no line ends in a value");
    bad = (struct http_field){SLICE("content\rtype"), SLICE("a")};
    OK(h2_respond(rig->h2, &stream->h2, &response, &has_body) == -EINVAL,
       "nor in a name that is nearly a usual one");
    add_frame(&input, 6, 0, 1, SLICE("12345678"));
    send(rig, &input);
    rig_drain(rig, true);
    OK(has(rig, "out 7 0 0 ") && h2_over(rig->h2), "a PING on a stream ends it all");
    rig_close(rig);
    free(rig);
}

static void windows(void)
{
    static struct buffer input;
    struct rig *rig = settled(&input);
    add_frame(&input, 4, 0, 0, SLICE("\0\4\0\0\0\12"));
    add_frame(&input, 1, 5, 1, SLICE(GET_ROOT));
    send(rig, &input);
    rig_drain(rig, false);
    OK(rig->data_out == 10 && rig->streams[0]->h2.waiting == 90, "as much as the window allows");
    OK(h2_peer_window(rig->h2) == 10, "and we can tell how much that is");
    add_frame(&input, 8, 0, 1, SLICE("\0\0\0\132"));
    send(rig, &input);
    rig_drain(rig, false);
    OK(rig->data_out == 100 && rig->closed_count == 1, "the rest when it opens");
    rig_close(rig);
    free(rig);
}

static void priorities(void)
{
    static struct buffer input;
    struct rig *rig = settled(&input);
    add_frame(&input, 1, 5, 1, SLICE(GET_ROOT "\0\10priority\3u=6"));
    add_frame(&input, 1, 5, 3, SLICE(GET_ROOT "\0\10priority\3u=1"));
    add_frame(&input, 1, 5, 5, SLICE(GET_ROOT));
    send(rig, &input);
    rig_drain(rig, true);
    const char *first = memmem(rig->trace, rig->trace_size, "out 0 1 3 ", 10);
    const char *second = memmem(rig->trace, rig->trace_size, "out 0 1 5 ", 10);
    const char *third = memmem(rig->trace, rig->trace_size, "out 0 1 1 ", 10);
    OK(first != NULL && first < second && second < third, "bodies go by urgency");
    rig_close(rig);
    free(rig);
}

/* Requests that are answered before they are complete, each then ended by `type`. True: so many of
 * them are no flood. */
static bool may_be_refused(size_t wanted, uint8_t type, struct slice payload)
{
    static struct buffer input;
    struct rig *rig = settled(&input);
    size_t count = 0;
    for (; count < wanted && !rig->over; count++) {
        uint32_t id = (uint32_t)(2 * count + 1);
        struct h2_response response = {.status = 413, .content_length = 0};
        bool has_body;
        rig->quiet = true;
        add_frame(&input, 1, 4, id, SLICE(POST_ROOT));
        send(rig, &input);
        struct rig_stream *stream = rig->streams[count];
        stream->h2.head_request = stream->h2.leave = true;
        h2_respond(rig->h2, &stream->h2, &response, &has_body);
        rig_drain(rig, false);
        char text[8] = "ask\3";
        memcpy(text + 4, &id, sizeof id);
        add_frame(&input, type, 1, type == 6 ? 0 : id,
                  type == 6 ? (struct slice){text, 8} : payload);
        send(rig, &input);
        rig_drain(rig, false);
    }
    bool all = count == wanted && rig->closed_count == count;
    rig_close(rig);
    free(rig);
    return all;
}

static void refusals(void)
{
    /* nghttp2 may have a limit of its own, of 1000. */
    OK(may_be_refused(600, 3, SLICE("\0\0\0\10")), "who gives up what was refused is no flood");
    OK(may_be_refused(1500, 6, SLICE("")), "nor who says that it has read it");
    OK(may_be_refused(1500, 0, SLICE("rest")), "nor who ends it");
}

/* Frames until the connection ends, with so much time between them. */
static int patience(uint8_t type, struct slice payload, int64_t pause_ns)
{
    static struct buffer input;
    struct rig *rig = settled(&input);
    int count = 0;
    int64_t now_ns = NS_PER_S;
    while (!rig->over && count < 5000) {
        now_ns += pause_ns;
        h2_tick(rig->h2, now_ns);
        add_frame(&input, type, 0, 0, payload);
        send(rig, &input);
        rig_drain(rig, false);
        count++;
    }
    rig_close(rig);
    free(rig);
    return count;
}

static void budgets(void)
{
    int pings = patience(6, SLICE("12345678"), 0);
    OK(pings > H2_BUDGET_MAX - 50 && pings < H2_BUDGET_MAX + 50, "so many PINGs: %d", pings);
    int settings = patience(4, SLICE(""), 0);
    OK(settings > 50 && settings < H2_BUDGET_MAX / H2_COST_SETTINGS + 10, "SETTINGS: %d", settings);
    OK(patience(6, SLICE("12345678"), NS_PER_S / H2_BUDGET_PER_S) == 5000, "time refills");
    OK(patience(4, SLICE(""), NS_PER_S / 10) == 5000, "as much for what costs more");
    int updates = patience(8, SLICE("\0\0\0\1"), 0);
    OK(updates < H2_BUDGET_MAX + H2_UPDATES_FREE_MAX + 10, "WINDOW_UPDATEs: %d", updates);
}

static void drains(void)
{
    static struct buffer input;
    struct rig *rig = settled(&input);
    h2_probe(rig->h2);
    rig_drain(rig, true);
    OK(has(rig, "out 6 0 0 8\n") && !h2_probed(rig->h2), "a PING, to see whether it reads");
    add_frame(&input, 6, 1, 0, SLICE("ask\1\0\0\0\0"));
    send(rig, &input);
    OK(h2_probed(rig->h2) == 1 && !h2_warned(rig->h2), "it does, and has not been warned");
    rig->trace_size = 0;
    h2_warn(rig->h2);
    rig_drain(rig, true);
    OK(has(rig, "out 7 0 0 8\n") && has(rig, "out 6 0 0 8\n"), "a GOAWAY and a PING");
    OK(!h2_warned(rig->h2) && !h2_over(rig->h2), "which nobody has read yet");
    add_frame(&input, 1, 5, 1, SLICE(GET_ROOT));
    add_frame(&input, 6, 1, 0, SLICE("ask\2\0\0\0\0"));
    send(rig, &input);
    rig_drain(rig, false);
    OK(h2_warned(rig->h2) && rig->data_out == RIG_BODY, "a request on its way is served");
    h2_shut(rig->h2, H2_NO_ERROR);
    rig_drain(rig, true);
    OK(h2_over(rig->h2), "then it is over");
    rig_close(rig);
    free(rig);
}

/* A connection's life with its nth allocation failing: whatever comes of it, all is given back. */
static bool survives(int64_t nth)
{
    static struct buffer input;
    struct rig *rig = rig_new();
    begin(&input);
    for (uint32_t stream = 1; stream < 20; stream += 2)
        add_frame(&input, 1, 5, stream, SLICE(GET_ROOT "\0\6cookie\3a=1\0\6cookie\3b=2"));
    add_frame(&input, 1, 4, 21, SLICE(POST_ROOT));
    add_frame(&input, 0, 1, 21, SLICE("body"));
    rig->failing = nth;
    if (rig_open(rig)) {
        rig_feed_in_steps(rig, all(&input), 50);
        rig_drain(rig, false);
        h2_warn(rig->h2);
        rig_drain(rig, false);
    }
    bool done = rig->failing > 0;
    rig_close(rig);
    bool clean = rig->allocated == 0;
    free(rig);
    if (!clean)
        printf("# memory is lost when allocation %lld fails\n", (long long)nth);
    return done || !clean;
}

static void shortage(void)
{
    int64_t nth = 0;
    while (nth < 2000 && !survives(nth))
        nth++;
    OK(nth > 20 && nth < 2000, "each of %lld allocations may fail", (long long)nth);
}

int main(void)
{
    events();
    prefaces();
    answers();
    windows();
    priorities();
    refusals();
    budgets();
    drains();
    shortage();
    return TAP_END();
}
