/* SPDX-License-Identifier: MIT
 * nghttp2's memory, from the caller's allocator. nghttp2 does not survive being refused: it was
 * seen to free an item that a stream still points to. So its blocks are linked, and a session that
 * was refused once is never entered again: its blocks are given back, and nobody looks at them. */
#include "proto/h2_parts.h"

struct h2_block {
    struct h2_block *next, **link;
};

static void *resize(void *old, size_t size, void *user)
{
    struct h2 *h2 = user;
    struct h2_block *block = old == NULL ? NULL : (struct h2_block *)old - 1;
    struct h2_block *moved =
        h2->refused ? NULL : h2->memory.resize(h2->memory.user, block, sizeof *block + size);
    if (moved == NULL) {
        h2->refused = true;
        return NULL;
    }
    if (block == NULL) {
        moved->next = h2->blocks;
        moved->link = &h2->blocks;
    }
    *moved->link = moved;
    if (moved->next != NULL)
        moved->next->link = &moved->next;
    return moved + 1;
}

static void *allocate(size_t size, void *user)
{
    return resize(NULL, size, user);
}

static void *allocate_zeroed(size_t count, size_t size, void *user)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *memory = resize(NULL, total, user);
    if (memory != NULL)
        memset(memory, 0, total);
    return memory;
}

static void release(void *old, void *user)
{
    struct h2 *h2 = user;
    if (old == NULL || h2->refused) /* all of it is given back at the end */
        return;
    struct h2_block *block = (struct h2_block *)old - 1;
    *block->link = block->next;
    if (block->next != NULL)
        block->next->link = block->link;
    h2->memory.release(h2->memory.user, block);
}

nghttp2_mem h2_memory_of(struct h2 *h2)
{
    return (nghttp2_mem){h2, allocate, release, allocate_zeroed, resize};
}

void h2_release_all(struct h2 *h2)
{
    for (struct h2_block *block; (block = h2->blocks) != NULL;) {
        h2->blocks = block->next;
        h2->memory.release(h2->memory.user, block);
    }
}
