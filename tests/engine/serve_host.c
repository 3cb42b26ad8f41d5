/* SPDX-License-Identifier: MIT
 * A supervisor in one screen, so that a worker and its application processes can be tested under
 * sanitizers without Python: one worker on the main thread, a zygote as a child, and a thread that
 * answers both. Prints "port N" once it serves; SIGTERM drains it, and see hear_signal().
 *
 * serve_host BACKEND ROOT [--front FILE] [--tls STORE] [--unix PATH] [--echo PATH]
 * [--trusted NETWORKS] [--record FD] [--rate RULE] [--disk FILE] [--zygote EXE --module SO --apps
 * N]
 * [--key=value …] where key is a number of struct askr_worker_config (see options[]), times in
 * milliseconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/port.h"
#include "app/zygote.h"
#include "base/base.h"
#include "serve/control.h"

struct place {
    int memfd, bell_fd, pidfd;
};

static struct host {
    struct askr_worker_config config;
    struct askr_site_config site;
    const char *zygote_exe, *module, *tls_store, *unix_path;
    const char *disk; /* the state of the disk: "full" or, as long as FILE is there, still */
    int control_fd, zygote_fd, signal_fd, record_fd;
    bool stopping; /* the other ends may be gone already */
    pid_t zygote_pid;
    struct place places[ASKR_APPS_MAX];
} host = {.zygote_fd = -1, .record_fd = -1};

static const struct {
    const char *name;
    size_t offset;
    int64_t unit; /* 0: a uint32_t; else an int64_t in these units */
} options[] = {
    {"proxy_timeout", offsetof(struct askr_worker_config, proxy_timeout_ns), NS_PER_MS},
    {"listener_flags", offsetof(struct askr_worker_config, listener_flags), 0},
    {"handshake_timeout", offsetof(struct askr_worker_config, handshake_timeout_ns), NS_PER_MS},
    {"head_timeout", offsetof(struct askr_worker_config, head_timeout_ns), NS_PER_MS},
    {"body_timeout", offsetof(struct askr_worker_config, body_timeout_ns), NS_PER_MS},
    {"keepalive_timeout", offsetof(struct askr_worker_config, keepalive_timeout_ns), NS_PER_MS},
    {"write_timeout", offsetof(struct askr_worker_config, write_timeout_ns), NS_PER_MS},
    {"queue_timeout", offsetof(struct askr_worker_config, queue_timeout_ns), NS_PER_MS},
    {"request_timeout", offsetof(struct askr_worker_config, request_timeout_ns), NS_PER_MS},
    {"kill_grace", offsetof(struct askr_worker_config, kill_grace_ns), NS_PER_MS},
    {"body_size_max", offsetof(struct askr_worker_config, body_size_max), 1},
    {"queue_max", offsetof(struct askr_worker_config, queue_max), 0},
    {"streams_max", offsetof(struct askr_worker_config, streams_max), 0},
    {"head_size_max", offsetof(struct askr_worker_config, head_size_max), 0},
    {"trace_fd", offsetof(struct askr_worker_config, trace_fd), 0},
    {"trace_accept", offsetof(struct askr_worker_config, trace_accept), 0},
    {"trace_parent_based", offsetof(struct askr_worker_config, trace_parent_based), 0},
    {"trace_bound", offsetof(struct askr_worker_config, trace_bound), 1},
    {"server_timing", offsetof(struct askr_worker_config, server_timing), 0},
    {"connections_per_address", offsetof(struct askr_worker_config, connections_per_address), 0},
    {"requests_per_connection", offsetof(struct askr_worker_config, requests_per_connection), 0},
    {"connections_max", offsetof(struct askr_worker_config, connections_max), 0},
    {"websocket_message", offsetof(struct askr_worker_config, websocket_message_max), 1},
    {"websocket_memory", offsetof(struct askr_worker_config, websocket_memory_max), 1},
    {"websocket_ping", offsetof(struct askr_worker_config, websocket_ping_ns), NS_PER_MS},
    {"websocket_pong", offsetof(struct askr_worker_config, websocket_pong_ns), NS_PER_MS},
    {"websocket_close", offsetof(struct askr_worker_config, websocket_close_ns), NS_PER_MS},
    {"websocket_idle", offsetof(struct askr_worker_config, websocket_idle_ns), NS_PER_MS},
    {"websocket_bits", offsetof(struct askr_worker_config, websocket_bits), 0},
    {"websocket_forget", offsetof(struct askr_worker_config, websocket_forget), 0},
};

static void die(const char *what)
{
    fprintf(stderr, "serve_host: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_fds(int socket_fd, const void *data, size_t size, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } ancillary = {0};
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > 0) {
        header.msg_control = &ancillary;
        header.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    }
    if (sendmsg(socket_fd, &header, MSG_NOSIGNAL) < 0 && !host.stopping)
        die("sendmsg");
}

static void fork_app(uint32_t id)
{
    struct place *place = &host.places[id];
    place->memfd = memfd_create("port", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(place->memfd, (off_t)askr_port_size()) < 0)
        die("ftruncate");
    if (fcntl(place->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        die("seals");
    place->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct zygote_message message = {ZYGOTE_FORK, id, 0, ZYGOTE_NO_CPU};
    int fds[3] = {place->memfd, place->bell_fd, host.config.bell_fd};
    send_fds(host.zygote_fd, &message, sizeof message, fds, 3);
}

static void on_forked(const struct zygote_message *message, int pidfd)
{
    struct place *place = &host.places[message->id];
    struct control_message attach = {CONTROL_ATTACH, message->id, message->pid, 0};
    int fds[3] = {place->memfd, place->bell_fd, pidfd};
    send_fds(host.control_fd, &attach, sizeof attach, fds, 3);
    close(place->memfd);
    close(place->bell_fd);
    place->pidfd = pidfd;
}

static void hear_zygote(void)
{
    char data[1024];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } ancillary;
    struct iovec iov = {data, sizeof data - 1};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &ancillary,
                            .msg_controllen = sizeof ancillary};
    ssize_t size = recvmsg(host.zygote_fd, &header, MSG_CMSG_CLOEXEC);
    struct zygote_message message;
    if (host.stopping)
        return;
    if (size < (ssize_t)sizeof message)
        die("the zygote is gone");
    memcpy(&message, data, sizeof message);
    data[size] = '\0';
    if (message.kind == ZYGOTE_FAILED) {
        fprintf(stderr, "serve_host: zygote: %s\n", data + sizeof message);
        exit(1);
    }
    struct cmsghdr *part = CMSG_FIRSTHDR(&header);
    int pidfd = -1;
    if (part != NULL)
        memcpy(&pidfd, CMSG_DATA(part), sizeof pidfd);
    if (message.kind == ZYGOTE_READY)
        for (uint32_t id = 0; id < host.site.app_count; id++)
            fork_app(id);
    else if (message.kind == ZYGOTE_FORKED)
        on_forked(&message, pidfd);
    else if (message.kind == ZYGOTE_EXITED) {
        close(host.places[message.id].pidfd);
        fork_app(message.id);
    }
}

static void hear_worker(void)
{
    struct control_message message;
    if (recv(host.control_fd, &message, sizeof message, 0) != (ssize_t)sizeof message)
        return;
    if (message.kind == CONTROL_APP_KILL)
        syscall(SYS_pidfd_send_signal, host.places[message.place].pidfd, SIGKILL, NULL, 0);
    else if (message.kind == CONTROL_READY)
        fprintf(stderr, "serve_host: ready\n");
}

/* SIGTERM drains for good; SIGUSR1 keeps the worker warm, SIGUSR2 lets it listen again. */
static void hear_signal(void)
{
    struct signalfd_siginfo info;
    struct control_message message = {CONTROL_DRAIN, 0, 0, 3000};
    if (read(host.signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGTERM)
        host.stopping = true;
    else
        message.kind = info.ssi_signo == SIGUSR1 ? CONTROL_KEEP : CONTROL_LISTEN;
    send(host.control_fd, &message, sizeof message, MSG_NOSIGNAL);
}

static void *supervise(void *unused)
{
    (void)unused;
    struct pollfd fds[3] = {
        {host.control_fd, POLLIN, 0}, {host.signal_fd, POLLIN, 0}, {host.zygote_fd, POLLIN, 0}};
    for (;;) {
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[1].revents)
            hear_signal();
        if (host.stopping)
            fds[2].fd = -1;
        if (fds[2].revents)
            hear_zygote();
        if (fds[0].revents)
            hear_worker();
    }
    return NULL;
}

static void start_zygote(void)
{
    int pair[2];
    char fd_text[16];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    host.zygote_pid = fork();
    if (host.zygote_pid == 0) {
        int fd = dup(pair[1]); /* without CLOEXEC */
        snprintf(fd_text, sizeof fd_text, "%d", fd);
        execl(host.zygote_exe, host.zygote_exe, "--control-fd", fd_text, "--module", host.module,
              (char *)NULL);
        die(host.zygote_exe);
    }
    close(pair[1]);
    host.zygote_fd = pair[0];
}

static int listen_at(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 1024) < 0)
        die(path);
    return fd;
}

static int listen_somewhere(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &size) < 0)
        die("listen");
    printf("port %d\n", ntohs(name.sin_port));
    fflush(stdout);
    return fd;
}

static void set_option(const char *argument)
{
    const char *value = strchr(argument, '=');
    for (size_t i = 0; value != NULL && i < COUNT_OF(options); i++) {
        size_t length = (size_t)(value - argument);
        if (strlen(options[i].name) != length || strncmp(argument, options[i].name, length) != 0)
            continue;
        char *field = (char *)&host.config + options[i].offset;
        if (options[i].unit == 0)
            *(uint32_t *)(void *)field = (uint32_t)strtoul(value + 1, NULL, 10);
        else
            *(int64_t *)(void *)field = strtoll(value + 1, NULL, 10) * options[i].unit;
        return;
    }
    errno = EINVAL;
    die(argument);
}

/* PATH KEY KEY_NAME COUNT PERIOD_S BURST, with words that stand for themselves. */
static void set_rate(const char *text)
{
    static char path[64], key_name[64];
    struct askr_rate *rate = &host.config.rates[0];
    *rate = (struct askr_rate){.name = "test", .path = path, .key_name = key_name};
    if (sscanf(text, "%63s %u %63s %u %u %u", path, &rate->key, key_name, &rate->count,
               &rate->period_s, &rate->burst) != 6)
        die(text);
    host.config.rate_count = 1;
    host.config.rate_fd = memfd_create("rates", MFD_CLOEXEC);
    if (ftruncate(host.config.rate_fd, (off_t)askr_rate_size(1024)) < 0)
        die("ftruncate");
}

static void set_defaults(struct askr_worker_config *config)
{
    host.site = (struct askr_site_config){
        .index_files = {"index.php", "index.html"},
        .precompressed = 1,
        .scripts = 1,
    };
    *config = (struct askr_worker_config){
        .count = 1,
        .generation = 1,
        .sites = &host.site,
        .site_count = 1,
        .default_site = -1,
        .server_header = "askrctl",
        .temp_dir = "/tmp",
        .route_segments = 3,
        .encodings = "zstd br gzip",
        .encoding_types = "text/* *+json",
        .encoding_size_min = 256,
        .head_size_max = 16384,
        .target_size_max = 8192,
        .fields_max = 100,
        .body_size_max = INT64_C(64) << 20,
        .queue_max = 1024,
        .connections_max = 10000,
        .streams_max = 100,
        .head_timeout_ns = 10 * NS_PER_S,
        .body_timeout_ns = 10 * NS_PER_S,
        .keepalive_timeout_ns = 10 * NS_PER_S,
        .write_timeout_ns = 10 * NS_PER_S,
        .queue_timeout_ns = 10 * NS_PER_S,
        .request_timeout_ns = 10 * NS_PER_S,
        .drain_timeout_ns = 3 * NS_PER_S,
        .body_rate_min = 100,
        .proxy_timeout_ns = 10 * NS_PER_S,
        .handshake_timeout_ns = 10 * NS_PER_S,
        .trusted_proxies = "127.0.0.0/8",
        .forwarded = ASKR_FORWARDED_X,
        .hsts = "max-age=60",
        .websocket_message_max = 1 << 20,
        .websocket_frame_max = 1 << 20,
        .websocket_memory_max = 64 << 20,
        .websocket_ping_ns = 10 * NS_PER_S,
        .websocket_pong_ns = 10 * NS_PER_S,
        .websocket_close_ns = 10 * NS_PER_S,
        .websocket_bits = 12,
        .tls_fd = -1,
    };
}

/* What writes temporary files (serve/spool.c), instead of the C library's: a disk that stands still
 * is seldom at hand. */
ssize_t __real_pwritev64(int fd, const struct iovec *slices, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *slices, int count, off_t offset);

ssize_t __wrap_pwritev64(int fd, const struct iovec *slices, int count, off_t offset)
{
    char state[8] = "";
    while (host.disk != NULL && access(host.disk, F_OK) == 0 && strcmp(state, "full") != 0) {
        int file = open(host.disk, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        ssize_t size = read(file, state, sizeof state - 1);
        state[size > 0 ? size : 0] = '\0';
        close(file);
        poll(NULL, 0, 1);
    }
    if (strcmp(state, "full") == 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwritev64(fd, slices, count, offset);
}

/* Nothing of them is in the page cache. */
ssize_t __real_preadv64v2(int fd, const struct iovec *slices, int count, off_t offset, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *slices, int count, off_t offset, int flags);

ssize_t __wrap_preadv64v2(int fd, const struct iovec *slices, int count, off_t offset, int flags)
{
    if (host.disk != NULL && (flags & RWF_NOWAIT) != 0) {
        errno = EAGAIN;
        return -1;
    }
    return __real_preadv64v2(fd, slices, count, offset, flags);
}

/* A site with a name and a host, as with [[site]]; another host gets 421. */
static void set_host(const char *name)
{
    static const char *hosts[1];
    hosts[0] = name;
    host.site.name = name;
    host.site.hosts = hosts;
    host.site.host_count = 1;
}

static void parse_arguments(int count, char **arguments)
{
    struct askr_worker_config *config = &host.config;
    config->backend = strcmp(arguments[1], "io_uring") == 0 ? ASKR_IO_URING : ASKR_IO_EPOLL;
    host.site.root = arguments[2];
    for (int i = 3; i < count; i++) {
        const char *next = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(arguments[i], "--front") == 0)
            host.site.front = next;
        else if (strcmp(arguments[i], "--zygote") == 0)
            host.zygote_exe = next;
        else if (strcmp(arguments[i], "--module") == 0)
            host.module = next;
        else if (strcmp(arguments[i], "--tls") == 0)
            host.tls_store = next;
        else if (strcmp(arguments[i], "--rate") == 0)
            set_rate(next);
        else if (strcmp(arguments[i], "--trusted") == 0)
            config->trusted_proxies = next;
        else if (strcmp(arguments[i], "--echo") == 0)
            config->websocket_echo = next;
        else if (strcmp(arguments[i], "--unix") == 0)
            host.unix_path = next;
        else if (strcmp(arguments[i], "--disk") == 0)
            host.disk = next;
        else if (strcmp(arguments[i], "--record") == 0)
            host.record_fd = (int)strtol(next, NULL, 10);
        else if (strcmp(arguments[i], "--host") == 0)
            set_host(next);
        else if (strcmp(arguments[i], "--apps") == 0)
            host.site.app_count = (uint32_t)strtoul(next, NULL, 10);
        else {
            set_option(arguments[i] + 2);
            continue;
        }
        i++;
    }
}

int main(int count, char **arguments)
{
    if (count < 3)
        die("usage: serve_host BACKEND ROOT …");
    int pair[2];
    sigset_t mask;
    pthread_t thread;
    askr_error error;
    signal(SIGPIPE, SIG_IGN);
    set_defaults(&host.config);
    parse_arguments(count, arguments);
    host.config.status_fd = memfd_create("status", MFD_CLOEXEC);
    if (ftruncate(host.config.status_fd, (off_t)askr_status_stride()) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        die("set-up");
    host.config.control_fd = pair[0];
    host.control_fd = pair[1];
    host.config.bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (host.record_fd >= 0) { /* all requests, and 64 KiB of their bodies */
        struct control_message record = {CONTROL_RECORD, 65536, 1, 10000};
        send_fds(host.control_fd, &record, sizeof record, &host.record_fd, 1);
        close(host.record_fd);
    }
    if (host.zygote_exe != NULL)
        start_zygote();
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    host.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
    host.config.listener_count = 1;
    if (host.unix_path != NULL)
        host.config.listeners[host.config.listener_count++] = listen_at(host.unix_path);
    host.config.listeners[0] = listen_somewhere(); /* last: it says that we are there */
    if (host.tls_store != NULL) {
        host.config.listener_flags[0] |= ASKR_LISTENER_TLS;
        host.config.tls_fd = open(host.tls_store, O_RDONLY | O_CLOEXEC);
    }
    pthread_create(&thread, NULL, supervise, NULL);
    int result = askr_worker_run(&host.config, &error);
    if (result < 0)
        fprintf(stderr, "serve_host: %s\n", error.text);
    if (host.zygote_pid > 0) {
        shutdown(host.zygote_fd, SHUT_WR); /* an end of file, which ends it */
        waitpid(host.zygote_pid, NULL, 0);
    }
    return result < 0;
}
