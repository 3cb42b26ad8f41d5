/* SPDX-License-Identifier: MIT
 * How a WebSocket begins (proto/ws_handshake.h, ws_offer.c, sha1.c): what a request must have,
 * which offers of compression are accepted, and the answer to them. */
#include "h1_trace.h"
#include "proto/sha1.h"
#include "proto/ws_handshake.h"
#include "tap.h"

static const struct h1_limits limits = {.head_size_max = HTTP_HEAD_SIZE_MAX,
                                        .target_size_max = HTTP_TARGET_SIZE_MAX,
                                        .fields_max = HTTP_FIELDS_MAX,
                                        .body_size_max = 1 << 20};
static const struct ws_deflate_wish nothing = {0, false};

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define GOOD UPGRADE VERSION KEY

static struct http_request request;
static struct ws_request wanted;

/* What is said to a request with these fields. */
static int judge(const char *method, const char *fields)
{
    static char head[8192];
    struct slice input, body;
    struct h1 h1;
    const char *reason = NULL;
    int size =
        snprintf(head, sizeof head, "%s /echo HTTP/1.1\r\nHost: h\r\n%s\r\n", method, fields);
    assert(size > 0 && (size_t)size < sizeof head);
    input = (struct slice){head, (size_t)size};
    h1_init(&h1, &limits);
    enum h1_event event = h1_next(&h1, &input, &request, &body);
    assert(event == H1_REQUEST);
    int status = ws_judge(&request, &nothing, &wanted, &reason);
    assert((status == 0) == (reason == NULL));
    return status;
}

static void test_requests(void)
{
    OK(judge("GET", GOOD) == 0 && wanted.key.size == WS_KEY_SIZE, "a handshake");
    OK(wanted.origin.size == 0 && wanted.protocol_count == 0, "nothing more was said");
    OK(judge("GET", VERSION KEY "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, upgrade\r\n") ==
           0,
       "lists, and any case");
    OK(judge("GET", "") == 426, "a plain GET");
    OK(judge("POST", GOOD) == 426, "another method");
    OK(judge("GET", VERSION KEY "Upgrade: websocket\r\n") == 426, "Upgrade is not named");
    OK(judge("GET", VERSION KEY "Upgrade: h2c\r\nConnection: upgrade\r\n") == 426, "another one");
    OK(judge("GET", UPGRADE KEY "Sec-WebSocket-Version: 8\r\n") == 426, "an old version");
    OK(judge("GET", UPGRADE KEY) == 426, "no version");
    OK(judge("GET", GOOD VERSION) == 426, "two versions");
    OK(judge("GET", UPGRADE VERSION) == 400, "no key");
    OK(judge("GET", GOOD KEY) == 400, "two keys");
    OK(judge("GET", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n") == 400,
       "a key without its padding");
    OK(judge("GET", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n") == 400,
       "a key of more than 16 bytes");
    OK(judge("GET", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNh*XBsZSBub25jZQ==\r\n") == 400,
       "a key that is not base64");
    OK(judge("GET", GOOD "Content-Length: 5\r\n") == 400, "a body");
    OK(judge("GET", GOOD "Transfer-Encoding: chunked\r\n") == 400, "a body in chunks");
    OK(judge("GET", GOOD "Content-Length: 0\r\n") == 0, "an empty body is none");
}

static void test_what_is_passed_on(void)
{
    OK(judge("GET", GOOD "Origin: https://a.example\r\n") == 0 &&
           slice_equals(wanted.origin, SLICE("https://a.example")),
       "the origin");
    OK(judge("GET", GOOD "Origin: https://a\r\nOrigin: https://b\r\n") == 400, "two origins");
    OK(judge("GET",
             GOOD "Sec-WebSocket-Protocol: chat, , mqtt\r\nSec-WebSocket-Protocol: v2\r\n") == 0 &&
           wanted.protocol_count == 3 && slice_equals(wanted.protocols[1], SLICE("mqtt")) &&
           slice_equals(wanted.protocols[2], SLICE("v2")),
       "subprotocols in their order");
    OK(judge("GET", GOOD "Sec-WebSocket-Protocol: a, b, a\r\n") == 400, "one twice");
    OK(judge("GET", GOOD "Sec-WebSocket-Protocol: a b\r\n") == 400, "no name");
    char many[512] = GOOD "Sec-WebSocket-Protocol: a";
    size_t size = strlen(many);
    for (int i = 0; i < WS_PROTOCOLS_MAX; i++)
        size += (size_t)snprintf(many + size, sizeof many - size, ",b%d", i);
    memcpy(many + size, "\r\n", 3);
    OK(judge("GET", many) == 400, "too many");
    OK(judge("GET", GOOD "Sec-WebSocket-Extensions: ;\r\n") == 400, "malformed extensions");
}

/* The answer to a field; "" for none, "!" when it is malformed. */
static const char *answer_to(const char *field, struct ws_deflate_wish wish)
{
    static char answer[WS_ANSWER_SIZE_MAX + 1];
    struct ws_deflate deflate = {.agreed = false};
    size_t size = strlen(field);
    struct guard guard = guard_new(size);
    bool fine =
        ws_deflate_negotiate(&deflate, &wish, guard_put(&guard, (struct slice){field, size}));
    guard_free(&guard);
    if (!fine)
        return "!";
    answer[deflate.agreed ? ws_deflate_answer(&deflate, answer) : 0] = '\0';
    return answer;
}

static bool answers(const char *field, const char *expected)
{
    const char *answer = answer_to(field, (struct ws_deflate_wish){12, false});
    if (!ws_deflate_built())
        expected = *expected == '!' ? "!" : "";
    if (strcmp(answer, expected) != 0)
        printf("# %s: %s, not %s\n", field, answer, expected);
    return strcmp(answer, expected) == 0;
}

#define P "permessage-deflate"

static void test_offers(void)
{
    OK(answers(P, P), "an offer without parameters");
    OK(answers(P "; client_max_window_bits", P "; client_max_window_bits=12"),
       "a client that lets us choose its window");
    OK(answers(P ";client_max_window_bits=10", P "; client_max_window_bits=10"),
       "... up to a size");
    OK(answers(P "; server_max_window_bits=10", P "; server_max_window_bits=10"), "our window");
    OK(answers(P "; server_max_window_bits=15", P "; server_max_window_bits=12"), "a smaller one");
    OK(answers(P "; server_max_window_bits=8", P "; server_max_window_bits=8"), "the smallest");
    OK(answers(P "; server_no_context_takeover; client_no_context_takeover",
               P "; server_no_context_takeover; client_no_context_takeover"),
       "nobody remembers");
    OK(answers(P "; server_max_window_bits=\"9\"", P "; server_max_window_bits=9"), "quotes");
    OK(answers(P "; server_max_window_bits=\"\\9\"", P "; server_max_window_bits=9"), "escapes");
    OK(answers(P "; mode=fast, " P "; x, " P, P), "the first that is understood");
    OK(answers("x-webkit-deflate-frame, , " P, P), "other extensions are not answered");
    OK(strcmp(answer_to(P, (struct ws_deflate_wish){0, false}), "") == 0, "none if none is wanted");
    OK(strcmp(answer_to(P, (struct ws_deflate_wish){15, true}),
              ws_deflate_built() ? P "; server_no_context_takeover; client_no_context_takeover"
                                 : "") == 0,
       "our wish to forget");
    static const char *const declined[] = {
        P "; server_max_window_bits",
        P "; server_max_window_bits=7",
        P "; server_max_window_bits=16",
        P "; server_max_window_bits=09",
        P "; server_max_window_bits=100",
        P "; client_max_window_bits=x",
        P "; server_no_context_takeover=1",
        P "; client_no_context_takeover; "
          "client_no_context_takeover",
        P "; client_max_window_bits; client_max_window_bits=9",
        "",
        ",",
    };
    for (size_t i = 0; i < COUNT_OF(declined); i++)
        OK(answers(declined[i], ""), "declined: %s", declined[i]);
    static const char *const malformed[] = {
        ";",         P " x",          P ";",         P "; a=", P "; a=\"", P "; a=\"\"",
        P "; a=\"b", P "; a=\"b c\"", P "; a=\"b\\", "=",      P "; =b",   P "; a==b",
    };
    for (size_t i = 0; i < COUNT_OF(malformed); i++)
        OK(answers(malformed[i], "!"), "malformed: %s", malformed[i]);
}

static bool digests(const char *text, const char *expected)
{
    uint8_t digest[SHA1_SIZE];
    char hex[2 * SHA1_SIZE + 1];
    sha1(slice_of(text), digest);
    for (size_t i = 0; i < SHA1_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return strcmp(hex, expected) == 0;
}

static void test_accept(void)
{
    char out[WS_ACCEPT_SIZE];
    ws_accept(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), out);
    OK(slice_equals((struct slice){out, sizeof out}, SLICE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
       "the example of RFC 6455 section 1.3");
    /* FIPS 180. */
    OK(digests("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), "the digest of nothing");
    OK(digests("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"), "of a few bytes");
    OK(digests("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
               "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
       "of two blocks");
}

int main(void)
{
    test_requests();
    test_what_is_passed_on();
    test_offers();
    test_accept();
    return TAP_END();
}
