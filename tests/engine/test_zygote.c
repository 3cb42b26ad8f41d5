/* SPDX-License-Identifier: MIT
 * The zygote as its supervisor sees it: the real executable over a socket pair, forking application
 * processes whose port is served from here. ZYGOTE_EXE, MODULE_ECHO and MODULE_OLD are paths that
 * the build defines. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "app/zygote.h"
#include "port_pair.h"
#include "tap.h"

enum { DEADLINE_MS = 30000, ARGUMENTS_MAX = 16, FORKS = 200 };

struct zygote {
    int control_fd;
    pid_t pid;
};

struct said {
    struct zygote_message message;
    char text[512];
    int fd; /* -1: none came */
};

/* Runs the executable with its control socket as descriptor 3, or its output on `output_fd`. */
static pid_t spawn(int control_fd, int output_fd, const char *const *arguments)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid > 0)
        return pid;
    if (control_fd >= 0)
        must(dup2(control_fd, 3) == 3, "dup2");
    if (output_fd >= 0)
        must(dup2(output_fd, 1) == 1 && dup2(output_fd, 2) == 2, "dup2");
    const char *all[ARGUMENTS_MAX] = {ZYGOTE_EXE};
    for (int i = 0; arguments[i] != NULL; i++)
        all[i + 1] = arguments[i];
    execv(ZYGOTE_EXE, (char *const *)(uintptr_t)all);
    _exit(127);
}

static struct zygote start_zygote(const char *module, const char *setting, const char *preload)
{
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    const char *arguments[] = {"--control-fd",
                               "3",
                               "--module",
                               module,
                               "--set",
                               setting,
                               preload != NULL ? "--preload" : NULL,
                               preload,
                               NULL};
    struct zygote zygote = {.control_fd = ends[0]};
    zygote.pid = spawn(ends[1], -1, arguments);
    close(ends[1]);
    return zygote;
}

/* The next message. Its kind is 0 when the zygote has closed its end. */
static struct said hear(const struct zygote *zygote)
{
    struct said said = {.fd = -1};
    struct pollfd readable = {.fd = zygote->control_fd, .events = POLLIN};
    must(poll(&readable, 1, DEADLINE_MS) == 1, "the zygote says nothing");
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov[] = {{&said.message, sizeof said.message}, {said.text, sizeof said.text - 1}};
    struct msghdr header = {.msg_iov = iov,
                            .msg_iovlen = 2,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t size = recvmsg(zygote->control_fd, &header, MSG_CMSG_CLOEXEC);
    must(size == 0 || size >= (ssize_t)sizeof said.message, "recvmsg");
    if (CMSG_FIRSTHDR(&header) != NULL)
        memcpy(&said.fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof said.fd);
    return said;
}

static void ask(const struct zygote *zygote, struct zygote_message message, const int *fds,
                size_t fd_count)
{
    union {
        char bytes[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    must(sendmsg(zygote->control_fd, &header, MSG_NOSIGNAL) == (ssize_t)sizeof message, "sendmsg");
}

static struct said fork_onto(const struct zygote *zygote, const struct pair *pair, uint32_t id,
                             uint32_t cpu)
{
    int fds[] = {pair->memfd, pair->app_bell, pair->worker_bell};
    ask(zygote, (struct zygote_message){.kind = ZYGOTE_FORK, .id = id, .value = cpu}, fds, 3);
    return hear(zygote);
}

static bool ends_within_deadline(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    return poll(&ended, 1, DEADLINE_MS) == 1;
}

static int wait_status(pid_t pid)
{
    int status = -1;
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return status;
}

static void stop(struct zygote *zygote)
{
    close(zygote->control_fd);
    OK(wait_status(zygote->pid) == 0, "the zygote leaves when its supervisor does");
}

static int count_fds(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    must(directory != NULL, path);
    int count = -2; /* "." and ".." */
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* The line of /proc/PID/status that begins so; "" if there is none. */
static void status_line(pid_t pid, const char *begin, char *line, int size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    must(file != NULL, path);
    while (fgets(line, size, file) != NULL && strncmp(line, begin, strlen(begin)) != 0)
        line[0] = '\0';
    fclose(file);
}

static enum port_event await(struct pair *pair, enum port_event wanted,
                             struct port_message *message)
{
    enum port_event event;
    do
        event = pair_next(pair, message);
    while (event != wanted && event != PORT_BROKEN);
    return event;
}

static void put_path(struct pair *pair, const char *path)
{
    static struct http_request http;
    struct port_request request = plain_request(&http, path);
    uint32_t tag;
    must(port_put(pair->worker, &request, &tag) == 0, "put");
    port_publish(pair->worker);
}

static void test_a_forked_process_serves_its_port(void)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "a=b", NULL);
    OK(hear(&zygote).message.kind == ZYGOTE_READY, "the zygote says when the module has started");
    struct pair pair = pair_open();
    struct said forked = fork_onto(&zygote, &pair, 7, 0);
    OK(forked.message.kind == ZYGOTE_FORKED && forked.message.id == 7 && forked.fd >= 0,
       "a fork is answered with a pidfd");
    struct port_message message;
    OK(pair_next(&pair, &message) == PORT_READY, "the process comes up on its port");
    put_path(&pair, "/hello");
    OK(await(&pair, PORT_BODY, &message) == PORT_BODY &&
           slice_equals(message.text, SLICE("Hello, World!")),
       "and answers");
    OK(await(&pair, PORT_FINISHED, &message) == PORT_FINISHED, "to the end");

    pid_t pid = forked.message.pid;
    char line[256];
    cpu_set_t cpus;
    status_line(pid, "Name:", line, sizeof line);
    OK(strcmp(line, "Name:\taskr-echo-7\n") == 0, "its name says what it is");
    status_line(pid, "SigBlk:", line, sizeof line);
    OK(strcmp(line, "SigBlk:\t0000000000000000\n") == 0, "no signal is blocked in it");
    OK(sched_getaffinity(pid, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1 &&
           CPU_ISSET(0, &cpus),
       "it runs where it was told to");
    OK(count_fds(pid) == 6, "it has 0, 1, 2, two bells and what it sleeps on open, and no more");

    port_drain(pair.worker);
    port_publish(pair.worker);
    struct said exited = hear(&zygote);
    OK(exited.message.kind == ZYGOTE_EXITED && exited.message.id == 7 &&
           exited.message.pid == pid && exited.message.value == 0,
       "a drained process exits with 0");
    close(forked.fd);
    pair_close(&pair);
    stop(&zygote);
}

static void test_a_crash_is_reported_with_its_signal(void)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "a=b", NULL);
    must(hear(&zygote).message.kind == ZYGOTE_READY, "ready");
    struct pair pair = pair_open();
    struct said forked = fork_onto(&zygote, &pair, 1, ZYGOTE_NO_CPU);
    struct port_message message;
    must(pair_next(&pair, &message) == PORT_READY, "ready");
    put_path(&pair, "/crash-halfway");
    OK(await(&pair, PORT_FLUSH, &message) == PORT_FLUSH, "half an answer came");
    OK(ends_within_deadline(forked.fd), "the pidfd tells of the death");
    struct said exited = hear(&zygote);
    OK(exited.message.kind == ZYGOTE_EXITED && WIFSIGNALED((int)exited.message.value) &&
           WTERMSIG((int)exited.message.value) == SIGSEGV,
       "and the zygote of its reason");
    uint32_t tags[PORT_SLOTS];
    bool started[PORT_SLOTS];
    OK(port_outstanding(pair.worker, tags, started) == 1 && started[0],
       "the port still knows whose answer it was");
    close(forked.fd);
    pair_close(&pair);
    stop(&zygote);
}

static void test_two_hundred_forks_leave_no_descriptor_behind(void)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "boot-error=not today", NULL);
    must(hear(&zygote).message.kind == ZYGOTE_READY, "ready");
    int before = count_fds(zygote.pid), reported = 0;
    for (uint32_t id = 0; id < FORKS; id++) {
        struct pair pair = pair_open();
        struct said forked = fork_onto(&zygote, &pair, id, ZYGOTE_NO_CPU);
        struct said exited = hear(&zygote);
        reported += forked.message.kind == ZYGOTE_FORKED && exited.message.kind == ZYGOTE_EXITED &&
                    exited.message.id == id && WEXITSTATUS((int)exited.message.value) == 1;
        struct port_message message;
        reported += port_next(pair.worker, &message) == PORT_BOOT_FAILED &&
                    slice_equals(message.text, SLICE("not today"));
        close(forked.fd);
        pair_close(&pair);
    }
    OK(reported == 2 * FORKS, "each is reported, and so is why it did not boot");
    OK(count_fds(zygote.pid) == before, "the zygote has as many open as before");
    stop(&zygote);
}

static void test_a_fork_without_its_descriptors_is_refused(void)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "a=b", NULL);
    must(hear(&zygote).message.kind == ZYGOTE_READY, "ready");
    ask(&zygote, (struct zygote_message){.kind = 99}, NULL, 0);
    ask(&zygote, (struct zygote_message){.kind = ZYGOTE_FORK, .id = 5}, NULL, 0);
    struct said refused = hear(&zygote);
    OK(refused.message.kind == ZYGOTE_REFUSED && refused.message.id == 5 &&
           refused.message.value == EINVAL,
       "a fork without its descriptors is refused, an unknown message passed over");
    stop(&zygote);
}

static void test_what_a_process_does_is_told_to_who_asks(void)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "a=b", NULL);
    must(hear(&zygote).message.kind == ZYGOTE_READY, "ready");
    struct pair pair = pair_open();
    struct said forked = fork_onto(&zygote, &pair, 4, ZYGOTE_NO_CPU);
    ask(&zygote, (struct zygote_message){.kind = ZYGOTE_TRACE, .id = 4}, NULL, 0);
    struct said traced = hear(&zygote);
    char expected[64];
    snprintf(expected, sizeof expected, "GET /trace\nof %d\n", forked.message.pid);
    OK(traced.message.kind == ZYGOTE_TRACED && traced.message.id == 4 &&
           traced.message.pid == forked.message.pid && traced.message.value == 0 &&
           strcmp(traced.text, expected) == 0,
       "the module's words on a process reach the supervisor");
    ask(&zygote, (struct zygote_message){.kind = ZYGOTE_TRACE, .id = 5}, NULL, 0);
    traced = hear(&zygote);
    OK(traced.message.kind == ZYGOTE_TRACED && traced.message.id == 5 &&
           traced.message.value == ESRCH && traced.text[0] == '\0',
       "of one that is not there nothing is said, but it is said");
    close(forked.fd);
    pair_close(&pair);
    stop(&zygote);
}

/* Asked until somebody answers: the process that looked before may not have been reaped yet. */
static int who_looked(struct zygote *zygote)
{
    int pid = 0;
    struct said said = {.message = {.kind = 0}};
    for (int64_t end_ns = clock_now_ns() + 20 * NS_PER_S;
         said.message.kind != ZYGOTE_CACHED && clock_now_ns() < end_ns;) {
        ask(zygote, (struct zygote_message){.kind = ZYGOTE_CACHES}, NULL, 0);
        struct pollfd answer = {.fd = zygote->control_fd, .events = POLLIN};
        if (poll(&answer, 1, 100) > 0)
            said = hear(zygote);
    }
    must(sscanf(said.text, "{\"looked\": %d}", &pid) == 1, "JSON of the module");
    return pid;
}

static void test_caches_are_looked_at_by_a_process_of_its_own(void)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "a=b", NULL);
    must(hear(&zygote).message.kind == ZYGOTE_READY, "ready");
    int first = who_looked(&zygote);
    OK(first > 0 && first != zygote.pid, "not by the zygote");
    OK(who_looked(&zygote) != first, "which ends, so that there is another one the next time");
    stop(&zygote);
}

enum ending { SUPERVISOR_LEAVES, ZYGOTE_IS_KILLED };

/* Whether the application process is gone after its zygote has ended this way. */
static bool child_ends_with(enum ending ending)
{
    struct zygote zygote = start_zygote(MODULE_ECHO, "a=b", NULL);
    must(hear(&zygote).message.kind == ZYGOTE_READY, "ready");
    kill(zygote.pid, SIGINT);  /* Ctrl-C reaches the whole group, and must change nothing */
    kill(zygote.pid, SIGTERM); /* nor must systemd's, which reaches the whole cgroup */
    struct pair pair = pair_open();
    struct said forked = fork_onto(&zygote, &pair, 1, ZYGOTE_NO_CPU);
    struct port_message message;
    must(pair_next(&pair, &message) == PORT_READY, "ready");
    must(kill(forked.message.pid, SIGINT) == 0, "interrupt");
    must(kill(forked.message.pid, SIGTERM) == 0, "terminate");
    put_path(&pair, "/hello");
    bool serves = await(&pair, PORT_FINISHED, &message) == PORT_FINISHED;
    if (ending == SUPERVISOR_LEAVES)
        close(zygote.control_fd);
    else
        kill(zygote.pid, SIGKILL);
    bool ended = ends_within_deadline(forked.fd);
    int status = wait_status(zygote.pid);
    if (ending != SUPERVISOR_LEAVES)
        close(zygote.control_fd);
    close(forked.fd);
    pair_close(&pair);
    return serves && ended && (status == 0) == (ending != ZYGOTE_IS_KILLED);
}

static void test_no_process_outlives_its_zygote_nor_that_its_supervisor(void)
{
    OK(child_ends_with(SUPERVISOR_LEAVES), "the supervisor's end of file ends all");
    OK(child_ends_with(ZYGOTE_IS_KILLED), "a killed zygote takes its processes along");
}

static void check_failure(const char *module, const char *setting, const char *preload,
                          const char *wanted)
{
    struct zygote zygote = start_zygote(module, setting, preload);
    struct said said = hear(&zygote);
    OK(said.message.kind == ZYGOTE_FAILED && strstr(said.text, wanted) != NULL &&
           strchr(said.text, '\n') == NULL,
       "failed: %s", said.text);
    int status = wait_status(zygote.pid);
    OK(WIFEXITED(status) && WEXITSTATUS(status) == 1, "... with exit status 1");
    close(zygote.control_fd);
}

static void test_a_module_that_does_not_start_is_explained(void)
{
    check_failure("/does/not/exist.so", "a=b", NULL, "/does/not/exist.so");
    check_failure(MODULE_ECHO, "a=b", "/no/libphp.so", "/no/libphp.so");
    check_failure("libm.so.6", "a=b", NULL, "not an application module");
    check_failure(MODULE_OLD, "a=b", NULL, "built for module ABI 6 and this askrctl has 5");
    check_failure(MODULE_ECHO, "start-error=no such thing", NULL, "no such thing");
}

/* Runs the executable without a control socket and keeps what it prints. */
static int run(const char *const *arguments, char *output, size_t size)
{
    int ends[2];
    must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    pid_t pid = spawn(-1, ends[1], arguments);
    close(ends[1]);
    size_t have = 0;
    for (ssize_t got; (got = read(ends[0], output + have, size - 1 - have)) > 0;)
        have += (size_t)got;
    output[have] = '\0';
    close(ends[0]);
    return WEXITSTATUS(wait_status(pid));
}

static void test_the_command_line_answers(void)
{
    char output[4096];
    const char *describe[] = {"--describe", "--module", MODULE_ECHO, NULL};
    OK(run(describe, output, sizeof output) == 0 &&
           strcmp(output, "{\"name\": \"echo\", \"abi\": 5}\n") == 0,
       "--describe prints the module's facts");
    const char *missing[] = {"--describe", "--module", "/no.so", NULL};
    OK(run(missing, output, sizeof output) == 1 && strstr(output, "/no.so") != NULL,
       "or says on stderr why there are none");
    const char *wrong[][5] = {{"--module", MODULE_ECHO, NULL},
                              {"--describe", NULL},
                              {"--describe", "--module", MODULE_ECHO, "extra", NULL},
                              {"--control-fd", "x", "--module", MODULE_ECHO, NULL},
                              {"--control-fd", "999", "--module", MODULE_ECHO, NULL},
                              {"--describe", "--module=x", "--set", "=v", NULL},
                              {"--unknown", NULL}};
    int refused = 0;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        refused += run(wrong[i], output, sizeof output) == 2 && strstr(output, "usage:") != NULL;
    OK(refused == COUNT_OF(wrong), "misuse is answered with the usage, status 2");
}

int main(void)
{
    test_a_forked_process_serves_its_port();
    test_a_crash_is_reported_with_its_signal();
    test_two_hundred_forks_leave_no_descriptor_behind();
    test_a_fork_without_its_descriptors_is_refused();
    test_what_a_process_does_is_told_to_who_asks();
    test_caches_are_looked_at_by_a_process_of_its_own();
    test_no_process_outlives_its_zygote_nor_that_its_supervisor();
    test_a_module_that_does_not_start_is_explained();
    test_the_command_line_answers();
    return TAP_END();
}
