/* SPDX-License-Identifier: MIT
 * The ring of the io_uring backend: opening it, its receive buffers, one system call a step.
 *
 * The flags make completions run in io_step() instead of interrupting us: without them a request
 * costs half as much again (docs/decisions). liburing 2.3 is enough, so the buffer ring is
 * registered by hand. IORING_SETUP_NO_SQARRAY is never set: liburing 2.3 writes the array that is
 * then missing over the ring's header, which leaves a process that cannot be killed. The kernel
 * makes every ring fd close-on-exec. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "io/uring.h"

enum {
    /* Multishot ops complete many times per submission; what still does not fit is kept by the
     * kernel (IORING_FEAT_NODROP) and costs a little more. */
    CQ_FACTOR = 4,
};

/* Each with what it costs to do without; the newest first, in the order they are given up. */
static const unsigned optional_flags[] = {
    IORING_SETUP_DEFER_TASKRUN, /* 6.1: completions run when we ask for them */
    IORING_SETUP_SINGLE_ISSUER, /* 6.0: no locks; DEFER_TASKRUN needs it */
    IORING_SETUP_COOP_TASKRUN,  /* 5.19: no interrupts for completions */
    IORING_SETUP_SUBMIT_ALL,    /* 5.18: an entry in error does not end the submission */
    IORING_SETUP_CQSIZE,        /* 5.5 */
};

static int try_setup(struct io_uring *ring, uint32_t entries)
{
    unsigned flags = 0;
    for (size_t i = 0; i < COUNT_OF(optional_flags); i++)
        flags |= optional_flags[i];
    for (size_t given_up = 0;; given_up++) {
        struct io_uring_params params = {.flags = flags, .cq_entries = entries * CQ_FACTOR};
        if ((flags & IORING_SETUP_CQSIZE) == 0)
            params.cq_entries = 0;
        int result = io_uring_queue_init_params(entries, ring, &params);
        if (result != -EINVAL || given_up == COUNT_OF(optional_flags))
            return result;
        flags &= ~optional_flags[given_up];
    }
}

static int register_bufs(struct uring *uring, struct io *io)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)uring->buf_ring,
        .ring_entries = io->buf_count,
        .bgid = URING_BUF_GROUP,
    };
    int result = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    if (result < 0)
        return result;
    io_uring_buf_ring_init(uring->buf_ring);
    for (uint32_t i = 0; i < io->buf_count; i++)
        io_uring_buf_ring_add(uring->buf_ring, io->bufs[i].data, IO_BUF_SIZE, (uint16_t)i,
                              io_uring_buf_ring_mask(io->buf_count), (int)i);
    io_uring_buf_ring_advance(uring->buf_ring, (int)io->buf_count);
    return 0;
}

static int try_open(struct uring *uring, struct io *io, uint32_t entries)
{
    int result = try_setup(&uring->ring, entries);
    if (result < 0)
        return result;
    /* Completions must not get lost, a message must be copied when its entry is taken, and a wait
     * needs its deadline without an entry of its own. */
    const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG;
    result = (uring->ring.features & needed) == needed ? register_bufs(uring, io) : -EINVAL;
    if (result < 0)
        io_uring_queue_exit(&uring->ring);
    return result;
}

static int explain(int result, uint32_t entries, askr_error *error)
{
    switch (-result) {
    case ENOSYS:
        return askr_fail(error, ENOSYS, "this kernel has no io_uring, or a filter hides it");
    case EPERM:
    case EACCES:
        return askr_fail(error, -result,
                         "io_uring is forbidden here, by kernel.io_uring_disabled or by a filter");
    case ENOMEM:
        return askr_fail(error, ENOMEM,
                         "no memory for a ring of even %u entries: RLIMIT_MEMLOCK is used up, "
                         "which all processes of this user share",
                         entries);
    case EINVAL:
        return askr_fail(error, EINVAL, "this kernel's io_uring has no buffer rings (Linux 5.19)");
    default:
        return askr_fail(error, -result, "io_uring_setup: %s", strerror(-result));
    }
}

int uring_ring_open(struct uring *uring, struct io *io, uint32_t entries, askr_error *error)
{
    uring->buf_ring_size = io->buf_count * sizeof(struct io_uring_buf);
    void *memory = mmap(NULL, uring->buf_ring_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* has to begin at a page */
    if (memory == MAP_FAILED)
        return askr_fail(error, ENOMEM, "no memory for the ring of receive buffers");
    uring->buf_ring = memory;
    int result = try_open(uring, io, entries);
    while (result == -ENOMEM && entries / 2 >= IO_RING_ENTRIES_MIN) {
        entries /= 2;
        result = try_open(uring, io, entries);
    }
    if (result < 0) {
        munmap(memory, uring->buf_ring_size);
        return explain(result, entries, error);
    }
    /* A child that never execs would keep the ring's pages alive. Only that is lost on failure. */
    io_uring_ring_dontfork(&uring->ring);
    return 0;
}

void uring_ring_close(struct uring *uring)
{
    io_uring_queue_exit(&uring->ring);
    munmap(uring->buf_ring, uring->buf_ring_size);
}

void uring_buf_put(struct io *io, struct io_buf *buf)
{
    struct uring *uring = io->priv;
    io_uring_buf_ring_add(uring->buf_ring, buf->data, IO_BUF_SIZE, buf->index,
                          io_uring_buf_ring_mask(io->buf_count), (int)uring->bufs_returned);
    uring->bufs_returned++;
}

/* One release store for all buffers of a turn, before the kernel looks. */
static void show_bufs(struct uring *uring)
{
    io_uring_buf_ring_advance(uring->buf_ring, (int)uring->bufs_returned);
    uring->bufs_returned = 0;
}

struct io_uring_sqe *uring_entry(struct uring *uring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
    if (LIKELY(entry != NULL))
        return entry;
    show_bufs(uring);
    if (UNLIKELY(uring->refuses))
        return NULL;
    io_uring_submit(&uring->ring);
    return io_uring_get_sqe(&uring->ring);
}

int uring_enter(struct io *io, int64_t wait_ns)
{
    struct uring *uring = io->priv;
    struct io_uring_cqe *first;
    int result;
    show_bufs(uring);
    if (wait_ns < 0) {
        result = io_uring_submit_and_wait(&uring->ring, 1);
    } else if (wait_ns == 0) {
        result = io_uring_submit_and_get_events(&uring->ring);
    } else {
        struct __kernel_timespec timeout = {wait_ns / NS_PER_S, wait_ns % NS_PER_S};
        result = io_uring_submit_and_wait_timeout(&uring->ring, &first, 1, &timeout, NULL);
    }
    switch (-result) {
    case ETIME:
    case EINTR:
    case EBUSY:  /* completions first: they are reaped below */
    case EAGAIN: /* no memory for requests now; what was not taken stays queued */
        result = 0;
        break;
    default:
        break;
    }
    return result < 0 ? result : (int)io_uring_cq_ready(&uring->ring);
}
