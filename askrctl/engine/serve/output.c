/* SPDX-License-Identifier: MIT
 * The output chain of output.h. */
#include "serve/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/conn.h"
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
        static_release(worker->files, piece->entry);
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

struct output *output_new(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct output *output = worker->outputs_free;
    if (output != NULL)
        worker->outputs_free = output->free_next;
    else if ((output = malloc(sizeof *output)) == NULL)
        return NULL;
    memset(output, 0, offsetof(struct output, iov));
    output->conn = conn;
    output->last = &output->first;
    return output;
}

void output_free(struct output *output)
{
    struct worker *worker = output->conn->worker;
    assert(output->sending == 0);
    for (struct piece *piece; (piece = output->first) != NULL;) {
        output->first = piece->next;
        piece_free(worker, piece);
    }
    output->free_next = worker->outputs_free;
    worker->outputs_free = output;
}

void output_push(struct output *output, struct piece *piece)
{
    assert(piece->next == NULL);
    if (piece->kind == PIECE_BYTES)
        output->memory += piece->end - piece->begin;
    *output->last = piece;
    output->last = &piece->next;
}

/* The last piece, if bytes can still be added to it. A piece that is being sent is left alone: its
 * size is already in the iovec. */
static struct piece *tail(struct output *output)
{
    if (output->first == NULL)
        return NULL;
    struct piece *piece = CONTAINER_OF(output->last, struct piece, next);
    uint32_t index = 0;
    for (struct piece *sent = output->first; index < output->sending; sent = sent->next, index++)
        if (sent == piece)
            return NULL;
    return piece;
}

char *output_room(struct output *output, size_t size)
{
    assert(size <= PIECE_CAPACITY);
    struct piece *piece = tail(output);
    if (piece == NULL || piece->kind != PIECE_BYTES || piece_room(piece) < size) {
        piece = piece_new(output->conn->worker);
        if (piece == NULL)
            return NULL;
        output_push(output, piece);
    }
    return piece->data + piece->end;
}

void output_added(struct output *output, size_t size)
{
    struct piece *piece = tail(output);
    assert(piece != NULL && piece->kind == PIECE_BYTES && size <= piece_room(piece));
    piece->end += (uint32_t)size;
    output->memory += size;
}

int output_append(struct output *output, struct slice bytes)
{
    struct piece *piece = tail(output);
    while (bytes.size > 0) {
        if (piece == NULL || piece->kind != PIECE_BYTES || piece_room(piece) == 0) {
            piece = piece_new(output->conn->worker);
            if (piece == NULL)
                return -ENOMEM;
            output_push(output, piece);
        }
        size_t size = size_min(bytes.size, piece_room(piece));
        memcpy(piece->data + piece->end, bytes.data, size);
        piece->end += (uint32_t)size;
        output->memory += size;
        bytes.data += size;
        bytes.size -= size;
    }
    return 0;
}

int output_file(struct output *output, struct static_entry *entry, int fd, int64_t offset,
                int64_t size)
{
    struct piece *piece = malloc(sizeof *piece);
    if (piece == NULL)
        return -ENOMEM;
    *piece = (struct piece){
        .kind = PIECE_FILE, .fd = fd, .offset = offset, .left = size, .entry = entry};
    output_push(output, piece);
    return 0;
}

static struct piece *spool_new(struct output *output)
{
    const char *directory = output->conn->worker->config->temp_dir;
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
    output_push(output, piece);
    return piece;
}

int output_spool(struct output *output, struct slice bytes)
{
    struct piece *piece = tail(output);
    if (piece == NULL || piece->kind != PIECE_SPOOL) {
        piece = spool_new(output);
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
        output->spooled += size;
        bytes.data += size;
        bytes.size -= (size_t)size;
    }
    return 0;
}

/* Free the pieces that the finished send covered. */
static void drop_sent(struct output *output)
{
    struct worker *worker = output->conn->worker;
    for (; output->sending > 0; output->sending--) {
        struct piece *piece = output->first;
        output->first = piece->next;
        if (piece->kind == PIECE_BYTES)
            output->memory -= piece->end - piece->begin;
        else if (piece->kind == PIECE_SPOOL)
            output->spooled -= piece->left;
        piece_free(worker, piece);
    }
    if (output->first == NULL)
        output->last = &output->first;
}

static void on_sent(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct output *output = CONTAINER_OF(op, struct output, op);
    struct piece *piece = output->first;
    assert(output->sending > 0);
    int64_t expected = 0;
    uint32_t index = 0;
    for (struct piece *sent = piece; index < output->sending; sent = sent->next, index++)
        expected += sent->kind == PIECE_BYTES ? sent->end - sent->begin : sent->left;
    /* A file that shrank, or one past 2 GiB that went out in parts, comes up short. */
    bool is_short = event.result >= 0 && event.result < expected && piece->kind != PIECE_BYTES;
    if (is_short && event.result > 0) {
        piece->offset += event.result;
        piece->left -= event.result;
        if (piece->kind == PIECE_SPOOL)
            output->spooled -= event.result;
        output->sending = 0;
        conn_sent(output->conn, event.result);
        return;
    }
    drop_sent(output);
    conn_sent(output->conn, is_short ? -EIO : event.result);
}

void output_flush(struct output *output)
{
    struct io *io = &output->conn->worker->io;
    struct piece *piece = output->first;
    if (output->sending > 0 || piece == NULL)
        return;
    if (piece->kind != PIECE_BYTES) {
        /* A result is an int32: larger files go out in several rounds. */
        int64_t size = piece->left < INT32_MAX ? piece->left : INT32_MAX;
        output->sending = 1;
        struct io_range range = {.file = piece->fd, .offset = piece->offset, .size = size};
        io_sendfile(io, &output->op, output->conn->fd, range, on_sent);
        return;
    }
    uint32_t count = 0;
    for (; piece != NULL && piece->kind == PIECE_BYTES && count < IO_IOV_MAX; piece = piece->next)
        output->iov[count++] =
            (struct iovec){piece->data + piece->begin, piece->end - piece->begin};
    output->sending = count;
    struct io_slices slices = {output->iov, count};
    io_send(io, &output->op, output->conn->fd, slices, on_sent);
}
