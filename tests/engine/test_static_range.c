/* SPDX-License-Identifier: MIT
 * Byte ranges: RFC 9110 section 14, from memory and from a descriptor, one and several, and
 * If-Range.
 */
#include "static_ask.h"

struct range_case {
    const char *range;
    int status;
    const char *said; /* Content-Range, or NULL */
    const char *body;
};

#define ALL "0123456789"
static const struct range_case ranges[] = {
    {"bytes=0-0", 206, "bytes 0-0/10", "0"},
    {"bytes=0-4", 206, "bytes 0-4/10", "01234"},
    {"bytes=5-", 206, "bytes 5-9/10", "56789"},
    {"bytes=9-9", 206, "bytes 9-9/10", "9"},
    {"bytes=-1", 206, "bytes 9-9/10", "9"},
    {"bytes=-10", 206, "bytes 0-9/10", ALL},
    {"bytes=-11", 206, "bytes 0-9/10", ALL},
    {"bytes=0-", 206, "bytes 0-9/10", ALL},
    {"bytes=0-99", 206, "bytes 0-9/10", ALL},
    {"bytes=8-99999999999999999999999", 206, "bytes 8-9/10", "89"},
    {"bytes=-99999999999999999999999", 206, "bytes 0-9/10", ALL},
    {"bytes=0-18446744073709551616", 206, "bytes 0-9/10", ALL},
    {"BYTES=1-2", 206, "bytes 1-2/10", "12"},
    {"bytes= 1-2", 206, "bytes 1-2/10", "12"},
    {"bytes=1-2,", 206, "bytes 1-2/10", "12"},
    {"bytes=,1-2", 206, "bytes 1-2/10", "12"},
    {"bytes=1-2,20-30", 206, "bytes 1-2/10", "12"}, /* one of the two is there */
    {"bytes=10-", 416, "bytes */10", ""},
    {"bytes=10-20", 416, "bytes */10", ""},
    {"bytes=99999999999999999999999-", 416, "bytes */10", ""},
    {"bytes=18446744073709551617-", 416, "bytes */10", ""}, /* 2 to the 64, and one */
    {"bytes=-0", 416, "bytes */10", ""},
    {"bytes=20-30,40-", 416, "bytes */10", ""},
    {"bytes=", 200, NULL, ALL},
    {"bytes=,", 200, NULL, ALL},
    {"bytes=-", 200, NULL, ALL},
    {"bytes=a-b", 200, NULL, ALL},
    {"bytes=1", 200, NULL, ALL},
    {"bytes=5-4", 200, NULL, ALL},
    {"bytes=1-2;3-4", 200, NULL, ALL},
    {"bytes=1-2-3", 200, NULL, ALL},
    {"bytes=--1", 200, NULL, ALL},
    {"bytes=+1-2", 200, NULL, ALL},
    {"bytes=1 - 2", 200, NULL, ALL},
    {"bytes =1-2", 200, NULL, ALL},
    {"bytes=0-1,x", 200, NULL, ALL},
    {"bytes=0x1-2", 200, NULL, ALL},
    {"items=0-1", 200, NULL, ALL},
    {"bytes", 200, NULL, ALL},
    {"", 200, NULL, ALL},
    {"bytes=0-9,0-9", 200, NULL, ALL}, /* more than there is */
    {"bytes=0-5,4-9", 200, NULL, ALL},
    {"bytes=0-,0-,0-,0-,0-", 200, NULL, ALL},
    {"bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", 200, NULL, ALL},
};

static void test_ranges(struct site *site)
{
    struct static_entry *entry = entry_of(site, "/digits.txt");
    struct asked asked;
    char fields[512];
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        const struct range_case *range = &ranges[i];
        snprintf(fields, sizeof fields, "Range: %s\n", range->range);
        ask_entry(site, entry, HTTP_GET, fields, &asked);
        bool good = asked.answer.status == range->status && asked.answer.part_count == 0 &&
                    has(&asked, "Content-Range", range->said != NULL ? range->said : "") &&
                    asked.answer.content_length == (int64_t)strlen(range->body) &&
                    asked.size == strlen(range->body) &&
                    memcmp(asked.body, range->body, asked.size) == 0;
        OK(good, "Range: %s is %d", range->range, range->status);
    }
    ask_entry(site, entry, HTTP_HEAD, "Range: bytes=0-0\n", &asked);
    OK(asked.answer.status == 200 && asked.answer.content_length == 10, "HEAD has no ranges");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=0-0\nRange: bytes=1-1\n", &asked);
    OK(asked.answer.status == 200, "two Range fields are none");
    static_release(entry);
    entry = entry_of(site, "/empty.css");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=0-\n", &asked);
    OK(asked.answer.status == 416 && has(&asked, "Content-Range", "bytes */0"),
       "an empty file has no first byte");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=-5\n", &asked);
    OK(asked.answer.status == 200 && asked.answer.content_length == 0,
       "its last five are what there is: nothing, which a 206 cannot say");
    static_release(entry);
}

static void test_if_range(struct site *site)
{
    struct static_entry *entry = entry_of(site, "/digits.txt");
    struct asked asked;
    char fields[256];
    snprintf(fields, sizeof fields, "Range: bytes=1-2\nIf-Range: %s\n", entry->etag.data);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 206, "If-Range with the tag");
    snprintf(fields, sizeof fields, "Range: bytes=1-2\nIf-Range: W/%s\n", entry->etag.data);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 200, "If-Range with a weak tag");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=1-2\nIf-Range: \"x\"\n", &asked);
    OK(asked.answer.status == 200, "If-Range with another tag");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=90-\nIf-Range: \"x\"\n", &asked);
    OK(asked.answer.status == 200, "If-Range that fails asks for no range at all");
    ask_entry(site, entry, HTTP_GET, "If-Range: \"x\"\n", &asked);
    OK(asked.answer.status == 200, "If-Range without Range says nothing");
    entry->settled = false;
    ask_entry(site, entry, HTTP_GET, "Range: bytes=1-2\nIf-Range: " DATE "\n", &asked);
    OK(asked.answer.status == 200, "a date that was just set is no strong validator");
    entry->settled = true;
    ask_entry(site, entry, HTTP_GET, "Range: bytes=1-2\nIf-Range: " DATE "\n", &asked);
    OK(asked.answer.status == 206, "an older one is");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=1-2\nIf-Range: Mon, 07 Nov 1994 00:00:00 GMT\n",
              &asked);
    OK(asked.answer.status == 200, "if it is the same, not if it is later");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=1-2\nIf-Range: " DATE "\nIf-Range: " DATE "\n",
              &asked);
    OK(asked.answer.status == 200, "two If-Range fields never hold");
    static_release(entry);
}

/* Put together what a client would expect of these ranges of the digits. */
static size_t expected_parts(char *out, size_t size, const char *boundary, const char *const *parts)
{
    size_t used = 0;
    for (; parts[0] != NULL; parts += 2)
        used += (size_t)snprintf(out + used, size - used,
                                 "%s--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                 "Content-Range: bytes %s/10\r\n\r\n%s",
                                 used == 0 ? "" : "\r\n", boundary, parts[0], parts[1]);
    return used + (size_t)snprintf(out + used, size - used, "\r\n--%s--\r\n", boundary);
}

static void check_parts(struct site *site, const char *range, const char *const *parts)
{
    static const char prefix[] = "multipart/byteranges; boundary=";
    struct static_entry *entry = entry_of(site, "/digits.txt");
    struct asked asked;
    char fields[512], boundary[80] = "", expected[4096];
    snprintf(fields, sizeof fields, "Range: %s\n", range);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    struct slice type = value_of(&asked, "Content-Type");
    bool is_multipart =
        type.size > sizeof prefix && memcmp(type.data, prefix, sizeof prefix - 1) == 0;
    if (is_multipart)
        snprintf(boundary, sizeof boundary, "%.*s", (int)(type.size - sizeof prefix + 1),
                 type.data + sizeof prefix - 1);
    size_t size = expected_parts(expected, sizeof expected, boundary, parts);
    OK(asked.answer.status == 206 && is_multipart, "Range: %s has several parts", range);
    OK(asked.size == size && memcmp(asked.body, expected, size) == 0, "each with its bytes");
    OK(asked.answer.content_length == (int64_t)size, "and all together as long as it says");
    OK(value_of(&asked, "Content-Range").size == 0, "Content-Range is the parts' alone");
    static_release(entry);
}

static void test_parts(struct site *site)
{
    check_parts(site, "bytes=0-1,4-5", (const char *const[]){"0-1", "01", "4-5", "45", NULL});
    check_parts(site, "bytes=-2 , 0-0",
                (const char *const[]){"8-9", "89", "0-0", "0", NULL}); /* in the order asked for */
    check_parts(site, "bytes=1-1,1-1", (const char *const[]){"1-1", "1", "1-1", "1", NULL});
    check_parts(site, "bytes=0-0,50-60,2-2", (const char *const[]){"0-0", "0", "2-2", "2", NULL});
    struct static_entry *entry = entry_of(site, "/digits.txt");
    struct asked first, second;
    ask_entry(site, entry, HTTP_GET, "Range: bytes=0-0,2-2\n", &first);
    char type[80];
    snprintf(type, sizeof type, "%s", value_of(&first, "Content-Type").data);
    ask_entry(site, entry, HTTP_GET, "Range: bytes=0-0,2-2\n", &second);
    OK(!has(&second, "Content-Type", type), "no two answers share a boundary");
    static_release(entry);
}

static void test_from_a_descriptor(struct site *site)
{
    static char bytes[STATIC_CONTENT_SIZE_MAX + 10];
    struct asked asked;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + i % 26);
    site_put_bytes(site, "root/large.bin", bytes, sizeof bytes);
    struct static_entry *entry = entry_of(site, "/large.bin");
    OK(entry->weak && entry->etag.data[0] == 'W', "a large file has a weak tag while it is young");
    char fields[256];
    snprintf(fields, sizeof fields, "If-None-Match: %s\n", entry->etag.data);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 304, "which is good enough for If-None-Match");
    snprintf(fields, sizeof fields, "If-Match: %s\n", entry->tag.data);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 412, "but not for If-Match");
    snprintf(fields, sizeof fields, "Range: bytes=0-0\nIf-Range: %s\n", entry->tag.data);
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 200, "nor for If-Range");
    OK(asked.answer.content == NULL && asked.answer.fd >= 0 && asked.answer.offset == 0 &&
           asked.answer.content_length == (int64_t)sizeof bytes,
       "it is sent from its descriptor");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=65530-65539\n", &asked);
    OK(asked.answer.status == 206 && asked.size == 10 && memcmp(asked.body, bytes + 65530, 10) == 0,
       "a range of it too");
    ask_entry(site, entry, HTTP_GET, "Range: bytes=0-9,65530-65539\n", &asked);
    OK(asked.answer.part_count == 2 && asked.answer.content_length == (int64_t)asked.size,
       "and several");
    size_t used = (size_t)snprintf(fields, sizeof fields, "Range: bytes=");
    for (int i = 0; i < STATIC_RANGES_MAX; i++)
        used += (size_t)snprintf(fields + used, sizeof fields - used, "%d-%d,", i, i);
    snprintf(fields + used, sizeof fields - used, "\n");
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.part_count == STATIC_RANGES_MAX, "as many as there may be");
    snprintf(fields + used, sizeof fields - used, "90-90\n");
    ask_entry(site, entry, HTTP_GET, fields, &asked);
    OK(asked.answer.status == 200 && asked.answer.content_length == (int64_t)sizeof bytes,
       "one more is answered with all of it");
    static_release(entry);
}

int main(void)
{
    struct site site;
    ask_init(&site);
    test_ranges(&site);
    test_if_range(&site);
    test_parts(&site);
    test_from_a_descriptor(&site);
    site_close(&site);
    return TAP_END();
}
