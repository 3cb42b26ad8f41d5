/* SPDX-License-Identifier: MIT
 * What backends share (backend.h): queues of ops, reporting events, the buffer pool, the progress
 * of a send. Nothing here makes a system call. */
#include "io/backend.h"

#include <errno.h>

void io_queue_init(struct io_queue *queue)
{
    *queue = (struct io_queue){.tail = &queue->first};
}

void io_queue_push(struct io_queue *queue, struct io_op *op)
{
    assert(op->link == NULL);
    op->next = NULL;
    op->link = queue->tail;
    *queue->tail = op;
    queue->tail = &op->next;
    queue->count++;
}

void io_queue_remove(struct io_queue *queue, struct io_op *op)
{
    assert(op->link != NULL && *op->link == op);
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
    else
        queue->tail = op->link;
    op->link = NULL;
    queue->count--;
}

struct io_op *io_queue_pop(struct io_queue *queue)
{
    struct io_op *op = queue->first;
    if (op != NULL)
        io_queue_remove(queue, op);
    return op;
}

uint8_t io_direction(const struct io_op *op)
{
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT:
    case IO_RECV:
    case IO_POLL:
        return IO_READER;
    case IO_SEND:
    case IO_SENDFILE:
        return IO_WRITER;
    case IO_WORK:
        return 0;
    case IO_CLOSE:
    case IO_KINDS:
        break;
    }
    return IO_READER | IO_WRITER;
}

void io_ready(struct io *io, struct io_op *op, int32_t result)
{
    assert(op->state != IO_IDLE && op->state != IO_READY);
    op->state = IO_READY;
    op->result = result;
    io_queue_push(&io->ready, op);
}

void io_report(struct io *io, struct io_op *op, struct io_event event)
{
    assert(op->state != IO_IDLE && (event.more || op->link == NULL));
    io->events++;
    if (!event.more) {
        op->state = IO_IDLE;
        io->inflight--;
        if (op->fd < IO_FDS_TRACKED && op->kind < IO_CLOSE)
            io->fds[op->fd] &= (uint8_t)~io_direction(op);
    }
    op->done(io, op, event);
}

void io_run_ready(struct io *io)
{
    for (uint32_t count = io->ready.count; count > 0; count--) {
        struct io_op *op = io_queue_pop(&io->ready);
        io_report(io, op, (struct io_event){.result = op->result});
    }
}

struct io_buf *io_buf_get(struct io *io)
{
    struct io_buf *buf = io->bufs_free;
    if (buf == NULL)
        return NULL;
    io->bufs_free = buf->next;
    buf->next = NULL;
    io->bufs_out++;
    return buf;
}

struct slice io_send_rest(const struct io_op *op)
{
    const struct iovec *first = op->arg.send.iov;
    return (struct slice){(const char *)first->iov_base + op->arg.send.offset,
                          first->iov_len - op->arg.send.offset};
}

bool io_send_advance(struct io_op *op, int32_t size)
{
    size_t left = (size_t)size;
    op->sent += size;
    for (; op->arg.send.count > 0; op->arg.send.iov++, op->arg.send.count--) {
        size_t rest = io_send_rest(op).size;
        if (left < rest) {
            op->arg.send.offset += (uint32_t)left;
            return false;
        }
        left -= rest;
        op->arg.send.offset = 0;
    }
    assert(left == 0);
    return true;
}

bool io_accept_passes(int32_t result)
{
    switch (-result) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}
