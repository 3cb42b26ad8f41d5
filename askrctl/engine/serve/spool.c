/* SPDX-License-Identifier: MIT
 * The temporary file of spool.h. What a work uses is the thread's while the op is pending: `fd`,
 * the blocks in `writing` and the name of the directory. */
#include "serve/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "serve/chain.h"
#include "serve/worker.h"

static struct spool *spool_of(struct io_op *op)
{
    return CONTAINER_OF(op, struct spool, op);
}

struct spool *spool_new(struct worker *worker, spool_told_fn *told, void *owner)
{
    struct spool *spool = malloc(sizeof *spool);
    if (spool == NULL)
        return NULL;
    *spool = (struct spool){
        .worker = worker,
        .directory = worker->config->temp_dir,
        .told = told,
        .owner = owner,
        .fd = -1,
    };
    spool->last = &spool->first;
    return spool;
}

static void free_blocks(struct spool *spool, struct piece *block)
{
    while (block != NULL) {
        struct piece *next = block->next;
        spool->worker->spools_ahead -= block->end;
        piece_free(spool->worker, block);
        block = next;
    }
}

/* --- on the thread ---------------------------------------------------------------------------- */

static int32_t open_file(struct spool *spool)
{
    spool->fd = open(spool->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return spool->fd < 0 ? -errno : 0;
}

/* Write all of these slices. 0 or -errno. */
static int32_t write_all(int fd, struct iovec *slices, int count, int64_t offset)
{
    while (count > 0) {
        ssize_t size = pwritev(fd, slices, count, offset);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        offset += size;
        for (; count > 0 && (size_t)size >= slices->iov_len; slices++, count--)
            size -= (ssize_t)slices->iov_len;
        if (count > 0) {
            slices->iov_base = (char *)slices->iov_base + size;
            slices->iov_len -= (size_t)size;
        }
    }
    return 0;
}

static int32_t store(struct io_op *op)
{
    struct spool *spool = spool_of(op);
    int64_t offset = spool->stored;
    int32_t result = spool->fd < 0 ? open_file(spool) : 0;
    for (const struct piece *block = spool->writing; block != NULL && result == 0;) {
        struct iovec slices[SPOOL_SLICES_MAX];
        int count = 0;
        int64_t size = 0;
        for (; block != NULL && count < SPOOL_SLICES_MAX; block = block->next) {
            slices[count++] = (struct iovec){(char *)block->data, block->end};
            size += block->end;
        }
        result = write_all(spool->fd, slices, count, offset);
        offset += size;
    }
    return result;
}

static int32_t fetch(struct io_op *op)
{
    struct spool *spool = spool_of(op);
    ssize_t got;
    do
        got = pread(spool->fd, spool->fetched->data, PIECE_CAPACITY, spool->fetched_at);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got == 0 ? -EIO : (int32_t)got;
}

static int32_t close_file(struct io_op *op)
{
    close(spool_of(op)->fd);
    return 0;
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void on_closed(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    (void)event;
    free(spool_of(op));
}

static void drop_fetched(struct spool *spool)
{
    if (spool->fetched != NULL)
        piece_free(spool->worker, spool->fetched);
    spool->fetched = NULL;
}

/* Closing is where a file system gives back the blocks of a large file. */
static void end(struct spool *spool)
{
    free_blocks(spool, spool->writing);
    drop_fetched(spool);
    if (spool->fd < 0)
        free(spool);
    else
        io_work(&spool->worker->io, &spool->op, close_file, on_closed);
}

static void on_stored(struct io *, struct io_op *, struct io_event);

static void begin(struct spool *spool)
{
    spool->writing = spool->first;
    spool->first = NULL;
    spool->last = &spool->first;
    io_work(&spool->worker->io, &spool->op, store, on_stored);
}

static void on_stored(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct spool *spool = spool_of(op);
    if (spool->freed) {
        end(spool);
        return;
    }
    int64_t stored = 0;
    for (const struct piece *block = spool->writing; block != NULL; block = block->next)
        stored += event.result == 0 ? block->end : 0;
    free_blocks(spool, spool->writing);
    spool->writing = NULL;
    spool->stored += stored;
    spool->error = event.result;
    if (spool->error == 0 && spool->first != NULL)
        begin(spool);
    spool->told(spool, stored);
}

static int copy(struct spool *spool, struct slice bytes)
{
    struct piece *block =
        spool->first == NULL ? NULL : CONTAINER_OF(spool->last, struct piece, next);
    while (bytes.size > 0) {
        if (block == NULL || piece_room(block) == 0) {
            block = piece_new(spool->worker);
            if (block == NULL)
                return -ENOMEM;
            *spool->last = block;
            spool->last = &block->next;
        }
        size_t size = size_min(bytes.size, piece_room(block));
        memcpy(block->data + block->end, bytes.data, size);
        block->end += (uint32_t)size;
        spool->worker->spools_ahead += size;
        spool->size += (int64_t)size;
        bytes.data += size;
        bytes.size -= size;
    }
    return 0;
}

int spool_append(struct spool *spool, struct slice bytes)
{
    int result = spool->error != 0 ? spool->error : copy(spool, bytes);
    if (result == 0 && spool->first != NULL && !io_pending(&spool->op))
        begin(spool);
    return result;
}

static void on_fetched(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct spool *spool = spool_of(op);
    if (spool->freed) {
        end(spool);
        return;
    }
    if (event.result < 0)
        spool->error = event.result;
    else
        spool->fetched->end = (uint32_t)event.result;
    spool->told(spool, 0);
}

/* Have the thread read what the page cache does not have. */
static int begin_fetch(struct spool *spool, int64_t offset)
{
    spool->fetched = piece_new(spool->worker);
    if (spool->fetched == NULL)
        return -ENOMEM;
    spool->fetched_at = offset;
    io_work(&spool->worker->io, &spool->op, fetch, on_fetched);
    return -EAGAIN;
}

int64_t spool_read(struct spool *spool, char *bytes, size_t size, int64_t offset)
{
    if (spool->error != 0)
        return spool->error;
    if (io_pending(&spool->op))
        return -EAGAIN;
    if (spool->fetched != NULL && spool->fetched_at == offset) {
        size = size_min(size, spool->fetched->end);
        memcpy(bytes, spool->fetched->data, size);
        drop_fetched(spool);
        return (int64_t)size;
    }
    drop_fetched(spool);
    struct iovec slice = {bytes, size};
    ssize_t got;
    do {
        got = preadv2(spool->fd, &slice, 1, offset, RWF_NOWAIT);
        if (got < 0 && errno == EOPNOTSUPP) /* a file system in memory, as tmpfs on older kernels */
            got = preadv(spool->fd, &slice, 1, offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return begin_fetch(spool, offset);
    return got < 0 ? -errno : got == 0 ? -EIO : got;
}

bool spool_is_full(const struct spool *spool)
{
    int64_t ahead = spool->size - spool->stored;
    return ahead >= SPOOL_AHEAD_MAX ||
           (ahead > 0 && spool->worker->spools_ahead >= SPOOLS_AHEAD_MAX);
}

void spool_free(struct spool *spool)
{
    spool->freed = true;
    free_blocks(spool, spool->first);
    spool->first = NULL;
    if (!io_pending(&spool->op))
        end(spool);
}
