/* SPDX-License-Identifier: MIT
 * The WebSocket reader (proto/ws.h) without compression: what RFC 6455 says of frames, fragments,
 * control frames, UTF-8 and ends, and the limits; each fed whole, in pieces and byte by byte, into
 * rooms down to one byte, all of which end at a guard page. */
#include "ws_rig.h"

static struct rig *fresh(void)
{
    static struct rig rig;
    rig.size = 0;
    return &rig;
}

#define SAYS(rig, expected, ...) OK(rig_says(rig, 0, expected), __VA_ARGS__)

static void test_messages(void)
{
    struct rig *rig = fresh();
    rig_message(rig, WS_TEXT, "hello");
    rig_message(rig, WS_BINARY, "\xff\xfe");
    rig_message(rig, WS_TEXT, "");
    SAYS(rig, "message 1 hello\nmessage 2 \xff\xfe\nmessage 1 \n", "messages, one empty");
    static const size_t sizes[] = {124, 125, 126, 127, 128, 4095, 5000};
    static char zeros[5000];
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char expected[64];
        rig = fresh();
        rig_frame(rig, RIG_FIN | WS_BINARY, (struct slice){zeros, sizes[i]});
        rig_message(rig, WS_TEXT, "next");
        snprintf(expected, sizeof expected, "message 2 %zu bytes\nmessage 1 next\n", sizes[i]);
        SAYS(rig, expected, "a frame of %zu bytes", sizes[i]);
    }
}

static void test_fragments(void)
{
    struct rig *rig = fresh();
    rig_frame(rig, WS_TEXT, SLICE("a\xe2\x82"));
    rig_message(rig, WS_OP_PING, "in between");
    rig_frame(rig, WS_CONTINUATION, SLICE(""));
    rig_message(rig, WS_OP_PONG, "");
    rig_frame(rig, WS_CONTINUATION, SLICE("\xac"));
    rig_frame(rig, RIG_FIN | WS_CONTINUATION, SLICE("b"));
    SAYS(rig,
         "ping 10 in between\npong 0 \nmessage 1 a\xe2\x82\xac"
         "b\n",
         "fragments cut inside a character, with control frames between them");
    rig = fresh();
    rig_frame(rig, WS_BINARY, SLICE(""));
    rig_frame(rig, RIG_FIN | WS_CONTINUATION, SLICE(""));
    SAYS(rig, "message 2 \n", "an empty message of two fragments");
    rig = fresh();
    rig_frame(rig, WS_TEXT, SLICE("half"));
    rig_frame(rig, RIG_FIN | WS_OP_CLOSE, SLICE("\x03\xe8"));
    SAYS(rig, "close 1000 \n", "a Close inside a message");
}

/* A frame by its bytes, after a ping that is still heard. */
static void refused(const char *bytes, size_t size, const char *reason)
{
    char expected[128];
    struct rig *rig = fresh();
    rig_message(rig, WS_OP_PING, "");
    rig_put(rig, bytes, size);
    snprintf(expected, sizeof expected, "ping 0 \nerror 1002 %s\n", reason);
    SAYS(rig, expected, "%s", reason);
}

#define REFUSED(bytes, reason) refused(bytes, sizeof(bytes) - 1, reason)

static void test_broken_frames(void)
{
    REFUSED("\x81\x01x", "a frame without a mask");
    REFUSED("\xc1\x80", "a reserved bit is set");
    REFUSED("\xa1\x80", "a reserved bit is set");
    REFUSED("\x91\x80", "a reserved bit is set");
    REFUSED("\xc9\x80", "a control frame that is marked as compressed");
    REFUSED("\x83\x80", "an opcode that does not exist");
    REFUSED("\x87\x80", "an opcode that does not exist");
    REFUSED("\x8b\x80", "an opcode that does not exist");
    REFUSED("\x8f\x80", "an opcode that does not exist");
    REFUSED("\x80\x80", "a continuation of nothing");
    REFUSED("\x09\x80", "a control frame in fragments");
    REFUSED("\x89\xfe", "a control frame of more than 125 bytes");
    REFUSED("\x82\xfe\x00\x7d\x01\x02\x03\x04", "a length in more bytes than it needs");
    REFUSED("\x82\xff\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04", "a length in more bytes than it needs");
    REFUSED("\x82\xff\x80\0\0\0\0\1\0\0\x01\x02\x03\x04", "a length in more bytes than it needs");
    REFUSED("\x01\x81\0\0\0\0x\x81\x80\0\0\0\0", "a new message inside another");
}

static void closes(struct slice payload, const char *expected, const char *name)
{
    struct rig *rig = fresh();
    rig_frame(rig, RIG_FIN | WS_OP_CLOSE, payload);
    rig_message(rig, WS_TEXT, "what comes behind it is dropped");
    SAYS(rig, expected, "%s", name);
}

static void test_closes(void)
{
    static const uint16_t good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009,
                                    1010, 1011, 1012, 1013, 1014, 3000, 4999};
    static const uint16_t bad[] = {0,    1,    999,  1004, 1005, 1006,
                                   1015, 1016, 1100, 2999, 5000, 65535};
    for (size_t i = 0; i < COUNT_OF(good) + COUNT_OF(bad); i++) {
        bool is_good = i < COUNT_OF(good);
        uint16_t code = is_good ? good[i] : bad[i - COUNT_OF(good)];
        char payload[] = {(char)(code >> 8), (char)code}, expected[80], name[40];
        snprintf(name, sizeof name, "the code %u", code);
        snprintf(expected, sizeof expected,
                 is_good ? "close %u \n" : "error 1002 a code that no Close may have\n", code);
        closes((struct slice){payload, 2}, expected, name);
    }
    closes(SLICE(""), "close 0 \n", "a Close without a code");
    closes(SLICE("\x03\xe8"
                 "bye \xe2\x82\xac"),
           "close 1000 bye \xe2\x82\xac\n", "a reason");
    closes(SLICE("\x03"), "error 1002 half a code in a Close\n", "half a code");
    closes(SLICE("\x03\xe8\xc3"), "error 1007 a reason that is not UTF-8\n", "a reason cut short");
}

static void test_utf8(void)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", true},
        {"\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xbf", false},
        {"\xc0\xaf", false},
        {"\xc1\xbf", false},
        {"\xe0\x80\xaf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xed\xbf\xbf", false},
        {"\xf0\x80\x80\xaf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"\xc3", false},
        {"\xe2\x82", false},
        {"\xf0\x9f\x98", false},
        {"\xc3(", false},
        {"\xe2\x82(", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        /* Behind enough ASCII to be looked at in blocks. */
        char text[80] = "0123456789012345678901234567890123456", expected[128];
        memcpy(text + 37, cases[i].text, strlen(cases[i].text) + 1);
        struct rig *rig = fresh();
        rig_message(rig, WS_TEXT, text);
        snprintf(expected, sizeof expected, "message 1 %s\n", text);
        if (!cases[i].good)
            snprintf(expected, sizeof expected, "error 1007 text that is not UTF-8\n");
        SAYS(rig, expected, "UTF-8, case %zu", i);
    }
    /* The frame is not complete, and the byte that cannot be is the last one that has come. */
    struct rig *rig = fresh();
    rig_message(rig, WS_TEXT, "ab\xf4\x90 and so on");
    rig->size -= 10;
    SAYS(rig, "error 1007 text that is not UTF-8\n", "bad text is refused at its first bad byte");
    rig->size--;
    SAYS(rig, "", "... and not before");
}

static void test_limits(void)
{
    static char zeros[5001];
    struct slice most = {zeros, 5000};
    struct rig *rig = fresh();
    rig_frame(rig, RIG_FIN | WS_BINARY, (struct slice){zeros, 5001});
    rig->size = 8; /* by its head alone */
    SAYS(rig, "error 1009 the frame is too large\n", "a frame that is too large");
    rig = fresh();
    rig_frame(rig, WS_BINARY, most);
    rig_frame(rig, WS_CONTINUATION, most);
    rig_frame(rig, RIG_FIN | WS_CONTINUATION, SLICE(""));
    SAYS(rig, "message 2 10000 bytes\n", "a message that just fits");
    rig = fresh();
    rig_frame(rig, WS_BINARY, most);
    rig_frame(rig, WS_CONTINUATION, most);
    rig_frame(rig, RIG_FIN | WS_CONTINUATION, SLICE("x"));
    SAYS(rig, "error 1009 the message is too large\n", "a message that is too large");
}

/* The event of the last of so many frames of a kind. */
static enum ws_event last_of(struct ws *ws, int first, size_t count)
{
    struct rig *rig = fresh();
    enum ws_event event = WS_NEED_DATA;
    for (size_t i = 0; i < count; i++)
        rig_frame(rig, first, SLICE(""));
    struct slice input = {rig->bytes, rig->size};
    struct ws_news news;
    while (input.size > 0 && event != WS_ERROR)
        event = ws_next(ws, &input, (struct ws_room){NULL, 0}, &news);
    return event;
}

static void test_floods(void)
{
    struct ws ws;
    ws_init(&ws, &rig_limits, NULL);
    ws_tick(&ws, NS_PER_S);
    OK(last_of(&ws, RIG_FIN | WS_OP_PING, WS_BUDGET_MAX) == WS_PING, "many pings at once");
    OK(last_of(&ws, RIG_FIN | WS_OP_PONG, 1) == WS_ERROR && ws.error_code == WS_POLICY,
       "one control frame too many");
    ws_init(&ws, &rig_limits, NULL);
    ws_tick(&ws, NS_PER_S);
    last_of(&ws, RIG_FIN | WS_OP_PING, WS_BUDGET_MAX);
    ws_tick(&ws, 2 * NS_PER_S);
    OK(last_of(&ws, RIG_FIN | WS_OP_PING, WS_BUDGET_PER_S) == WS_PING, "time pays for more");
    OK(last_of(&ws, RIG_FIN | WS_OP_PING, 1) == WS_ERROR, "but not for more than that");
    ws_init(&ws, &rig_limits, NULL);
    last_of(&ws, WS_TEXT, 1);
    OK(last_of(&ws, WS_CONTINUATION, WS_BUDGET_MAX) == WS_ERROR && ws.error_code == WS_POLICY,
       "empty fragments are paid for as well");
}

static void test_unmasking(void)
{
    char in[100], out[101];
    bool same = true;
    for (size_t size = 0; size <= sizeof in; size++)
        for (size_t cut = 0; cut <= size; cut++) {
            uint8_t mask[4] = {1, 2, 4, 8};
            for (size_t i = 0; i < sizeof in; i++)
                in[i] = (char)(i ^ (1u << (i % 4)));
            memset(out, '!', sizeof out);
            ws_unmask(out, in, cut, mask);
            ws_unmask(out + cut, in + cut, size - cut, mask);
            for (size_t i = 0; i < size; i++)
                same = same && out[i] == (char)i;
            same = same && out[size] == '!';
        }
    OK(same, "the mask goes on where it stopped, whatever the sizes");
}

static void test_frames_out(void)
{
    char out[WS_CONTROL_FRAME_MAX];
    static const struct {
        struct ws_frame frame;
        struct slice head;
    } heads[] = {
        {{WS_TEXT, false, 125}, {"\x81\x7d", 2}},
        {{WS_BINARY, true, 126}, {"\xc2\x7e\x00\x7e", 4}},
        {{WS_TEXT, false, 65535}, {"\x81\x7e\xff\xff", 4}},
        {{WS_TEXT, false, 65536}, {"\x81\x7f\0\0\0\0\0\1\0\0", 10}},
    };
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        size_t size = ws_write_head(out, &heads[i].frame);
        OK(slice_equals((struct slice){out, size}, heads[i].head), "the head of %llu bytes",
           (unsigned long long)heads[i].frame.size);
    }
    size_t size = ws_write_close(out, WS_NO_CODE, SLICE("ignored"));
    OK(slice_equals((struct slice){out, size}, SLICE("\x88\0")), "a Close without a code");
    size = ws_write_close(out, 1001, SLICE("bye"));
    OK(slice_equals((struct slice){out, size}, SLICE("\x88\x05\x03\xe9"
                                                     "bye")),
       "a Close");
    char reason[200];
    memset(reason, 'a', sizeof reason);
    memcpy(reason + WS_REASON_SIZE_MAX - 2, "\xe2\x82\xac", 3);
    size = ws_write_close(out, 1001, (struct slice){reason, sizeof reason});
    OK(size == 2 + 2 + WS_REASON_SIZE_MAX - 2 && out[1] == (char)(size - 2),
       "a reason that is too long ends between two characters");
}

int main(void)
{
    test_messages();
    test_fragments();
    test_broken_frames();
    test_closes();
    test_utf8();
    test_limits();
    test_floods();
    test_unmasking();
    test_frames_out();
    return TAP_END();
}
