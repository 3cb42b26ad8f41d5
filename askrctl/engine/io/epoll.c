/* SPDX-License-Identifier: MIT
 * Readiness made to look like completion (io.h), on epoll.
 *
 * An fd is registered once, edge-triggered, for both directions; so a busy connection costs no
 * epoll_ctl after its first wait, and a reader and a writer cannot lose each other's edge. What
 * would block waits in its fd's entry. Sends are tried at once; a recv waits for its edge, because
 * at its start there is rarely something to read.
 *
 * Invariants: an op is in its entry while it is parked, starved or to be tried again, and nowhere
 * once it is ready. An event carries the entry's generation, so one that was fetched before its fd
 * was closed and reused is dropped. What io_poll() and io_accept() watch may live on in other
 * processes, and a closed fd would stay registered then: it is removed when the op ends. */
#include "io/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES_START = 256, READING = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR };
enum { WRITING = EPOLLOUT | EPOLLHUP | EPOLLERR, ENDING = EPOLLRDHUP | EPOLLHUP | EPOLLERR };

static int epoll_open(struct io *io, const struct io_options *options, askr_error *error)
{
    (void)options;
    struct epoll *epoll = calloc(1, sizeof *epoll);
    char *bounce = malloc(EPOLL_BOUNCE_SIZE);
    if (epoll == NULL || bounce == NULL) {
        free(bounce);
        free(epoll);
        return askr_fail(error, ENOMEM, "no memory for epoll");
    }
    epoll->bounce = bounce;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0) {
        int result = askr_fail(error, errno, "epoll_create1: %s", strerror(errno));
        free(bounce);
        free(epoll);
        return result;
    }
    io_queue_init(&epoll->again);
    io_queue_init(&epoll->files);
    io_queue_init(&epoll->starved);
    io->priv = epoll;
    return 0;
}

static void epoll_close(struct io *io)
{
    struct epoll *epoll = io->priv;
    close(epoll->fd);
    free(epoll->entries);
    free(epoll->bounce);
    free(epoll);
}

/* --- the table --- */

static int grow(struct epoll *epoll, int fd)
{
    uint32_t count = epoll->entry_count == 0 ? ENTRIES_START : epoll->entry_count;
    while (count <= (uint32_t)fd)
        count *= 2;
    if (count == epoll->entry_count)
        return 0;
    struct epoll_entry *entries = realloc(epoll->entries, count * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    memset(entries + epoll->entry_count, 0, (count - epoll->entry_count) * sizeof *entries);
    epoll->entries = entries;
    epoll->entry_count = count;
    return 0;
}

/* Make epoll report `mask` of the fd. With `fresh` also what is true already, where a registration
 * that did not change would stay silent until the next edge. */
static int watch(struct epoll *epoll, int fd, uint32_t mask, bool fresh)
{
    int result = (uint32_t)fd < epoll->entry_count ? 0 : grow(epoll, fd);
    if (result < 0)
        return result;
    struct epoll_entry *entry = &epoll->entries[fd];
    if ((mask & ~entry->watched) == 0 && !fresh)
        return 0;
    int operation = entry->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    struct epoll_event event = {
        .events = mask | entry->watched | EPOLLET,
        .data.u64 = (uint64_t)entry->generation << 32 | (uint32_t)fd,
    };
    if (epoll_ctl(epoll->fd, operation, fd, &event) < 0)
        return -errno;
    entry->watched |= mask;
    return 0;
}

static void forget(struct epoll_entry *entry)
{
    entry->watched = 0;
    entry->readable = entry->ended = false;
    entry->generation++;
}

void epoll_unwatch(struct epoll *epoll, int fd)
{
    struct epoll_entry *entry = epoll_entry_of(epoll, fd);
    if (entry->writer != NULL)
        return;
    epoll_ctl(epoll->fd, EPOLL_CTL_DEL, fd, NULL);
    forget(entry);
}

/* --- starting --- */

static void park_reader(struct io *io, struct io_op *op, uint32_t mask, bool fresh)
{
    struct epoll *epoll = io->priv;
    int result = watch(epoll, op->fd, mask, fresh);
    if (result < 0) {
        io_ready(io, op, result);
        return;
    }
    struct epoll_entry *entry = epoll_entry_of(epoll, op->fd);
    assert(entry->reader == NULL);
    entry->reader = op;
    op->state = EPOLL_PARKED;
}

static void start_recv(struct io *io, struct io_op *op)
{
    struct epoll *epoll = io->priv;
    park_reader(io, op, EPOLLIN | EPOLLOUT | EPOLLRDHUP, false);
    if (op->state != EPOLL_PARKED)
        return;
    const struct epoll_entry *entry = epoll_entry_of(epoll, op->fd);
    if (entry->readable || entry->ended) {
        op->state = EPOLL_AGAIN;
        io_queue_push(&epoll->again, op);
    }
}

static void start_accept(struct io *io, struct io_op *op)
{
    int flags = fcntl(op->fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0)
        fcntl(op->fd, F_SETFL, flags | O_NONBLOCK);
    park_reader(io, op, EPOLLIN, true);
}

static void start_writer(struct io *io, struct io_op *op)
{
    struct epoll *epoll = io->priv;
    if (epoll_try_writer(io, op) && op->state != EPOLL_AGAIN)
        return;
    int result = watch(epoll, op->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, false);
    if (result < 0) {
        if (op->state == EPOLL_AGAIN)
            io_queue_remove(epoll_again(epoll, op), op);
        op->state = EPOLL_PARKED;
        io_ready(io, op, result);
        return;
    }
    struct epoll_entry *entry = epoll_entry_of(epoll, op->fd);
    assert(entry->writer == NULL);
    entry->writer = op;
}

static void start_close(struct io *io, struct io_op *op)
{
    struct epoll *epoll = io->priv;
    if ((uint32_t)op->fd < epoll->entry_count) {
        struct epoll_entry *entry = &epoll->entries[op->fd];
        assert(entry->reader == NULL && entry->writer == NULL);
        forget(entry);
    }
    io_ready(io, op, close(op->fd) < 0 ? -errno : 0);
}

static void epoll_submit(struct io *io, struct io_op *op)
{
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT:
        start_accept(io, op);
        break;
    case IO_RECV:
        start_recv(io, op);
        break;
    case IO_POLL:
        park_reader(io, op, op->arg.events, true);
        break;
    case IO_SEND:
    case IO_SENDFILE:
        start_writer(io, op);
        break;
    case IO_CLOSE:
        start_close(io, op);
        break;
    case IO_WORK:
        io_works_add(io, op);
        break;
    case IO_KINDS:
        assert(false);
    }
}

static void epoll_cancel(struct io *io, struct io_op *op)
{
    struct epoll *epoll = io->priv;
    struct epoll_entry *entry = epoll_entry_of(epoll, op->fd);
    if (op->state == EPOLL_AGAIN)
        io_queue_remove(epoll_again(epoll, op), op);
    else if (op->state == EPOLL_STARVED)
        io_queue_remove(&epoll->starved, op);
    if (entry->reader == op)
        entry->reader = NULL;
    else
        entry->writer = NULL;
    if (op->kind == IO_POLL || op->kind == IO_ACCEPT)
        epoll_unwatch(epoll, op->fd);
    io_ready(io, op, -ECANCELED);
}

/* --- stepping --- */

/* epoll_wait() counts milliseconds. */
static int wait_coarse(struct epoll *epoll, int64_t wait_ns)
{
    int64_t wait_ms = wait_ns <= 0 ? wait_ns : (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    int timeout = wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
    return epoll_wait(epoll->fd, epoll->events, EPOLL_EVENTS_MAX, timeout);
}

static int wait_fine(struct epoll *epoll, int64_t wait_ns)
{
#ifdef SYS_epoll_pwait2
    struct timespec timeout = {wait_ns / NS_PER_S, wait_ns % NS_PER_S};
    long count =
        syscall(SYS_epoll_pwait2, epoll->fd, epoll->events, EPOLL_EVENTS_MAX, &timeout, NULL, 0);
    /* Linux 5.11; EPERM is how older seccomp profiles say that they do not know it. */
    if (count >= 0 || (errno != ENOSYS && errno != EPERM))
        return (int)count;
#endif
    epoll->no_pwait2 = true;
    return wait_coarse(epoll, wait_ns);
}

static int enter(struct io *io, int64_t wait_ns)
{
    struct epoll *epoll = io->priv;
    int count =
        wait_ns <= 0 || epoll->no_pwait2 ? wait_coarse(epoll, wait_ns) : wait_fine(epoll, wait_ns);
    epoll->event_count = count < 0 ? 0 : count;
    if (count >= 0)
        return count;
    return errno == EINTR ? 0 : -errno;
}

static void wake_reader(struct io *io, struct epoll_entry *entry, uint32_t events)
{
    struct io_op *op = entry->reader;
    entry->readable = entry->readable || (events & READING) != 0;
    entry->ended = entry->ended || (events & ENDING) != 0;
    if (op == NULL || op->state != EPOLL_PARKED)
        return;
    uint32_t polled = events & (op->arg.events | EPOLLERR | EPOLLHUP);
    if (op->kind == IO_POLL && polled != 0)
        io_report(io, op, (struct io_event){.result = (int32_t)polled, .more = true});
    else if (op->kind != IO_POLL && (events & READING) != 0)
        epoll_try_reader(io, op);
}

static void wake_writer(struct io *io, struct epoll_entry *entry)
{
    struct io_op *op = entry->writer;
    if (op == NULL || op->state != EPOLL_PARKED)
        return;
    op->waited_ns += io->now_ns - op->tried_ns;
    if (epoll_try_writer(io, op) && op->state == IO_READY)
        entry->writer = NULL;
}

static void wake(struct io *io, const struct epoll_event *event)
{
    struct epoll *epoll = io->priv;
    struct epoll_entry *entry = epoll_entry_of(epoll, (int)(uint32_t)event->data.u64);
    if (entry->generation != (uint32_t)(event->data.u64 >> 32))
        return;
    /* The writer first: its attempt runs no callback, so the entry stays where it is. */
    if ((event->events & WRITING) != 0)
        wake_writer(io, entry);
    wake_reader(io, entry, event->events);
}

static void run_again(struct io *io)
{
    struct epoll *epoll = io->priv;
    for (uint32_t count = epoll->again.count; count > 0 && epoll->again.first != NULL; count--)
        epoll_try_reader(io, io_queue_pop(&epoll->again));
}

static void run_files(struct io *io)
{
    struct epoll *epoll = io->priv;
    for (uint32_t count = epoll->files.count;
         count > 0 && epoll->files.first != NULL && epoll->files_left > 0; count--) {
        struct io_op *op = io_queue_pop(&epoll->files);
        if (epoll_try_writer(io, op) && op->state == IO_READY)
            epoll_entry_of(epoll, op->fd)->writer = NULL;
    }
}

static void run_starved(struct io *io)
{
    struct epoll *epoll = io->priv;
    for (uint32_t count = epoll->starved.count;
         count > 0 && epoll->starved.first != NULL && io->bufs_free != NULL; count--)
        epoll_try_reader(io, io_queue_pop(&epoll->starved));
}

static int epoll_step(struct io *io, int64_t deadline_ns)
{
    struct epoll *epoll = io->priv;
    epoll->files_left = EPOLL_FILES_SIZE;
    /* Sends that went out at once have their events waiting: run them without a system call, but
     * not twice in a row, or the fds would starve. */
    epoll->skipped = io->ready.first != NULL && !epoll->skipped;
    if (epoll->skipped) {
        io->now_ns = clock_now_ns();
        io_run_ready(io);
        return 0;
    }
    bool busy = epoll->again.first != NULL || epoll->files.first != NULL ||
                (epoll->starved.first != NULL && io->bufs_free != NULL);
    int result = io_wait(io, busy ? INT64_MIN : deadline_ns, enter);
    if (result < 0)
        return result;
    run_again(io);
    run_files(io);
    run_starved(io);
    for (int i = 0; i < epoll->event_count; i++)
        wake(io, &epoll->events[i]);
    io_run_ready(io);
    return 0;
}

const struct io_backend io_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .step = epoll_step,
    .close = epoll_close,
};
