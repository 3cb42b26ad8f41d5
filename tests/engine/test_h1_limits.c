/* SPDX-License-Identifier: MIT
 * Every limit of the HTTP/1.1 reader, exactly at it and one past it. The limits here are small, so
 * that an input shows what it is about; the real ones are only numbers in struct h1_limits. */
#include "h1_check.h"

enum { HEAD_MAX = 120, TARGET_MAX = 20, FIELDS_MAX = 3, BODY_MAX = 10 };

static const struct h1_limits tight = {HEAD_MAX, TARGET_MAX, FIELDS_MAX, BODY_MAX};

#define FITS(name, input, expected) OK(agrees(&tight, SLICE(input), SLICE(expected)), "%s", name)

static void test_the_target(void)
{
    FITS("a target of the limit's size passes", "GET /2345678901234567890 HTTP/1.0\r\n\r\n",
         "GET /2345678901234567890 @ 1.0 close\nend\n");
    FITS("one byte more is 414", "GET /23456789012345678901 HTTP/1.0\r\n\r\n", "error 414\n");
    FITS("a URL is measured as it was sent", "GET http://abcdefgh/4567 HTTP/1.0\r\n\r\n",
         "GET /4567 @abcdefgh 1.0 close\nend\n");
    FITS("a URL one byte longer is 414", "GET http://abcdefgh/45678 HTTP/1.0\r\n\r\n",
         "error 414\n");
}

static void test_the_number_of_fields(void)
{
    FITS("as many fields as allowed pass", "GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n",
         "GET / @ 1.0 close\nA: 1\nB: 2\nC: 3\nend\n");
    FITS("one field more is 431", "GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n",
         "error 431\n");
}

/* "GET / HTTP/1.0", one field to make it `size` bytes, and the empty line. */
static struct slice head_of_size(size_t size)
{
    static const char start[] = "GET / HTTP/1.0\r\nA: ";
    char *head = malloc(size + 1);
    if (head == NULL)
        abort();
    memset(head, 'a', size);
    memcpy(head, start, sizeof start - 1);
    memcpy(head + size - 4, "\r\n\r\n", 4);
    return (struct slice){head, size};
}

static void test_the_size_of_the_head(void)
{
    struct slice head = head_of_size(HEAD_MAX);
    struct trace trace = {0};
    trace_feed(&trace, &tight, head, 1);
    OK(trace.request_count == 1, "a head of the limit's size passes byte by byte");
    OK(says(&tight, head, 0, slice_of(trace_text(&trace))), "and whole");
    struct slice half = {head.data, HEAD_MAX - 1};
    OK(agrees(&tight, half, SLICE("more\n")), "one byte less than the limit is waited on");
    trace_free(&trace);
    free((char *)head.data);
    head = head_of_size(HEAD_MAX + 1);
    OK(agrees(&tight, head, SLICE("error 431\n")), "one byte more is 431");
    half = (struct slice){head.data, HEAD_MAX};
    OK(agrees(&tight, half, SLICE("error 431\n")), "that is known before the byte arrives");
    free((char *)head.data);
}

static void test_a_request_line_without_end(void)
{
    char line[HEAD_MAX + 8];
    memset(line, 'G', sizeof line);
    OK(agrees(&tight, (struct slice){line, sizeof line}, SLICE("error 414\n")),
       "a request line that does not end is 414");
}

static void test_empty_lines(void)
{
    FITS("one empty line too many is 400", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
         "error 400\n");
}

#define SIZED(length) "POST / HTTP/1.0\r\nContent-Length: " length "\r\n\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_TRACE "POST / @h 1.1 chunked keep\nHost: h\nTransfer-Encoding: chunked\n"

static void test_the_size_of_the_body(void)
{
    FITS("a sized body of the limit's size passes", SIZED("10") "0123456789",
         "POST / @ 1.0 10 close\nContent-Length: 10\nbody 0123456789\nend\n");
    FITS("one byte more is 413", SIZED("11"), "error 413\n");
    FITS("a chunked body of the limit's size passes",
         CHUNKED "4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n", CHUNKED_TRACE "body 0123456789\nend\n");
    FITS("a chunk that goes one byte past it is 413", CHUNKED "4\r\n0123\r\n7\r\n4567890\r\n",
         CHUNKED_TRACE "body 0123\nerror 413\n");
    FITS("the largest chunk size there is is 413", CHUNKED "7fffffffffffffff\r\n",
         CHUNKED_TRACE "error 413\n");
    FITS("a chunk size past 63 bits is 400", CHUNKED "8000000000000000\r\n",
         CHUNKED_TRACE "error 400\n");
    FITS("a length past 63 bits is 400", SIZED("9223372036854775808"), "error 400\n");
    FITS("the largest length there is is 413", SIZED("9223372036854775807"), "error 413\n");
    FITS("sixteen digits of zero are a size", CHUNKED "0000000000000001\r\nx\r\n0\r\n\r\n",
         CHUNKED_TRACE "body x\nend\n");
    FITS("seventeen are not", CHUNKED "00000000000000001\r\nx\r\n0\r\n\r\n",
         CHUNKED_TRACE "error 400\n");
}

/* CHUNKED, `before`, `count` times 'e', `after`; what is said must end with `end`. */
static bool filled(const char *before, size_t count, const char *after, const char *end)
{
    size_t start_size = strlen(CHUNKED), before_size = strlen(before);
    struct slice input = {calloc(1, start_size + before_size + count + strlen(after) + 1), 0};
    char *at = (char *)input.data;
    if (at == NULL)
        abort();
    at = stpcpy(stpcpy(at, CHUNKED), before);
    memset(at, 'e', count);
    input.size = (size_t)(stpcpy(at + count, after) - input.data);
    struct slice expected = joined(SLICE(CHUNKED_TRACE), slice_of(end));
    bool good = agrees(&tight, input, expected);
    free((char *)expected.data);
    free((char *)input.data);
    return good;
}

static void test_what_is_around_the_chunks(void)
{
    /* The ';' is a byte of the extension, "a: " and CRLF are bytes of the trailer. */
    OK(filled("1;", H1_CHUNK_EXTENSION_MAX - 1, "\r\nx\r\n0\r\n\r\n", "body x\nend\n"),
       "an extension of the limit's size passes");
    OK(filled("1;", H1_CHUNK_EXTENSION_MAX, "\r\nx\r\n0\r\n\r\n", "error 400\n"),
       "one byte more is 400");
    OK(filled("0\r\na: ", H1_TRAILER_SIZE_MAX - 4, "\r\n\r\n", "end\n"),
       "trailers of the limit's size pass");
    OK(filled("0\r\na: ", H1_TRAILER_SIZE_MAX - 3, "\r\n\r\n", "error 431\n"),
       "one byte more is 431");
}

/* How often the reader looks at a byte of a large head that comes byte by byte cannot be seen from
 * outside; that it does not look at all of them each time can: `scanned` and line_size account for
 * every byte it was offered, in the line that is incomplete too. */
static void test_partial_heads_are_not_read_again(void)
{
    struct slice head = head_of_size(HTTP_HEAD_SIZE_MAX);
    struct http_request request;
    struct h1 h1;
    h1_init(&h1, &roomy);
    bool accounted = true;
    enum h1_event event = H1_NEED_DATA;
    for (size_t size = 1; size <= head.size && event == H1_NEED_DATA; size++) {
        struct slice window = {head.data, size}, body;
        event = h1_next(&h1, &window, &request, &body);
        if (event == H1_NEED_DATA)
            accounted = accounted && h1.scanned + h1.line_size == size;
    }
    OK(event == H1_REQUEST, "the largest head passes byte by byte");
    OK(accounted, "each byte of it was searched once");
    free((char *)head.data);
}

int main(void)
{
    test_the_target();
    test_the_number_of_fields();
    test_the_size_of_the_head();
    test_a_request_line_without_end();
    test_empty_lines();
    test_the_size_of_the_body();
    test_what_is_around_the_chunks();
    test_partial_heads_are_not_read_again();
    return TAP_END();
}
