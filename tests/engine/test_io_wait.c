/* SPDX-License-Identifier: MIT
 * Deadlines of io_step(), on every backend, and the budget of the spin in front of a sleep
 * (wait.c). Only lower bounds of time are checked: a machine may always be slower. */
#include <signal.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "io_rig_fds.h"

/* Step until the deadline or an event. A signal may end a wait early, and the teardown of the ring
 * of the test before counts as one (task work interrupts a sleep). Returns how many events ran. */
static int wait_through(struct rig *rig, int64_t deadline_ns, const int *events)
{
    int count = 0, before = *events;
    for (int left = STEPS; left > 0 && *events == before && rig->io.now_ns < deadline_ns; left--)
        count += io_step(&rig->io, deadline_ns);
    return count;
}

static void a_deadline_ends_a_wait(struct rig *rig)
{
    struct probe poll = {0};
    int source = source_open(rig);
    poll_on(rig, &poll, source, EPOLLIN);
    settle(rig);
    static const int64_t waits_ns[] = {1, 100 * NS_PER_US, NS_PER_MS, 20 * NS_PER_MS};
    for (size_t i = 0; i < COUNT_OF(waits_ns); i++) {
        int64_t deadline_ns = rig->io.now_ns + waits_ns[i];
        int count = wait_through(rig, deadline_ns, &poll.events);
        OK(count == 0 && rig->io.now_ns >= deadline_ns,
           "%s: a step without events ends at its deadline, %lld ns ahead", rig->name,
           (long long)waits_ns[i]);
    }
    int64_t before_ns = rig->io.now_ns;
    OK(io_step(&rig->io, INT64_MIN) == 0 && io_step(&rig->io, 0) == 0 &&
           io_step(&rig->io, before_ns) == 0 && rig->io.now_ns >= before_ns,
       "%s: a deadline in the past does not block, and turns no clock back", rig->name);
    stop(rig, &poll);
    close_fd(rig, source);
}

static void an_event_ends_a_wait(struct rig *rig)
{
    struct probe poll = {0};
    int source = source_open(rig);
    poll_on(rig, &poll, source, EPOLLIN);
    settle(rig);
    source_ring(rig, source);
    int64_t before_ns = rig->io.now_ns;
    int count = wait_through(rig, NEVER, &poll.events);
    OK(count == 1 && poll.events == 1, "%s: a step that may wait for ever ends with an event",
       rig->name);
    OK(is_sim(rig) ? rig->io.now_ns == before_ns : rig->io.now_ns > before_ns,
       "%s: and the clock was read after the wait", rig->name);
    stop(rig, &poll);
    close_fd(rig, source);
}

static void a_final_result_is_not_slept_on(struct rig *rig)
{
    struct probe poll = {0}, out = {0};
    struct iovec slice = {"x", 1};
    struct link link = link_up(rig);
    int source = source_open(rig);
    poll_on(rig, &poll, source, EPOLLIN);
    settle(rig);
    STARTING(io_cancel(&rig->io, &poll.op));
    int count = wait_through(rig, NEVER, &poll.events);
    OK(count == 1 && poll.finals == 1, "%s: a cancel ends a wait without a deadline", rig->name);
    send_on(rig, &out, link.fd, (struct io_slices){&slice, 1});
    count = wait_through(rig, NEVER, &out.events);
    OK(count == 1 && out.finals == 1, "%s: so does a send", rig->name);
    link_down(rig, link);
    close_fd(rig, source);
}

static void a_sleep_is_woken(struct rig *rig)
{
    struct probe poll = {0};
    if (is_sim(rig)) {
        OK(io_step(&rig->io, NEVER) == 0, "%s: a simulation does not sleep for ever", rig->name);
        return;
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec soon = {.it_value.tv_nsec = 5 * NS_PER_MS};
    poll_on(rig, &poll, timer, EPOLLIN);
    settle(rig);
    int failed = timerfd_settime(timer, 0, &soon, NULL);
    assert(!failed);
    int count = wait_through(rig, NEVER, &poll.events);
    OK(count == 1 && poll.events == 1, "%s: an event wakes a sleep without a deadline", rig->name);
    stop(rig, &poll);
    close_fd(rig, timer);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void a_signal_ends_a_wait(struct rig *rig)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    /* It comes again and again: one that came before the wait would end nothing. */
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    if (is_sim(rig)) {
        OK(true, "%s # SKIP a simulation hears no signals", rig->name);
        return;
    }
    sigaction(SIGALRM, &action, &before);
    alarms = 0;
    setitimer(ITIMER_REAL, &often, NULL);
    int result = 0;
    for (int left = STEPS; left > 0 && alarms == 0 && result == 0; left--)
        result = io_step(&rig->io, NEVER);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    OK(result == 0 && alarms > 0, "%s: a signal ends a wait, with no event and no error",
       rig->name);
}

/* --- the spin --- */

struct fake { /* a backend whose completions are told in advance */
    struct io io;
    int spins;        /* enters that do not sleep, since the last io_wait() */
    int sleeps;       /* and that do */
    int found_after;  /* spins until one finds something; 0: none does */
    int sleep_finds;  /* what a sleep returns */
    int64_t slept_ns; /* how long it was allowed to */
};

static int fake_enter(struct io *io, int64_t wait_ns)
{
    struct fake *fake = CONTAINER_OF(io, struct fake, io);
    if (wait_ns != 0) {
        fake->sleeps++;
        fake->slept_ns = wait_ns;
        return fake->sleep_finds;
    }
    fake->spins++;
    return fake->spins == fake->found_after ? 1 : 0;
}

static int wait_once(struct fake *fake, int64_t deadline_ns)
{
    fake->spins = fake->sleeps = 0;
    return io_wait(&fake->io, deadline_ns, fake_enter);
}

static struct fake spinner(int64_t spin_ns)
{
    return (struct fake){
        .io = {.spin_ns = spin_ns, .spin_budget_ns = spin_ns, .now_ns = clock_now_ns()}};
}

static void a_spin_that_finds_nothing_gets_shorter(void)
{
    struct fake fake = spinner(64 * NS_PER_US);
    int64_t before_ns = fake.io.spin_budget_ns;
    bool halves = true;
    int waits = 0;
    for (; fake.io.spin_budget_ns > 0 && waits < 20; waits++) {
        int count = wait_once(&fake, NEVER);
        halves = halves && count == 0 && fake.spins > 0 && fake.sleeps == 1 &&
                 fake.io.spin_budget_ns <= before_ns / 2;
        before_ns = fake.io.spin_budget_ns;
    }
    OK(halves && fake.slept_ns == -1, "a spin that finds nothing sleeps, and halves its budget");
    OK(waits <= 7 && fake.io.spin_budget_ns == 0, "in the end it does not spin at all");
    wait_once(&fake, NEVER);
    OK(fake.spins == 0 && fake.sleeps == 1, "and sleeps at once");
}

static void a_spin_that_would_have_paid_comes_back(void)
{
    struct fake fake = spinner(NS_PER_S); /* so long that any event comes early enough */
    fake.io.spin_budget_ns = 0;
    fake.sleep_finds = 1;
    bool grows = true;
    int64_t before_ns = 0;
    for (int i = 0; i < 16; i++) {
        int count = wait_once(&fake, NEVER);
        grows = grows && count == 1 && fake.io.spin_budget_ns > before_ns;
        before_ns = fake.io.spin_budget_ns;
        fake.found_after = 1; /* from the second on it spins, and finds at once */
    }
    OK(grows && fake.io.spin_budget_ns == NS_PER_S, "sixteen events bring the whole budget back");
    wait_once(&fake, NEVER);
    OK(fake.io.spin_budget_ns == NS_PER_S, "and no more than that");
    OK(fake.spins == 1 && fake.sleeps == 0, "a spin that finds something does not sleep");
}

static void a_spin_keeps_to_its_deadline(void)
{
    struct fake fake = spinner(NS_PER_S);
    int64_t start_ns = clock_now_ns();
    int count = wait_once(&fake, start_ns + 50 * NS_PER_US);
    OK(count == 0 && fake.spins > 0, "a spin ends at the step's deadline");
    OK(fake.io.now_ns < start_ns + NS_PER_S, "not at its own");
    fake = spinner(NS_PER_S);
    wait_once(&fake, fake.io.now_ns);
    OK(fake.spins == 1 && fake.sleeps == 0, "a step that may not block looks once");
    OK(fake.io.spin_budget_ns == NS_PER_S, "and that costs no budget");
    fake = spinner(0);
    wait_once(&fake, NEVER);
    OK(fake.spins == 0 && fake.sleeps == 1, "without a budget to begin with it never spins");
}

static void an_error_ends_a_spin(void)
{
    struct fake fake = spinner(0);
    fake.sleep_finds = -EBADF;
    OK(wait_once(&fake, NEVER) == -EBADF, "an error of a sleep is returned");
    fake = spinner(64 * NS_PER_US);
    fake.sleep_finds = -EBADF;
    OK(wait_once(&fake, NEVER) == -EBADF, "also behind a spin");
}

int main(void)
{
    static rig_test *const tests[] = {
        a_deadline_ends_a_wait, an_event_ends_a_wait, a_final_result_is_not_slept_on,
        a_sleep_is_woken,       a_signal_ends_a_wait,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    RIG_RUN_ALL(tests, (&(struct io_options){.spin_ns = 50 * NS_PER_US}));
    a_spin_that_finds_nothing_gets_shorter();
    a_spin_that_would_have_paid_comes_back();
    a_spin_keeps_to_its_deadline();
    an_error_ends_a_spin();
    return TAP_END();
}
