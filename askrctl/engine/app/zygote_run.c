/* SPDX-License-Identifier: MIT
 * The zygote's loop: forks on request, reaps, reports, and never outlives its supervisor.
 *
 * Invariants: no thread but this one, so fork() copies a consistent process; a child is in
 * `children` from fork to reaping; every descriptor received is closed again in the parent before
 * the next message is read. Failure: a fork that fails is refused and costs only that process; an
 * end of file kills all children at once, since without a supervisor nobody would. */
#include "app/zygote_run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct zygote {
    const struct askr_module *module;
    int control_fd, signal_fd;
    pid_t pid;
    pid_t asked; /* the process that looks at the caches; 0: none does */
    bool stopping;
    uint32_t child_count;
    struct {
        pid_t pid;
        uint32_t id;
    } children[ZYGOTE_CHILDREN_MAX];
};

/* Those that the loop reads from its signalfd. */
static sigset_t heard_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, ZYGOTE_SIGRELOAD);
    return set;
}

void zygote_set_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* whoever started us may have ignored some */
    /* Ctrl-C and a closed terminal reach the whole group, and what systemd sends the whole cgroup;
     * what they mean is the supervisor's decision. Ignored, they do not end the sleep or the system
     * call of a script either. A peer that went away shows as EPIPE. */
    static const int ignored[] = {SIGINT, SIGHUP, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH};
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigset_t ours = heard_signals();
    sigprocmask(SIG_SETMASK, &ours, NULL);
}

/* One datagram: the message, a sentence or nothing behind it, and a descriptor or -1. An error
 * means that the supervisor is gone, which the next read will say as well. */
static void send_message(int control_fd, struct zygote_message message, struct slice text, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov[2] = {{&message, sizeof message}, {(char *)text.data, text.size}};
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = 2};
    if (fd >= 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    ssize_t sent;
    do
        sent = sendmsg(control_fd, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
}

static void tell(const struct zygote *zygote, struct zygote_message message, int fd)
{
    send_message(zygote->control_fd, message, (struct slice){"", 0}, fd);
}

void zygote_report_failure(int control_fd, const char *sentence)
{
    struct zygote_message failed = {.kind = ZYGOTE_FAILED};
    if (control_fd >= 0)
        send_message(control_fd, failed, slice_of(sentence), -1);
    else
        dprintf(STDERR_FILENO, "askr-zygote: %s\n", sentence);
}

/* Receives one message and up to ZYGOTE_FORK_FDS descriptors. 0: the supervisor is gone. */
static int receive(int control_fd, struct zygote_message *message, int fds[static ZYGOTE_FORK_FDS],
                   int *fd_count)
{
    union {
        char bytes[CMSG_SPACE(ZYGOTE_FORK_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {message, sizeof *message};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    *message = (struct zygote_message){.kind = 0};
    *fd_count = 0;
    ssize_t size = recvmsg(control_fd, &header, MSG_CMSG_CLOEXEC);
    if (size <= 0)
        return size < 0 && errno == EINTR;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    if (rights != NULL && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
        *fd_count = (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(rights), (size_t)*fd_count * sizeof(int));
    }
    if (size != (ssize_t)sizeof *message)
        message->kind = 0; /* not ours; ignored */
    return 1;
}

/* The child's side of the fork. Never returns. */
static _Noreturn void become_child(const struct zygote *zygote, const struct zygote_child *child)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != zygote->pid)
        _exit(1); /* the zygote died before the line above could matter */
    close(zygote->control_fd);
    close(zygote->signal_fd);
    /* _exit: what the zygote registered with atexit() and its stdio buffers are not ours. */
    _exit(zygote_child_serve(child, zygote->module));
}

static void fork_child(struct zygote *zygote, const struct zygote_message *message,
                       const int fds[static ZYGOTE_FORK_FDS], int fd_count)
{
    struct zygote_message refused = {.kind = ZYGOTE_REFUSED, .id = message->id};
    if (fd_count != ZYGOTE_FORK_FDS || zygote->child_count == ZYGOTE_CHILDREN_MAX) {
        refused.value = fd_count != ZYGOTE_FORK_FDS ? EINVAL : EAGAIN;
        tell(zygote, refused, -1);
        return;
    }
    struct zygote_child child = {.id = message->id,
                                 .cpu = message->value,
                                 .memfd = fds[0],
                                 .app_bell_fd = fds[1],
                                 .worker_bell_fd = fds[2]};
    pid_t pid = fork();
    if (pid == 0)
        become_child(zygote, &child);
    if (pid < 0) {
        refused.value = (uint32_t)errno;
        tell(zygote, refused, -1);
        return;
    }
    zygote->children[zygote->child_count].pid = pid;
    zygote->children[zygote->child_count++].id = message->id;
    /* pidfd_open(2): Linux 5.3; by number, because glibc has it only since 2.36. */
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    tell(zygote, (struct zygote_message){.kind = ZYGOTE_FORKED, .id = message->id, .pid = pid},
         pidfd);
    if (pidfd >= 0)
        close(pidfd);
}

/* An id whose process has gone meanwhile is answered as well: somebody waits. */
static void trace_child(const struct zygote *zygote, uint32_t id)
{
    char text[ZYGOTE_TRACE_SIZE] = "";
    struct zygote_message traced = {.kind = ZYGOTE_TRACED, .id = id, .value = ESRCH};
    uint32_t at = 0;
    while (at < zygote->child_count && zygote->children[at].id != id)
        at++;
    if (at < zygote->child_count) {
        traced.pid = zygote->children[at].pid;
        int result = zygote->module->trace != NULL
                         ? zygote->module->trace(traced.pid, text, sizeof text)
                         : -ENOSYS;
        traced.value = (uint32_t)-result;
    }
    send_message(zygote->control_fd, traced, slice_of(text), -1);
}

/* A process of its own looks and answers: only a request can ask PHP, and the zygote runs none, nor
 * does any application process stop for it. One that hangs ends by SIGALRM. */
static void ask_caches(struct zygote *zygote)
{
    if (zygote->asked != 0 || zygote->module->caches == NULL)
        return;
    pid_t pid = fork();
    if (pid > 0)
        zygote->asked = pid;
    if (pid != 0)
        return;
    char json[ZYGOTE_TRACE_SIZE];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(ZYGOTE_CACHES_S);
    struct zygote_message cached = {.kind = ZYGOTE_CACHED};
    if (getppid() == zygote->pid && zygote->module->caches(json, sizeof json) == 0)
        send_message(zygote->control_fd, cached, slice_of(json), -1);
    _exit(0);
}

static void handle_message(struct zygote *zygote)
{
    struct zygote_message message;
    int fds[ZYGOTE_FORK_FDS], fd_count;
    if (!receive(zygote->control_fd, &message, fds, &fd_count))
        zygote->stopping = true;
    if (message.kind == ZYGOTE_FORK)
        fork_child(zygote, &message, fds, fd_count);
    else if (message.kind == ZYGOTE_TRACE)
        trace_child(zygote, message.id);
    else if (message.kind == ZYGOTE_CACHES)
        ask_caches(zygote);
    for (int i = 0; i < fd_count; i++)
        close(fds[i]);
}

static void forget_child(struct zygote *zygote, pid_t pid, int status)
{
    uint32_t at = 0;
    while (at < zygote->child_count && zygote->children[at].pid != pid)
        at++;
    if (pid == zygote->asked)
        zygote->asked = 0;
    if (at == zygote->child_count)
        return; /* a process the module started for itself */
    tell(zygote,
         (struct zygote_message){.kind = ZYGOTE_EXITED,
                                 .id = zygote->children[at].id,
                                 .pid = pid,
                                 .value = (uint32_t)status},
         -1);
    zygote->children[at] = zygote->children[--zygote->child_count];
}

static void handle_signals(struct zygote *zygote)
{
    struct signalfd_siginfo info;
    while (read(zygote->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == (uint32_t)ZYGOTE_SIGRELOAD)
            tell(zygote, (struct zygote_message){.kind = ZYGOTE_RELOAD}, -1);
    }
    /* One SIGCHLD may stand for several deaths. */
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        forget_child(zygote, pid, status);
}

static void kill_children(struct zygote *zygote)
{
    for (uint32_t i = 0; i < zygote->child_count; i++)
        kill(zygote->children[i].pid, SIGKILL);
    if (zygote->asked != 0)
        kill(zygote->asked, SIGKILL);
    int status;
    for (pid_t pid; zygote->child_count > 0 && (pid = waitpid(-1, &status, 0)) > 0;)
        forget_child(zygote, pid, status);
}

static void serve_supervisor(struct zygote *zygote)
{
    struct pollfd fds[2] = {{.fd = zygote->control_fd, .events = POLLIN},
                            {.fd = zygote->signal_fd, .events = POLLIN}};
    while (!zygote->stopping) {
        int ready = poll(fds, COUNT_OF(fds), -1);
        if (ready > 0 && fds[1].revents != 0)
            handle_signals(zygote);
        if (ready > 0 && fds[0].revents != 0)
            handle_message(zygote);
    }
    kill_children(zygote);
}

int zygote_run(int control_fd, const struct askr_module *module)
{
    struct zygote *zygote = calloc(1, sizeof *zygote);
    if (zygote == NULL)
        return -ENOMEM;
    zygote->module = module;
    zygote->control_fd = control_fd;
    zygote->pid = getpid();
    sigset_t ours = heard_signals();
    zygote->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    int result = zygote->signal_fd >= 0 ? 0 : -errno;
    if (result == 0) {
        tell(zygote, (struct zygote_message){.kind = ZYGOTE_READY}, -1);
        serve_supervisor(zygote);
        close(zygote->signal_fd);
    }
    free(zygote);
    return result;
}
