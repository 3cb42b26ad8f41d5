/* SPDX-License-Identifier: MIT
 * Invariant: whatever the bytes, however they are split and however small the room for messages,
 * the WebSocket reader takes them all or refuses them, tells the same messages and control frames,
 * keeps them within its limits, and its text is UTF-8; and what it took for messages is read as the
 * same messages once more when they are written down plainly, or compressed by us.
 *
 * The first byte says what was agreed about compression, the rest is what a client sends. */
#include <stdlib.h>

#include "proto/ws.h"
#include "proto/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum {
    MESSAGE_MAX = 600, /* small, so that a fuzzer reaches it */
    FRAME_MAX = 400,
    PLAIN_MAX = 4096, /* of what is written down; more is not read again */
    ROOM_MAX = 300,   /* of a reading in parts */
    ARENA_SIZE = 64 << 10,
    DEFLATER_ARENA_SIZE = 512 << 10,
    ROUND_TRIPS = 64, /* one input of so many is compressed: it costs more than all the rest */
};

static const struct ws_limits tight = {.frame_size_max = FRAME_MAX,
                                       .message_size_max = MESSAGE_MAX};
static const struct ws_limits roomy = {.frame_size_max = PLAIN_MAX, .message_size_max = PLAIN_MAX};

/* Memory for zlib that costs nothing to get. */
struct arena {
    size_t used, size;
    char *memory;
};

struct reading {
    struct ws ws;
    uint64_t meaning;
    size_t message_count;
    uint16_t code; /* of the refusal; 0: none */
    bool closed;
    char message[MESSAGE_MAX + 1]; /* the one that is being told */
    size_t message_size;
    char *plain; /* all of it in plain form, or NULL when nobody asks for it */
    size_t plain_size;
    struct ws_deflater *deflater; /* messages in plain form are compressed by it; or NULL */
};

/* On in every build, as in fuzz_h1.c. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static void *arena_allocate(void *user, size_t size)
{
    struct arena *arena = user;
    size = (size + 15) & ~(size_t)15;
    must(size <= arena->size - arena->used);
    arena->used += size;
    return arena->memory + arena->used - size;
}

static void arena_release(void *user, void *memory)
{
    (void)user;
    (void)memory;
}

static struct encoder_memory memory_of(struct arena *arena)
{
    return (struct encoder_memory){arena_allocate, arena_release, arena};
}

/* --- what was told ---------------------------------------------------------------------------- */

static void mean(struct reading *reading, uint64_t kind, struct slice bytes)
{
    uint64_t sum = (reading->meaning ^ kind) * UINT64_C(0x100000001b3);
    sum = (sum ^ bytes.size) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < bytes.size; i++)
        sum = (sum ^ (uint8_t)bytes.data[i]) * UINT64_C(0x100000001b3);
    reading->meaning = sum;
}

/* By its definition (RFC 3629 section 3), as plainly as possible. */
static bool is_utf8(struct slice text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < text.size;) {
        uint8_t first = (uint8_t)text.data[i++];
        size_t more = first < 0x80 ? 0 : first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : 3;
        uint32_t number = more == 0 ? first : first & (0x3fu >> more);
        if ((more == 0 && first >= 0x80) || (more == 3 && first >> 3 != 30))
            return false;
        for (size_t end = i + more; i < end; i++) {
            if (i >= text.size || ((uint8_t)text.data[i] & 0xc0) != 0x80)
                return false;
            number = number << 6 | ((uint8_t)text.data[i] & 0x3fu);
        }
        if (number < least[more] || number > 0x10ffff || (number >= 0xd800 && number < 0xe000))
            return false;
    }
    return true;
}

/* A frame of a client's: masked. */
static void write_frame(struct reading *reading, const struct ws_frame *frame, const char *payload)
{
    char head[WS_HEAD_SIZE_MAX];
    uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    size_t size = ws_write_head(head, frame);
    if (reading->plain == NULL || reading->plain_size > PLAIN_MAX)
        return;
    if (reading->plain_size + size + sizeof mask + frame->size > PLAIN_MAX) {
        reading->plain_size = PLAIN_MAX + 1;
        return;
    }
    char *at = reading->plain + reading->plain_size;
    memcpy(at, head, size);
    at[1] = (char)(at[1] | 0x80);
    memcpy(at + size, mask, sizeof mask);
    ws_unmask(at + size + sizeof mask, payload, (size_t)frame->size, mask);
    reading->plain_size += size + sizeof mask + (size_t)frame->size;
}

static void write_message(struct reading *reading, enum ws_opcode kind)
{
    char packed[2 * MESSAGE_MAX + WS_DEFLATE_ROOM_MIN];
    struct slice message = {reading->message, reading->message_size};
    struct ws_frame frame = {.opcode = kind, .size = message.size};
    if (reading->deflater == NULL || message.size == 0) {
        write_frame(reading, &frame, message.data);
        return;
    }
    struct encoder_step step = {
        .input = message, .goal = ENCODER_FLUSH, .out = packed, .size = sizeof packed};
    int64_t size = ws_deflate(reading->deflater, &step);
    must(size >= WS_TAIL_SIZE && step.done);
    must(memcmp(packed + size - WS_TAIL_SIZE, "\0\0\xff\xff", WS_TAIL_SIZE) == 0);
    frame.compressed = true;
    frame.size = (uint64_t)(size - WS_TAIL_SIZE);
    write_frame(reading, &frame, packed);
}

static void take_data(struct reading *reading, const struct ws_news *news)
{
    must(news->kind == WS_TEXT || news->kind == WS_BINARY);
    must(news->bytes.size > 0 || news->end);
    must(reading->message_size + news->bytes.size <= MESSAGE_MAX);
    if (news->bytes.size > 0)
        memcpy(reading->message + reading->message_size, news->bytes.data, news->bytes.size);
    reading->message_size += news->bytes.size;
    if (!news->end)
        return;
    struct slice message = {reading->message, reading->message_size};
    must(news->kind != WS_TEXT || is_utf8(message));
    must(!ws_mid_message(&reading->ws));
    mean(reading, news->kind, message);
    write_message(reading, news->kind);
    reading->message_size = 0;
    reading->message_count++;
}

static void take_control(struct reading *reading, enum ws_opcode opcode, struct slice bytes)
{
    struct ws_frame frame = {.opcode = opcode, .size = bytes.size};
    must(bytes.size <= WS_CONTROL_SIZE_MAX);
    mean(reading, opcode, bytes);
    write_frame(reading, &frame, bytes.data);
}

static void take_close(struct reading *reading, const struct ws_news *news)
{
    char frame[WS_CONTROL_FRAME_MAX];
    must(news->code == WS_NO_CODE || (news->code >= 1000 && news->code < 5000));
    must(is_utf8(news->bytes));
    size_t size = ws_write_close(frame, news->code, news->bytes);
    must(size == 2u + (news->code != WS_NO_CODE ? 2 : 0) + news->bytes.size);
    take_control(reading, WS_OP_CLOSE, (struct slice){frame + 2, size - 2});
    reading->closed = true;
}

static void take(struct reading *reading, enum ws_event event, const struct ws_news *news)
{
    switch (event) {
    case WS_DATA:
        take_data(reading, news);
        break;
    case WS_PING:
    case WS_PONG:
        take_control(reading, event == WS_PING ? WS_OP_PING : WS_OP_PONG, news->bytes);
        break;
    case WS_CLOSE:
        take_close(reading, news);
        break;
    case WS_ERROR:
        must(news->code >= 1002 && news->code == reading->ws.error_code);
        must(reading->ws.error_text != NULL && !reading->closed);
        reading->code = news->code;
        break;
    case WS_NEED_DATA:
    case WS_NEED_ROOM:
        break;
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

/* `step`: 0 for all at once and room for everything, else a seed of parts of 1 to `step` bytes, and
 * of rooms, with none at all before each. */
static void read_all(struct reading *reading, struct slice input, size_t step)
{
    static char room_memory[MESSAGE_MAX + 1];
    size_t offered = 0, random = step, room = step == 0 ? MESSAGE_MAX + 1 : 0;
    enum ws_event event = WS_NEED_DATA;
    struct slice window = {input.data, 0};
    while (event != WS_ERROR && (offered < input.size || window.size > 0)) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t more = step == 0 ? input.size : 1 + (random >> 33) % step;
        more = size_min(more, input.size - offered);
        window.size += more;
        offered += more;
        do {
            struct ws_news news;
            struct slice before = window;
            event = ws_next(&reading->ws, &window, (struct ws_room){room_memory, room}, &news);
            must(window.data + window.size == before.data + before.size);
            must(news.bytes.size == 0 || event != WS_DATA || news.bytes.data == room_memory);
            must(event != WS_DATA || news.bytes.size <= room);
            must(event != WS_NEED_ROOM || step != 0);
            if (step != 0)
                room = event == WS_NEED_ROOM ? 1 + (random >> 33) % ROOM_MAX : 0;
            take(reading, event, &news);
        } while (event != WS_NEED_DATA && event != WS_ERROR);
        must(event == WS_ERROR || window.size == 0);
    }
}

static void begin(struct reading *reading, const struct ws_limits *limits,
                  struct ws_inflater *inflater)
{
    reading->meaning = 0;
    reading->message_count = reading->message_size = reading->plain_size = 0;
    reading->code = 0;
    reading->closed = false;
    reading->plain = NULL;
    reading->deflater = NULL;
    ws_init(&reading->ws, limits, inflater);
}

static uint8_t bits_of(uint8_t setting)
{
    return (uint8_t)(WS_BITS_MIN + (setting >> 1) % 8);
}

static struct ws_inflater *open_inflater(uint8_t setting, struct arena *arena)
{
    static struct ws_inflater inflater;
    struct encoder_memory memory = memory_of(arena);
    arena->used = 0;
    if ((setting & 1) == 0)
        return NULL;
    ws_inflater_init(&inflater, bits_of(setting), &memory);
    return &inflater;
}

/* What was written down, plainly or compressed, says the same. */
static void read_again(const struct reading *whole, struct ws_inflater *inflater)
{
    static struct reading again;
    if (whole->plain_size > PLAIN_MAX)
        return;
    begin(&again, &roomy, inflater);
    read_all(&again, (struct slice){whole->plain, whole->plain_size}, 0);
    must(again.code == 0 && again.meaning == whole->meaning);
    must(again.message_count == whole->message_count && again.closed == whole->closed);
}

/* A client that refers to what lies further back than its window, as it was agreed, is refused only
 * when that is not at hand by chance: zlib looks back into what it wrote in the same call. */
static bool is_by_chance(uint8_t setting, const struct reading *a, const struct reading *b)
{
    bool refused = a->code == WS_NOT_CONSISTENT || b->code == WS_NOT_CONSISTENT;
    return (setting & 1) != 0 && bits_of(setting) < WS_BITS_MAX && refused;
}

static void must_agree(const struct reading *a, const struct reading *b)
{
    must(a->meaning == b->meaning && a->code == b->code);
    must(a->message_count == b->message_count && a->closed == b->closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 1, 3, 7, 40};
    static struct reading whole, parts;
    static char plain[PLAIN_MAX], memory[ARENA_SIZE], deflater_memory[DEFLATER_ARENA_SIZE];
    struct arena arena = {.memory = memory, .size = sizeof memory};
    struct arena deflater_arena = {.memory = deflater_memory, .size = sizeof deflater_memory};
    struct encoder_memory for_deflater = memory_of(&deflater_arena);
    struct ws_deflater deflater;
    if (size == 0)
        return 0;
    struct slice input = {(const char *)data + 1, size - 1};
    begin(&whole, &tight, open_inflater(data[0], &arena));
    whole.plain = plain;
    bool compress = data[size - 1] % ROUND_TRIPS == 0;
    if (compress) {
        ws_deflater_init(&deflater, bits_of(data[0]), &for_deflater);
        whole.deflater = &deflater;
    }
    read_all(&whole, input, 0);
    begin(&parts, &tight, open_inflater(data[0], &arena));
    read_all(&parts, input, steps[(whole.meaning ^ size) % COUNT_OF(steps)]);
    if (!is_by_chance(data[0], &whole, &parts))
        must_agree(&whole, &parts);
    read_again(&whole, open_inflater(compress ? data[0] | 1 : 0, &arena));
    return 0;
}
