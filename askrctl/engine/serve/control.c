/* SPDX-License-Identifier: MIT
 * The worker's end of the conversation with its supervisor (control.h). */
#include "serve/control.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/accesslog.h"
#include "serve/conn.h"
#include "serve/record.h"
#include "serve/secure.h"
#include "serve/worker.h"

enum { CONTROL_FDS = 3 }; /* of CONTROL_ATTACH: port memfd, app bell, pidfd */

union ancillary {
    struct cmsghdr align;
    char space[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
};

/* The fds of a message; returns how many. */
static size_t take_fds(struct msghdr *header, int fds[static CONTROL_FDS])
{
    size_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL;
         part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(part), size_min(count, CONTROL_FDS) * sizeof(int));
    }
    return size_min(count, CONTROL_FDS);
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* A connection that the supervisor holds the other end of, to see a generation answer before the
 * world does. False: it is still the caller's. */
static bool adopt(struct worker *worker, int fd)
{
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return conn_open(worker, fd, (struct sockaddr *)&self, 0) != NULL;
}

static void obey(struct worker *worker, const struct control_message *message, int *fds,
                 size_t fd_count)
{
    if (message->kind == CONTROL_ATTACH && fd_count == CONTROL_FDS) {
        apps_attach(worker, message->place, message->pid, fds);
        return;
    }
    if (message->kind == CONTROL_TLS && fd_count == 1) {
        askr_error error;
        int result = secure_load(worker, fds[0], &error); /* takes over the fd */
        if (result < 0)
            control_send(worker, CONTROL_TLS_REFUSED, 0, getpid(), (uint32_t)-result);
        return;
    }
    if (message->kind == CONTROL_ADOPT && fd_count == 1 && adopt(worker, fds[0]))
        return;
    if (message->kind == CONTROL_LOG && fd_count == 1) {
        accesslog_reopen(worker, fds[0]);
        return;
    }
    if (message->kind == CONTROL_RECORD && fd_count == 1) {
        record_open(worker, fds[0], message);
        return;
    }
    close_all(fds, fd_count);
    if (message->kind == CONTROL_RECORD)
        record_close(worker);
    if (message->kind == CONTROL_LISTEN)
        worker_listen(worker);
    if (message->kind == CONTROL_RETIRE)
        apps_retire(worker, message->place, message->pid);
    if (message->kind == CONTROL_KEEP)
        worker_keep(worker, worker->io.now_ns + (int64_t)message->value * NS_PER_MS);
    if (message->kind == CONTROL_DRAIN) {
        worker_drain(worker, worker->io.now_ns + (int64_t)message->value * NS_PER_MS);
        worker->drops_idle = message->place == 1;
    }
}

/* One message. False: there are no more. */
static bool receive(struct worker *worker)
{
    struct control_message message;
    union ancillary ancillary;
    int fds[CONTROL_FDS];
    struct iovec iov = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &ancillary,
                            .msg_controllen = sizeof ancillary};
    ssize_t size = recvmsg(worker->config->control_fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0)
        return errno == EINTR;
    if (size == 0) { /* the supervisor is gone: finish what is here, then go as well */
        worker_drain(worker, worker->io.now_ns + worker->config->drain_timeout_ns);
        return false;
    }
    size_t count = take_fds(&header, fds);
    if ((size_t)size == sizeof message && !(header.msg_flags & MSG_TRUNC))
        obey(worker, &message, fds, count);
    else
        close_all(fds, count);
    return true;
}

static void on_control(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct worker *worker = CONTAINER_OF(op, struct worker, control_op);
    while (event.result >= 0 && receive(worker))
        ;
}

void control_open(struct worker *worker)
{
    io_poll(&worker->io, &worker->control_op, worker->config->control_fd, EPOLLIN | EPOLLRDHUP,
            on_control);
}

void control_say(struct worker *worker, enum control_kind kind, uint32_t value, struct slice text)
{
    struct control_message message = {kind, 0, 0, value};
    struct iovec iov[] = {{&message, sizeof message},
                          {(void *)(uintptr_t)text.data, size_min(text.size, CONTROL_TEXT_MAX)}};
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = COUNT_OF(iov)};
    sendmsg(worker->config->control_fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void control_send(struct worker *worker, enum control_kind kind, uint32_t place, int32_t pid,
                  uint32_t value)
{
    struct control_message message = {kind, place, pid, value};
    /* A supervisor that does not read has other ways to learn of it: pidfds and the status page. */
    send(worker->config->control_fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
