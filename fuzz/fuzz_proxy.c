/* SPDX-License-Identifier: MIT
 * Invariant: whatever the bytes and however they are split, a head of the PROXY protocol is either
 * read, consumed in one piece within its limit, or refused for good, and says the same; and more
 * bytes behind it change nothing. The input is what a connection sends first. */
#include <stdlib.h>

#include "proto/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* On in every build, as in fuzz_h1.c. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

/* In a block of its exact size. */
static enum proxy_event read_part(const uint8_t *data, size_t size, struct proxy_head *head,
                                  size_t *consumed)
{
    char *copy = malloc(size > 0 ? size : 1);
    must(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct slice input = {copy, size};
    enum proxy_event event = proxy_read(&input, head);
    *consumed = size - input.size;
    must(input.size <= size && input.data == copy + *consumed);
    must(event == PROXY_DONE ? *consumed > 0 : *consumed == 0);
    free(copy);
    return event;
}

static void check(const struct proxy_head *head, size_t consumed)
{
    must(head->version == 1 || head->version == 2);
    must(consumed <= (head->version == 1 ? PROXY_V1_SIZE_MAX : PROXY_V2_SIZE_MAX));
    must(head->family <= PROXY_INET6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_head whole, part;
    size_t consumed, size_read = 0;
    enum proxy_event event = read_part(data, size, &whole, &consumed), early = PROXY_NEED_DATA;
    if (event == PROXY_DONE)
        check(&whole, consumed);
    for (size_t until = 0; until <= size && early == PROXY_NEED_DATA; until++)
        early = read_part(data, until, &part, &size_read);
    must(early == event);
    must(event != PROXY_DONE || (size_read == consumed && memcmp(&part, &whole, sizeof part) == 0));
    must(event != PROXY_NEED_DATA || size < PROXY_V2_SIZE_MAX);
    return 0;
}
