/* SPDX-License-Identifier: MIT
 * What an application process says to the server's log: on stderr, in the format of that log.
 *
 * A record is one write of at most PIPE_BUF bytes, so that those of several processes do not mix.
 * It never waits: the supervisor has seen to it that a pipe does not block, and a socket is asked
 * not to. What nobody took is counted, and told with the first record that is taken again. */
#ifndef ASKR_APP_LOG_H
#define ASKR_APP_LOG_H

#include "askr/module.h"
#include "base/base.h"

/* "text", "logfmt", "json" or "journald" (sd-daemon(3): a priority before each line). Before any
 * fork; false: there is no such format. */
bool app_log_set_format(const char *name);

/* host->log() of include/askr/module.h. */
void app_log(enum askr_level, const char *request_id, const char *text);

#endif
