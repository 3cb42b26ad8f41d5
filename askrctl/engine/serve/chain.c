/* SPDX-License-Identifier: MIT
 * The chain of chain.h, and the blocks it is made of. */
#include "serve/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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
        close(piece->fd);
    if (piece->kind != PIECE_BYTES || worker->pieces_free_count >= PIECES_FREE_MAX) {
        free(piece);
        return;
    }
    piece->next = worker->pieces_free;
    worker->pieces_free = piece;
    worker->pieces_free_count++;
}

void chain_init(struct chain *chain, struct worker *worker)
{
    *chain = (struct chain){.worker = worker, .last = &chain->first};
}

void chain_clear(struct chain *chain)
{
    assert(chain->frozen == 0);
    for (struct piece *piece; (piece = chain->first) != NULL;) {
        chain->first = piece->next;
        piece_free(chain->worker, piece);
    }
    chain_init(chain, chain->worker);
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
    piece_free(chain->worker, piece);
}

void chain_push(struct chain *chain, struct piece *piece)
{
    assert(piece->next == NULL);
    if (piece->kind == PIECE_BYTES)
        chain->memory += piece->end - piece->begin;
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

static struct piece *spool_new(struct chain *chain)
{
    const char *directory = chain->worker->config->temp_dir;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    struct piece *piece = malloc(sizeof *piece);
    if (piece == NULL) {
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    *piece = (struct piece){.kind = PIECE_SPOOL, .fd = fd};
    chain_push(chain, piece);
    return piece;
}

int chain_spool(struct chain *chain, struct slice bytes)
{
    struct piece *piece = tail(chain);
    if (piece == NULL || piece->kind != PIECE_SPOOL) {
        piece = spool_new(chain);
        if (piece == NULL)
            return -errno;
    }
    while (bytes.size > 0) {
        ssize_t size = pwrite(piece->fd, bytes.data, bytes.size, piece->offset + piece->left);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        piece->left += size;
        chain->spooled += size;
        bytes.data += size;
        bytes.size -= (size_t)size;
    }
    return 0;
}
