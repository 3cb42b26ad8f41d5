/* SPDX-License-Identifier: MIT
 * Content codings, against the decoders of their libraries: what goes in comes out, however it is
 * cut; everything before a flush can be decoded; memory that runs out is told. */
#include <brotli/decode.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "proto/encoding.h"
#include "tap.h"

enum { PLAIN_MAX = 1 << 20, CODED_MAX = PLAIN_MAX + 65536 };

static char plain[PLAIN_MAX], coded[CODED_MAX], decoded[CODED_MAX];

/* Memory that is counted, and that is out at the `countdown`th time. */
static size_t used, peak, blocks;
static int countdown = -1;

static void *allocate(void *user, size_t size)
{
    (void)user;
    if (countdown >= 0 && countdown-- == 0)
        return NULL;
    size_t *memory = malloc(size + 16);
    if (memory == NULL)
        return NULL;
    *memory = size;
    used += size;
    blocks++;
    if (used > peak)
        peak = used;
    return (char *)memory + 16;
}

static void release(void *user, void *memory)
{
    (void)user;
    if (memory == NULL)
        return;
    size_t *block = (size_t *)(void *)((char *)memory - 16);
    used -= *block;
    blocks--;
    free(block);
}

static const struct encoder_memory memory = {allocate, release, NULL};

/* Words, so that there is something to find; `seed` makes it another text. */
static void write_plain(size_t size, unsigned seed)
{
    static const char *const words[] = {"<p>", "class=", "the ", "request", "\n", "0123", "é", "x"};
    for (size_t i = 0; i < size;) {
        seed = seed * 1103515245 + 12345;
        const char *word = words[seed >> 16 & 7];
        while (*word != '\0' && i < size)
            plain[i++] = *word++;
    }
}

static size_t gunzip(size_t size)
{
    z_stream stream = {.next_in = (Bytef *)coded, .avail_in = (unsigned)size};
    stream.next_out = (Bytef *)decoded;
    stream.avail_out = sizeof decoded;
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return 0;
    inflate(&stream, Z_SYNC_FLUSH);
    size_t total = stream.total_out;
    inflateEnd(&stream);
    return total;
}

static size_t unbrotli(size_t size)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    const uint8_t *in = (const uint8_t *)coded;
    uint8_t *out = (uint8_t *)decoded;
    size_t room = sizeof decoded, total = 0;
    BrotliDecoderDecompressStream(state, &size, &in, &room, &out, &total);
    BrotliDecoderDestroyInstance(state);
    return total;
}

static size_t unzstd(size_t size)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {coded, size, 0};
    ZSTD_outBuffer out = {decoded, sizeof decoded, 0};
    size_t result = 1;
    while (in.pos < in.size && !ZSTD_isError(result))
        result = ZSTD_decompressStream(stream, &out, &in);
    ZSTD_freeDStream(stream);
    return out.pos;
}

/* Does what has been coded so far give the first `size` bytes of the text? */
static bool decodes(enum encoding encoding, size_t coded_size, size_t size)
{
    size_t got = encoding == ENCODING_GZIP     ? gunzip(coded_size)
                 : encoding == ENCODING_BROTLI ? unbrotli(coded_size)
                                               : unzstd(coded_size);
    return got == size && memcmp(decoded, plain, size) == 0;
}

/* Run to the goal with `room` bytes at a time; returns the new size of coded[], or -errno. */
static int64_t run(struct encoder *encoder, struct encoder_step *step, size_t room, size_t at)
{
    for (step->done = false; !step->done;) {
        step->out = coded + at;
        step->size = size_min(room, sizeof coded - at);
        int64_t written = encoder_run(encoder, step);
        if (written < 0)
            return written;
        at += (size_t)written;
    }
    return (int64_t)at;
}

static int64_t encode(struct encoder *encoder, size_t size, size_t chunk, size_t room)
{
    size_t at = 0;
    for (size_t from = 0; from < size; from += chunk) {
        struct encoder_step step = {{plain + from, size_min(chunk, size - from)}, .goal = 0};
        int64_t result = run(encoder, &step, room, at);
        if (result < 0)
            return result;
        at = (size_t)result;
    }
    struct encoder_step end = {.input = SLICE(""), .goal = ENCODER_END};
    return run(encoder, &end, room, at);
}

static void test_every_chunking(enum encoding encoding)
{
    static const size_t sizes[] = {0, 1, 63, 1000, 65536, 262144, PLAIN_MAX};
    static const size_t chunks[] = {1, 7, 1000, 65536, PLAIN_MAX};
    static const size_t rooms[] = {ENCODER_ROOM_MIN, 1000, 16384};
    struct encoder encoder;
    OK(encoder_open(&encoder, encoding, &memory) == 0, "%s opens", encoding_names[encoding].data);
    for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(chunks) * COUNT_OF(rooms); i++) {
        size_t size = sizes[i % COUNT_OF(sizes)];
        size_t chunk = chunks[i / COUNT_OF(sizes) % COUNT_OF(chunks)];
        size_t room = rooms[i / COUNT_OF(sizes) / COUNT_OF(chunks)];
        if (size > 65536 && chunk < 1000)
            continue; /* the same, for longer */
        write_plain(size, (unsigned)i);
        int begun = encoder_begin(&encoder, i % 2 == 0 ? (int64_t)size : -1);
        int64_t coded_size = begun < 0 ? begun : encode(&encoder, size, chunk, room);
        OK(coded_size > 0 && decodes(encoding, (size_t)coded_size, size) &&
               (size < 1000 || (size_t)coded_size < size / 2),
           "%s: %zu bytes by %zu, %zu at a time", encoding_names[encoding].data, size, chunk, room);
    }
    encoder_close(&encoder);
    OK(used == 0 && blocks == 0, "%s: all memory is back", encoding_names[encoding].data);
}

static void test_flush(enum encoding encoding)
{
    struct encoder encoder;
    size_t at = 0, size = 0;
    bool good = true;
    write_plain(100000, 5);
    encoder_open(&encoder, encoding, &memory);
    encoder_begin(&encoder, -1);
    for (size_t i = 1; i <= 40; i++) {
        struct encoder_step step = {{plain + size, i * 37}, .goal = ENCODER_MORE};
        at = (size_t)run(&encoder, &step, ENCODER_ROOM_MIN + i, at);
        size += i * 37;
        struct encoder_step flush = {.input = SLICE(""), .goal = ENCODER_FLUSH};
        at = (size_t)run(&encoder, &flush, ENCODER_ROOM_MIN + i, at);
        good &= decodes(encoding, at, size);
    }
    OK(good, "%s: what was flushed can be decoded", encoding_names[encoding].data);
    size_t before = at;
    for (int i = 0; i < 10; i++) {
        struct encoder_step flush = {.input = SLICE(""), .goal = ENCODER_FLUSH};
        at = (size_t)run(&encoder, &flush, ENCODER_ROOM_MIN, at);
    }
    OK(at - before <= 60 && decodes(encoding, at, size), "%s: to flush nothing costs little",
       encoding_names[encoding].data);
    encoder_close(&encoder);
}

/* Bytes without any order are the worst that can come. */
static void test_noise(enum encoding encoding)
{
    struct encoder encoder;
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof plain; i++) {
        seed = seed * 1664525 + 1013904223;
        plain[i] = (char)(seed >> 24);
    }
    used = peak = 0;
    encoder_open(&encoder, encoding, &memory);
    encoder_begin(&encoder, -1);
    int64_t size = encode(&encoder, sizeof plain, 5000, 4096);
    OK(size > 0 && (size_t)size < sizeof plain + 8192 &&
           decodes(encoding, (size_t)size, sizeof plain),
       "%s: noise hardly grows", encoding_names[encoding].data);
    size_t own = encoding == ENCODING_ZSTD ? ZSTD_sizeof_CCtx(encoder.state) : 0;
    OK(peak + own > 0 && peak + own <= ENCODER_MEMORY_MAX, "%s: %zu bytes are within the limit",
       encoding_names[encoding].data, peak + own);
    encoder_close(&encoder);
}

/* Every allocation fails in turn. */
static void test_memory(enum encoding encoding)
{
    int failed = 0;
    bool good = true, whole = false;
    write_plain(200000, 9);
    for (int nth = 0; nth < 100 && !whole; nth++) {
        struct encoder encoder;
        countdown = nth;
        int64_t result = encoder_open(&encoder, encoding, &memory);
        if (result == 0)
            result = encoder_begin(&encoder, -1);
        if (result == 0)
            result = encode(&encoder, 200000, 10000, 4096);
        whole = countdown >= 0;
        countdown = -1;
        failed += result == -ENOMEM;
        good &= result == -ENOMEM || (result > 0 && decodes(encoding, (size_t)result, 200000));
        encoder_close(&encoder);
        good &= used == 0 && blocks == 0;
    }
    OK(good && whole && failed >= 2, "%s: %d allocations fail, and it says so",
       encoding_names[encoding].data, failed);
}

int main(void)
{
    static const enum encoding all[] = {ENCODING_GZIP, ENCODING_BROTLI, ENCODING_ZSTD};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        test_every_chunking(all[i]);
        test_flush(all[i]);
        test_noise(all[i]);
        if (all[i] != ENCODING_ZSTD) /* its memory is its own: test_encoding_faults.c */
            test_memory(all[i]);
    }
    struct encoder encoder;
    OK(!encoding_built(ENCODING_NONE) && encoder_open(&encoder, ENCODING_NONE, &memory) == -ENOSYS,
       "none is no coding");
    return TAP_END();
}
