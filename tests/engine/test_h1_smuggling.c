/* SPDX-License-Identifier: MIT
 * Requests that two servers in a row would cut into different pieces: each published family of
 * shapes is here with its relatives. All of them are refused; nothing behind the place where the
 * readings part is ever taken for a request. */
#include "h1_check.h"

struct payload {
    struct slice name, input;
};

#define P(name, text)              \
    {                              \
        {name, sizeof(name) - 1},  \
        {                          \
            text, sizeof(text) - 1 \
        }                          \
    }
#define HOST "Host: h\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define HIDDEN "GET /hidden HTTP/1.1\r\n" HOST "\r\n"
#define CHUNKS "1\r\nx\r\n0\r\n\r\n"
#define LENGTH "Content-Length: 6\r\n"
#define CODING "Transfer-Encoding: chunked\r\n"

/* Two framings in one head: CL.TE and TE.CL, and TE.TE where one of two is disguised. */
static const struct payload two_framings[] = {
    P("CL.TE", POST LENGTH CODING "\r\n0\r\n\r\n" HIDDEN),
    P("TE.CL", POST CODING LENGTH "\r\n0\r\n\r\n" HIDDEN),
    P("CL.TE with a length of 0", POST "Content-Length: 0\r\n" CODING "\r\n" CHUNKS),
    P("CL twice, the same", POST LENGTH LENGTH "\r\nabcdef"),
    P("CL twice, not the same", POST "Content-Length: 1\r\n" LENGTH "\r\nabcdef"),
    P("CL twice in different case", POST LENGTH "content-length: 7\r\n\r\nabcdefg"),
    P("TE twice", POST CODING CODING "\r\n" CHUNKS),
    P("TE chunked and identity", POST CODING "Transfer-Encoding: identity\r\n\r\n" CHUNKS),
    P("TE identity and chunked", POST "Transfer-Encoding: identity\r\n" CODING "\r\n" CHUNKS),
    P("TE chunked and a word", POST CODING "Transfer-encoding: cow\r\n\r\n" CHUNKS),
    P("TE chunked and an empty one", POST CODING "Transfer-Encoding:\r\n\r\n" CHUNKS),
    P("CL with a broken TE", POST LENGTH "Transfer-Encoding: xchunked\r\n\r\nabcdef"),
    P("TE in HTTP/1.0", "POST / HTTP/1.0\r\n" CODING "\r\n" CHUNKS),
    P("TE and CL in HTTP/1.0", "POST / HTTP/1.0\r\n" CODING LENGTH "\r\nabcdef"),
};

#define L(value) P("CL " value, POST "Content-Length:" value "\r\n\r\nabcdef")

static const struct payload lengths[] = {
    L(" +6"),
    L(" -6"),
    L(" -0"),
    L(" 0x6"),
    L(" 6 6"),
    L(" 6, 6"),
    L(" 6,6"),
    L(" 6,"),
    L(" ,6"),
    L(" 6;"),
    L(" 6.0"),
    L(" 6e0"),
    L(" \"6\""),
    L(" 6\t6"),
    L(""),
    L(" "),
    L(" six"),
    L(" 6_0"),
    L(" 0o6"),
    L(" 6 0"),
    L(" 6abc"),
    L(" %36"),
    L(" \xef\xbc\x96"),
    L(" 18446744073709551622"),
    L(" 4294967302x"),
    L(" 99999999999999999999999999"),
    L("\x0b"
      "6"),
    L(" \x0c"
      "6"),
    L(" 6\x0b"),
    L(" 6\x7f"),
    L(" \xa0"
      "6"),
    L(" 6\x85"),
    P("CL with a NUL behind", POST "Content-Length: 6\0\r\n\r\nabcdef"),
    P("CL with a NUL in front", POST "Content-Length: \0"
                                     "6\r\n\r\nabcdef"),
    P("CL with a space before the colon", POST "Content-Length : 6\r\n\r\nabcdef"),
    P("CL with a tab before the colon", POST "Content-Length\t: 6\r\n\r\nabcdef"),
    P("CL on a folded line", POST "Content-Length:\r\n 6\r\n\r\nabcdef"),
    P("CL folded behind its value", POST "Content-Length: 6\r\n 0\r\n\r\nabcdef"),
};

#define T(value) P("TE " value, POST "Transfer-Encoding:" value "\r\n\r\n" CHUNKS)

static const struct payload codings[] = {
    T(" xchunked"),
    T(" chunkedx"),
    T(" chunked, identity"),
    T(" identity, chunked"),
    T(" identity"),
    T(" gzip, chunked"),
    T(" chunked, chunked"),
    T(" chunked,"),
    T(" ,chunked"),
    T(" chunked;q=1"),
    T(" chunked;"),
    T(" \"chunked\""),
    T(" 'chunked'"),
    T(" chunk"),
    T(""),
    T(" chun ked"),
    T(" chunked cow"),
    T(" x chunked"),
    T(" chunked\tx"),
    T("\x0b"
      "chunked"),
    T(" \x0c"
      "chunked"),
    T(" chunked\x0b"),
    T(" chunked\x0c"),
    T(" chunked\x7f"),
    T(" \xa0"
      "chunked"),
    T(" chunked\x85"),
    T(" chunked\x1f"),
    T(" \xff"
      "chunked"),
    T(" gzip"),
    T(" c\xe5\xb0\x8fhunked"),
    T(" [chunked]"),
    T(" chunked/1"),
    T("=chunked"),
    T(":chunked"),
    P("TE with a NUL behind", POST "Transfer-Encoding: chunked\0\r\n\r\n" CHUNKS),
    P("TE with a NUL in front", POST "Transfer-Encoding: \0chunked\r\n\r\n" CHUNKS),
    P("TE behind a bare CR", POST "Transfer-Encoding: \rchunked\r\n\r\n" CHUNKS),
    P("TE with a bare CR behind", POST "Transfer-Encoding: chunked\r \r\n\r\n" CHUNKS),
    P("TE behind a bare LF", POST "Transfer-Encoding: \nchunked\r\n\r\n" CHUNKS),
    P("TE on a folded line", POST "Transfer-Encoding:\r\n chunked\r\n\r\n" CHUNKS),
    P("TE on a line folded with a tab", POST "Transfer-Encoding:\r\n\tchunked\r\n\r\n" CHUNKS),
    P("TE folded behind its value", POST "Transfer-Encoding: chunked\r\n x\r\n\r\n" CHUNKS),
};

/* A name that one reader normalises into Transfer-Encoding and another does not. */
static const struct payload names[] = {
    P("space before the colon", POST LENGTH "Transfer-Encoding : chunked\r\n\r\nabcdef"),
    P("tab before the colon", POST LENGTH "Transfer-Encoding\t: chunked\r\n\r\nabcdef"),
    P("vertical tab before the colon", POST LENGTH "Transfer-Encoding\x0b: chunked\r\n\r\nabcdef"),
    P("space in front of the name", POST LENGTH " Transfer-Encoding: chunked\r\n\r\nabcdef"),
    P("tab in front of the name", POST LENGTH "\tTransfer-Encoding: chunked\r\n\r\nabcdef"),
    P("space in the first line's place", "POST / HTTP/1.1\r\n " HOST LENGTH "\r\nabcdef"),
    P("NUL in the name", POST LENGTH "Transfer\0-Encoding: chunked\r\n\r\nabcdef"),
    P("NUL behind the name", POST LENGTH "Transfer-Encoding\0: chunked\r\n\r\nabcdef"),
    P("space in the name", POST LENGTH "Transfer Encoding: chunked\r\n\r\nabcdef"),
    P("a name with a byte above ASCII", POST LENGTH "Tr\xe4nsfer-Encoding: chunked\r\n\r\nabcdef"),
    P("a byte order mark", POST LENGTH "\xef\xbb\xbfTransfer-Encoding: chunked\r\n\r\nabcdef"),
    P("a name in quotes", POST LENGTH "\"Transfer-Encoding\": chunked\r\n\r\nabcdef"),
    P("a bare CR in the name", POST LENGTH "X\rTransfer-Encoding: chunked\r\n\r\nabcdef"),
    P("a bare CR in front of the name", POST LENGTH "\rTransfer-Encoding: chunked\r\n\r\nabcdef"),
    P("a field hidden behind a bare LF", POST LENGTH "X: y\nTransfer-Encoding: chunked\r\n\r\nab"),
    P("a field hidden behind a bare CR", POST LENGTH "X: y\rTransfer-Encoding: chunked\r\n\r\nab"),
    P("a field hidden behind LF CR", POST LENGTH "X: y\n\rTransfer-Encoding: chunked\r\n\r\nab"),
    P("no name", POST LENGTH ": chunked\r\n\r\nabcdef"),
    P("no colon", POST LENGTH "Transfer-Encoding\r\n\r\nabcdef"),
    P("no colon and a value", POST LENGTH "Transfer-Encoding chunked\r\n\r\nabcdef"),
    P("a colon in front", POST LENGTH ":Transfer-Encoding: chunked\r\n\r\nabcdef"),
    P("a folded value elsewhere", POST LENGTH "X: y\r\n z\r\n\r\nabcdef"),
    P("a folded line of blanks", POST LENGTH "X: y\r\n \r\n\r\nabcdef"),
    P("a request inside a name", POST "GET /hidden HTTP/1.1\r\n" LENGTH "\r\nabcdef"),
};

static const struct payload line_ends[] = {
    P("bare LF everywhere", "GET / HTTP/1.1\nHost: h\n\n"),
    P("bare LF behind the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n"),
    P("another byte for the CR", "GET / HTTP/1.1;\nHost: h\r\n\r\n"),
    P("a control byte for the CR", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\n\r\n"),
    P("a control byte in a long value", "GET / HTTP/1.1\r\nHost: h\r\nX: 0123456\x1f"
                                        "89abcdef\r\n\r\n"),
    P("bare LF behind a field", "GET / HTTP/1.1\r\nHost: h\n\r\n"),
    P("bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n"),
    P("bare LF in front", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    P("bare CR in front", "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    P("bare CR behind the request line", "GET / HTTP/1.1\rHost: h\r\n\r\n"),
    P("bare CR behind a field", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"),
    P("CR CR LF behind the request line", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"),
    P("CR CR LF behind a field", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"),
    P("CR CR LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n"),
    P("CR and something at the end", "GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n"),
    P("NEL for a line end", "GET / HTTP/1.1\x85Host: h\r\n\r\n"),
    P("a control byte in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01z\r\n\r\n"),
    P("DEL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x7f\r\n\r\n"),
    P("NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"),
    P("ESC in a long value", "GET / HTTP/1.1\r\nHost: h\r\nX: 0123456789abcdef01\x1b\r\n\r\n"),
};

static const struct payload request_lines[] = {
    P("two spaces before the target", "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    P("two spaces behind the target", "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    P("a tab before the target", "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    P("a tab behind the target", "GET /\tHTTP/1.1\r\n" HOST "\r\n"),
    P("a space in front", " GET / HTTP/1.1\r\n" HOST "\r\n"),
    P("a space behind", "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    P("a space in the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
    P("a version in the target", "GET / HTTP/1.1 HTTP/1.1\r\n" HOST "\r\n"),
    P("no target", "GET HTTP/1.1\r\n" HOST "\r\n"),
    P("no version", "GET /\r\n\r\n"),
    P("no version but a space", "GET / \r\n\r\n"),
    P("a version of two digits", "GET / HTTP/1.10\r\n" HOST "\r\n"),
    P("a version of one", "GET / HTTP/1\r\n" HOST "\r\n"),
    P("a version in lower case", "GET / http/1.1\r\n" HOST "\r\n"),
    P("a comma in the version", "GET / HTTP/1,1\r\n" HOST "\r\n"),
    P("a sign in the version", "GET / HTTP/+1.1\r\n" HOST "\r\n"),
    P("another protocol", "GET / ICY/1.1\r\n" HOST "\r\n"),
    P("a fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
    P("NUL in the target", "GET /a\0b HTTP/1.1\r\n" HOST "\r\n"),
    P("DEL in the target", "GET /a\x7f HTTP/1.1\r\n" HOST "\r\n"),
    P("NUL in the method", "G\0T / HTTP/1.1\r\n" HOST "\r\n"),
    P("a method that is no token", "G@T / HTTP/1.1\r\n" HOST "\r\n"),
    P("no method", "/ HTTP/1.1\r\n" HOST "\r\n"),
    P("a relative target", "GET index.php HTTP/1.1\r\n" HOST "\r\n"),
    P("* for GET", "GET * HTTP/1.1\r\n" HOST "\r\n"),
    P("a host for GET", "GET h:80 HTTP/1.1\r\n" HOST "\r\n"),
    P("another scheme", "GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"),
    P("a URL without host", "GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
    P("a URL of a port", "GET http://:80/ HTTP/1.1\r\n" HOST "\r\n"),
    P("a URL with a user", "GET http://u:p@h/ HTTP/1.1\r\n" HOST "\r\n"),
    P("a URL with one slash", "GET http:/h/ HTTP/1.1\r\n" HOST "\r\n"),
    P("a URL with a query and no path", "GET http://h?q HTTP/1.1\r\n" HOST "\r\n"),
    P("a TLS hello, which may never send a LF", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
};

static const struct payload hosts[] = {
    P("no Host in 1.1", "GET / HTTP/1.1\r\n\r\n"),
    P("no Host beside a URL", "GET http://h/ HTTP/1.1\r\n\r\n"),
    P("Host twice", "GET / HTTP/1.1\r\n" HOST "Host: evil\r\n\r\n"),
    P("Host twice, the same", "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
    P("Host twice in 1.0", "GET / HTTP/1.0\r\n" HOST "host: evil\r\n\r\n"),
    P("Host twice, one empty", "GET / HTTP/1.1\r\n" HOST "Host:\r\n\r\n"),
    P("two hosts in one", "GET / HTTP/1.1\r\nHost: h, evil\r\n\r\n"),
    P("two hosts with a space", "GET / HTTP/1.1\r\nHost: h evil\r\n\r\n"),
    P("a path in Host", "GET / HTTP/1.1\r\nHost: h/evil\r\n\r\n"),
    P("a user in Host", "GET / HTTP/1.1\r\nHost: h@evil\r\n\r\n"),
    P("a URL in Host", "GET / HTTP/1.1\r\nHost: http://h\r\n\r\n"),
    P("a bad Host beside a good URL", "GET http://h/ HTTP/1.1\r\nHost: e@vil\r\n\r\n"),
    P("Host hidden by a space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
    P("Host on a folded line", "GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n"),
};

static void refuse_all(const char *family, const struct payload *payloads, size_t count)
{
    char name[NAME_SIZE];
    for (size_t i = 0; i < count; i++)
        OK(agrees(&roomy, payloads[i].input, SLICE("error 400\n")), "%s: %s is refused", family,
           printable(name, payloads[i].name));
}

/* What comes behind a chunked head; the request was announced, its body must end in the error. */
#define C(text) P(text, text)

static const struct payload chunks[] = {
    C("0x5\r\nabcde\r\n0\r\n\r\n"),
    C("+5\r\nabcde\r\n0\r\n\r\n"),
    C("-1\r\nx\r\n0\r\n\r\n"),
    C("-0\r\n\r\n"),
    C(" 5\r\nabcde\r\n0\r\n\r\n"),
    C("5 \r\nabcde\r\n0\r\n\r\n"),
    C("5\t\r\nabcde\r\n0\r\n\r\n"),
    C("5 5\r\nabcde\r\n0\r\n\r\n"),
    C("\r\n\r\n"),
    C("\r\n0\r\n\r\n"),
    C("g\r\n\r\n"),
    C("5g\r\nabcde\r\n0\r\n\r\n"),
    C("5.0\r\nabcde\r\n"),
    C("0_5\r\nabcde\r\n"),
    C("5,5\r\nabcde\r\n"),
    C("#5\r\nabcde\r\n"),
    C("5\nabcde\r\n0\r\n\r\n"),
    C("5\rabcde\r\n"),
    C("5\r\r\nabcde\r\n"),
    C("5\0\r\nabcde\r\n"),
    C("5\x0b\r\nabcde\r\n"),
    C("0\n\r\n"),
    C("0\r\n\n"),
    C("0\n\n"),
    C("0\r\r\n\r\n"),
    C("0\r\n\rX"),
    C(";a\r\nabcde\r\n"),
    C("100000000000000005\r\nabcde\r\n"),
    C("ffffffffffffffff\r\n"),
    C("fffffffffffffffff\r\n"),
    C("80000000000000000\r\n"),
    C("5;\r\nabcde\r\n"),
    C("5;;\r\nabcde\r\n"),
    C("5; a\r\nabcde\r\n"),
    C("5 ;a\r\nabcde\r\n"),
    C("5;a \r\nabcde\r\n"),
    C("5;a\nabcde\r\n0\r\n\r\n"),
    C("5;a\rabcde\r\n"),
    C("5;\nabcde\r\n0\r\n\r\n"),
    C("5;a=\r\nabcde\r\n"),
    C("5;=b\r\nabcde\r\n"),
    C("5;a=b=c\r\nabcde\r\n"),
    C("5;a=\"b\r\nabcde\r\n"),
    C("5;a=\"b\nc\"\r\nabcde\r\n"),
    C("5;a=\"b\\\r\n\"\r\nabcde\r\n"),
    C("5;a=\"b\"c\r\nabcde\r\n"),
    C("5;a\0b\r\nabcde\r\n"),
    C("5;a=\"\x01\"\r\nabcde\r\n"),
    C("5;\xff\r\nabcde\r\n"),
    C("0\r\n A: b\r\n\r\n"),
    C("0\r\nA : b\r\n\r\n"),
    C("0\r\nA: b\r\n c\r\n\r\n"),
    C("0\r\nA: b\n\r\n"),
    C("0\r\nA: b\rC: d\r\n\r\n"),
    C("0\r\nA\r\n\r\n"),
    C("0\r\n: b\r\n\r\n"),
    C("0\r\nA: \0\r\n\r\n"),
    C("0\r\nA: b\r\n\n"),
    C("0\r\n\xff: b\r\n\r\n"),
    C("0\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"),
    C("0\r\nA: b\x7f\r\n\r\n"),
};

/* As above, but behind a good chunk "5 abcde" in which the bytes after its data are wrong. */
static const struct payload chunk_ends[] = {
    C("0\r\n\r\n"),      C("\n0\r\n\r\n"),       C("\rx0\r\n\r\n"),   C("\r0\r\n\r\n"),
    C("x\r\n0\r\n\r\n"), C("\r\r\n0\r\n\r\n"),   C(" \r\n0\r\n\r\n"), C("\0\r\n0\r\n\r\n"),
    C("\n\r0\r\n\r\n"),  C("\r\n\r\n0\r\n\r\n"),
};

static void refuse_chunks(const struct payload *payload, struct slice before, struct slice trace)
{
    struct slice head = joined(SLICE(POST CODING "\r\n"), before);
    struct slice input = joined(head, payload->input);
    struct slice start =
        joined(SLICE("POST / @h 1.1 chunked keep\nHost: h\nTransfer-Encoding: chunked\n"), trace);
    struct slice expected = joined(start, SLICE("error 400\n"));
    char name[NAME_SIZE];
    OK(agrees(&roomy, input, expected), "chunks: %s is refused", printable(name, payload->input));
    free((char *)head.data);
    free((char *)input.data);
    free((char *)start.data);
    free((char *)expected.data);
}

#define REFUSE(family) refuse_all(#family, family, COUNT_OF(family))

int main(void)
{
    REFUSE(two_framings);
    REFUSE(lengths);
    REFUSE(codings);
    REFUSE(names);
    REFUSE(line_ends);
    REFUSE(request_lines);
    REFUSE(hosts);
    for (size_t i = 0; i < COUNT_OF(chunks); i++)
        refuse_chunks(&chunks[i], SLICE(""), SLICE(""));
    for (size_t i = 0; i < COUNT_OF(chunk_ends); i++)
        refuse_chunks(&chunk_ends[i], SLICE("5\r\nabcde"), SLICE("body abcde\n"));
    return TAP_END();
}
