/* SPDX-License-Identifier: MIT
 * permessage-deflate (proto/ws_deflate.h): the examples of RFC 7692, what clients of all windows
 * send, bombs and nonsense, messages of our own read back, and memory that runs out. */
#include "ws_rig.h"

static struct rig *fresh(void)
{
    static struct rig rig;
    rig.size = 0;
    return &rig;
}

enum { COMPRESSED = RIG_FIN | RIG_RSV1 };

#define SAYS(rig, expected, name) OK(rig_says(rig, WS_BITS_MAX, expected), "%s", name)

/* RFC 7692 section 7.2.3, in its order. */
static void test_examples(void)
{
    struct rig *rig = fresh();
    rig_frame(rig, COMPRESSED | WS_TEXT, SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00"));
    rig_frame(rig, COMPRESSED | WS_TEXT, SLICE("\xf2\x00\x11\x00\x00"));
    SAYS(rig, "message 1 Hello\nmessage 1 Hello\n", "a message, and one that refers to it");
    rig = fresh();
    rig_frame(rig, RIG_RSV1 | WS_TEXT, SLICE("\xf2\x48\xcd"));
    rig_message(rig, WS_OP_PING, "!");
    rig_frame(rig, RIG_FIN | WS_CONTINUATION, SLICE("\xc9\xc9\x07\x00"));
    SAYS(rig, "ping 1 !\nmessage 1 Hello\n", "fragments");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_TEXT, SLICE("\x00\x05\x00\xfa\xffHello\x00"));
    SAYS(rig, "message 1 Hello\n", "a block without compression");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_TEXT, SLICE("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"));
    rig_frame(rig, COMPRESSED | WS_TEXT, SLICE("\xf2\x00\x11\x00\x00"));
    SAYS(rig, "message 1 Hello\nmessage 1 Hello\n", "a last block does not end the window");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_TEXT,
              SLICE("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"));
    SAYS(rig, "message 1 Hello\n", "two blocks");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_BINARY, SLICE("\x00"));
    rig_frame(rig, COMPRESSED | WS_BINARY, SLICE(""));
    rig_message(rig, WS_TEXT, "plain");
    SAYS(rig, "message 2 \nmessage 2 \nmessage 1 plain\n", "empty ones, and one as it is");
}

/* Compressed for a client's window, behind what was said before. */
static struct slice pack(struct ws_deflater *deflater, struct slice message, char *out, size_t size)
{
    struct encoder_step step = {.input = message, .goal = ENCODER_FLUSH, .out = out, .size = size};
    int64_t written = ws_deflate(deflater, &step);
    assert(written >= WS_TAIL_SIZE && step.done);
    assert(memcmp(out + written - WS_TAIL_SIZE, "\0\0\xff\xff", WS_TAIL_SIZE) == 0);
    return (struct slice){out, (size_t)written - WS_TAIL_SIZE};
}

/* Bytes that repeat at every distance up to their end. */
static void fill(char *bytes, size_t size)
{
    uint32_t random = 1;
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = i % 700 > 400 ? bytes[i - 300] : (char)(random >> 24);
    }
}

static void test_windows(void)
{
    static char message[4500], packed[6000];
    struct encoder_memory memory = {rig_allocate, rig_release, NULL};
    fill(message, sizeof message);
    for (uint8_t bits = WS_BITS_MIN; bits <= WS_BITS_MAX; bits++) {
        struct ws_deflater deflater;
        struct rig *rig = fresh();
        ws_deflater_init(&deflater, bits, &memory);
        for (int i = 0; i < 3; i++)
            rig_frame(
                rig, COMPRESSED | WS_BINARY,
                pack(&deflater, (struct slice){message, sizeof message}, packed, sizeof packed));
        ws_deflater_close(&deflater);
        OK(rig_says(rig, bits,
                    "message 2 4500 bytes\nmessage 2 4500 bytes\nmessage 2 4500 bytes\n"),
           "what we compress for a window of %u bits is read with one", bits);
    }
}

static void test_bombs(void)
{
    static char zeros[10001], packed[1000];
    struct encoder_memory memory = {rig_allocate, rig_release, NULL};
    struct ws_deflater deflater;
    struct rig *rig = fresh();
    ws_deflater_init(&deflater, WS_BITS_MAX, &memory);
    rig_frame(rig, COMPRESSED | WS_BINARY,
              pack(&deflater, (struct slice){zeros, 10000}, packed, sizeof packed));
    SAYS(rig, "message 2 10000 bytes\n", "a message that just fits when it is decompressed");
    rig = fresh();
    ws_deflater_forget(&deflater);
    rig_frame(rig, COMPRESSED | WS_BINARY,
              pack(&deflater, (struct slice){zeros, 10001}, packed, sizeof packed));
    assert(rig->size < 100);
    SAYS(rig, "error 1009 the message is too large\n", "a byte more is a bomb");
    ws_deflater_close(&deflater);
}

static void test_nonsense(void)
{
    const char *refusal = "error 1007 a compressed message that is not DEFLATE\n";
    struct rig *rig = fresh();
    rig_frame(rig, COMPRESSED | WS_BINARY, SLICE("\xff\xff\xff\xff"));
    SAYS(rig, refusal, "what is not DEFLATE");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_BINARY, SLICE("\xf2\x00\x11\x00\x00"));
    SAYS(rig, refusal, "a reference to what was never said");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_BINARY, SLICE("\x00\x0a\x00\xf5\xffHello"));
    SAYS(rig, "error 1007 a compressed message that ends too early\n", "a block that is cut off");
    rig = fresh();
    rig_frame(rig, COMPRESSED | WS_TEXT, SLICE("\x00\x05\x00\xfa\xffHell\xff\x00"));
    SAYS(rig, "error 1007 text that is not UTF-8\n", "text that is not UTF-8");
    rig = fresh();
    rig_frame(rig, RIG_RSV1 | WS_TEXT, SLICE("\xf2\x48\xcd"));
    rig_frame(rig, COMPRESSED | WS_CONTINUATION, SLICE("\xc9\xc9\x07\x00"));
    SAYS(rig, "error 1002 a continuation that is marked as compressed\n", "a mark on the second");
}

/* --- memory ----------------------------------------------------------------------------------- */

struct counted {
    size_t used, most;
    int failing; /* allocations until one fails; < 0: none does */
};

static void *count_allocate(void *user, size_t size)
{
    struct counted *counted = user;
    if (counted->failing == 0)
        return NULL;
    counted->failing -= counted->failing > 0;
    size_t *block = malloc(size + 2 * sizeof *block);
    assert(block != NULL);
    *block = size;
    counted->used += size;
    counted->most = counted->used > counted->most ? counted->used : counted->most;
    return block + 2;
}

static void count_release(void *user, void *memory)
{
    struct counted *counted = user;
    if (memory == NULL)
        return;
    counted->used -= ((size_t *)memory)[-2];
    free((size_t *)memory - 2);
}

/* Compress and decompress. False when memory ran out, in whichever of the two. */
static bool round_trip(struct counted *counted, uint8_t bits)
{
    static char message[60000], packed[70000], out[60001];
    struct encoder_memory memory = {count_allocate, count_release, counted};
    struct ws_deflater deflater;
    struct ws_inflater inflater;
    struct encoder_step step = {.input = {message, sizeof message},
                                .goal = ENCODER_FLUSH,
                                .out = packed,
                                .size = sizeof packed};
    fill(message, sizeof message);
    ws_deflater_init(&deflater, bits, &memory);
    ws_inflater_init(&inflater, bits, &memory);
    int64_t size = ws_deflate(&deflater, &step);
    struct slice input = {packed, size < 0 ? 0 : (size_t)size};
    int64_t result = size < 0 ? size : ws_inflate(&inflater, &input, out, 30000);
    if (result == 30000)
        result += ws_inflate(&inflater, &input, out + 30000, sizeof out - 30000);
    bool same = result == sizeof message && memcmp(message, out, sizeof message) == 0;
    ws_deflater_close(&deflater);
    ws_inflater_close(&inflater);
    assert(same || result == -ENOMEM);
    return same;
}

static void test_memory(void)
{
    struct counted counted = {.failing = -1};
    static const struct {
        uint8_t bits;
        size_t most;
    } costs[] = {{12, 60 << 10}, {WS_BITS_MAX, WS_INFLATER_MEMORY_MAX + WS_DEFLATER_MEMORY_MAX}};
    for (size_t i = 0; i < COUNT_OF(costs); i++) {
        counted = (struct counted){.failing = -1};
        OK(round_trip(&counted, costs[i].bits), "there and back, %u bits", costs[i].bits);
        OK(counted.most <= costs[i].most && counted.used == 0,
           "both contexts together cost %zu bytes at most", counted.most);
    }
    bool done = false, leaked = false;
    for (int failing = 0; !done && failing < 100; failing++) {
        counted = (struct counted){.failing = failing};
        done = round_trip(&counted, WS_BITS_MAX);
        leaked |= counted.used > 0;
    }
    OK(done && !leaked, "whichever allocation fails, it is told and nothing is left");
}

int main(void)
{
    test_examples();
    test_windows();
    test_bombs();
    test_nonsense();
    test_memory();
    return TAP_END();
}
