/* SPDX-License-Identifier: MIT
 * PHP's error log to the host's log. A message with a stack trace is several lines; the host takes
 * lines. No memory is allocated, as the message may be that there is none. */
#include <string.h>
#include <syslog.h>

#include "askr_php.h"

enum {
    LOG_LINE_MAX = 2048, /* longer ones are continued on the next line */
};

void log_lines(enum askr_level level, const char *text)
{
    char line[LOG_LINE_MAX];
    while (*text) {
        size_t size = strcspn(text, "\n");
        size_t taken = size < LOG_LINE_MAX ? size : LOG_LINE_MAX - 1;
        memcpy(line, text, taken);
        line[taken] = '\0';
        if (taken)
            php.host->log(level, line);
        text += taken + (taken == size && text[taken] == '\n');
    }
}

/* error_log() comes as LOG_NOTICE, and it is how applications write their log. */
void log_message(const char *message, int syslog_type)
{
    enum askr_level level = ASKR_INFO;
    if (syslog_type <= LOG_ERR)
        level = ASKR_ERROR;
    else if (syslog_type == LOG_WARNING)
        level = ASKR_WARN;
    else if (syslog_type == LOG_DEBUG)
        level = ASKR_DEBUG;
    log_lines(level, message);
}
