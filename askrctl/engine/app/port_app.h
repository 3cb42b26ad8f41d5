/* SPDX-License-Identifier: MIT
 * The application's end of a port. The zygote opens it in a process it has just forked and passes
 * it to the module's serve(), with `port_host` as what the module may call: include/askr/module.h
 * says what each call means. One exchange at a time; no call may come from two threads at once.
 *
 * This end trusts the worker, which could read and write all that passes through it anyway. */
#ifndef ASKR_PORT_APP_H
#define ASKR_PORT_APP_H

#include "askr/module.h"
#include "base/base.h"

/* Maps `memfd`, which may be closed afterwards. The bells stay the caller's and must stay open
 * until port_app_close(). 0 or -errno with a sentence. */
int port_app_open(struct askr_port **out, int memfd, int app_bell_fd, int worker_bell_fd,
                  askr_error *);
void port_app_close(struct askr_port *);

extern const struct askr_host port_host;

#endif
