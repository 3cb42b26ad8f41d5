/* SPDX-License-Identifier: MIT
 * The caller's side of the contract (io.h): choosing a backend, starting and cancelling ops. What
 * the contract asks of the caller is asserted here, once for all backends: one reader and one
 * writer per fd, no close under an op in flight, no op started twice. */
#include "io/io.h"

#include <errno.h>
#include <stdlib.h>

#include "io/backend.h"

static const struct {
    enum askr_io_id id;
    const char *name;
    const struct io_backend *backend; /* NULL when this build lacks it */
} backends[] = {
    {ASKR_IO_EPOLL, "epoll", &io_epoll},
    {ASKR_IO_SIM, "sim", &io_sim},
#ifdef ASKR_HAVE_LIBURING
    {ASKR_IO_URING, "io_uring", &io_uring_backend},
#else
    {ASKR_IO_URING, "io_uring", NULL},
#endif
};

static int choose(struct io *io, enum askr_io_id id, askr_error *error)
{
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        if (backends[i].id != id)
            continue;
        if (backends[i].backend == NULL)
            return askr_fail(error, ENOSYS, "askrctl was built without %s", backends[i].name);
        io->backend = backends[i].backend;
        return 0;
    }
    return askr_fail(error, EINVAL, "there is no I/O backend number %d", (int)id);
}

static void fill_pool(struct io *io)
{
    for (uint32_t i = io->buf_count; i-- > 0;) {
        io->bufs[i].index = (uint16_t)i;
        io->bufs[i].next = io->bufs_free;
        io->bufs_free = &io->bufs[i];
    }
}

int io_init(struct io *io, enum askr_io_id id, const struct io_options *options, askr_error *error)
{
    struct io_options all = *options;
    if (all.ring_entries == 0)
        all.ring_entries = IO_RING_ENTRIES;
    if (all.buf_count == 0)
        all.buf_count = IO_BUF_COUNT;
    assert((all.buf_count & (all.buf_count - 1)) == 0 && all.buf_count <= IO_BUF_COUNT_MAX);
    assert(all.spin_ns >= 0);
    *io = (struct io){
        .buf_count = all.buf_count, .spin_ns = all.spin_ns, .spin_budget_ns = all.spin_ns};
    int result = choose(io, id, error);
    if (result < 0)
        return result;
    io_queue_init(&io->ready);
    io->bufs = calloc(io->buf_count, sizeof *io->bufs);
    io->fds = calloc(IO_FDS_TRACKED, 1);
    if (io->bufs == NULL || io->fds == NULL) {
        result = askr_fail(error, ENOMEM, "no memory for %u receive buffers", io->buf_count);
        goto out_memory;
    }
    fill_pool(io);
    io->now_ns = clock_now_ns();
    result = io->backend->open(io, &all, error);
    if (result == 0)
        return 0;

out_memory:
    free(io->fds);
    free(io->bufs);
    return result;
}

void io_fini(struct io *io)
{
    assert(io->inflight == 0);
    if (io->works != NULL)
        io_works_close(io);
    io->backend->close(io);
    free(io->fds);
    free(io->bufs);
    *io = (struct io){0};
}

static void start(struct io *io, struct io_op *op, enum io_kind kind, int fd, io_done_fn *done)
{
    assert(fd >= 0 && done != NULL && op->state == IO_IDLE);
    op->done = done;
    op->next = NULL;
    op->link = NULL;
    op->waited_ns = 0;
    op->sent = op->result = 0;
    op->fd = fd;
    op->kind = (uint8_t)kind;
    op->state = IO_STATE_OWN;
    op->flags = 0;
    io->inflight++;
    if (fd < IO_FDS_TRACKED && kind != IO_WORK) {
        uint8_t mine = io_direction(op);
        assert((io->fds[fd] & mine) == 0); /* rules 5 and 7 */
        /* A close holds nothing: once the kernel has it, the number may come back by accept4(2)
         * before its event has run. */
        if (kind != IO_CLOSE)
            io->fds[fd] |= mine;
    }
    io->backend->submit(io, op);
}

void io_accept(struct io *io, struct io_op *op, int listen_fd, io_done_fn *done)
{
    start(io, op, IO_ACCEPT, listen_fd, done);
}

void io_recv(struct io *io, struct io_op *op, int fd, io_done_fn *done)
{
    start(io, op, IO_RECV, fd, done);
}

void io_send(struct io *io, struct io_op *op, int fd, struct io_slices slices, io_done_fn *done)
{
    assert(slices.count >= 1 && slices.count <= IO_IOV_MAX);
    size_t size = 0;
    for (uint32_t i = 0; i < slices.count; i++)
        size += slices.iov[i].iov_len;
    assert(size > 0 && size <= INT32_MAX);
    op->arg.send.iov = slices.iov;
    op->arg.send.count = slices.count;
    op->arg.send.offset = 0;
    start(io, op, IO_SEND, fd, done);
}

void io_sendfile(struct io *io, struct io_op *op, int fd, struct io_range range, io_done_fn *done)
{
    assert(range.file >= 0 && range.offset >= 0 && range.size > 0 && range.size <= INT32_MAX);
    op->arg.file.offset = range.offset;
    op->arg.file.bounce = NULL;
    op->arg.file.left = (int32_t)range.size;
    op->arg.file.file = range.file;
    start(io, op, IO_SENDFILE, fd, done);
}

void io_poll(struct io *io, struct io_op *op, int fd, uint32_t events, io_done_fn *done)
{
    assert(events != 0);
    op->arg.events = events;
    start(io, op, IO_POLL, fd, done);
}

void io_close(struct io *io, struct io_op *op, int fd, io_done_fn *done)
{
    start(io, op, IO_CLOSE, fd, done);
}

void io_work(struct io *io, struct io_op *op, io_work_fn *work, io_done_fn *done)
{
    op->arg.work = work;
    start(io, op, IO_WORK, 0, done); /* of no fd */
}

bool io_pending(const struct io_op *op)
{
    return op->state != IO_IDLE;
}

void io_cancel(struct io *io, struct io_op *op)
{
    if (op->state == IO_IDLE || op->state == IO_READY || op->kind == IO_CLOSE ||
        op->kind == IO_WORK || (op->flags & IO_CANCELLED) != 0)
        return;
    op->flags |= IO_CANCELLED;
    io->backend->cancel(io, op);
}

int io_step(struct io *io, int64_t deadline_ns)
{
    io->events = 0;
    io->steps++;
    int result = io->backend->step(io, deadline_ns);
    return result < 0 ? result : (int)io->events;
}

void io_buf_put(struct io *io, struct io_buf *buf)
{
    assert(io->bufs_out > 0 && &io->bufs[buf->index] == buf);
    io->bufs_out--;
    if (io->backend->buf_put != NULL) {
        io->backend->buf_put(io, buf);
        return;
    }
    buf->next = io->bufs_free;
    io->bufs_free = buf;
}
