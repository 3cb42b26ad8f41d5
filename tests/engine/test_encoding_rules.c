/* SPDX-License-Identifier: MIT
 * Which coding a client gets (RFC 9110 section 12.5.3), and which answers are compressed at all. */
#include "proto/encoding.h"
#include "tap.h"

static struct encoding_rules rules = {
    .order = {ENCODING_ZSTD, ENCODING_BROTLI, ENCODING_GZIP},
    .count = 3,
    .types = "text/* application/json *+json",
};

static void test_choice(void)
{
    static const struct {
        const char *accepts[2]; /* two fields are one list */
        enum encoding expected;
    } cases[] = {
        {{NULL}, ENCODING_NONE},
        {{""}, ENCODING_NONE},
        {{"gzip"}, ENCODING_GZIP},
        {{"gzip, deflate, br, zstd"}, ENCODING_ZSTD},
        {{"gzip, deflate, br"}, ENCODING_BROTLI},
        {{"gzip, deflate"}, ENCODING_GZIP},
        {{"gzip", "br"}, ENCODING_BROTLI},
        {{"gzip", "zstd;q=0.5"}, ENCODING_GZIP},
        {{"GZIP"}, ENCODING_GZIP},
        {{"x-gzip"}, ENCODING_GZIP},
        {{"gzip;q=1, br;q=0.5, zstd;q=0.4"}, ENCODING_GZIP},
        {{"zstd ; q=0.4 , br ;\tq=0.401"}, ENCODING_BROTLI},
        {{"zstd;q=0, br;q=0, gzip;q=0.001"}, ENCODING_GZIP},
        {{"gzip;q=0"}, ENCODING_NONE},
        {{"gzip;q=1.001"}, ENCODING_NONE},
        {{"gzip;q=0.0001"}, ENCODING_NONE},
        {{"gzip;q="}, ENCODING_NONE},
        {{"gzip;q=nan"}, ENCODING_NONE},
        {{"*"}, ENCODING_ZSTD},
        {{"*;q=0"}, ENCODING_NONE},
        {{"*, zstd;q=0"}, ENCODING_BROTLI},
        {{"*;q=0.5, gzip"}, ENCODING_GZIP},
        {{"gzip, *;q=0"}, ENCODING_GZIP},
        {{"identity"}, ENCODING_NONE},
        {{"identity, gzip;q=0.9"}, ENCODING_NONE},
        {{"identity;q=0.5, gzip;q=0.9"}, ENCODING_GZIP},
        {{"identity;q=0, gzip;q=0.1"}, ENCODING_GZIP},
        {{"identity;q=0"}, ENCODING_NONE},
        {{"deflate, compress"}, ENCODING_NONE},
        {{"gzipped, br2, zst"}, ENCODING_NONE},
        {{",, ;, gzip,"}, ENCODING_GZIP},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct accept_encoding accept;
        accept_encoding_init(&accept);
        for (size_t j = 0; j < 2 && cases[i].accepts[j] != NULL; j++)
            accept_encoding_read(&accept, slice_of(cases[i].accepts[j]));
        OK(encoding_choose(&rules, &accept) == cases[i].expected, "'%s' '%s'",
           cases[i].accepts[0] != NULL ? cases[i].accepts[0] : "no field",
           cases[i].accepts[1] != NULL ? cases[i].accepts[1] : "");
    }
}

static void test_plain(void)
{
    static const struct {
        const char *accepts;
        bool refused;
    } cases[] = {
        {"", false},     {"gzip", false},           {"identity;q=0", true},
        {"*;q=0", true}, {"gzip;q=0", false},       {"identity, *;q=0", false},
        {"*", false},    {"identity;q=0, *", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct accept_encoding accept;
        accept_encoding_init(&accept);
        accept_encoding_read(&accept, slice_of(cases[i].accepts));
        OK((accept_encoding_weight(&accept, ENCODING_NONE) == 0) == cases[i].refused,
           "'%s' %s a plain answer", cases[i].accepts, cases[i].refused ? "refuses" : "takes");
    }
}

#define FIELD(name, value)          \
    {                               \
        {name, sizeof name - 1},    \
        {                           \
            value, sizeof value - 1 \
        }                           \
    }

static void test_what_is_compressed(void)
{
    static const struct {
        const char *what;
        int status;
        bool allowed;
        struct http_field fields[2];
    } cases[] = {
        {"a page", 200, true, {FIELD("Content-Type", "text/html; charset=utf-8")}},
        {"a page in capitals", 200, true, {FIELD("CONTENT-TYPE", "TEXT/HTML")}},
        {"an error page", 404, true, {FIELD("Content-Type", "text/html")}},
        {"JSON", 200, true, {FIELD("Content-Type", "application/json")}},
        {"a suffix", 200, true, {FIELD("Content-Type", "application/problem+json")}},
        {"not JSON", 200, false, {FIELD("Content-Type", "application/jsonp")}},
        {"a picture", 200, false, {FIELD("Content-Type", "image/png")}},
        {"no type", 200, false, {FIELD("Content-Type", "")}},
        {"events", 200, false, {FIELD("Content-Type", "text/event-stream; charset=utf-8")}},
        {"a 204", 204, false, {FIELD("Content-Type", "text/html")}},
        {"a 206", 206, false, {FIELD("Content-Type", "text/html")}},
        {"a 304 without a type", 304, true, {FIELD("ETag", "\"x\"")}},
        {"what is encoded",
         200,
         false,
         {FIELD("Content-Type", "text/html"), FIELD("content-encoding", "gzip")}},
        {"a range",
         200,
         false,
         {FIELD("Content-Type", "text/html"), FIELD("Content-Range", "bytes 0-1/9")}},
        {"no-transform",
         200,
         false,
         {FIELD("Cache-Control", "max-age=5 , No-Transform"), FIELD("Content-Type", "text/html")}},
        {"other cache control",
         200,
         true,
         {FIELD("Cache-Control", "no-transformation"), FIELD("Content-Type", "text/html")}},
        {"a digest",
         200,
         false,
         {FIELD("Content-Type", "text/html"), FIELD("Repr-Digest", "sha-256=:x:")}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct encoding_traits traits;
        size_t count = cases[i].fields[1].name.size > 0 ? 2 : 1;
        encoding_look(&rules, cases[i].status, cases[i].fields, count, &traits);
        OK(traits.allowed == cases[i].allowed, "%s is%s compressed", cases[i].what,
           cases[i].allowed ? "" : " not");
    }
}

static void test_places(void)
{
    static const struct http_field fields[] = {
        FIELD("Vary", "Cookie"), FIELD("Content-Type", "text/css"), FIELD("ETag", "\"a\""),
        FIELD("Accept-Ranges", "bytes"), FIELD("vary", "Origin, accept-ENCODING")};
    struct encoding_traits traits;
    encoding_look(&rules, 200, fields, 4, &traits);
    OK(traits.vary == 0 && traits.etag == 2 && traits.accept_ranges == 3 && !traits.varies,
       "the fields to change are found");
    encoding_look(&rules, 200, fields, 5, &traits);
    OK(traits.varies, "a second Vary counts as well");
    encoding_look(&rules, 200, fields + 1, 1, &traits);
    OK(traits.vary == ENCODING_NO_FIELD && traits.etag == ENCODING_NO_FIELD,
       "or that there are none");
}

static void test_names(void)
{
    struct encoding_rules read;
    encoding_rules_init(&read, "gzip  lzma br zstd gzip br");
    OK(read.count <= ENCODINGS, "no list is too long");
    OK(!encoding_built(ENCODING_GZIP) || read.order[0] == ENCODING_GZIP, "their order is kept");
    encoding_rules_init(&read, "");
    OK(read.count == 0, "none is none");
}

int main(void)
{
    test_choice();
    test_plain();
    test_what_is_compressed();
    test_places();
    test_names();
    return TAP_END();
}
