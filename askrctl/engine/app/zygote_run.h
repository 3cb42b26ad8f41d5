/* SPDX-License-Identifier: MIT
 * The parts of the zygote: its conversation with the supervisor (zygote_run.c) and what a freshly
 * forked application process does (zygote_child.c). zygote_main.c has the command line. */
#ifndef ASKR_ZYGOTE_RUN_H
#define ASKR_ZYGOTE_RUN_H

#include <signal.h>

#include "app/zygote.h"
#include "askr/module.h"
#include "base/base.h"

enum {
    ZYGOTE_CHILDREN_MAX = 1024, /* ASKR_APPS_MAX for each of 16 workers */
    ZYGOTE_FORK_FDS = 3,
    ZYGOTE_CACHES_S = 5,      /* a look at the caches takes milliseconds */
    ZYGOTE_TRACE_SIZE = 8192, /* 64 frames of usual names; one datagram */
};

/* What one application process is given. */
struct zygote_child {
    uint32_t id, cpu;
    int memfd, app_bell_fd, worker_bell_fd;
};

/* Signals as the zygote and its children need them, before the module can install its own. SIGCHLD
 * and ZYGOTE_SIGRELOAD are blocked, for a signalfd. Those that somebody may send to every process
 * of the service are ignored, by children too, until a script installs a handler; but for SIGTERM,
 * which children outlive in a way that their commands do not inherit. */
void zygote_set_signals(void);

/* Sends `sentence` with ZYGOTE_FAILED, or on stderr when there is no control_fd (-1). */
void zygote_report_failure(int control_fd, const char *sentence);

/* Serves the supervisor until it closes its end; then kills what was forked. 0 or -errno. */
int zygote_run(int control_fd, const struct askr_module *);

/* In the forked process: serve the port. Returns the exit status; the caller must leave with it. */
int zygote_child_serve(const struct zygote_child *, const struct askr_module *);

#endif
