/* SPDX-License-Identifier: MIT
 * PHP's error log to the host's log. No memory is allocated, as the message may be that there is
 * none. */
#include <strings.h>
#include <syslog.h>

#include "askr_php.h"

enum { REQUEST_ID_MAX = 128 }; /* the host accepts no longer one */

/* As the access log has it; NULL outside of a request. */
static const char *request_id(char text[static REQUEST_ID_MAX + 1])
{
    const struct php_request *request = SG(server_context);
    if (!request || !request->exchange || !request->head)
        return NULL;
    for (size_t i = 0; i < request->head->field_count; i++) {
        const struct askr_field *field = &request->head->fields[i];
        if (field->name.size != 12 || strncasecmp(field->name.data, "X-Request-Id", 12) != 0)
            continue;
        if (field->value.size > REQUEST_ID_MAX)
            return NULL;
        memcpy(text, field->value.data, field->value.size);
        text[field->value.size] = '\0';
        return text;
    }
    return NULL;
}

void log_lines(enum askr_level level, const char *text)
{
    char id[REQUEST_ID_MAX + 1];
    php.host->log(level, request_id(id), text);
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
