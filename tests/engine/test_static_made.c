/* SPDX-License-Identifier: MIT
 * Compressed forms of files that have no sibling: when they are made, who gets them, what is said
 * of them, and when they are forgotten. The encoder is the test's: it writes its coding's number.
 */
#include "static_ask.h"

enum { MADE_SIZE = 400, TEXT_SIZE = 2000 };

struct maker {
    struct static_encoder encoder;
    int64_t size; /* what encode() says */
    int calls;
};

static bool is_text(void *user, struct slice type, int64_t size)
{
    (void)user;
    return size >= 1000 && type.size > 5 && memcmp(type.data, "text/", 5) == 0;
}

static enum encoding choose(void *user, const struct http_request *request)
{
    struct accept_encoding accept;
    (void)user;
    accept_encoding_of(request, &accept);
    return accept_encoding_weight(&accept, ENCODING_GZIP) > 0     ? ENCODING_GZIP
           : accept_encoding_weight(&accept, ENCODING_BROTLI) > 0 ? ENCODING_BROTLI
                                                                  : ENCODING_NONE;
}

static int64_t encode(void *user, enum encoding encoding, struct slice content, char *out,
                      size_t size)
{
    struct maker *maker = user;
    maker->calls++;
    site_must(size == content.size - content.size / STATIC_ENCODE_GAIN, "room");
    if (maker->size > 0)
        memset(out, '0' + (int)encoding, (size_t)maker->size);
    return maker->size;
}

static struct maker maker;

static void put_text(const struct site *site, const char *name, char letter)
{
    char text[TEXT_SIZE];
    memset(text, letter, sizeof text);
    site_put_bytes(site, name, text, sizeof text);
}

/* Its first byte and its size. */
static bool sends(struct site *site, const char *path, const char *accepts, char first,
                  int64_t size)
{
    struct static_target target = site_resolve_for(site, path, accepts);
    site_must(target.kind == STATIC_FILE, path);
    bool good = target.entry->content[0] == first && target.entry->size == size;
    static_release(target.entry);
    return good;
}

/* As if the file had been written long ago. Of somebody who takes it as it is. */
static void settle(struct site *site, const char *path)
{
    struct static_target target = site_resolve(site, path);
    target.entry->settled = true;
    static_release(target.entry);
}

static void begin(struct site *site)
{
    maker = (struct maker){{&maker, is_text, choose, encode}, MADE_SIZE, 0};
    site_init(site);
    site->options.encoder = &maker.encoder;
    put_text(site, "root/a.txt", 'a');
    put_text(site, "root/a.bin", 'b');
    site_put(site, "root/small.txt", "small");
    site_open(site);
}

static void test_it_is_made_when_it_is_asked_for_again(void)
{
    struct site site;
    begin(&site);
    OK(sends(&site, "/a.txt", "gzip", 'a', TEXT_SIZE) && sends(&site, "/a.txt", "gzip", 'a', 2000),
       "one that was only just written goes as it is");
    settle(&site, "/a.txt");
    OK(sends(&site, "/a.txt", "gzip", 'a', TEXT_SIZE) && maker.calls == 0, "so does a first one");
    OK(sends(&site, "/a.txt", "gzip", '3', MADE_SIZE) && maker.calls == 1, "the second is made");
    OK(sends(&site, "/a.txt", "gzip", '3', MADE_SIZE) && maker.calls == 1, "... once");
    OK(sends(&site, "/a.txt", "br", '1', MADE_SIZE) && maker.calls == 2, "... for each coding");
    OK(sends(&site, "/a.txt", "", 'a', TEXT_SIZE), "who takes none gets the file");
    OK(sends(&site, "/a.txt", "zstd", 'a', TEXT_SIZE), "... as who takes another");
    site.now_ns += 2 * STATIC_SIBLINGS_FRESH_NS;
    OK(sends(&site, "/a.txt", "gzip", '3', MADE_SIZE) && maker.calls == 2,
       "a look at the disk that finds nothing new keeps it");
    for (int i = 0; i < 3; i++)
        OK(sends(&site, "/a.bin", "gzip", 'b', TEXT_SIZE) &&
               sends(&site, "/small.txt", "gzip", 's', 5) && maker.calls == 2,
           "what is no text, or small, goes as it is");
    site_close(&site);
}

static void test_what_is_said_of_it(void)
{
    struct site site;
    struct asked asked;
    char fields[128];
    begin(&site);
    settle(&site, "/a.txt");
    struct static_target plain = site_resolve_for(&site, "/a.txt", "gzip");
    struct static_target made = site_resolve_for(&site, "/a.txt", "gzip");
    ask_entry(&site, plain.entry, HTTP_GET, "", &asked);
    OK(has(&asked, "Vary", "Accept-Encoding") && has(&asked, "Content-Encoding", ""),
       "the file itself varies");
    ask_entry(&site, made.entry, HTTP_GET, "", &asked);
    OK(has(&asked, "Vary", "Accept-Encoding") && has(&asked, "Content-Encoding", "gzip") &&
           has(&asked, "Content-Type", "text/plain; charset=utf-8") &&
           asked.answer.content_length == MADE_SIZE && asked.size == MADE_SIZE,
       "and so does what is made of it");
    OK(slice_equals(value_of(&asked, "Last-Modified"), plain.entry->date), "it is as old");
    OK(!slice_equals(made.entry->tag, plain.entry->tag), "it has a tag of its own");
    snprintf(fields, sizeof fields, "If-None-Match: %s\n", made.entry->etag_text + 2);
    ask_entry(&site, made.entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 304, "which validates it");
    ask_entry(&site, made.entry, HTTP_GET, "Range: bytes=0-2\n", &asked);
    OK(asked.answer.status == 206 && asked.size == 3 && has(&asked, "Content-Encoding", "gzip"),
       "a range is one of what is made");
    static_release(plain.entry);
    static_release(made.entry);
    site_close(&site);
}

static void test_when_it_is_not_made(void)
{
    struct site site;
    begin(&site);
    settle(&site, "/a.txt");
    maker.size = -EAGAIN;
    for (int i = 0; i < 3; i++)
        OK(sends(&site, "/a.txt", "gzip", 'a', TEXT_SIZE), "not now: the file");
    OK(maker.calls == 2, "it is tried again each time");
    maker.size = 0;
    for (int i = 0; i < 3; i++)
        OK(sends(&site, "/a.txt", "gzip", 'a', TEXT_SIZE), "too little saved: the file");
    OK(maker.calls == 3, "it is not tried again");
    maker.size = MADE_SIZE;
    OK(sends(&site, "/a.txt", "br", '1', MADE_SIZE), "but another coding is");
    put_text(&site, "root/b.txt", 'b');
    settle(&site, "/b.txt");
    site.files->content_total += STATIC_CONTENT_TOTAL_MAX;
    OK(sends(&site, "/b.txt", "gzip", 'b', TEXT_SIZE) && sends(&site, "/b.txt", "gzip", 'b', 2000),
       "no more is made than the cache may hold");
    site.files->content_total -= STATIC_CONTENT_TOTAL_MAX;
    site_close(&site);
}

static void test_it_goes_with_its_file(void)
{
    struct site site;
    char text[TEXT_SIZE + 1] = "";
    begin(&site);
    site.options.precompressed = true;
    site_open(&site);
    settle(&site, "/a.txt");
    sends(&site, "/a.txt", "gzip", 'a', TEXT_SIZE);
    OK(sends(&site, "/a.txt", "gzip", '3', MADE_SIZE), "made");
    site_put(&site, "root/a.txt.gz", "sibling");
    site.now_ns += 2 * STATIC_SIBLINGS_FRESH_NS;
    OK(sends(&site, "/a.txt", "gzip", 's', 7), "a sibling takes its place");
    OK(sends(&site, "/a.txt", "br, gzip", 's', 7) && maker.calls == 1, "and that of the others");
    site_remove(&site, "root/a.txt.gz");
    memset(text, 'n', TEXT_SIZE);
    site_replace(&site, "root/a.txt", text);
    site.now_ns += 2 * STATIC_SIBLINGS_FRESH_NS;
    OK(sends(&site, "/a.txt", "gzip", 'n', TEXT_SIZE), "a new file is a new file");
    OK(site.files->content_total == TEXT_SIZE, "and nothing is left of the old one");
    site_close(&site);
}

int main(void)
{
    test_it_is_made_when_it_is_asked_for_again();
    test_what_is_said_of_it();
    test_when_it_is_not_made();
    test_it_goes_with_its_file();
    return TAP_END();
}
