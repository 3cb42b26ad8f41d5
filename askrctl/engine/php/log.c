/* SPDX-License-Identifier: MIT
 * PHP's error log to the host's log. A message with a stack trace is several lines; the host takes
 * lines. No memory is allocated, as the message may be that there is none. */
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "askr_php.h"

enum {
    LOG_LINE_MAX = 2048,  /* longer ones are continued on the next line */
    REQUEST_ID_MAX = 128, /* the host accepts no longer one */
};

/* "[request-id] ", as the access log has it; nothing outside of a request. Its size. */
static size_t put_request_id(char *line)
{
    const struct php_request *request = SG(server_context);
    if (!request || !request->exchange || !request->head)
        return 0;
    for (size_t i = 0; i < request->head->field_count; i++) {
        const struct askr_field *field = &request->head->fields[i];
        if (field->name.size != 12 || strncasecmp(field->name.data, "X-Request-Id", 12) != 0)
            continue;
        if (field->value.size > REQUEST_ID_MAX)
            return 0;
        line[0] = '[';
        memcpy(line + 1, field->value.data, field->value.size);
        memcpy(line + 1 + field->value.size, "] ", 2);
        return field->value.size + 3;
    }
    return 0;
}

void log_lines(enum askr_level level, const char *text)
{
    char line[LOG_LINE_MAX];
    size_t start = put_request_id(line);
    while (*text) {
        size_t size = strcspn(text, "\n");
        size_t taken = size < LOG_LINE_MAX - start ? size : LOG_LINE_MAX - 1 - start;
        memcpy(line + start, text, taken);
        line[start + taken] = '\0';
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
