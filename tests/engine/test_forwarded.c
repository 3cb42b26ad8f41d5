/* SPDX-License-Identifier: MIT
 * Lists and values of proxies (proto/forwarded.h); every value ends at a guard page. */
#include <arpa/inet.h>

#include "h1_trace.h"
#include "proto/forwarded.h"
#include "tap.h"

enum { PARTS_MAX = 8 };

/* The elements of a request's lists, from the right, each in brackets. */
static void read_list(const char *const *values, size_t count, char text[static 256])
{
    static struct http_request request;
    struct guard guards[PARTS_MAX];
    struct forwarded_list list;
    struct slice element;
    size_t size = 0;
    request.field_count = 0;
    for (size_t i = 0; i < count; i++) {
        guards[i] = guard_new(strlen(values[i]));
        request.fields[request.field_count++] =
            (struct http_field){i % 2 ? SLICE("x-forwarded-for") : SLICE("X-Forwarded-For"),
                                guard_put(&guards[i], slice_of(values[i]))};
        request.fields[request.field_count++] =
            (struct http_field){SLICE("Forwarded"), SLICE("other")};
    }
    forwarded_begin(&list, &request, SLICE("X-Forwarded-For"));
    while (forwarded_next(&list, &element))
        size +=
            (size_t)snprintf(text + size, 256 - size, "[%.*s]", (int)element.size, element.data);
    text[size] = '\0';
    for (size_t i = 0; i < count; i++)
        guard_free(&guards[i]);
}

static void lists_are_read_from_the_right(void)
{
    static const struct {
        const char *values[PARTS_MAX];
        const char *wanted;
    } lists[] = {
        {{"a"}, "[a]"},           {{"a, b ,c"}, "[c][b][a]"}, {{"a,b", "c"}, "[c][b][a]"},
        {{"", "c"}, "[c][]"},     {{"a,,b,"}, "[][b][][a]"},  {{"\"a,b\", c"}, "[c][\"a,b\"]"},
        {{"a\", b"}, "[b][a\"]"}, /* an open quote on the left reaches nobody on the right */
        {{"a, \"b"}, "[a, \"b]"},
    };
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        char text[256];
        size_t count = 0;
        while (lists[i].values[count] != NULL)
            count++;
        read_list(lists[i].values, count, text);
        OK(strcmp(text, lists[i].wanted) == 0, "list %zu: %s", i, lists[i].wanted);
    }
    char text[256] = "x";
    read_list(NULL, 0, text);
    OK(text[0] == '\0', "no field, no element");
}

static bool read_node(const char *text, enum proxy_family *family, struct proxy_end *end)
{
    struct guard guard = guard_new(strlen(text));
    bool done = forwarded_node(guard_put(&guard, slice_of(text)), family, end);
    guard_free(&guard);
    return done;
}

static void nodes_are_addresses(void)
{
    static const struct {
        const char *text, *address;
        uint16_t port;
    } nodes[] = {
        {"192.0.2.1", "192.0.2.1", 0},
        {"192.0.2.1:8080", "192.0.2.1", 8080},
        {"192.0.2.1:_hidden", "192.0.2.1", 0},
        {"192.0.2.1:70000", "192.0.2.1", 0},
        {"2001:db8::1", "2001:db8::1", 0},
        {"[2001:db8::1]", "2001:db8::1", 0},
        {"[2001:db8::1]:443", "2001:db8::1", 443},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1", 0},
    };
    static const char *const bad[] = {"",     "unknown",   "_hidden",      "192.0.2", "1.2.3.4 5",
                                      "[::1", "[1.2.3.4]", "::1]",         "[::1]x",  "a.example",
                                      "[]",   "1.2.3.4.5", "01.2.3.4",     ":80",     "[",
                                      "::g",  "\"::1\"",   "1.2.3.4, ::1", "::1%lo",  "]:1"};
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        uint8_t wanted[PROXY_ADDRESS_SIZE] = {0};
        enum proxy_family family = PROXY_NONE;
        struct proxy_end end;
        bool inet = inet_pton(AF_INET, nodes[i].address, wanted) == 1;
        if (!inet)
            inet_pton(AF_INET6, nodes[i].address, wanted);
        OK(read_node(nodes[i].text, &family, &end), "%s is a node", nodes[i].text);
        OK(family == (inet ? PROXY_INET : PROXY_INET6) && end.port == nodes[i].port &&
               memcmp(end.bytes, wanted, sizeof wanted) == 0,
           "%s: its address and port", nodes[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        enum proxy_family family;
        struct proxy_end end;
        OK(!read_node(bad[i], &family, &end), "'%s' is none", bad[i]);
    }
}

static void parameters_are_found(void)
{
    static const struct {
        const char *element, *wanted;
    } cases[] = {
        {"for=192.0.2.1", "192.0.2.1"},
        {"proto=https;FOR=192.0.2.1; by=x", "192.0.2.1"},
        {"for=\"[2001:db8::1]:443\"", "[2001:db8::1]:443"},
        {"by=\"a;for=b\";for=c", "c"},
        {"", ""},
        {"by=x", ""},
        {"for=a;for=b", ""},
        {"for", ""},
        {"for=a;nonsense", ""},
        {"for=\"a", ""},
        {"for=\"a\\\"\"", ""},
        {"for=a;", "a"},
        {"for =a", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guard guard = guard_new(strlen(cases[i].element));
        struct slice element = guard_put(&guard, slice_of(cases[i].element));
        struct slice found = forwarded_parameter(element, SLICE("for"));
        OK(slice_equals(found, slice_of(cases[i].wanted)), "'%s'", cases[i].element);
        guard_free(&guard);
    }
}

static void hosts_and_ports(void)
{
    OK(forwarded_host(SLICE("shop.example:8443")), "a host with a port");
    OK(forwarded_host(SLICE("[::1]:80")), "an address");
    OK(!forwarded_host(SLICE("")) && !forwarded_host(SLICE("a b")) && !forwarded_host(SLICE("a/b")),
       "none of these");
    OK(forwarded_port(SLICE("443")) == 443 && forwarded_port(SLICE("65535")) == 65535, "ports");
    OK(forwarded_port(SLICE("65536")) == 0 && forwarded_port(SLICE("")) == 0 &&
           forwarded_port(SLICE("80,443")) == 0 && forwarded_port(SLICE("-1")) == 0,
       "none of these");
}

int main(void)
{
    lists_are_read_from_the_right();
    nodes_are_addresses();
    parameters_are_found();
    hosts_and_ports();
    return TAP_END();
}
