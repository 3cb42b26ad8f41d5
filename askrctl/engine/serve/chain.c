/* SPDX-License-Identifier: MIT
 * The chain of chain.h, and the blocks it is made of. */
#include "serve/chain.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/worker.h"

struct piece *piece_new(struct worker *worker)
{
    struct piece *piece = worker->pieces_free;
    if (piece != NULL) {
        worker->pieces_free = piece->next;
        worker->pieces_free_count--;
    } else if ((piece = malloc(PIECE_SIZE)) == NULL) {
        return NULL;
    }
    piece->next = NULL;
    piece->kind = PIECE_BYTES;
    piece->begin = piece->end = 0;
    return piece;
}

void piece_free(struct worker *worker, struct piece *piece)
{
    if (piece->kind == PIECE_FILE)
        static_release(piece->entry);
    else if (piece->kind == PIECE_SPOOL)
        spool_free(piece->spool);
    if (piece->kind != PIECE_BYTES || worker->pieces_free_count >= PIECES_FREE_MAX) {
        free(piece);
        return;
    }
    piece->next = worker->pieces_free;
    worker->pieces_free = piece;
    worker->pieces_free_count++;
}

void chain_init(struct chain *chain, struct worker *worker, chain_told_fn *told)
{
    *chain = (struct chain){.worker = worker, .last = &chain->first, .told = told};
}

void chain_clear(struct chain *chain)
{
    assert(chain->frozen == 0);
    for (struct piece *piece; (piece = chain->first) != NULL;) {
        chain->first = piece->next;
        piece_free(chain->worker, piece);
    }
    chain_init(chain, chain->worker, chain->told);
}

void chain_drop_first(struct chain *chain)
{
    struct piece *piece = chain->first;
    chain->first = piece->next;
    if (chain->first == NULL)
        chain->last = &chain->first;
    if (piece->kind == PIECE_BYTES)
        chain->memory -= piece->end - piece->begin;
    else if (piece->kind == PIECE_SPOOL)
        chain->spooled -= piece->left;
    else
        chain->filed -= piece->left;
    piece_free(chain->worker, piece);
}

void chain_push(struct chain *chain, struct piece *piece)
{
    assert(piece->next == NULL);
    if (piece->kind == PIECE_BYTES)
        chain->memory += piece->end - piece->begin;
    else if (piece->kind == PIECE_FILE)
        chain->filed += piece->left;
    *chain->last = piece;
    chain->last = &piece->next;
}

/* The last piece, if bytes can still be added to it. A piece that is being sent is left alone: its
 * size is already in the iovec. */
static struct piece *tail(struct chain *chain)
{
    if (chain->first == NULL)
        return NULL;
    struct piece *piece = CONTAINER_OF(chain->last, struct piece, next);
    uint32_t index = 0;
    for (struct piece *sent = chain->first; index < chain->frozen; sent = sent->next, index++)
        if (sent == piece)
            return NULL;
    return piece;
}

char *chain_room(struct chain *chain, size_t size)
{
    assert(size <= PIECE_CAPACITY);
    struct piece *piece = tail(chain);
    if (piece == NULL || piece->kind != PIECE_BYTES || piece_room(piece) < size) {
        piece = piece_new(chain->worker);
        if (piece == NULL)
            return NULL;
        chain_push(chain, piece);
    }
    return piece->data + piece->end;
}

size_t chain_spare(struct chain *chain)
{
    struct piece *piece = tail(chain);
    return piece == NULL || piece->kind != PIECE_BYTES ? 0 : piece_room(piece);
}

void chain_added(struct chain *chain, size_t size)
{
    struct piece *piece = tail(chain);
    assert(piece != NULL && piece->kind == PIECE_BYTES && size <= piece_room(piece));
    piece->end += (uint32_t)size;
    chain->memory += size;
}

int chain_append(struct chain *chain, struct slice bytes)
{
    struct piece *piece = tail(chain);
    while (bytes.size > 0) {
        if (piece == NULL || piece->kind != PIECE_BYTES || piece_room(piece) == 0) {
            piece = piece_new(chain->worker);
            if (piece == NULL)
                return -ENOMEM;
            chain_push(chain, piece);
        }
        size_t size = size_min(bytes.size, piece_room(piece));
        memcpy(piece->data + piece->end, bytes.data, size);
        piece->end += (uint32_t)size;
        chain->memory += size;
        bytes.data += size;
        bytes.size -= size;
    }
    return 0;
}

int chain_range(struct chain *chain, const struct file_range *range)
{
    struct piece *piece = malloc(sizeof *piece);
    if (piece == NULL)
        return -ENOMEM;
    static_retain(range->entry);
    *piece = (struct piece){
        .kind = PIECE_FILE,
        .fd = range->fd,
        .offset = range->offset,
        .left = range->size,
        .content = range->content,
        .entry = range->entry,
    };
    chain_push(chain, piece);
    return 0;
}

void chain_sent(struct chain *chain, int64_t size)
{
    struct piece *piece = chain->first;
    assert(piece->kind != PIECE_BYTES && size <= piece->left);
    piece->offset += size;
    piece->left -= size;
    if (piece->kind == PIECE_SPOOL)
        chain->spooled -= size;
    else
        chain->filed -= size;
    if (piece->left == 0)
        chain_drop_first(chain);
}

static void on_stored(struct spool *spool, int64_t stored)
{
    struct chain *chain = spool->owner;
    chain->ahead -= stored;
    chain->told(chain, spool->error != 0 ? spool->error : stored);
}

static struct piece *add_spool(struct chain *chain)
{
    struct piece *piece = malloc(sizeof *piece);
    if (piece == NULL)
        return NULL;
    *piece = (struct piece){.kind = PIECE_SPOOL};
    piece->spool = spool_new(chain->worker, on_stored, chain);
    if (piece->spool == NULL) {
        free(piece);
        return NULL;
    }
    chain_push(chain, piece);
    return piece;
}

int chain_spool(struct chain *chain, struct slice bytes)
{
    struct piece *piece = tail(chain);
    if (piece == NULL || piece->kind != PIECE_SPOOL)
        piece = add_spool(chain);
    if (piece == NULL)
        return -ENOMEM;
    int64_t before = piece->spool->size;
    int result = spool_append(piece->spool, bytes);
    int64_t added = piece->spool->size - before;
    piece->left += added;
    chain->spooled += added;
    chain->ahead += added;
    return result;
}

bool chain_may_spool(const struct chain *chain)
{
    if (chain->ahead == 0)
        return chain->spooled < ANSWER_SPOOL_MAX;
    const struct piece *last = CONTAINER_OF(chain->last, struct piece, next);
    bool full = last->kind == PIECE_SPOOL && spool_is_full(last->spool);
    return !full && chain->spooled < ANSWER_SPOOL_MAX;
}
