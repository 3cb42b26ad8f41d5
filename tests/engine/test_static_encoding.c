/* SPDX-License-Identifier: MIT
 * Precompressed siblings: who gets which, what the answer says of it, and which are not used. */
#include "static_ask.h"

enum { PLAIN = 1 << STATIC_PLAIN, BR = 1 << STATIC_BROTLI, ZSTD = 1 << STATIC_ZSTD };
enum { GZIP = 1 << STATIC_GZIP, EVERY = BR | ZSTD | GZIP };

static void test_choice(void)
{
    static const struct {
        const char *accepts;
        int there;
        enum static_encoding expected;
    } cases[] = {
        {"", EVERY, STATIC_PLAIN},
        {"gzip", EVERY, STATIC_GZIP},
        {"gzip, deflate, br, zstd", EVERY, STATIC_BROTLI},
        {"gzip, deflate, br, zstd", ZSTD | GZIP, STATIC_ZSTD},
        {"gzip, deflate, br, zstd", GZIP, STATIC_GZIP},
        {"gzip, deflate, br, zstd", 0, STATIC_PLAIN},
        {"GZip", EVERY, STATIC_GZIP},
        {"x-gzip", EVERY, STATIC_GZIP},
        {"gzip;q=1, br;q=0.5", EVERY, STATIC_GZIP},
        {"gzip; q=0.5 , br ; q=0.7", EVERY, STATIC_BROTLI},
        {"br;q=0, gzip", EVERY, STATIC_GZIP},
        {"gzip;q=0", GZIP, STATIC_PLAIN},
        {"gzip;q=0.0", GZIP, STATIC_PLAIN},
        {"gzip;q=0.001", GZIP, STATIC_GZIP},
        {"gzip;Q=0.5", GZIP, STATIC_GZIP},
        {"gzip;q=1.000", GZIP, STATIC_GZIP},
        {"gzip;q=1.5", GZIP, STATIC_PLAIN}, /* not valid: not certain, so not sent */
        {"gzip;q=-1", GZIP, STATIC_PLAIN},
        {"gzip;q=x", GZIP, STATIC_PLAIN},
        {"gzip;q=", GZIP, STATIC_PLAIN},
        {"gzip;q=0.1234", GZIP, STATIC_PLAIN},
        {"*", EVERY, STATIC_BROTLI},
        {"*;q=0", EVERY, STATIC_PLAIN},
        {"*, br;q=0", EVERY, STATIC_ZSTD},
        {"gzip, *;q=0", EVERY, STATIC_GZIP},
        {"identity", EVERY, STATIC_PLAIN},
        {"identity, gzip;q=0.5", GZIP, STATIC_PLAIN},
        {"identity;q=0.5, gzip", GZIP, STATIC_GZIP},
        {"identity, gzip", GZIP, STATIC_GZIP},
        {"identity;q=0, gzip", GZIP, STATIC_GZIP},
        {"identity;q=0", GZIP, STATIC_PLAIN}, /* nothing will do: better this than a 406 */
        {"gzipx", GZIP, STATIC_PLAIN},
        {"gzi", GZIP, STATIC_PLAIN},
        {",,gzip,,", GZIP, STATIC_GZIP},
        {";q=1", GZIP, STATIC_PLAIN},
        {",", GZIP, STATIC_PLAIN},
        {"\tgzip\t", GZIP, STATIC_GZIP},
        {"deflate", EVERY, STATIC_PLAIN},
        {"gzip/deflate", GZIP, STATIC_GZIP}, /* several fields are one list */
        {"gzip;q=0.1/br", GZIP | 1 << STATIC_BROTLI, STATIC_BROTLI},
        {"br/br;q=0", EVERY, STATIC_PLAIN},
    };
    struct static_entry *const entry = (struct static_entry *)&cases; /* never looked into */
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct static_entry *there[STATIC_ENCODINGS] = {entry};
        for (int encoding = STATIC_BROTLI; encoding < STATIC_ENCODINGS; encoding++)
            if ((cases[i].there & 1 << encoding) != 0)
                there[encoding] = entry;
        struct http_request request = site_accepting(cases[i].accepts);
        OK(static_choose(&request, there) == cases[i].expected, "Accept-Encoding: '%s'",
           cases[i].accepts);
    }
}

static void ask(struct site *site, const char *path, const char *accepts, struct asked *asked)
{
    struct static_target target = site_resolve_for(site, path, accepts);
    site_must(target.kind == STATIC_FILE, path);
    ask_entry(site, target.entry, HTTP_GET, "", asked);
    asked->answer.content = NULL; /* it goes with the entry; the body is a copy */
    static_release(target.entry);
}

static void check(struct site *site, const char *accepts, const char *body, const char *coding)
{
    struct asked asked;
    struct static_target target = site_resolve_for(site, "/app.js", accepts);
    ask_entry(site, target.entry, HTTP_GET, "", &asked);
    OK(asked.size == strlen(body) && memcmp(asked.body, body, asked.size) == 0, "%s gets %s",
       accepts, body);
    OK(has(&asked, "Content-Encoding", coding), "and is told so");
    OK(has(&asked, "Content-Type", "text/javascript; charset=utf-8"),
       "the type is the one of the file");
    OK(has(&asked, "Vary", "Accept-Encoding"), "and every answer says that others may differ");
    static_release(target.entry);
}

static void test_siblings(struct site *site)
{
    site_put(site, "root/app.js", "plain");
    site_put(site, "root/app.js.br", "brotli");
    site_put(site, "root/app.js.zst", "zstd");
    site_put(site, "root/app.js.gz", "gzip");
    check(site, "", "plain", "");
    check(site, "br", "brotli", "br");
    check(site, "zstd", "zstd", "zstd");
    check(site, "gzip", "gzip", "gzip");
}

static void test_tags_differ(struct site *site)
{
    static const char *const accepts[] = {"", "br", "zstd", "gzip"};
    struct static_target targets[4];
    for (size_t i = 0; i < 4; i++)
        site_replace(site,
                     i == 0   ? "root/same.js"
                     : i == 1 ? "root/same.js.br"
                     : i == 2 ? "root/same.js.zst"
                              : "root/same.js.gz",
                     "the very same bytes");
    for (size_t i = 0; i < 4; i++)
        targets[i] = site_resolve_for(site, "/same.js", accepts[i]);
    bool differ = true;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = i + 1; j < 4; j++)
            differ &= !slice_equals(targets[i].entry->tag, targets[j].entry->tag);
    OK(differ, "each encoding has a tag of its own, even of the same bytes");
    struct asked asked;
    char fields[128];
    snprintf(fields, sizeof fields, "If-None-Match: %s\n", targets[0].entry->tag.data);
    ask_entry(site, targets[3].entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 200, "the tag of one is not known for another");
    snprintf(fields, sizeof fields, "If-None-Match: %s\n", targets[3].entry->tag.data);
    ask_entry(site, targets[3].entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 304 && has(&asked, "Vary", "Accept-Encoding"), "a 304 varies too");
    ask_entry(site, targets[3].entry, HTTP_GET, "Range: bytes=0-2\n", &asked);
    OK(asked.answer.status == 206 && has(&asked, "Content-Encoding", "gzip") && asked.size == 3,
       "a range is one of the encoded bytes");
    for (size_t i = 0; i < 4; i++)
        static_release(targets[i].entry);
}

/* What `path` is sent as to somebody who takes everything. */
static void check_body(struct site *site, const char *path, const char *body, const char *name)
{
    struct asked asked;
    ask(site, path, "br, zstd, gzip", &asked);
    OK(asked.size == strlen(body) && memcmp(asked.body, body, asked.size) == 0, "%s", name);
}

static void test_changes(struct site *site)
{
    struct asked asked;
    site_put(site, "root/late.css", "plain");
    check_body(site, "/late.css", "plain", "without siblings it is the file");
    ask(site, "/late.css", "br", &asked);
    OK(!has(&asked, "Vary", "Accept-Encoding"), "and nothing varies");
    site_put(site, "root/late.css.gz", "packed");
    site->now_ns += STATIC_SIBLINGS_FRESH_NS;
    check_body(site, "/late.css", "packed", "a sibling that appears is used");
    ask(site, "/late.css", "", &asked);
    OK(has(&asked, "Vary", "Accept-Encoding"), "and from then on it varies");
    site_put(site, "root/late.css", "newer");
    site_set_time(site, "root/late.css.gz", DATE_SECONDS);
    site->now_ns += STATIC_FRESH_NS;
    check_body(site, "/late.css", "newer", "a sibling older than the file was made of another");
    site_set_time(site, "root/late.css", DATE_SECONDS);
    site->now_ns += STATIC_FRESH_NS;
    check_body(site, "/late.css", "packed", "one of the same second was not");
    site_remove(site, "root/late.css.gz");
    site->now_ns += STATIC_FRESH_NS;
    check_body(site, "/late.css", "newer", "one that is gone is not used");
    site_remove(site, "root/late.css");
    site_put(site, "root/late.css.gz", "packed");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/late.css", "missing", "and one alone stands for nothing");
    site_check(site, "/late.css.gz", "file packed", "but for itself");
    ask(site, "/late.css.gz", "gzip", &asked);
    OK(has(&asked, "Content-Type", "application/gzip") && has(&asked, "Content-Encoding", ""),
       "which is an archive, not an encoding");
}

/* The plain file of a route, made one whose time stamps can be trusted. */
static void settle(struct site *site, const char *path)
{
    struct static_target target = site_resolve(site, path);
    target.entry->settled = true;
    static_release(target.entry);
}

static void test_siblings_are_looked_for_less_often(struct site *site)
{
    site_put(site, "root/calm.js", "plain");
    check_body(site, "/calm.js", "plain", "an old file without siblings");
    settle(site, "/calm.js");
    site_put(site, "root/calm.js.br", "packed");
    site->now_ns += STATIC_SIBLINGS_FRESH_NS - 1;
    check_body(site, "/calm.js", "plain", "has none for a second");
    site->now_ns += STATIC_FRESH_NS;
    check_body(site, "/calm.js", "packed", "then it is seen");
    site_remove(site, "root/calm.js.br");
    site->now_ns += STATIC_FRESH_NS;
    check_body(site, "/calm.js", "packed", "as long as one that is gone is sent");
    site_put(site, "root/calm.js", "newer");
    site->now_ns += STATIC_FRESH_NS;
    check_body(site, "/calm.js", "newer", "but never of a file that has changed");
}

static void test_what_is_no_sibling(struct site *site)
{
    site_put(site, "root/odd.txt", "plain");
    site_put(site, "root/odd.txt.br/index.html", "a folder");
    site_put(site, "root/odd.txt.zst", "");
    site_put(site, "outside.gz", "outside");
    site_link(site, "../outside.gz", "root/odd.txt.gz");
    check_body(site, "/odd.txt", "plain", "no folder, nothing empty, nothing from outside");
    site_put(site, "root/odder.txt", "plain");
    site_put(site, "root/source.php", "<?php");
    site_link(site, "source.php", "root/odder.txt.gz");
    check_body(site, "/odder.txt", "plain", "and no source by way of a symlink");
    site_put(site, "root/folder/index.html", "index");
    site_put(site, "root/folder/index.html.br", "packed index");
    check_body(site, "/folder/", "packed index", "an index has siblings");
    site->options.precompressed = false;
    site_open(site);
    check_body(site, "/app.js", "plain", "when they are switched off nobody looks for them");
}

int main(void)
{
    struct site site;
    test_choice();
    ask_init(&site);
    site.options.precompressed = true;
    site_open(&site);
    test_siblings(&site);
    test_tags_differ(&site);
    test_changes(&site);
    test_siblings_are_looked_for_less_often(&site);
    test_what_is_no_sibling(&site);
    site_close(&site);
    return TAP_END();
}
