/* SPDX-License-Identifier: MIT
 * What an application process does between fork and the module's serve(). The caller has already
 * closed what is the zygote's own; descriptors the module opened in start() (OPcache's lock file)
 * are the module's and stay. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "app/port_app.h"
#include "app/zygote_run.h"

/* A place to run is a matter of speed: when the processor is not ours to use, any will do. */
static void pin(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu < CPU_SETSIZE && sched_setaffinity(0, sizeof set, &set) != 0) {
        char line[128];
        snprintf(line, sizeof line, "cannot run on processor %u: %s", cpu, strerror(errno));
        port_host.log(ASKR_WARN, NULL, line);
    }
}

/* The kernel cuts names at 15 bytes: "askr-php-12". */
static void take_name(const char *module_name, uint32_t id)
{
    char name[16];
    snprintf(name, sizeof name, "askr-%.5s-%u", module_name, id % 10000);
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

static void outlive(int number)
{
    (void)number;
}

/* A SIGTERM for the whole cgroup must not end a request that the supervisor lets finish. Not
 * SIG_IGN: commands that the application runs inherit that, and then cannot be stopped by it. */
static void outlive_sigterm(void)
{
    struct sigaction action = {.sa_handler = outlive, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
}

int zygote_child_serve(const struct zygote_child *child, const struct askr_module *module)
{
    outlive_sigterm();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    take_name(module->name, child->id);
    if (child->cpu != ZYGOTE_NO_CPU)
        pin(child->cpu);

    struct askr_port *port;
    askr_error error;
    int result =
        port_app_open(&port, child->memfd, child->app_bell_fd, child->worker_bell_fd, &error);
    if (result != 0) {
        port_host.log(ASKR_ERROR, NULL, error.text);
        return 1;
    }
    close(child->memfd); /* the mapping stays */
    int status = module->serve(port);
    port_app_close(port);
    return status;
}
