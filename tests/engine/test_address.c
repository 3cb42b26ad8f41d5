/* SPDX-License-Identifier: MIT
 * Socket addresses as applications are told them (serve/address.h). */
#include <arpa/inet.h>
#include <unistd.h>

#include "serve/address.h"
#include "tap.h"

static struct address inet_address(uint32_t number, uint16_t port)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(number)};
    return address_of((struct sockaddr *)&name);
}

static void ipv4_is_formatted_as_the_library_does(void)
{
    static const uint32_t numbers[] = {0,          1,          0x7f000001, 0x0a0a6364, 0xffffffff,
                                       0xc0a80164, 0x09636464, 0x64000a00, 0x01020304, 0xfeff00fe};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char wanted[INET_ADDRSTRLEN];
        struct address address = inet_address(numbers[i], 8080);
        struct address_text text = address_format(&address);
        inet_ntop(AF_INET, address.bytes, wanted, sizeof wanted);
        OK(strcmp(text.text, wanted) == 0 && text.size == strlen(wanted), "%s", wanted);
        OK(address.port == 8080, "its port is in the machine's order");
    }
}

static void ipv6_and_others(void)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    inet_pton(AF_INET6, "2001:db8::1", &name.sin6_addr);
    struct address address = address_of((struct sockaddr *)&name);
    struct address_text text = address_format(&address);
    OK(strcmp(text.text, "2001:db8::1") == 0 && address.port == 443, "IPv6 with its port");
    struct sockaddr local = {.sa_family = AF_UNIX};
    address = address_of(&local);
    text = address_format(&address);
    OK(text.size == 0 && text.text[0] == '\0', "a unix socket has no address");
}

static void a_mapped_ipv4_address_is_ipv4(void)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &name.sin6_addr);
    struct address address = address_of((struct sockaddr *)&name);
    struct address plain = inet_address(0xc0000207, 443);
    struct address_text text = address_format(&address);
    OK(strcmp(text.text, "192.0.2.7") == 0, "it is written as one");
    OK(memcmp(&address, &plain, sizeof address) == 0, "and is the same address, port and all");
    inet_pton(AF_INET6, "::fffe:192.0.2.7", &name.sin6_addr);
    address = address_of((struct sockaddr *)&name);
    OK(address.family == AF_INET6, "its neighbours are not");
}

/* A listener on 127.0.0.n; -1 when this machine has no such address. */
static int listener_on(unsigned n)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + n)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

static void own_addresses_are_remembered_up_to_a_limit(void)
{
    enum { SOCKETS = ADDRESSES_OWN_MAX + 2 };
    struct own_addresses own = {0};
    for (unsigned i = 0; i < SOCKETS; i++) {
        char wanted[INET_ADDRSTRLEN];
        uint8_t remembered = 0;
        int fd = listener_on(i + 1);
        snprintf(wanted, sizeof wanted, "127.0.0.%u", i + 1);
        const struct own_address *first = address_own(&own, fd, &remembered);
        const struct own_address *again = address_own(&own, fd, &remembered);
        OK(strcmp(first->text.text, wanted) == 0 && first->address.port != 0, "%s", wanted);
        OK(again == first, "the same again");
        OK((remembered != 0) == (i < ADDRESSES_OWN_MAX), "remembered while there is room");
        close(fd);
    }
    OK(own.count == ADDRESSES_OWN_MAX, "no more than the limit");
    uint8_t remembered = 3;
    OK(address_own(&own, -1, &remembered) == &own.known[2], "the kernel is not asked again");
    remembered = 0;
    OK(address_own(&own, -1, &remembered)->text.size == 0, "what is no socket has no address");
}

int main(void)
{
    ipv4_is_formatted_as_the_library_does();
    ipv6_and_others();
    a_mapped_ipv4_address_is_ipv4();
    own_addresses_are_remembered_up_to_a_limit();
    return TAP_END();
}
