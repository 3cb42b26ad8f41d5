/* SPDX-License-Identifier: MIT
 * What is said about a file: fields, dates, tags, types, and preconditions in the order of RFC 9110
 * section 13.2.2. */
#include <time.h>

#include "static_ask.h"

struct condition_case {
    const char *name, *fields; /* %s is the entry's tag */
    int status;
};

static const struct condition_case conditions[] = {
    {"nothing asked", "", 200},
    {"If-Match with the tag", "If-Match: %s\n", 200},
    {"If-Match with *", "If-Match: *\n", 200},
    {"If-Match with another tag", "If-Match: \"x\"\n", 412},
    {"If-Match with the tag in a list", "If-Match: \"x\", %s, \"y\"\n", 200},
    {"If-Match with the tag in a second line", "If-Match: \"x\"\nIf-Match: %s\n", 200},
    {"If-Match with the tag made weak", "If-Match: W/%s\n", 412},
    {"If-Match without a tag", "If-Match: x\n", 412},
    {"an empty If-Match", "If-Match: \n", 412},
    {"If-Match goes before If-Unmodified-Since",
     "If-Match: %s\nIf-Unmodified-Since: Sat, 05 Nov 1994 08:49:37 GMT\n", 200},
    {"If-Unmodified-Since the date", "If-Unmodified-Since: " DATE "\n", 200},
    {"If-Unmodified-Since later", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:38 GMT\n", 200},
    {"If-Unmodified-Since earlier", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\n", 412},
    {"If-Unmodified-Since no date", "If-Unmodified-Since: yesterday\n", 200},
    {"If-None-Match with the tag", "If-None-Match: %s\n", 304},
    {"if-none-match in small letters", "if-none-match: %s\n", 304},
    {"If-None-Match with *", "If-None-Match: *\n", 304},
    {"If-None-Match with the tag made weak", "If-None-Match: W/%s\n", 304},
    {"If-None-Match with another tag", "If-None-Match: \"x\"\n", 200},
    {"If-None-Match with a list", "If-None-Match: \"x\",\t%s\n", 304},
    {"If-None-Match with empty elements", "If-None-Match: ,, %s ,\n", 304},
    {"If-None-Match with the tag in a second line", "If-None-Match: \"x\"\nIf-None-Match: %s\n",
     304},
    {"If-None-Match without quotes", "If-None-Match: x\n", 200},
    {"If-None-Match with an open quote", "If-None-Match: \"x\n", 200},
    {"If-None-Match with a tag that holds a comma", "If-None-Match: \"a,b\", %s\n", 304},
    {"If-None-Match goes before If-Modified-Since",
     "If-None-Match: \"x\"\nIf-Modified-Since: " DATE "\n", 200},
    {"If-Modified-Since the date", "If-Modified-Since: " DATE "\n", 304},
    {"If-Modified-Since later", "If-Modified-Since: Mon, 07 Nov 1994 00:00:00 GMT\n", 304},
    {"If-Modified-Since earlier", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\n", 200},
    {"If-Modified-Since by RFC 850", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\n", 304},
    {"If-Modified-Since by asctime", "If-Modified-Since: Sun Nov  6 08:49:37 1994\n", 304},
    {"If-Modified-Since no date", "If-Modified-Since: now\n", 200},
    {"two If-Modified-Since", "If-Modified-Since: " DATE "\nIf-Modified-Since: " DATE "\n", 200},
    {"If-Match goes before If-None-Match", "If-Match: \"x\"\nIf-None-Match: %s\n", 412},
    {"all that hold together", "If-Match: %s\nIf-None-Match: %s\n", 304},
    {"a 304 goes before a range", "If-None-Match: %s\nRange: bytes=0-0\n", 304},
    {"a 412 goes before a range", "If-Match: \"x\"\nRange: bytes=0-0\n", 412},
};

static void test_conditions(struct site *site)
{
    struct static_entry *entry = entry_of(site, "/digits.txt");
    struct asked asked;
    char fields[512];
    for (size_t i = 0; i < COUNT_OF(conditions); i++) {
        size_t used = 0;
        for (const char *at = conditions[i].fields; *at != '\0'; at++) {
            if (at[0] == '%' && at[1] == 's') {
                memcpy(fields + used, entry->tag.data, entry->tag.size);
                used += entry->tag.size;
                at++;
            } else {
                fields[used++] = *at;
            }
        }
        fields[used] = '\0';
        ask_entry(site, entry, i % 2 == 0 ? HTTP_GET : HTTP_HEAD, fields, &asked);
        OK(asked.answer.status == conditions[i].status, "%s: %d", conditions[i].name,
           conditions[i].status);
    }
    static_release(entry);
}

static void test_fields(struct site *site)
{
    struct asked asked;
    struct static_entry *entry = entry_of(site, "/digits.txt");
    ask_entry(site, entry, HTTP_GET, "", &asked);
    OK(asked.answer.status == 200 && asked.answer.content_length == 10, "a file is all of it");
    OK(asked.size == 10 && memcmp(asked.body, "0123456789", 10) == 0, "byte for byte");
    OK(has(&asked, "Content-Type", "text/plain; charset=utf-8"), "it says its type");
    OK(has(&asked, "Last-Modified", DATE), "and its date");
    OK(has(&asked, "Accept-Ranges", "bytes"), "and that it has ranges");
    OK(slice_equals(value_of(&asked, "ETag"), entry->etag) && entry->etag.data[0] == '"',
       "and a strong tag");
    OK(value_of(&asked, "Vary").size == 0, "without siblings nothing varies");
    char fields[128];
    snprintf(fields, sizeof fields, "If-None-Match: %s\n", entry->etag.data);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 304 && asked.answer.content_length == -1 && asked.size == 0,
       "a 304 has no content and says no length");
    OK(asked.answer.field_count == 1 && slice_equals(value_of(&asked, "ETag"), entry->etag),
       "but the tag");
    ask_entry(site, entry, HTTP_GET, "If-Match: \"x\"\n", &asked);
    OK(asked.answer.content_length == 0 && asked.answer.content == NULL && asked.answer.fd == -1,
       "a 412 is empty");
    static_release(entry);
    entry = entry_of(site, "/empty.css");
    ask_entry(site, entry, HTTP_GET, "", &asked);
    OK(asked.answer.status == 200 && asked.answer.content_length == 0, "an empty file is empty");
    static_release(entry);
}

static void test_dates(struct site *site)
{
    struct asked asked;
    site_put(site, "root/epoch.txt", "reproducible");
    site_set_time(site, "root/epoch.txt", 1);
    struct static_entry *entry = entry_of(site, "/epoch.txt");
    ask_entry(site, entry, HTTP_GET, "If-Modified-Since: " DATE "\n", &asked);
    OK(asked.answer.status == 200 && value_of(&asked, "Last-Modified").size == 0,
       "the time of a reproducible build validates nothing");
    static_release(entry);
    site_put(site, "root/future.txt", "future");
    site_set_time(site, "root/future.txt", INT64_C(4102444800)); /* 2100 */
    entry = entry_of(site, "/future.txt");
    ask_entry(site, entry, HTTP_GET, "", &asked);
    struct slice date = value_of(&asked, "Last-Modified");
    int64_t seconds = 0;
    OK(date.size > 0 && static_date_read(date, &seconds) && seconds <= time(NULL),
       "nobody says that something will have been modified");
    static_release(entry);
}

/* Build systems, rsync and cp -p keep time stamps: the content decides. */
static void test_tags_follow_the_content(struct site *site)
{
    static const char *const versions[] = {"one", "two"};
    char tags[2][STATIC_ETAG_MAX];
    for (size_t i = 0; i < 2; i++) {
        site_replace(site, "root/version.txt", versions[i]);
        site_set_time(site, "root/version.txt", DATE_SECONDS);
        site->now_ns += STATIC_FRESH_NS;
        struct static_entry *entry = entry_of(site, "/version.txt");
        snprintf(tags[i], sizeof tags[i], "%s", entry->tag.data);
        static_release(entry);
    }
    OK(strcmp(tags[0], tags[1]) != 0, "the same size and time, another content: another tag");
    site_put(site, "root/copy.txt", "two");
    struct static_entry *entry = entry_of(site, "/copy.txt");
    OK(strcmp(entry->tag.data, tags[1]) == 0, "the same content elsewhere: the same tag");
    static_release(entry);
}

static void check_date(const char *text, int64_t expected)
{
    int64_t seconds = -1;
    bool read = static_date_read(slice_of(text), &seconds);
    OK(read == (expected >= 0) && (!read || seconds == expected), "as a date: '%s'", text);
}

static void test_reading_dates(void)
{
    static const char *const bad[] = {"",
                                      "now",
                                      "0",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:60:00 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 32 Nov 1994 08:49:37 GMT",
                                      "Xxx, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 94 08:49:37 GMT",
                                      "Sunday, 06-Nov-1994 08:49:37 GMT",
                                      "Sunday 06-Nov-94 08:49:37 GMT",
                                      "Sun Nov 6 08:49:37 1994",
                                      "Sun Nov 06 08:49:37 1994 GMT",
                                      "1994-11-06T08:49:37Z",
                                      "Sun, 06 Nov 1994 08:49:37 GMTx",
                                      "Sun, +6 Nov 1994 08:49:37 GMT"};
    check_date(DATE, DATE_SECONDS);
    check_date("Sunday, 06-Nov-94 08:49:37 GMT", DATE_SECONDS);
    check_date("Wednesday, 01-Jan-70 00:00:00 GMT", INT64_C(3155760000)); /* 2070 */
    check_date("Sun Nov  6 08:49:37 1994", DATE_SECONDS);
    check_date("Thu, 01 Jan 1970 00:00:00 GMT", 0);
    check_date("Thu, 29 Feb 2024 23:59:60 GMT", INT64_C(1709251200)); /* a leap second */
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_date(bad[i], -1);
}

/* Every day of four centuries and more, against the C library's calendar. */
static void test_writing_dates(void)
{
    char ours[STATIC_DATE_SIZE + 1], theirs[64];
    int64_t back;
    bool same = true, round = true;
    for (int64_t seconds = 0; seconds < INT64_C(15000000000); seconds += 86400 - 1) {
        struct tm utc;
        time_t time = seconds;
        static_date_write(seconds, ours);
        gmtime_r(&time, &utc);
        strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        same &= strcmp(ours, theirs) == 0;
        round &= static_date_read(slice_of(ours), &back) && back == seconds;
    }
    OK(same, "dates are written as the C library writes them");
    OK(round, "and read back as what they were");
    static_date_write(INT64_MAX, ours);
    OK(strcmp(ours, "Fri, 31 Dec 9999 23:59:59 GMT") == 0, "the last date there is");
}

static void test_types(void)
{
    static const char *const cases[][2] = {
        {"a.html", "text/html; charset=utf-8"},
        {"a.CSS", "text/css; charset=utf-8"},
        {"a.js", "text/javascript; charset=utf-8"},
        {"a.mjs", "text/javascript; charset=utf-8"},
        {"a.json", "application/json"},
        {"a.svg", "image/svg+xml"},
        {"a.png", "image/png"},
        {"a.jpeg", "image/jpeg"},
        {"a.webp", "image/webp"},
        {"a.avif", "image/avif"},
        {"a.woff2", "font/woff2"},
        {"a.wasm", "application/wasm"},
        {"a.webmanifest", "application/manifest+json"},
        {"a.xml", "application/xml"},
        {"a.pdf", "application/pdf"},
        {"a.mp4", "video/mp4"},
        {"a.tar.gz", "application/gzip"},
        {"a.7z", "application/x-7z-compressed"},
        {"a.zst", "application/zstd"},
        {"a.unknown", "application/octet-stream"},
        {"a.averylongextension", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"html", "application/octet-stream"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        OK(slice_equals(static_type_of(slice_of(cases[i][0])), slice_of(cases[i][1])), "%s is %s",
           cases[i][0], cases[i][1]);
}

int main(void)
{
    struct site site;
    ask_init(&site);
    test_fields(&site);
    test_dates(&site);
    test_conditions(&site);
    test_tags_follow_the_content(&site);
    test_reading_dates();
    test_writing_dates();
    test_types();
    site_close(&site);
    return TAP_END();
}
