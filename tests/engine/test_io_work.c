/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): works, which may block, beside everything else (rule 9). */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "io_rig.h"

enum { MANY = 1000 };

struct job {
    struct probe probe; /* the op in it is the first member */
    int fds[2];         /* a pipe whose end the work waits for */
    int order, *turn;
    pthread_t ran_by;
    int32_t answer;
};

static struct job *job_of(struct io_op *op)
{
    return CONTAINER_OF(op, struct job, probe.op);
}

static int32_t work(struct io_op *op)
{
    struct job *job = job_of(op);
    job->ran_by = pthread_self();
    job->order = (*job->turn)++;
    return job->answer;
}

/* Blocks until the other end of its pipe says something. */
static int32_t work_that_blocks(struct io_op *op)
{
    char byte;
    return (int32_t)read(job_of(op)->fds[0], &byte, 1);
}

static void begin(struct rig *rig, struct job *job, int *turn)
{
    job->probe.rig = rig;
    job->turn = turn;
    STARTING(io_work(&rig->io, &job->probe.op, work, note));
}

static void a_work_ends_once_with_its_answer(struct rig *rig)
{
    int turn = 0;
    struct job job = {.answer = 42}, failed = {.answer = -ENOSPC};
    begin(rig, &job, &turn);
    OK(job.probe.events == 0 && io_pending(&job.probe.op), "%s: it does not end inside its start",
       rig->name);
    UNTIL(rig, job.probe.finals == 1);
    OK(job.probe.finals == 1 && job.probe.final == 42, "%s: what it returns is the result",
       rig->name);
    begin(rig, &failed, &turn);
    UNTIL(rig, failed.probe.finals == 1);
    OK(failed.probe.final == -ENOSPC, "%s: an error as well", rig->name);
    settle(rig);
    OK(job.probe.events == 1 && failed.probe.events == 1, "%s: once each", rig->name);
}

static void works_run_in_the_order_of_their_starts(struct rig *rig)
{
    struct job *jobs = calloc(MANY, sizeof *jobs);
    int turn = 0, ended = 0, right = 0;
    assert(jobs != NULL);
    for (int i = 0; i < MANY; i++)
        begin(rig, &jobs[i], &turn);
    UNTIL(rig, rig->io.inflight == 0);
    for (int i = 0; i < MANY; i++) {
        ended += jobs[i].probe.finals;
        right += jobs[i].order == i;
    }
    OK(ended == MANY && right == MANY, "%s: %d works ended, %d of %d in their order", rig->name,
       ended, right, MANY);
    free(jobs);
}

/* The simulation has one thread, and its own way to hold a work. */
static void hold(struct rig *rig, struct job *job)
{
    job->probe.rig = rig;
    if (is_sim(rig)) {
        sim_hold_works(&rig->io, true);
        ssize_t written = write(job->fds[1], "x", 1);
        assert(written == 1);
    }
    STARTING(io_work(&rig->io, &job->probe.op, work_that_blocks, note));
}

static void let_go(struct rig *rig, struct job *job)
{
    if (is_sim(rig)) {
        sim_hold_works(&rig->io, false);
        return;
    }
    ssize_t written = write(job->fds[1], "x", 1);
    assert(written == 1);
}

static void a_work_that_blocks_holds_nothing_else(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0};
    struct job job = {0}, behind = {.answer = 7};
    int turn = 0, failed = pipe2(job.fds, O_CLOEXEC);
    assert(!failed);
    read_on(rig, &in, link.fd);
    hold(rig, &job);
    begin(rig, &behind, &turn);
    peer_send(rig, link, "hello", 5);
    UNTIL(rig, in.bytes == 5);
    OK(in.bytes == 5 && job.probe.events == 0, "%s: bytes are received while a work blocks",
       rig->name);
    STARTING(io_cancel(&rig->io, &job.probe.op));
    settle(rig);
    OK(job.probe.events == 0 && behind.probe.events == 0,
       "%s: which is not cancelled, and has the next one behind it", rig->name);
    let_go(rig, &job);
    UNTIL(rig, behind.probe.finals == 1);
    OK(job.probe.final == 1 && behind.probe.final == 7, "%s: let go, both end", rig->name);
    stop(rig, &in);
    close(job.fds[0]);
    close(job.fds[1]);
    link_down(rig, link);
}

static void begin_again(struct io *io, struct io_op *op, struct io_event event)
{
    note(io, op, event);
    if (job_of(op)->probe.finals < MANY)
        STARTING(io_work(io, op, work, begin_again));
}

static void a_work_is_started_again_where_it_ended(struct rig *rig)
{
    int turn = 0;
    struct job job = {.probe.rig = rig, .turn = &turn, .answer = 1};
    STARTING(io_work(&rig->io, &job.probe.op, work, begin_again));
    for (int left = 10 * MANY; left > 0 && rig->io.inflight > 0; left--)
        step(rig);
    OK(job.probe.finals == MANY && turn == MANY && job.probe.inside == 0,
       "%s: %d times in a row, from its own end", rig->name, turn);
}

static void a_thread_of_its_own_is_started_only_for_a_work(struct rig *rig)
{
    int turn = 0;
    struct job job = {0};
    int64_t user_ns, system_ns;
    io_work_cpu(&rig->io, &user_ns, &system_ns);
    OK(rig->io.works == NULL && user_ns == 0 && system_ns == 0, "%s: no work, no thread",
       rig->name);
    begin(rig, &job, &turn);
    UNTIL(rig, job.probe.finals == 1);
    bool here = pthread_equal(job.ran_by, pthread_self()) != 0;
    OK(here == is_sim(rig), "%s: a work runs beside the loop", rig->name);
}

/* Where no thread can be had. */
static void without_a_thread_it_runs_in_the_loop(struct rig *rig)
{
    int turn = 0;
    struct job job = {.answer = 5};
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3; /* not even an eventfd */
    setrlimit(RLIMIT_NOFILE, &none);
    begin(rig, &job, &turn);
    setrlimit(RLIMIT_NOFILE, &before);
    OK(job.probe.events == 0, "%s: without a thread it does not end inside its start either",
       rig->name);
    UNTIL(rig, job.probe.finals == 1);
    OK(job.probe.final == 5 && pthread_equal(job.ran_by, pthread_self()) != 0,
       "%s: and runs in the loop", rig->name);
    begin(rig, &job, &turn);
    UNTIL(rig, job.probe.finals == 2);
    bool here = pthread_equal(job.ran_by, pthread_self()) != 0;
    OK(here == is_sim(rig), "%s: the next one has a thread again", rig->name);
}

int main(void)
{
    static rig_test *const tests[] = {
        a_work_ends_once_with_its_answer,
        works_run_in_the_order_of_their_starts,
        a_work_that_blocks_holds_nothing_else,
        a_work_is_started_again_where_it_ended,
        a_thread_of_its_own_is_started_only_for_a_work,
        without_a_thread_it_runs_in_the_loop,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    return TAP_END();
}
