/* SPDX-License-Identifier: MIT
 * Completion I/O on io_uring, where completion is native (io.h).
 *
 * A submission entry's user_data is its op's address; bit 0 marks the answer to a cancel, which
 * nobody waits for. An op restarted in `done` has the same address, but its former entry has sent
 * its last completion by then, so nothing stale can be taken for news.
 *
 * Happy path: recv is multishot into the pool's buffer ring, send asks for all or an error
 * (MSG_WAITALL), poll and accept are multishot and re-armed when the kernel ends them. A file goes
 * through one of BOUNCES_MAX buffers, a chunk at a time and then it is another's turn; while its
 * peer takes nothing it holds none. So thousands of slow downloads cost neither memory nor long
 * steps. Failure modes: a full submission queue is flushed, and what the kernel then still refuses
 * waits in `backlog`; an empty pool (-ENOBUFS) parks a recv in `starved`. */
#include "io/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    BATCH = 64, /* completions copied out at a time, so that callbacks find room in the ring */
    BOUNCE_SIZE = 64 * 1024, /* of a file at a time */
    BOUNCES_MAX = 8,   /* 512 KiB: what is read or sent of files in one step, 0.3 ms of work */
    CANCEL_ANSWER = 1, /* in user_data */
};

/* io_op.state */
enum { FLYING = IO_STATE_OWN, BACKLOG, STARVED, HUNGRY };

/* io_op.flags of a sendfile: the part in the bounce buffer is being sent, `result` is its size; or
 * it waits until the peer takes more, without a buffer. */
enum { SENDING = IO_FLAG_OWN, WAITING = IO_FLAG_OWN << 1 };

_Static_assert(_Alignof(struct io_op) >= 2, "bit 0 of an op's address is free");

static int uring_open(struct io *io, const struct io_options *options, askr_error *error)
{
    struct uring *uring = calloc(1, sizeof *uring);
    if (uring == NULL)
        return askr_fail(error, ENOMEM, "no memory for a ring");
    int result = uring_ring_open(uring, io, options->ring_entries, error);
    if (result < 0)
        goto out_free;
    uring->messages = calloc(uring->ring.sq.ring_entries, sizeof *uring->messages);
    if (uring->messages == NULL) {
        result = askr_fail(error, ENOMEM, "no memory for a ring");
        goto out_ring;
    }
    io_queue_init(&uring->backlog);
    io_queue_init(&uring->cancels);
    io_queue_init(&uring->starved);
    io_queue_init(&uring->hungry);
    io->bufs_free = NULL; /* the ring has them */
    io->priv = uring;
    return 0;

out_ring:
    uring_ring_close(uring);
out_free:
    free(uring);
    return result;
}

static void uring_close(struct io *io)
{
    struct uring *uring = io->priv;
    uring_ring_close(uring);
    for (struct uring_bounce *bounce; (bounce = uring->bounces) != NULL;) {
        uring->bounces = bounce->next;
        free(bounce);
    }
    free(uring->messages);
    free(uring);
}

void uring_without_multishot(struct io *io)
{
    struct uring *uring = io->priv;
    uring->one_shot = true;
}

void uring_refuse(struct io *io, bool refuses)
{
    struct uring *uring = io->priv;
    uring->refuses = refuses;
}

/* --- bounce buffers --- */

static void *bounce_get(struct uring *uring)
{
    struct uring_bounce *bounce = uring->bounces;
    if (bounce != NULL)
        uring->bounces = bounce->next;
    else if (uring->bounce_count == BOUNCES_MAX || (bounce = malloc(BOUNCE_SIZE)) == NULL)
        return NULL;
    else
        uring->bounce_count++;
    return bounce;
}

static void bounce_put(struct uring *uring, void *memory)
{
    struct uring_bounce *bounce = memory;
    if (bounce == NULL)
        return;
    bounce->next = uring->bounces;
    uring->bounces = bounce;
}

/* --- submission --- */

static void prepare_recv(const struct uring *uring, struct io_uring_sqe *entry,
                         const struct io_op *op)
{
    if (uring->one_shot)
        io_uring_prep_recv(entry, op->fd, NULL, IO_BUF_SIZE, 0);
    else
        io_uring_prep_recv_multishot(entry, op->fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = URING_BUF_GROUP;
}

/* A slice that was cut is finished alone. The kernel copies a msghdr when it takes the entry
 * (IORING_FEAT_SUBMIT_STABLE), so one for each place in the queue is enough. */
static void prepare_send(struct uring *uring, struct io_uring_sqe *entry, const struct io_op *op)
{
    const int flags = MSG_WAITALL | MSG_NOSIGNAL;
    if (op->arg.send.count == 1 || op->arg.send.offset > 0) {
        struct slice rest = io_send_rest(op);
        io_uring_prep_send(entry, op->fd, rest.data, rest.size, flags);
        return;
    }
    struct msghdr *message = &uring->messages[entry - uring->ring.sq.sqes];
    *message = (struct msghdr){.msg_iov = (struct iovec *)op->arg.send.iov,
                               .msg_iovlen = op->arg.send.count};
    io_uring_prep_sendmsg(entry, op->fd, message, (unsigned)flags);
}

static void prepare_file(struct io_uring_sqe *entry, const struct io_op *op)
{
    if ((op->flags & WAITING) != 0) {
        io_uring_prep_poll_add(entry, op->fd, POLLOUT);
        return;
    }
    if ((op->flags & SENDING) != 0) {
        io_uring_prep_send(entry, op->fd, op->arg.file.bounce, (size_t)op->result,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    unsigned size = op->arg.file.left < BOUNCE_SIZE ? (unsigned)op->arg.file.left : BOUNCE_SIZE;
    io_uring_prep_read(entry, op->arg.file.file, op->arg.file.bounce, size,
                       (uint64_t)op->arg.file.offset);
}

static void prepare(struct uring *uring, struct io_uring_sqe *entry, struct io_op *op)
{
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT:
        io_uring_prep_multishot_accept(entry, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case IO_RECV:
        prepare_recv(uring, entry, op);
        break;
    case IO_POLL: /* multishot is edge-triggered */
        io_uring_prep_poll_multishot(entry, op->fd, op->arg.events);
        break;
    case IO_SEND:
        prepare_send(uring, entry, op);
        break;
    case IO_SENDFILE:
        prepare_file(entry, op);
        break;
    case IO_CLOSE:
        io_uring_prep_close(entry, op->fd);
        break;
    case IO_WORK: /* never an entry */
    case IO_KINDS:
        assert(false);
    }
}

/* An entry is handed over by the next step, and a send that finds room comes back from it. One that
 * comes back later has waited for its peer. */
static void note_try(const struct io *io, struct io_op *op)
{
    op->tried_ns = io->now_ns;
    op->tried_step = io->steps;
}

static void note_wait(const struct io *io, struct io_op *op)
{
    if (io->steps - op->tried_step > 1)
        op->waited_ns += io->now_ns - op->tried_ns;
}

/* Queue the op's next entry. */
static void issue(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *entry = uring_entry(uring);
    if (UNLIKELY(entry == NULL)) {
        op->state = BACKLOG;
        io_queue_push(&uring->backlog, op);
        return;
    }
    op->state = FLYING;
    prepare(uring, entry, op);
    io_uring_sqe_set_data(entry, op);
}

/* The next chunk of a file, once it is its turn. */
static void issue_file(struct uring *uring, struct io_op *op)
{
    op->state = HUNGRY;
    io_queue_push(&uring->hungry, op);
}

static void feed_hungry(struct io *io)
{
    struct uring *uring = io->priv;
    while (uring->hungry.first != NULL) {
        void *bounce = bounce_get(uring);
        if (bounce == NULL && uring->bounce_count > 0)
            return; /* one comes back with a completion */
        struct io_op *op = io_queue_pop(&uring->hungry);
        op->arg.file.bounce = bounce;
        if (bounce != NULL)
            issue(uring, op);
        else
            io_ready(io, op, -ENOMEM);
    }
}

static void uring_submit(struct io *io, struct io_op *op)
{
    struct uring *uring = io->priv;
    if (UNLIKELY(op->kind == IO_WORK)) {
        io_works_add(io, op);
        return;
    }
    note_try(io, op);
    if (op->kind == IO_SENDFILE) {
        op->arg.file.bounce = NULL;
        issue_file(uring, op);
        return;
    }
    if (op->kind == IO_ACCEPT) {
        /* Some kernels end an accept that found nothing on a non-blocking listener. */
        int flags = fcntl(op->fd, F_GETFL);
        if (flags >= 0 && (flags & O_NONBLOCK) != 0)
            fcntl(op->fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    issue(uring, op);
}

static void cancel_flying(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *entry = uring_entry(uring);
    if (LIKELY(entry != NULL)) {
        io_uring_prep_cancel64(entry, (uintptr_t)op, 0);
        io_uring_sqe_set_data64(entry, (uintptr_t)op | CANCEL_ANSWER);
        return;
    }
    /* Behind the op's own entry, which may still be in the queue: so there is no other way. */
    io_queue_push(&uring->cancels, op);
}

static void end_file(struct io *io, struct io_op *op)
{
    bounce_put(io->priv, op->arg.file.bounce);
    op->arg.file.bounce = NULL;
}

static void uring_cancel(struct io *io, struct io_op *op)
{
    struct uring *uring = io->priv;
    if (op->state == FLYING) {
        cancel_flying(uring, op);
        return;
    }
    io_queue_remove(op->state == BACKLOG   ? &uring->backlog
                    : op->state == STARVED ? &uring->starved
                                           : &uring->hungry,
                    op);
    if (op->kind == IO_SENDFILE)
        end_file(io, op);
    io_ready(io, op, -ECANCELED);
}

/* --- completion --- */

static void finish(struct io *io, struct io_op *op, int32_t result)
{
    io_report(io, op, (struct io_event){.result = result});
}

static bool cancelled(const struct io_op *op)
{
    return (op->flags & IO_CANCELLED) != 0;
}

/* The kernel ended the op for reasons that are not the caller's business. */
static void go_on(struct io *io, struct io_op *op)
{
    if (cancelled(op))
        io_ready(io, op, -ECANCELED);
    else
        issue(io->priv, op);
}

/* The buffer of a recv's completion, or NULL. */
static struct io_buf *take_buf(struct io *io, int32_t result, uint32_t flags)
{
    if ((flags & IORING_CQE_F_BUFFER) == 0)
        return NULL;
    uint32_t index = flags >> IORING_CQE_BUFFER_SHIFT;
    assert(index < io->buf_count);
    struct io_buf *buf = &io->bufs[index];
    buf->index = (uint16_t)index;
    buf->next = NULL;
    io->bufs_out++;
    if (result > 0) {
        buf->size = (uint32_t)result;
        return buf;
    }
    io_buf_put(io, buf);
    return NULL;
}

static void complete_recv(struct io *io, struct io_op *op, int32_t result, uint32_t flags)
{
    struct uring *uring = io->priv;
    struct io_buf *buf = take_buf(io, result, flags);
    bool more = (flags & IORING_CQE_F_MORE) != 0;
    assert((result > 0) == (buf != NULL));
    uring->multishot_worked = uring->multishot_worked || more;
    if (more || result >= 0) {
        io_report(io, op, (struct io_event){.result = result, .more = more, .buf = buf});
    } else if (result == -ENOBUFS && !cancelled(op)) {
        op->state = STARVED;
        io_queue_push(&uring->starved, op);
    } else if (result == -ENOBUFS || result == -EAGAIN || result == -EINTR) {
        go_on(io, op);
    } else if (result == -EINVAL && !uring->one_shot && !uring->multishot_worked) {
        uring->one_shot = true;
        go_on(io, op);
    } else {
        finish(io, op, result);
    }
}

static void complete_send(struct io *io, struct io_op *op, int32_t result)
{
    note_wait(io, op);
    note_try(io, op);
    if (result == -EAGAIN || result == -EINTR)
        go_on(io, op);
    else if (result <= 0)
        finish(io, op, result == 0 ? -EIO : result);
    else if (io_send_advance(op, result))
        finish(io, op, op->sent);
    else
        go_on(io, op); /* the rest will tell why not all of it went */
}

/* It came to its end, whichever that is. */
static void finish_file(struct io *io, struct io_op *op, int32_t result)
{
    end_file(io, op);
    finish(io, op, result);
}

/* The peer takes no more: another may have the buffer until it does. */
static void wait_for_peer(struct io *io, struct io_op *op)
{
    end_file(io, op);
    op->flags = (uint16_t)((op->flags & ~SENDING) | WAITING);
    issue(io->priv, op);
}

/* So much of the chunk was sent. */
static void advance_file(struct io *io, struct io_op *op, int32_t result)
{
    bool all = result == op->result;
    op->flags &= (uint16_t)~SENDING;
    op->sent += result;
    op->arg.file.offset += result;
    op->arg.file.left -= result;
    if (op->arg.file.left == 0) {
        finish_file(io, op, op->sent);
    } else if (all) {
        end_file(io, op);
        issue_file(io->priv, op);
    } else {
        wait_for_peer(io, op);
    }
}

/* A chunk was read: send it. A chunk, or some of it, was sent: read on from there, at once or when
 * the peer takes more. */
static void complete_file(struct io *io, struct io_op *op, int32_t result)
{
    bool sending = (op->flags & SENDING) != 0, waiting = (op->flags & WAITING) != 0;
    if (waiting)
        note_wait(io, op);
    note_try(io, op);
    if (cancelled(op)) {
        finish_file(io, op, result < 0 && result != -EAGAIN ? result : -ECANCELED);
    } else if (result == -EINTR || (result == -EAGAIN && !sending)) {
        issue(io->priv, op);
    } else if (result == -EAGAIN) {
        wait_for_peer(io, op);
    } else if (result < 0) {
        finish_file(io, op, result);
    } else if (waiting) {
        op->flags &= (uint16_t)~WAITING;
        issue_file(io->priv, op);
    } else if (result ==
               0) { /* the file ended early, or the socket takes nothing and says nothing */
        finish_file(io, op, sending ? -EIO : op->sent);
    } else if (sending) {
        advance_file(io, op, result);
    } else {
        op->flags |= SENDING;
        op->result = result;
        issue(io->priv, op);
    }
}

/* Poll and accept: they fire until they are cancelled or fail. */
static void complete_multishot(struct io *io, struct io_op *op, int32_t result, uint32_t flags)
{
    bool passes = op->kind == IO_ACCEPT ? io_accept_passes(result) : result == -EINTR;
    bool more = (flags & IORING_CQE_F_MORE) != 0;
    if (result < 0 && !passes && !more) {
        finish(io, op, result);
        return;
    }
    if (!more)
        go_on(io, op);
    if (result >= 0)
        io_report(io, op, (struct io_event){.result = result, .more = true});
}

static void complete(struct io *io, struct io_op *op, int32_t result, uint32_t flags)
{
    struct uring *uring = io->priv;
    assert(op->state == FLYING);
    if (UNLIKELY(op->link != NULL) && (flags & IORING_CQE_F_MORE) == 0)
        io_queue_remove(&uring->cancels, op); /* it ended without */
    switch ((enum io_kind)op->kind) {
    case IO_RECV:
        complete_recv(io, op, result, flags);
        break;
    case IO_ACCEPT:
    case IO_POLL:
        complete_multishot(io, op, result, flags);
        break;
    case IO_SEND:
        complete_send(io, op, result);
        break;
    case IO_SENDFILE:
        complete_file(io, op, result);
        break;
    case IO_CLOSE:
        finish(io, op, result);
        break;
    case IO_WORK:
    case IO_KINDS:
        assert(false);
    }
}

/* --- stepping --- */

static void reap(struct io *io, uint32_t count)
{
    struct uring *uring = io->priv;
    while (count > 0) {
        struct {
            uint64_t user_data;
            int32_t result;
            uint32_t flags;
        } batch[BATCH];
        const struct io_uring_cqe *completion;
        unsigned head, taken = 0;
        io_uring_for_each_cqe(&uring->ring, head, completion)
        {
            batch[taken].user_data = completion->user_data;
            batch[taken].result = completion->res;
            batch[taken].flags = completion->flags;
            if (++taken == BATCH || taken == count)
                break;
        }
        assert(taken > 0);
        io_uring_cq_advance(&uring->ring, taken);
        count -= taken;
        for (unsigned i = 0; i < taken; i++)
            if ((batch[i].user_data & CANCEL_ANSWER) == 0)
                complete(io, (struct io_op *)(uintptr_t)batch[i].user_data, batch[i].result,
                         batch[i].flags);
    }
}

/* As many recvs as there are buffers for; the others would only come back. */
static void feed_starved(struct io *io)
{
    struct uring *uring = io->priv;
    uint32_t bufs = io->buf_count - io->bufs_out;
    for (; bufs > 0 && uring->starved.first != NULL; bufs--)
        issue(uring, io_queue_pop(&uring->starved));
}

static void retry_backlog(struct uring *uring)
{
    for (uint32_t count = uring->backlog.count; count > 0; count--)
        issue(uring, io_queue_pop(&uring->backlog));
    for (uint32_t count = uring->cancels.count; count > 0; count--)
        cancel_flying(uring, io_queue_pop(&uring->cancels));
}

static int uring_step(struct io *io, int64_t deadline_ns)
{
    struct uring *uring = io->priv;
    retry_backlog(uring);
    feed_starved(io);
    feed_hungry(io);
    bool refused = uring->backlog.first != NULL || uring->cancels.first != NULL;
    int count = io_wait(io, refused ? INT64_MIN : deadline_ns, uring_enter);
    if (count < 0)
        return count;
    reap(io, (uint32_t)count);
    io_run_ready(io);
    return 0;
}

const struct io_backend io_uring_backend = {
    .name = "io_uring",
    .open = uring_open,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .step = uring_step,
    .buf_put = uring_buf_put,
    .close = uring_close,
};
