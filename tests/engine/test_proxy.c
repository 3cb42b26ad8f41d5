/* SPDX-License-Identifier: MIT
 * Heads of the PROXY protocol (proto/proxy.h): each is read whole, byte by byte and with a tail
 * that ends at a guard page, and must say the same. */
#include <arpa/inet.h>

#include "h1_trace.h"
#include "proto/proxy.h"
#include "tap.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define INET "\x7f\x01\x02\x03\x0a\x00\x00\x09\x1f\x90\x01\xbb"
#define INET6                                    \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
    "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
#define BYTES(literal)                 \
    (struct slice)                     \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

struct result {
    enum proxy_event event;
    struct proxy_head head;
    size_t consumed;
};

static struct result read_once(struct slice bytes)
{
    struct guard guard = guard_new(bytes.size);
    struct slice input = guard_put(&guard, bytes);
    struct result result = {0};
    result.event = proxy_read(&input, &result.head);
    result.consumed = bytes.size - input.size;
    guard_free(&guard);
    return result;
}

/* As a connection does: again with one byte more until there is a verdict. */
static struct result read_bytewise(struct slice bytes)
{
    struct result result = {0};
    for (size_t size = 0; size <= bytes.size; size++) {
        result = read_once((struct slice){bytes.data, size});
        if (result.event != PROXY_NEED_DATA)
            break;
    }
    return result;
}

static bool is_same(const struct result *a, const struct result *b)
{
    return a->event == b->event &&
           (a->event != PROXY_DONE ||
            (a->consumed == b->consumed && memcmp(&a->head, &b->head, sizeof a->head) == 0));
}

/* Whole, byte by byte and with a request behind it. */
static struct result read_in_every_way(struct slice bytes, const char *name)
{
    static const struct slice tail = {"GET / HTTP/1.1\r\n", 16};
    struct result whole = read_once(bytes), bytewise = read_bytewise(bytes);
    OK(is_same(&whole, &bytewise), "%s: the same byte by byte", name);
    if (whole.event != PROXY_DONE)
        return whole;
    OK(whole.consumed == bytes.size, "%s: all of it was read", name);
    char *both = malloc(bytes.size + tail.size);
    if (both == NULL)
        abort();
    memcpy(both, bytes.data, bytes.size);
    memcpy(both + bytes.size, tail.data, tail.size);
    struct result more = read_once((struct slice){both, bytes.size + tail.size});
    OK(is_same(&whole, &more), "%s: what follows is left", name);
    free(both);
    return whole;
}

static bool is_end(const struct proxy_end *end, uint8_t family, const char *address, uint16_t port)
{
    uint8_t bytes[PROXY_ADDRESS_SIZE] = {0};
    inet_pton(family == PROXY_INET ? AF_INET : AF_INET6, address, bytes);
    return memcmp(bytes, end->bytes, sizeof bytes) == 0 && end->port == port;
}

static void addresses_are_read(void)
{
    static const struct {
        struct slice bytes;
        const char *source, *target;
        uint16_t source_port, target_port;
        uint8_t family, version;
        bool secure;
    } good[] = {
        {BYTES("PROXY TCP4 127.1.2.3 10.0.0.9 8080 443\r\n"), "127.1.2.3", "10.0.0.9", 8080, 443,
         PROXY_INET, 1, false},
        {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255",
         "255.255.255.255", 65535, 65535, PROXY_INET, 1, false},
        {BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0", "0.0.0.0", 0, 0, PROXY_INET, 1,
         false},
        {BYTES("PROXY TCP6 2001:db8::1 fe80::2 8080 443\r\n"), "2001:db8::1", "fe80::2", 8080, 443,
         PROXY_INET6, 1, false},
        {BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         65535, 65535, PROXY_INET6, 1, false},
        {BYTES(V2 "\x21\x11\0\x0c" INET), "127.1.2.3", "10.0.0.9", 8080, 443, PROXY_INET, 2, false},
        {BYTES(V2 "\x21\x21\0\x24" INET6 "\x1f\x90\x01\xbb"), "2001:db8::1", "fe80::2", 8080, 443,
         PROXY_INET6, 2, false},
        {BYTES(V2 "\x21\x11\0\x14" INET "\x20\0\x05\x01\0\0\0\0"), "127.1.2.3", "10.0.0.9", 8080,
         443, PROXY_INET, 2, true},
        {BYTES(V2 "\x21\x11\0\x14" INET "\x20\0\x05\0\0\0\0\0"), "127.1.2.3", "10.0.0.9", 8080, 443,
         PROXY_INET, 2, false},
        {BYTES(V2 "\x21\x11\0\x16" INET "\x04\0\0\x04\0\0\xea\0\x01x"), "127.1.2.3", "10.0.0.9",
         8080, 443, PROXY_INET, 2, false},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char name[32];
        snprintf(name, sizeof name, "good head %zu", i);
        struct result result = read_in_every_way(good[i].bytes, name);
        const struct proxy_head *head = &result.head;
        OK(result.event == PROXY_DONE && head->version == good[i].version, "%s is one", name);
        OK(head->family == good[i].family && head->secure == good[i].secure, "%s: kind", name);
        OK(is_end(&head->source, head->family, good[i].source, good[i].source_port), "%s: source",
           name);
        OK(is_end(&head->target, head->family, good[i].target, good[i].target_port), "%s: target",
           name);
    }
}

static void heads_without_addresses(void)
{
    static char unix_socket[16 + 216] = V2 "\x21\x31\0\xd8";
    const struct slice heads[] = {
        BYTES("PROXY UNKNOWN\r\n"),
        BYTES("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"),
        BYTES("PROXY UNKNOWN whatever this is\r\n"),
        BYTES(V2 "\x20\0\0\0"),
        BYTES(V2 "\x20\x11\0\x0c" INET), /* LOCAL: what it says is not to be looked at */
        BYTES(V2 "\x20\x77\0\x03"
                 "\x03\0\xff"), /* … nor understood */
        BYTES(V2 "\x21\0\0\0"), /* UNSPEC */
        BYTES(V2 "\x21\0\0\x03"
                 "abc"),                 /* … with what nobody can read */
        BYTES(V2 "\x21\x12\0\x0c" INET), /* UDP */
        {unix_socket, sizeof unix_socket},
    };
    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        char name[32];
        snprintf(name, sizeof name, "bare head %zu", i);
        struct result result = read_in_every_way(heads[i], name);
        OK(result.event == PROXY_DONE && result.head.family == PROXY_NONE, "%s is one", name);
    }
}

static void what_is_no_head_is_refused(void)
{
    static const struct slice bad[] = {
        BYTES("GET / HTTP/1.1\r\n\r\n"),
        BYTES("\x16\x03\x01\x02\x00\x01"), /* TLS */
        BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        BYTES("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
        BYTES("PROXY\r\n"),
        BYTES("PROXY \r\n"),
        BYTES("PROXY \n"),
        BYTES("PROXY TCP4\r\n"),
        BYTES("PROXY UNKNOWNS\r\n"),
        BYTES("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n"),
        BYTES("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"),
        BYTES("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
        BYTES("PROXY TCP6 ::1%lo ::1 1 2\r\n"),
        BYTES("PROXY TCP6 [::1] [::1] 1 2\r\n"),
        BYTES("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901234567890123456789"
              "0123456789012345678901234\r\n"), /* 108 bytes */
        BYTES(V2 "\x11\x11\0\x0c" INET),        /* no version 1 */
        BYTES(V2 "\x22\x11\0\x0c" INET),        /* no such command */
        BYTES(V2 "\x21\x13\0\x0c" INET),        /* no such transport */
        BYTES(V2 "\x21\x41\0\x0c" INET),        /* no such family */
        BYTES(V2 "\x21\x11\0\x0b\x7f\x01\x02\x03\x0a\x00\x00\x09\x1f\x90\x01"), /* too short */
        BYTES(V2 "\x21\x21\0\x0c" INET),
        BYTES(V2 "\x21\x11\0\x0e" INET "\x04\0"),               /* half a TLV */
        BYTES(V2 "\x21\x11\0\x10" INET "\x04\0\x02x"),          /* a TLV past the end */
        BYTES(V2 "\x21\x11\0\x0f" INET "\x03\0\0"),             /* an empty checksum */
        BYTES(V2 "\x21\x11\0\x13" INET "\x03\0\x04\0\0\0\0"),   /* a wrong one */
        BYTES(V2 "\x21\x11\0\x13" INET "\x20\0\x04\x01\0\0\0"), /* too little of SSL */
        BYTES(V2 "\x21\x11\0\x1c" INET "\x20\0\x05\0\0\0\0\0\x20\0\x05\x01\0\0\0\0"), /* twice */
        BYTES(V2 "\x21\x11\x0f\xf1" INET), /* more than the limit */
        BYTES(V2 "\x21\x11\xff\xff" INET),
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char name[32];
        snprintf(name, sizeof name, "bad head %zu", i);
        OK(read_in_every_way(bad[i], name).event == PROXY_ERROR, "%s is none", name);
    }
}

static void the_limits_are_the_named_ones(void)
{
    char line[PROXY_V1_SIZE_MAX + 1];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + PROXY_V1_SIZE_MAX - 2, "\r\n", 2);
    OK(read_in_every_way((struct slice){line, PROXY_V1_SIZE_MAX}, "107 bytes").event == PROXY_DONE,
       "a line of 107 bytes is one");
    static char head[PROXY_V2_SIZE_MAX] = V2 "\x20\0\x0f\xf0";
    OK(read_once((struct slice){head, sizeof head}).event == PROXY_DONE, "4096 bytes are one");
    OK(read_once((struct slice){head, sizeof head - 1}).event == PROXY_NEED_DATA, "less is not");
    for (size_t count = PROXY_TLVS_MAX; count <= PROXY_TLVS_MAX + 1; count++) {
        char many[16 + 12 + 3 * (PROXY_TLVS_MAX + 1)] = V2 "\x21\x11\0\0" INET;
        many[15] = (char)(12 + 3 * count);
        for (size_t i = 0; i < count; i++)
            many[28 + 3 * i] = 4; /* NOOP */
        struct result result = read_once((struct slice){many, 28 + 3 * count});
        OK(result.event == (count == PROXY_TLVS_MAX ? PROXY_DONE : PROXY_ERROR), "%zu TLVs", count);
    }
}

static void the_checksum_is_checked(void)
{
    OK(proxy_crc32c(0, SLICE("123456789")) == 0xe3069283, "CRC32c of the usual digits");
    OK(proxy_crc32c(proxy_crc32c(0, SLICE("1234")), SLICE("56789")) == 0xe3069283, "in two parts");
    char head[] = V2 "\x21\x11\0\x17" INET "\x03\0\x04\0\0\0\0"
                     "\xea\0\x01x";
    size_t size = sizeof head - 1;
    uint32_t crc = proxy_crc32c(0, (struct slice){head, size});
    for (int i = 0; i < 4; i++)
        head[31 + i] = (char)(crc >> (24 - 8 * i));
    OK(read_in_every_way((struct slice){head, size}, "sum").event == PROXY_DONE, "a right one");
    for (size_t i = 16; i < size; i++) {
        if (i == 28)
            continue; /* what makes it a checksum at all */
        head[i] ^= 0x40;
        OK(read_once((struct slice){head, size}).event != PROXY_DONE, "byte %zu is wrong", i);
        head[i] ^= 0x40;
    }
}

int main(void)
{
    addresses_are_read();
    heads_without_addresses();
    what_is_no_head_is_refused();
    the_limits_are_the_named_ones();
    the_checksum_is_checked();
    return TAP_END();
}
