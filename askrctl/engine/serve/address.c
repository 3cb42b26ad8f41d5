/* SPDX-License-Identifier: MIT
 * The addresses of address.h. IPv4 is formatted by hand: inet_ntop(3) goes through sprintf. A new
 * address of our own takes the next free place of the table and is never forgotten: listeners live
 * as long as the worker. */
#include "serve/address.h"

#include <arpa/inet.h>

void address_unmap(struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof mapped) != 0)
        return;
    address->family = AF_INET;
    memcpy(address->bytes, address->bytes + sizeof mapped, 4);
    memset(address->bytes + 4, 0, sizeof address->bytes - 4);
}

struct address address_of(const struct sockaddr *name)
{
    struct address address = {.family = (uint8_t)name->sa_family};
    if (name->sa_family == AF_INET) {
        const struct sockaddr_in *inet = (const void *)name;
        address.port = ntohs(inet->sin_port);
        memcpy(address.bytes, &inet->sin_addr, sizeof inet->sin_addr);
    } else if (name->sa_family == AF_INET6) {
        const struct sockaddr_in6 *inet6 = (const void *)name;
        address.port = ntohs(inet6->sin6_port);
        memcpy(address.bytes, &inet6->sin6_addr, sizeof inet6->sin6_addr);
        address_unmap(&address);
    }
    return address;
}

static char *put_number(char *at, unsigned number)
{
    if (number >= 100)
        *at++ = (char)('0' + number / 100);
    if (number >= 10)
        *at++ = (char)('0' + number / 10 % 10);
    *at++ = (char)('0' + number % 10);
    return at;
}

struct address_text address_format(const struct address *address)
{
    struct address_text text;
    char *end = text.text;
    if (address->family == AF_INET) {
        for (size_t i = 0; i < 4; i++) {
            end = put_number(end, address->bytes[i]);
            *end++ = '.';
        }
        end--;
    } else if (address->family == AF_INET6 &&
               inet_ntop(AF_INET6, address->bytes, text.text, sizeof text.text) != NULL) {
        end += strlen(text.text);
    }
    *end = '\0';
    text.size = (uint8_t)(end - text.text);
    return text;
}

static bool is_same(const struct address *a, const struct address *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

const struct own_address *address_own(struct own_addresses *own, int fd, uint8_t *remembered)
{
    if (LIKELY(*remembered != 0))
        return &own->known[*remembered - 1];
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;
    struct address address = {0};
    if (getsockname(fd, (struct sockaddr *)&name, &size) == 0)
        address = address_of((struct sockaddr *)&name);
    uint32_t index = 0;
    while (index < own->count && !is_same(&own->known[index].address, &address))
        index++;
    struct own_address *found = index < ADDRESSES_OWN_MAX ? &own->known[index] : &own->other;
    if (index == own->count || found == &own->other)
        *found = (struct own_address){address, address_format(&address)};
    if (found == &own->other)
        return found;
    own->count += index == own->count;
    *remembered = (uint8_t)(index + 1);
    return found;
}
