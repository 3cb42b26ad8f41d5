/* SPDX-License-Identifier: MIT
 * The wait of a step: until a deadline, with a spin in front if the worker was told to.
 *
 * Spinning saves the wake-up of a sleeping core, most of a request's cost at one connection, and
 * burns a core when there is nothing to find. So it is bounded by a budget that halves whenever a
 * spin finds nothing, and comes back in sixteenths with every event that a full spin did find or
 * would have found. */
#include "io/backend.h"

/* A spin shorter than this finds nothing that a sleep would not find as quickly. */
#define SPIN_MIN_NS (2 * NS_PER_US)

static int64_t wait_of(const struct io *io, int64_t deadline_ns)
{
    if (io->ready.first != NULL || deadline_ns <= io->now_ns)
        return 0;
    if (deadline_ns == NEVER)
        return -1;
    int64_t wait_ns = deadline_ns - clock_now_ns();
    return wait_ns > 0 ? wait_ns : 0;
}

static void earn_budget(struct io *io)
{
    io->spin_budget_ns += io->spin_ns / 16 + 1;
    if (io->spin_budget_ns > io->spin_ns)
        io->spin_budget_ns = io->spin_ns;
}

static void halve_budget(struct io *io)
{
    io->spin_budget_ns /= 2;
    if (io->spin_budget_ns < SPIN_MIN_NS)
        io->spin_budget_ns = 0;
}

static int spin(struct io *io, int64_t until_ns, io_enter_fn *enter)
{
    do {
        int count = enter(io, 0);
        if (count != 0)
            return count;
    } while (clock_now_ns() < until_ns);
    return 0;
}

static int spin_then_sleep(struct io *io, int64_t deadline_ns, io_enter_fn *enter)
{
    int64_t start_ns = clock_now_ns();
    if (io->spin_budget_ns > 0) {
        int64_t until_ns = start_ns + io->spin_budget_ns;
        int count = spin(io, until_ns < deadline_ns ? until_ns : deadline_ns, enter);
        if (count > 0)
            earn_budget(io);
        if (count != 0)
            return count;
        halve_budget(io);
    }
    int count = enter(io, wait_of(io, deadline_ns));
    if (count > 0 && clock_now_ns() - start_ns < io->spin_ns)
        earn_budget(io);
    return count;
}

int io_wait(struct io *io, int64_t deadline_ns, io_enter_fn *enter)
{
    int64_t wait_ns = wait_of(io, deadline_ns);
    int count = io->spin_ns > 0 && wait_ns != 0 ? spin_then_sleep(io, deadline_ns, enter)
                                                : enter(io, wait_ns);
    io->now_ns = clock_now_ns();
    return count;
}
