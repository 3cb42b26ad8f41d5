/* SPDX-License-Identifier: MIT
 * What a good HTTP/1.1 request is taken for (RFC 9110, RFC 9112): request line, target, fields,
 * body, and what the client wants of its connection. */
#include "h1_check.h"

#define HOST "Host: h\r\n"

static void test_request_lines(void)
{
    SAYS("a plain request is read", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\nend\n");
    SAYS("a method nobody knows is a method", "M-SEARCH / HTTP/1.1\r\n" HOST "\r\n",
         "M-SEARCH / @h 1.1 keep\nHost: h\nend\n");
    SAYS("methods are told apart by case", "get / HTTP/1.1\r\n" HOST "\r\n",
         "get / @h 1.1 keep\nHost: h\nend\n");
    SAYS("a later minor version is read as 1.1", "GET / HTTP/1.9\r\n" HOST "\r\n",
         "GET / @h 1.1 keep\nHost: h\nend\n");
    SAYS("HTTP/1.0 needs no Host", "GET / HTTP/1.0\r\n\r\n", "GET / @ 1.0 close\nend\n");
    SAYS("a few empty lines before a request are dropped",
         "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / @h 1.1 keep\nHost: h\nend\n");
    SAYS("an HTTP/2 preface is told that this is not HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         "error 505\n");
    SAYS("HTTP/0.9 with a version is not served", "GET / HTTP/0.9\r\n\r\n", "error 505\n");
    SAYS("HTTP/3.0 is not served", "GET / HTTP/3.0\r\n\r\n", "error 505\n");
    SAYS("CONNECT is not implemented", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
         "error 501\n");
}

static void test_targets(void)
{
    SAYS("the query is a part of the target", "GET /a/b?c=d&e?f HTTP/1.1\r\n" HOST "\r\n",
         "GET /a/b?c=d&e?f @h 1.1 keep\nHost: h\nend\n");
    SAYS("bytes that browsers leave unencoded are let through",
         "GET /a|b?{\"x\":[1]}^`\\ HTTP/1.1\r\n" HOST "\r\n",
         "GET /a|b?{\"x\":[1]}^`\\ @h 1.1 keep\nHost: h\nend\n");
    SAYS("raw UTF-8 in a path is let through", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n",
         "GET /\xc3\xa9 @h 1.1 keep\nHost: h\nend\n");
    SAYS("two slashes begin a path, not a host", "GET //x/y HTTP/1.1\r\n" HOST "\r\n",
         "GET //x/y @h 1.1 keep\nHost: h\nend\n");
    SAYS("an absolute target overrules Host, also in its field",
         "GET http://a.example:8080/x?y HTTP/1.1\r\nX: 1\r\nHost: b\r\nY: 2\r\n\r\n",
         "GET /x?y @a.example:8080 1.1 keep\nX: 1\nHost: a.example:8080\nY: 2\nend\n");
    SAYS("an absolute target overrules an empty Host", "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
         "GET / @a 1.1 keep\nHost: a\nend\n");
    SAYS("a scheme has no case", "GET HTTPS://a/ HTTP/1.1\r\n" HOST "\r\n",
         "GET / @a 1.1 keep\nHost: a\nend\n");
    SAYS("an absolute target without a path means /", "GET http://a HTTP/1.1\r\n" HOST "\r\n",
         "GET / @a 1.1 keep\nHost: a\nend\n");
    SAYS("OPTIONS * asks about the server", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
         "OPTIONS * @h 1.1 keep\nHost: h\nend\n");
    SAYS("OPTIONS of a URL without a path means *", "OPTIONS http://a HTTP/1.1\r\n" HOST "\r\n",
         "OPTIONS * @a 1.1 keep\nHost: a\nend\n");
}

static void test_path_and_query(void)
{
    struct http_request request;
    struct slice body;
    struct slice input = SLICE("GET http://a/p%20q?r=1?2 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct h1 h1;
    h1_init(&h1, &roomy);
    OK(h1_next(&h1, &input, &request, &body) == H1_REQUEST, "a URL is read");
    OK(slice_equals(request.path, SLICE("/p%20q")), "the path ends at the first question mark");
    OK(slice_equals(request.query, SLICE("r=1?2")), "the query is what is behind it");
    OK(request.method == HTTP_GET, "the method has a number");
    input = SLICE("PURGE / HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_init(&h1, &roomy);
    OK(h1_next(&h1, &input, &request, &body) == H1_REQUEST && request.method == HTTP_OTHER,
       "a method nobody knows has none");
    OK(request.query.size == 0, "no question mark, no query");
}

static void test_hosts(void)
{
    static const char *const good[] = {"a.example", "a.example:80",  "127.0.0.1:8080",
                                       "[::1]",     "[fe80::1]:443", "a_b.example",
                                       "a:",        "x%41",          "a~b"};
    static const char *const bad[] = {
        "a b",  "a,b", "a/b", "u@a",    "a:b",    "a:80:81", ":80",           "[::1",
        "::1",  "[]",  "[:]", "[::1]x", "[v1.x]", "a:65536", "a:99999999999", "x%4",
        "x%zz", "a?b", "a#b", "<a>",    "a\\b",   "\xc3\xa9"};
    char input[256], expected[256], name[NAME_SIZE];
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        snprintf(input, sizeof input, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        snprintf(expected, sizeof expected, "GET / @%s 1.1 keep\nHost: %s\nend\n", good[i],
                 good[i]);
        OK(agrees(&roomy, slice_of(input), slice_of(expected)), "%s is a host", good[i]);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(input, sizeof input, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        OK(agrees(&roomy, slice_of(input), SLICE("error 400\n")), "%s is no host",
           printable(name, slice_of(bad[i])));
        snprintf(input, sizeof input, "GET http://%s/ HTTP/1.1\r\nHost: h\r\n\r\n", bad[i]);
        bool path = strpbrk(bad[i], "/?") != NULL; /* there the authority ends earlier */
        OK(path || agrees(&roomy, slice_of(input), SLICE("error 400\n")),
           "%s is none in a URL either", name);
    }
    SAYS("a Host may be empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n",
         "GET / @ 1.1 keep\nHost: \nend\n");
    SAYS("Host is looked at in 1.0 too", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "error 400\n");
}

static void test_fields(void)
{
    SAYS("white space around a value is dropped",
         "GET / HTTP/1.1\r\nHost: \t h \t\r\nX:\r\nY: \r\nZ: a  b\t c\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\nX: \nY: \nZ: a  b\t c\nend\n");
    SAYS("a value may have bytes above ASCII", "GET / HTTP/1.1\r\n" HOST "X: \xe9\xff\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\nX: \xe9\xff\nend\n");
    SAYS("every token byte is good in a name",
         "GET / HTTP/1.1\r\n" HOST "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\n!#$%&'*+-.^_`|~09azAZ: x\nend\n");
    SAYS("a field may come twice", "GET / HTTP/1.1\r\n" HOST "A: 1\r\nA: 2\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\nA: 1\nA: 2\nend\n");
    SAYS(
        "a value longer than a vector register is read to its end",
        "GET / HTTP/1.1\r\n" HOST "A: 0123456789abcdef\t0123456789abcdef0123456789abcdef\r\n\r\n",
        "GET / @h 1.1 keep\nHost: h\nA: 0123456789abcdef\t0123456789abcdef0123456789abcdef\nend\n");
}

static void test_connection_options(void)
{
    SAYS("Connection: close ends the connection",
         "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         "GET / @h 1.1 close\nHost: h\nConnection: close\nend\n");
    SAYS("options are a list without case",
         "GET / HTTP/1.1\r\n" HOST "connection: x ,\tCLOSE,\r\n\r\n",
         "GET / @h 1.1 close\nHost: h\nconnection: x ,\tCLOSE,\nend\n");
    SAYS("an option is a whole word", "GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\nConnection: closed\nend\n");
    SAYS("options of several fields add up",
         "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n",
         "GET / @h 1.1 close\nHost: h\nConnection: keep-alive\nConnection: close\nend\n");
    SAYS("HTTP/1.0 has to ask for keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "GET / @ 1.0 keep\nConnection: Keep-Alive\nend\n");
    SAYS("an upgrade is an option and a field",
         "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
         "GET / @h 1.1 keep upgrade\nHost: h\nConnection: keep-alive, Upgrade\n"
         "Upgrade: websocket\nend\n");
    SAYS("an Upgrade that Connection does not name is none",
         "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n",
         "GET / @h 1.1 keep\nHost: h\nUpgrade: websocket\nend\n");
    SAYS("HTTP/1.0 cannot be upgraded",
         "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
         "GET / @ 1.0 close\nConnection: upgrade\nUpgrade: x\nend\n");
}

static void test_expectations(void)
{
    SAYS("a client may wait for 100",
         "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
         "POST / @h 1.1 1 keep expect\nHost: h\nExpect: 100-Continue\nContent-Length: 1\n"
         "body x\nend\n");
    SAYS("without a body there is nothing to wait with",
         "GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
         "GET / @h 1.1 0 keep\nHost: h\nExpect: 100-continue\nContent-Length: 0\nend\n");
    SAYS("an HTTP/1.0 client cannot expect",
         "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
         "POST / @ 1.0 1 close\nExpect: 100-continue\nContent-Length: 1\nbody x\nend\n");
    SAYS("another expectation fails", "GET / HTTP/1.1\r\n" HOST "Expect: money\r\n\r\n",
         "error 417\n");
}

static void test_sized_bodies(void)
{
    SAYS("a body has the size it says",
         "POST /p HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\nhello\r\nworl",
         "POST /p @h 1.1 11 keep\nHost: h\nContent-Length: 11\nbody hello\\x0d\\x0aworl\nend\n");
    SAYS("a body of no bytes is complete at once",
         "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
         "POST / @h 1.1 0 keep\nHost: h\nContent-Length: 0\nend\n");
    SAYS("zeros in front of a length are zeros",
         "POST / HTTP/1.1\r\n" HOST "Content-Length: 0002\r\n\r\nab",
         "POST / @h 1.1 2 keep\nHost: h\nContent-Length: 0002\nbody ab\nend\n");
    SAYS("a request that says nothing has no body", "POST / HTTP/1.0\r\n\r\n",
         "POST / @ 1.0 close\nend\n");
    SAYS("a body that is not all there is waited for",
         "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab",
         "POST / @h 1.1 3 keep\nHost: h\nContent-Length: 3\nbody ab\nmore\n");
}

#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_TRACE "POST / @h 1.1 chunked keep\nHost: h\nTransfer-Encoding: chunked\n"

static void test_chunked_bodies(void)
{
    SAYS("chunks are joined", CHUNKED "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
         CHUNKED_TRACE "body abc0123456789\nend\n");
    SAYS("a body may be no chunk at all", CHUNKED "0\r\n\r\n", CHUNKED_TRACE "end\n");
    SAYS("the last chunk may have several zeros", CHUNKED "000\r\n\r\n", CHUNKED_TRACE "end\n");
    SAYS("data may look like framing", CHUNKED "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
         CHUNKED_TRACE "body \\x0d\\x0a0\\x0d\\x0a\\x0d\\x0a\nend\n");
    SAYS("size digits have no case", CHUNKED "0a\r\n0123456789\r\n0\r\n\r\n",
         CHUNKED_TRACE "body 0123456789\nend\n");
    SAYS("extensions are dropped", CHUNKED "1;a\r\nx\r\n1;b=c;d=\"e;\\\"f\"\r\ny\r\n0;last\r\n\r\n",
         CHUNKED_TRACE "body xy\nend\n");
    SAYS("trailers are dropped", CHUNKED "1\r\nx\r\n0\r\nA: b\r\nContent-Length: 7\r\nX:\r\n\r\n",
         CHUNKED_TRACE "body x\nend\n");
    SAYS("the coding's name has no case",
         "POST / HTTP/1.1\r\n" HOST "TRANSFER-ENCODING: Chunked \r\n\r\n0\r\n\r\n",
         "POST / @h 1.1 chunked keep\nHost: h\nTRANSFER-ENCODING: Chunked\nend\n");
    SAYS("a chunk that is not all there is waited for", CHUNKED "3\r\nab",
         CHUNKED_TRACE "body ab\nmore\n");
    SAYS("trailers that are not all there are waited for", CHUNKED "0\r\nA: b\r\n",
         CHUNKED_TRACE "more\n");
}

static void test_pipelining(void)
{
    SAYS("requests in one piece come out one after the other",
         "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na" CHUNKED
         "1\r\nb\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n",
         "POST /1 @h 1.1 1 keep\nHost: h\nContent-Length: 1\nbody a\nend\n" CHUNKED_TRACE
         "body b\nend\nGET /3 @h 1.1 keep\nHost: h\nend\n");
    SAYS("an error ends everything", "GET / HTTP/1.1\r\n" HOST "\r\nG@T / HTTP/1.1\r\n" HOST "\r\n",
         "GET / @h 1.1 keep\nHost: h\nend\nerror 400\n");
    SAYS("empty lines between requests are dropped, each time",
         "GET / HTTP/1.0\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n\r\n\r\n\r\n",
         "GET / @ 1.0 close\nend\nGET / @ 1.0 close\nend\n");
}

static void test_the_state_between_requests(void)
{
    struct http_request request;
    struct slice body, input = SLICE("\r\n");
    struct h1 h1;
    h1_init(&h1, &roomy);
    OK(!h1_mid_request(&h1), "nothing is half read at the beginning");
    OK(h1_next(&h1, &input, &request, &body) == H1_NEED_DATA && !h1_mid_request(&h1),
       "an empty line is not the beginning of a request");
    OK(input.size == 0, "an empty line is consumed");
    input = SLICE("G");
    OK(h1_next(&h1, &input, &request, &body) == H1_NEED_DATA && h1_mid_request(&h1),
       "one byte of a head is");
    OK(input.size == 1, "a head is consumed as one piece");
    input = SLICE("GET / HTTP/1.0\r\n\r\n");
    OK(h1_next(&h1, &input, &request, &body) == H1_REQUEST && h1_mid_request(&h1),
       "a head without its end is half a request");
    OK(h1_next(&h1, &input, &request, &body) == H1_END && !h1_mid_request(&h1),
       "after the end there is none");
    input = SLICE("\n\r\n");
    OK(h1_next(&h1, &input, &request, &body) == H1_ERROR &&
           h1_next(&h1, &input, &request, &body) == H1_ERROR && h1.error_status == 400,
       "an error is repeated");
    OK(h1.error_text != NULL && h1.error_text[0] != '\0', "an error says why");
}

int main(void)
{
    test_request_lines();
    test_targets();
    test_path_and_query();
    test_hosts();
    test_fields();
    test_connection_options();
    test_expectations();
    test_sized_bodies();
    test_chunked_bodies();
    test_pipelining();
    test_the_state_between_requests();
    return TAP_END();
}
