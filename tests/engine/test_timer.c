/* SPDX-License-Identifier: MIT
 * The timer wheel on a clock of our own: deadlines are kept, moves are cheap and right, a long stop
 * loses nothing. */
#include "base/timer.h"

#include <stdlib.h>

#include "tap.h"

enum { MANY = 2000 };

struct probe {
    struct timer timer;
    struct timer_wheel *wheel;
    int64_t fired_ns;
    int fired;
    int64_t again_ns; /* set itself again so much later; 0: not */
};

static void on_fire(struct timer *timer, int64_t now_ns)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);
    probe->fired++;
    probe->fired_ns = now_ns;
    if (probe->again_ns != 0)
        timer_set(probe->wheel, timer, now_ns + probe->again_ns);
}

static void probe_init(struct probe *probe, struct timer_wheel *wheel)
{
    *probe = (struct probe){.wheel = wheel};
    timer_init(&probe->timer, on_fire);
}

/* Turn the wheel from one of its own wake-ups to the next, as the loop does. */
static void run_until(struct timer_wheel *wheel, int64_t end_ns)
{
    for (int64_t next; (next = timer_wheel_next(wheel)) <= end_ns;)
        timer_wheel_run(wheel, next);
    timer_wheel_run(wheel, end_ns);
}

static void check_deadline(int64_t start_ns, int64_t delay_ns)
{
    struct timer_wheel wheel;
    struct probe probe;
    timer_wheel_init(&wheel, start_ns);
    probe_init(&probe, &wheel);
    timer_set(&wheel, &probe.timer, start_ns + delay_ns);
    run_until(&wheel, start_ns + delay_ns);
    OK(probe.fired == 0, "a timer of %lld ns does not fire early", (long long)delay_ns);
    run_until(&wheel, start_ns + delay_ns + TIMER_TICK_NS);
    OK(probe.fired == 1, "it fires within a tick of its deadline");
    OK(timer_wheel_next(&wheel) == NEVER, "and leaves the wheel empty");
}

static void check_moves(void)
{
    struct timer_wheel wheel;
    struct probe probe;
    timer_wheel_init(&wheel, 0);
    probe_init(&probe, &wheel);
    timer_set(&wheel, &probe.timer, NS_PER_S);
    for (int64_t now_ns = 0; now_ns < 60 * NS_PER_S; now_ns += NS_PER_S / 2) {
        run_until(&wheel, now_ns);
        timer_set(&wheel, &probe.timer, now_ns + NS_PER_S);
    }
    OK(probe.fired == 0, "a timer moved ahead of the clock never fires");
    timer_set(&wheel, &probe.timer, 60 * NS_PER_S);
    run_until(&wheel, 60 * NS_PER_S + TIMER_TICK_NS);
    OK(probe.fired == 1, "one moved nearer fires at the nearer time");
    timer_set(&wheel, &probe.timer, 70 * NS_PER_S);
    timer_clear(&wheel, &probe.timer);
    run_until(&wheel, 90 * NS_PER_S);
    OK(probe.fired == 1, "one that was cleared does not fire");
    timer_clear(&wheel, &probe.timer);
    OK(timer_wheel_next(&wheel) == NEVER, "clearing twice does no harm");
}

static void check_periodic(void)
{
    struct timer_wheel wheel;
    struct probe probe;
    timer_wheel_init(&wheel, 5);
    probe_init(&probe, &wheel);
    probe.again_ns = 20 * NS_PER_S; /* more than one turn of the wheel */
    timer_set(&wheel, &probe.timer, NS_PER_S);
    run_until(&wheel, 102 * NS_PER_S);
    OK(probe.fired == 6, "a timer may set itself again from its own firing (%d)", probe.fired);
    timer_wheel_run(&wheel, 100000 * NS_PER_S);
    OK(probe.fired == 7, "after a long stop it fires once, at once");
}

static void check_many(void)
{
    struct timer_wheel wheel;
    struct probe *probes = calloc(MANY, sizeof *probes);
    int64_t latest_ns = 0;
    int wrong = 0;
    srand(7);
    timer_wheel_init(&wheel, 0);
    for (int i = 0; i < MANY; i++) {
        probe_init(&probes[i], &wheel);
        int64_t deadline_ns = (int64_t)rand() % (40 * NS_PER_S);
        timer_set(&wheel, &probes[i].timer, deadline_ns);
        if (deadline_ns > latest_ns)
            latest_ns = deadline_ns;
    }
    run_until(&wheel, latest_ns + TIMER_TICK_NS);
    for (int i = 0; i < MANY; i++) {
        int64_t late_ns = probes[i].fired_ns - probes[i].timer.deadline_ns;
        wrong += probes[i].fired != 1 || late_ns <= 0 || late_ns > TIMER_TICK_NS;
    }
    OK(wrong == 0, "%d timers each fire once, in time (%d wrong)", MANY, wrong);
    free(probes);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    check_deadline(0, 1);
    check_deadline(123456789, NS_PER_S);
    check_deadline(NS_PER_S, TIMER_TICK_NS * TIMER_SLOTS);
    check_deadline(NS_PER_S, 75 * NS_PER_S);
    check_moves();
    check_periodic();
    check_many();
    return TAP_END();
}
