/* SPDX-License-Identifier: MIT
 * The wall-clock limit of a request: PHP's own max_execution_time counts CPU time only, so a script
 * that waits for a database never meets it.
 *
 * A timer signal sets PHP's time-out flags and, being installed without SA_RESTART, ends the sleep
 * or poll the script is in; the virtual machine then raises PHP's time-out error, which a script
 * cannot catch. A C library that retries on EINTR is not ended: for that the supervisor kills.
 *
 * Requests mostly end in time, so the timer is armed once per limit, not once per request: when it
 * fires early it is armed again for what is left. That saves two system calls per request. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "askr_php.h"

#ifndef sigev_notify_thread_id /* glibc before 2.38 has the field but not its name */
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define NS_PER_S INT64_C(1000000000)
/* Once late, again and again: the flag may be set while PHP is about to sleep. */
#define RETRY_NS (NS_PER_S / 10)

static struct {
    timer_t timer;
    volatile int64_t ends_at_ns; /* 0: no request runs */
    volatile sig_atomic_t armed;
    volatile sig_atomic_t passed;
    zend_long cpu_limit_s; /* PHP's own limit, to be given back after ours was passed */
} deadline;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void arm(int64_t in_ns)
{
    struct itimerspec when = {.it_value = {in_ns / NS_PER_S, in_ns % NS_PER_S}};
    deadline.armed = 1;
    timer_settime(deadline.timer, 0, &when, NULL);
}

static zend_long limit_s(void)
{
    zend_long whole = php.settings.request_timeout_ms / 1000;
    return whole > 0 ? whole : 1;
}

static void on_timer(int number)
{
    (void)number;
    int saved_errno = errno;
    int64_t left = deadline.ends_at_ns - now_ns();
    deadline.armed = 0;
    if (deadline.ends_at_ns && left > 0) {
        arm(left);
    } else if (deadline.ends_at_ns) {
        if (!deadline.passed)
            deadline.cpu_limit_s = EG(timeout_seconds);
        deadline.passed = 1;
        EG(timeout_seconds) = limit_s(); /* the error message names it */
        COMPAT_STORE_FLAG(EG(timed_out), true);
        COMPAT_STORE_FLAG(EG(vm_interrupt), true);
        arm(RETRY_NS);
    }
    errno = saved_errno;
}

/* After the fork, as timers are not inherited. 0 or -errno. */
int deadline_start_timer(void)
{
    if (php.settings.request_timeout_ms == 0)
        return 0;
    int number = SIGRTMIN + 3; /* clear of those that debuggers and glibc like */
    struct sigaction action = {.sa_handler = on_timer};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number};
    sigset_t unblocked;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    sigemptyset(&unblocked);
    sigaddset(&unblocked, number);
    if (sigaction(number, &action, NULL) || sigprocmask(SIG_UNBLOCK, &unblocked, NULL) ||
        timer_create(CLOCK_MONOTONIC, &event, &deadline.timer))
        return -errno;
    return 0;
}

void deadline_set(void)
{
    if (php.settings.request_timeout_ms == 0)
        return;
    int64_t limit_ns = php.settings.request_timeout_ms * (NS_PER_S / 1000);
    deadline.ends_at_ns = now_ns() + limit_ns;
    if (!deadline.armed)
        arm(limit_ns);
}

void deadline_clear(void)
{
    deadline.ends_at_ns = 0;
    if (!deadline.passed)
        return;
    deadline.passed = 0;
    EG(timeout_seconds) = deadline.cpu_limit_s;
    COMPAT_STORE_FLAG(EG(timed_out), false);
}
