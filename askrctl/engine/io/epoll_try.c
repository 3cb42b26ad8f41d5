/* SPDX-License-Identifier: MIT
 * Attempts of the epoll backend (epoll.h): recv, accept, send, sendfile until they would block.
 *
 * Files go through a bounce buffer: pread, then send. sendfile(2) would save the copy, but on a
 * blocking socket it blocks when the peer is slow (it has no MSG_DONTWAIT), and O_NONBLOCK belongs
 * to the open file description, which others may share. What did not fit is read again from the
 * page cache when there is room; so a slow peer holds none of our memory. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/epoll.h"

static void later(struct io *io, struct io_op *op)
{
    op->state = EPOLL_AGAIN;
    io_queue_push(epoll_again(io->priv, op), op);
}

/* The last event of a reader. */
static void end_reader(struct io *io, struct io_op *op, int32_t result)
{
    epoll_entry_of(io->priv, op->fd)->reader = NULL;
    if (op->kind == IO_ACCEPT)
        epoll_unwatch(io->priv, op->fd);
    io_report(io, op, (struct io_event){.result = result});
}

static ssize_t recv_once(int fd, struct io_buf *buf)
{
    ssize_t size;
    do {
        size = recv(fd, buf->data, IO_BUF_SIZE, MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

/* One recv. True when another may find something; then the op is still ours. */
static bool recv_round(struct io *io, struct io_op *op)
{
    struct epoll *epoll = io->priv;
    struct io_buf *buf = io_buf_get(io);
    if (buf == NULL) {
        op->state = EPOLL_STARVED;
        io_queue_push(&epoll->starved, op);
        return false;
    }
    ssize_t size = recv_once(op->fd, buf);
    struct epoll_entry *entry = epoll_entry_of(epoll, op->fd);
    if (size <= 0) {
        io_buf_put(io, buf);
        if (size == -EAGAIN)
            entry->readable = false;
        else
            end_reader(io, op, (int32_t)size);
        return false;
    }
    /* A buffer that was not filled emptied the socket, and what comes now makes an edge. The end of
     * the stream may have made its edge already: then only another recv tells. */
    bool emptied = size < IO_BUF_SIZE && !entry->ended;
    entry->readable = !emptied;
    buf->size = (uint32_t)size;
    io_report(io, op, (struct io_event){.result = (int32_t)size, .more = true, .buf = buf});
    return !emptied && op->state == EPOLL_PARKED;
}

static void try_recv(struct io *io, struct io_op *op)
{
    for (int round = 0; round < EPOLL_ROUNDS; round++)
        if (!recv_round(io, op))
            return;
    later(io, op);
}

/* One accept. True when there may be another connection; then the op is still ours. */
static bool accept_round(struct io *io, struct io_op *op)
{
    int fd = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        io_report(io, op, (struct io_event){.result = fd, .more = true});
        return op->state == EPOLL_PARKED;
    }
    int result = -errno;
    if (result == -EAGAIN)
        return false;
    if (io_accept_passes(result))
        return true;
    end_reader(io, op, result);
    return false;
}

static void try_accept(struct io *io, struct io_op *op)
{
    for (int round = 0; round < EPOLL_ACCEPTS; round++)
        if (!accept_round(io, op))
            return;
    later(io, op);
}

void epoll_try_reader(struct io *io, struct io_op *op)
{
    op->state = EPOLL_PARKED;
    if (op->kind == IO_RECV)
        try_recv(io, op);
    else
        try_accept(io, op);
}

/* The slices from where the last attempt ended: a slice that was cut is finished alone. */
static ssize_t send_once(const struct io_op *op)
{
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    ssize_t size;
    do {
        if (op->arg.send.count > 1 && op->arg.send.offset == 0) {
            struct msghdr header = {.msg_iov = (struct iovec *)op->arg.send.iov,
                                    .msg_iovlen = op->arg.send.count};
            size = sendmsg(op->fd, &header, flags);
        } else {
            struct slice rest = io_send_rest(op);
            size = send(op->fd, rest.data, rest.size, flags);
        }
    } while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

static bool try_send(struct io *io, struct io_op *op)
{
    for (;;) {
        ssize_t size = send_once(op);
        if (size == -EAGAIN)
            return false;
        if (size < 0) {
            io_ready(io, op, (int32_t)size);
            return true;
        }
        if (io_send_advance(op, (int32_t)size)) {
            io_ready(io, op, op->sent);
            return true;
        }
    }
}

static ssize_t send_chunk(const struct io_op *op, const char *chunk, size_t size)
{
    ssize_t sent;
    do {
        sent = send(op->fd, chunk, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static ssize_t read_chunk(const struct io_op *op, char *chunk)
{
    size_t size = size_min((size_t)op->arg.file.left, EPOLL_BOUNCE_SIZE);
    ssize_t got;
    do {
        got = pread(op->arg.file.file, chunk, size, op->arg.file.offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

/* One chunk. False when the socket takes no more. */
static bool file_round(struct io *io, struct io_op *op)
{
    struct epoll *epoll = io->priv;
    ssize_t got = read_chunk(op, epoll->bounce);
    if (got <= 0) {
        io_ready(io, op, got < 0 ? (int32_t)got : op->sent);
        return true;
    }
    epoll->files_left -= got;
    ssize_t sent = send_chunk(op, epoll->bounce, (size_t)got);
    if (sent == -EAGAIN)
        return false;
    if (sent < 0) {
        io_ready(io, op, (int32_t)sent);
        return true;
    }
    op->sent += (int32_t)sent;
    op->arg.file.offset += sent;
    op->arg.file.left -= (int32_t)sent;
    if (op->arg.file.left == 0)
        io_ready(io, op, op->sent);
    return true;
}

static bool try_sendfile(struct io *io, struct io_op *op)
{
    const struct epoll *epoll = io->priv;
    for (int round = 0; round < EPOLL_ROUNDS && epoll->files_left > 0; round++) {
        if (!file_round(io, op))
            return false;
        if (op->state == IO_READY)
            return true;
    }
    later(io, op);
    return true;
}

bool epoll_try_writer(struct io *io, struct io_op *op)
{
    op->state = EPOLL_PARKED;
    if (op->kind == IO_SEND ? try_send(io, op) : try_sendfile(io, op))
        return true;
    op->tried_ns = io->now_ns;
    return false;
}
