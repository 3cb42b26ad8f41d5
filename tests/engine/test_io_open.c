/* SPDX-License-Identifier: MIT
 * Opening a backend, and what is said when that fails. Kernels without io_uring, without permission
 * or without memory are made by a seccomp filter in a child, one with a limit on locked memory by
 * another user's child; so nothing here outlives its check. */
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "io_rig_fds.h"

enum { STRANGER = 424242 }; /* a user id that nobody has, so nobody shares its limits */

struct obstacle {
    uint32_t entries; /* rings of more than these fail */
    int errnum;       /* with this */
    rlim_t locked;    /* or: what a stranger may lock of memory */
};

struct report { /* of a child, through a pipe */
    int result;
    uint32_t entries; /* that the ring has */
    bool works;
    askr_error error;
};

static void refuse_rings(const struct obstacle *obstacle)
{
    const uint32_t error = SECCOMP_RET_ERRNO | (uint32_t)obstacle->errnum;
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, obstacle->entries, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = COUNT_OF(program), .filter = program};
    int failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &filter);
    assert(!failed);
}

/* Root is exempt from the limit on locked memory. */
static void become_stranger(rlim_t locked)
{
    struct rlimit limit = {.rlim_cur = locked, .rlim_max = locked};
    int failed = setrlimit(RLIMIT_MEMLOCK, &limit) || setgroups(0, NULL) ||
                 setresgid(STRANGER, STRANGER, STRANGER) || setresuid(STRANGER, STRANGER, STRANGER);
    assert(!failed);
}

static uint32_t entries_of(const struct io *io)
{
#ifdef ASKR_HAVE_LIBURING
    const struct uring *uring = io->priv;
    return uring->ring.sq.ring_entries;
#else
    (void)io;
    return 0;
#endif
}

/* Many bytes through a ring, whatever its size. */
static bool works(struct rig *rig)
{
    enum { LINKS = 100 };
    static struct link links[LINKS];
    static struct probe in[LINKS], out[LINKS];
    struct iovec slice = {"answer", 6};
    bool right = true;
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    for (int i = 0; i < LINKS; i++) {
        links[i] = link_up(rig);
        read_on(rig, &in[i], links[i].fd);
        send_on(rig, &out[i], links[i].fd, (struct io_slices){&slice, 1});
        peer_send(rig, links[i], "ask", 3);
    }
    for (int i = 0; i < LINKS; i++) {
        UNTIL(rig, in[i].bytes == 3 && out[i].finals == 1);
        right = right && in[i].bytes == 3 && out[i].final == 6;
        stop(rig, &in[i]);
        link_down(rig, links[i]);
    }
    return right;
}

static void open_and_tell(int pipe_fd)
{
    struct report report = {0};
    struct rig *rig = malloc(sizeof *rig);
    assert(rig != NULL);
    *rig = (struct rig){.name = "io_uring"};
    report.result = io_init(&rig->io, ASKR_IO_URING, &(struct io_options){0}, &report.error);
    if (report.result == 0) {
        report.entries = entries_of(&rig->io);
        report.works = works(rig);
        io_fini(&rig->io);
    }
    free(rig);
    ssize_t written = write(pipe_fd, &report, sizeof report);
    _exit(written == sizeof report ? 0 : 1);
}

/* What a child finds behind an obstacle. */
static struct report in_a_child(struct obstacle obstacle)
{
    struct report report = {.result = 1};
    int ends[2], status;
    fflush(stdout);
    int failed = pipe2(ends, O_CLOEXEC);
    pid_t child = failed ? -1 : fork();
    assert(child >= 0);
    if (child == 0) {
        if (obstacle.locked != 0)
            become_stranger(obstacle.locked);
        else
            refuse_rings(&obstacle);
        open_and_tell(ends[1]);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], &report, sizeof report);
    close(ends[0]);
    waitpid(child, &status, 0);
    assert(got == sizeof report && status == 0);
    return report;
}

static bool machine_has_rings(void)
{
    return in_a_child((struct obstacle){UINT32_MAX, ENOSYS, 0}).result == 0;
}

static void a_ring_gets_smaller_until_it_fits(void)
{
    struct report report = in_a_child((struct obstacle){UINT32_MAX, ENOMEM, 0});
    OK(report.entries == IO_RING_ENTRIES && report.works,
       "a ring has the size it is meant to have");
    for (uint32_t entries = IO_RING_ENTRIES / 2; entries >= IO_RING_ENTRIES_MIN; entries /= 2) {
        report = in_a_child((struct obstacle){entries, ENOMEM, 0});
        OK(report.result == 0 && report.entries == entries && report.works,
           "with memory for %u entries a ring has as many, and works", entries);
    }
    report = in_a_child((struct obstacle){IO_RING_ENTRIES_MIN - 1, ENOMEM, 0});
    OK(report.result == -ENOMEM && strstr(report.error.text, "RLIMIT_MEMLOCK") != NULL,
       "with memory for less it is not opened: %s", report.error.text);
}

static void a_refusal_is_explained(void)
{
    static const struct {
        int errnum;
        const char *words;
    } reasons[] = {
        {ENOSYS, "no io_uring"},         {EPERM, "forbidden"},
        {EACCES, "forbidden"},           {EINVAL, "5.19"},
        {EMFILE, "Too many open files"},
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        struct report report = in_a_child((struct obstacle){0, reasons[i].errnum, 0});
        OK(report.result == -reasons[i].errnum &&
               strstr(report.error.text, reasons[i].words) != NULL,
           "a refusal is explained: %s", report.error.text);
    }
}

static void a_limit_on_locked_memory_is_no_obstacle(void)
{
    if (geteuid() != 0) {
        OK(true, "a limit on locked memory # SKIP needs root, to become somebody who has one");
        return;
    }
    struct report report = in_a_child((struct obstacle){.locked = 64 * 1024});
    /* Kernels from 5.12 on do not count rings, and some later ones do again. */
    OK(report.result == 0 && report.works,
       "64 KiB of locked memory are enough for a user's ring, of %u entries", report.entries);
}

static void what_is_not_there_is_named(void)
{
    struct io io;
    askr_error error;
    int result = io_init(&io, (enum askr_io_id)77, &(struct io_options){0}, &error);
    OK(result == -EINVAL && strstr(error.text, "77") != NULL, "an unknown backend is named: %s",
       error.text);
#ifndef ASKR_HAVE_LIBURING
    result = io_init(&io, ASKR_IO_URING, &(struct io_options){0}, &error);
    OK(result == -ENOSYS && strstr(error.text, "built without io_uring") != NULL,
       "a build without liburing says so: %s", error.text);
#endif
}

static void a_pool_of_any_size_opens(struct rig *rig)
{
    OK(rig->io.buf_count == 1 && works(rig), "%s: a pool of one buffer is enough", rig->name);
}

int main(void)
{
    static rig_test *const tests[] = {a_pool_of_any_size_opens};
    what_is_not_there_is_named();
    if (machine_has_rings()) {
        a_ring_gets_smaller_until_it_fits();
        a_refusal_is_explained();
        a_limit_on_locked_memory_is_no_obstacle();
    } else {
        OK(true, "rings # SKIP there are none here");
    }
    RIG_RUN_ALL(tests, (&(struct io_options){.buf_count = 1}));
    return TAP_END();
}
