/* SPDX-License-Identifier: MIT
 * Memory for nghttp2: bounded for each connection, and small blocks kept by the worker for reuse,
 * since a request takes five and gives them back. Blocks are as large as their step. */
#include "serve/speak_h2.h"

#include <stdlib.h>

#ifndef __has_feature /* clang's */
#define __has_feature(name) 0
#endif

enum {
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
    KEPT_SIZE_MAX = 0, /* it shall see what becomes of blocks that were given back */
#else
    KEPT_SIZE_MAX = 1 << 20, /* of one worker: of 700 requests that are under way */
#endif
};

struct block {
    _Alignas(16) size_t size; /* as asked for */
    _Alignas(16) char data[];
};

struct h2_free_block { /* in place of a block */
    struct h2_free_block *next;
};

/* Of a block with its head; H2_BLOCK_STEPS or more: one that is not kept. */
static size_t step_of(size_t size)
{
    return (size + sizeof(struct block) - 1) / H2_BLOCK_STEP;
}

static struct block *take(struct h2_blocks *blocks, size_t size)
{
    size_t step = step_of(size);
    if (step >= H2_BLOCK_STEPS)
        return malloc(sizeof(struct block) + size);
    struct h2_free_block *kept = blocks->free[step];
    if (kept == NULL)
        return malloc((step + 1) * H2_BLOCK_STEP);
    blocks->free[step] = kept->next;
    blocks->size -= (step + 1) * H2_BLOCK_STEP;
    return (struct block *)kept;
}

static void give_back(struct h2_blocks *blocks, struct block *block)
{
    size_t step = step_of(block->size), size = (step + 1) * H2_BLOCK_STEP;
    if (step >= H2_BLOCK_STEPS || blocks->size + size > KEPT_SIZE_MAX) {
        free(block);
        return;
    }
    struct h2_free_block *kept = (struct h2_free_block *)(void *)block;
    kept->next = blocks->free[step];
    blocks->free[step] = kept;
    blocks->size += size;
}

void h2_blocks_free(struct h2_blocks *blocks)
{
    for (size_t step = 0; step < H2_BLOCK_STEPS; step++) {
        for (struct h2_free_block *kept; (kept = blocks->free[step]) != NULL;) {
            blocks->free[step] = kept->next;
            free(kept);
        }
    }
}

static void release(void *user, void *old)
{
    struct h2_conn *h2 = user;
    if (old == NULL)
        return;
    struct block *block = CONTAINER_OF(old, struct block, data);
    h2->allocated -= block->size;
    give_back(&h2->conn->worker->blocks, block);
}

/* A block that grows or shrinks within its step stays where it is. */
static struct block *move(struct h2_blocks *blocks, struct block *old, size_t size)
{
    size_t step = step_of(size);
    if (step < H2_BLOCK_STEPS && step == step_of(old->size))
        return old;
    struct block *block = take(blocks, size);
    if (block == NULL)
        return NULL;
    memcpy(block->data, old->data, size_min(size, old->size));
    give_back(blocks, old);
    return block;
}

static void *resize(void *user, void *old, size_t size)
{
    struct h2_conn *h2 = user;
    struct h2_blocks *blocks = &h2->conn->worker->blocks;
    struct block *block = old == NULL ? NULL : CONTAINER_OF(old, struct block, data);
    size_t before = block == NULL ? 0 : block->size;
    if (size > H2_MEMORY_MAX - (h2->allocated - before))
        return NULL;
    block = block == NULL ? take(blocks, size) : move(blocks, block, size);
    if (block == NULL)
        return NULL;
    h2->allocated += size - before;
    block->size = size;
    return block->data;
}

struct h2_memory h2_memory_for(struct h2_conn *h2)
{
    return (struct h2_memory){resize, release, h2};
}
