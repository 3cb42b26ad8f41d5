/* SPDX-License-Identifier: MIT
 * Response heads: their exact bytes, which fields of an application go out, how the body must be
 * sent. Every head is written into a buffer that ends at an unmapped page. */
#include "h1_trace.h"
#include "tap.h"

#include <errno.h>

#define FIELD(name, value)           \
    {                                \
        {name, sizeof(name) - 1},    \
        {                            \
            value, sizeof(value) - 1 \
        }                            \
    }
#define FIELDS(list) .fields = (list), .field_count = COUNT_OF(list)

/* Are these, and nothing else, the bytes and the framing, in a buffer that has just room for them
 * and in a larger one; and does one byte less room say so? */
static bool writes(const struct h1_response *response, const char *expected,
                   enum h1_framing expected_framing)
{
    size_t size = strlen(expected);
    struct guard guard = guard_new(size + 100);
    bool good = true;
    for (size_t room = size; room <= size + 100; room += 100) {
        enum h1_framing framing;
        char *out = guard.end - room;
        int64_t written = h1_write_head(out, room, response, &framing);
        bool same = written == (int64_t)size && memcmp(out, expected, size) == 0;
        if (!same)
            printf("# written: %.*s\n", (int)(written < 0 ? 0 : written), out);
        good = good && same && framing == expected_framing;
    }
    for (size_t room = 0; room < size; room++) {
        enum h1_framing framing;
        good = good && h1_write_head(guard.end - room, room, response, &framing) == 0;
    }
    guard_free(&guard);
    return good;
}

static void test_a_plain_answer(void)
{
    static const struct http_field fields[] = {
        FIELD("Content-Type", "text/html"), FIELD("Set-Cookie", "a=b"), FIELD("Set-Cookie", "c=d")};
    struct h1_response response = {.status = 200,
                                   .content_length = 13,
                                   FIELDS(fields),
                                   .date = SLICE("Thu, 01 Jan 1970 00:00:00 GMT"),
                                   .server = SLICE("askr")};
    OK(writes(&response,
              "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\n"
              "Set-Cookie: c=d\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: askr\r\n"
              "Content-Length: 13\r\n\r\n",
              H1_SIZED),
       "an answer has the application's fields, then ours");
    response.date = response.server = SLICE("");
    response.field_count = 0;
    OK(writes(&response, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n", H1_SIZED),
       "Date and Server can be left out");
    response.close = true;
    OK(writes(&response, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n",
              H1_SIZED),
       "a connection that will be closed says so");
    response.status = 299;
    response.close = false;
    OK(writes(&response, "HTTP/1.1 299 Unknown\r\nContent-Length: 13\r\n\r\n", H1_SIZED),
       "a status without a name has one anyway");
    response.content_length = INT64_MAX;
    OK(writes(&response, "HTTP/1.1 299 Unknown\r\nContent-Length: 9223372036854775807\r\n\r\n",
              H1_SIZED),
       "the largest length is written in full");
}

static void test_fields_that_are_ours(void)
{
    static const struct http_field fields[] = {FIELD("Connection", "keep-alive"),
                                               FIELD("KEEP-ALIVE", "timeout=5"),
                                               FIELD("Transfer-Encoding", "gzip"),
                                               FIELD("Upgrade", "h2c"),
                                               FIELD("proxy-connection", "x"),
                                               FIELD("content-length", "7"),
                                               FIELD("TE", "trailers"),
                                               FIELD("date", "today"),
                                               FIELD("SERVER", "php"),
                                               FIELD("X", "")};
    struct h1_response response = {.status = 200,
                                   .content_length = 1,
                                   FIELDS(fields),
                                   .date = SLICE("D"),
                                   .server = SLICE("S")};
    OK(writes(&response,
              "HTTP/1.1 200 OK\r\ndate: today\r\nSERVER: php\r\nX: \r\nContent-Length: 1\r\n\r\n",
              H1_SIZED),
       "framing and hop-by-hop fields are dropped, an application's Date and Server win");
    static const struct http_field similar[] = {FIELD("Connections", "1"), FIELD("TEE", "2"),
                                                FIELD("Content-Lengt", "3")};
    response.fields = similar;
    response.field_count = COUNT_OF(similar);
    response.date = response.server = SLICE("");
    OK(writes(&response,
              "HTTP/1.1 200 OK\r\nConnections: 1\r\nTEE: 2\r\nContent-Lengt: 3\r\n"
              "Content-Length: 1\r\n\r\n",
              H1_SIZED),
       "names that only look like them are not");
    static const struct http_field upgrade[] = {FIELD("Upgrade", "websocket"),
                                                FIELD("Connection", "Upgrade, close")};
    response = (struct h1_response){.status = 101, .content_length = -1, FIELDS(upgrade)};
    OK(writes(
           &response,
           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
           H1_NO_BODY),
       "a 101 says what the connection becomes");
}

static void test_answers_without_body(void)
{
    struct h1_response response = {.status = 204, .content_length = 5};
    OK(writes(&response, "HTTP/1.1 204 No Content\r\n\r\n", H1_NO_BODY), "a 204 has no length");
    response.status = 103;
    response.close = true;
    OK(writes(&response, "HTTP/1.1 103 Early Hints\r\n\r\n", H1_NO_BODY),
       "an interim answer has neither length nor connection");
    response.close = false;
    response.status = 304;
    OK(writes(&response, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", H1_NO_BODY),
       "a 304 has the length of what is not sent");
    response.content_length = -1;
    OK(writes(&response, "HTTP/1.1 304 Not Modified\r\n\r\n", H1_NO_BODY), "when it is known");
    response.status = 205;
    OK(writes(&response, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", H1_NO_BODY),
       "a 205 has a length of 0");
    response = (struct h1_response){.status = 200, .content_length = 5, .head_request = true};
    OK(writes(&response, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", H1_NO_BODY),
       "HEAD is answered with the length of GET");
    response.content_length = -1;
    OK(writes(&response, "HTTP/1.1 200 OK\r\n\r\n", H1_NO_BODY), "or with none");
}

static void test_bodies_of_unknown_size(void)
{
    struct h1_response response = {.status = 200, .content_length = -1};
    OK(writes(&response, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", H1_CHUNKED),
       "a body of unknown size is chunked");
    response.http10 = true;
    OK(writes(&response, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", H1_CLOSE),
       "for a 1.0 client the connection ends it");
    response.content_length = 0;
    OK(writes(&response, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
              H1_SIZED),
       "a 1.0 client is told when it can go on");
    response.close = true;
    OK(writes(&response, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
              H1_SIZED),
       "and when not");
}

static int64_t written_with(struct slice name, struct slice value)
{
    char out[256];
    enum h1_framing framing;
    struct http_field field = {name, value};
    struct h1_response response = {
        .status = 200, .content_length = 0, .fields = &field, .field_count = 1};
    return h1_write_head(out, sizeof out, &response, &framing);
}

static void test_fields_that_would_split_the_head(void)
{
    static const struct slice names[] = {{"", 0},       {"a b", 3}, {"a:", 2},
                                         {"a\r\nb", 4}, {"a\n", 2}, {"a\0", 2},
                                         {"\xe4", 1},   {" a", 2},  {"a\t", 2}};
    static const struct slice values[] = {{"a\r\nb: c", 7},
                                          {"a\n", 2},
                                          {"a\r", 2},
                                          {"\0", 1},
                                          {"a\x01", 2},
                                          {"\x7f", 1},
                                          {"\x1b[2J", 4},
                                          {"0123456789abcdef\n", 17},
                                          {"0123456789abcde\nf", 17}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        OK(written_with(names[i], SLICE("v")) == -EINVAL, "bad name %zu is refused", i);
    for (size_t i = 0; i < COUNT_OF(values); i++)
        OK(written_with(SLICE("n"), values[i]) == -EINVAL, "bad value %zu is refused", i);
    OK(written_with(SLICE("Connection"), SLICE("a\r\nb")) == -EINVAL,
       "also in a field that is dropped");
    OK(written_with(SLICE("n"), SLICE("a\tb \xc3\xa9 0123456789abcdef")) > 0,
       "tabs and bytes above ASCII are not");
}

static void test_what_a_status_and_a_count_can_be(void)
{
    static struct http_field fields[H1_RESPONSE_FIELDS_MAX + 1];
    char out[2048];
    enum h1_framing framing;
    struct h1_response response = {.status = 99, .content_length = 0, .fields = fields};
    OK(h1_write_head(out, sizeof out, &response, &framing) == -EINVAL,
       "a status has no two digits");
    response.status = 1000;
    OK(h1_write_head(out, sizeof out, &response, &framing) == -EINVAL, "nor four");
    response.status = 999;
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        fields[i] = (struct http_field){SLICE("a"), SLICE("b")};
    response.field_count = H1_RESPONSE_FIELDS_MAX;
    OK(h1_write_head(out, sizeof out, &response, &framing) > 0, "as many fields as allowed pass");
    response.field_count++;
    OK(h1_write_head(out, sizeof out, &response, &framing) == -EINVAL, "one more does not");
}

static void test_chunk_prefixes(void)
{
    static const struct {
        size_t size;
        const char *prefix;
    } cases[] = {{1, "1\r\n"},
                 {15, "f\r\n"},
                 {16, "10\r\n"},
                 {0xdeadbeef, "deadbeef\r\n"},
                 {SIZE_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[H1_CHUNK_PREFIX_SIZE];
        size_t size = h1_write_chunk_prefix(out, cases[i].size);
        OK(slice_equals((struct slice){out, size}, slice_of(cases[i].prefix)),
           "a chunk of %zu bytes says so", cases[i].size);
    }
}

static void test_trailers(void)
{
    static const struct http_field fields[] = {FIELD("X-Sum", "4"), FIELD("ETag", "\"a\"")};
    static const char expected[] = "0\r\nX-Sum: 4\r\nETag: \"a\"\r\n\r\n";
    struct guard guard = guard_new(sizeof expected);
    for (size_t room = 0; room < sizeof expected - 1; room++)
        OK(h1_write_trailers(guard.end - room, room, fields, 2) == -E2BIG, "%zu bytes do not do",
           room);
    char *out = guard.end - (sizeof expected - 1);
    OK(h1_write_trailers(out, sizeof expected - 1, fields, 2) == sizeof expected - 1 &&
           memcmp(out, expected, sizeof expected - 1) == 0,
       "fields stand behind the last chunk");
    guard_free(&guard);
    static const struct http_field bad[] = {
        FIELD("Content-Length", "4"),
        FIELD("transfer-encoding", "chunked"),
        FIELD("Content-Type", "a/b"),
        FIELD("SET-COOKIE", "a=b"),
        FIELD("Host", "a"),
        FIELD("Trailer", "a"),
        FIELD("Connection", "close"),
        FIELD("", "a"),
        FIELD("A B", "a"),
        FIELD("A", "b\r\nC: d"),
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        OK(!h1_may_trail(&bad[i]), "not %s", bad[i].name.data);
    OK(h1_may_trail(&fields[0]) && h1_may_trail(&fields[1]), "but these may");
}

int main(void)
{
    test_a_plain_answer();
    test_fields_that_are_ours();
    test_answers_without_body();
    test_bodies_of_unknown_size();
    test_fields_that_would_split_the_head();
    test_what_a_status_and_a_count_can_be();
    test_chunk_prefixes();
    test_trailers();
    return TAP_END();
}
