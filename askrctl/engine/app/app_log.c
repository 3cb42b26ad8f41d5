/* SPDX-License-Identifier: MIT
 * Records of an application process (app_log.h). No memory is allocated, as what is to be told may
 * be that there is none. */
#include "app/app_log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum format { FORMAT_TEXT, FORMAT_LOGFMT, FORMAT_JSON, FORMAT_JOURNALD };

enum {
    END_SIZE = 3,     /* what closes a record: a quotation mark, a brace, a line break */
    ESCAPED_SIZE = 6, /* of one byte, at most: \u0000 */
};

static const char *const format_names[] = {"text", "logfmt", "json", "journald"};

/* A process's own; the format is the zygote's, which sets it before it forks. */
static struct {
    enum format format;
    uint64_t lost; /* records that nobody took, and that are not told yet */
} app_logging;

struct record {
    char text[PIPE_BUF];
    size_t size;
};

bool app_log_set_format(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(format_names); i++) {
        if (strcmp(name, format_names[i]) != 0)
            continue;
        app_logging.format = (enum format)i;
        return true;
    }
    return false;
}

static size_t room(const struct record *record)
{
    return sizeof record->text - END_SIZE - record->size;
}

static void add(struct record *record, const char *text, size_t size)
{
    size = size_min(size, room(record));
    memcpy(record->text + record->size, text, size);
    record->size += size;
}

static void add_text(struct record *record, const char *text)
{
    add(record, text, strlen(text));
}

/* The bytes of one UTF-8 sequence; 0: there is none. Overlong forms and surrogates are let through:
 * no reader of logs is led astray by them. */
static size_t utf8_size(const unsigned char *text)
{
    size_t size = text[0] < 0x80   ? 1
                  : text[0] < 0xc2 ? 0
                  : text[0] < 0xe0 ? 2
                  : text[0] < 0xf0 ? 3
                                   : 4;
    if (text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80) /* also the end of the text */
            return 0;
    return size;
}

/* As in a string of JSON, which logfmt reads as well. How much of the text went into the record. */
static size_t add_escaped(struct record *record, const char *text)
{
    const char *at = text;
    while (*at != '\0' && room(record) >= ESCAPED_SIZE) {
        unsigned char byte = (unsigned char)*at;
        size_t size = utf8_size((const unsigned char *)at);
        char escaped[ESCAPED_SIZE + 1];
        if (byte == '"' || byte == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", byte);
        else if (byte == '\n' || byte == '\t' || byte == '\r')
            snprintf(escaped, sizeof escaped, "\\%c",
                     byte == '\n'   ? 'n'
                     : byte == '\t' ? 't'
                                    : 'r');
        else if (byte < 0x20 || byte == 0x7f)
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        else if (size == 0)
            snprintf(escaped, sizeof escaped, "\\ufffd");
        else
            escaped[0] = '\0';
        if (escaped[0] != '\0')
            add_text(record, escaped);
        else
            add(record, at, size);
        at += size == 0 ? 1 : size;
    }
    return (size_t)(at - text);
}

/* As the supervisor's log has it: of the machine's zone in text, else UTC with milliseconds. */
static void add_time(struct record *record)
{
    char text[64];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    if (app_logging.format == FORMAT_TEXT) {
        localtime_r(&now.tv_sec, &parts);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &parts);
    } else {
        gmtime_r(&now.tv_sec, &parts);
        size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        snprintf(text + size, sizeof text - size, ".%03dZ", (int)(now.tv_nsec / 1000000));
    }
    add_text(record, text);
}

static const char *level_name(enum askr_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return (size_t)level < COUNT_OF(names) ? names[level] : "error";
}

static void add_id(struct record *record, const char *request_id)
{
    if (request_id == NULL)
        return;
    add_text(record, "[");
    add_text(record, request_id);
    add_text(record, "] ");
}

/* One line of the text. A line break inside would fake another record. */
static size_t put_line(struct record *record, enum askr_level level, const char *request_id,
                       const char *text)
{
    static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"};
    if (app_logging.format == FORMAT_JOURNALD) {
        add_text(record, (size_t)level < COUNT_OF(priorities) ? priorities[level] : "<3>");
    } else {
        add_time(record);
        add_text(record, " level=");
        add_text(record, level_name(level));
        add_text(record, " ");
    }
    add_id(record, request_id);
    size_t begin = record->size, size = strcspn(text, "\n");
    size_t taken = size_min(size, room(record));
    add(record, text, taken);
    for (size_t i = begin; i < record->size; i++)
        if (record->text[i] == '\r')
            record->text[i] = ' ';
    return taken + (taken == size && text[taken] == '\n');
}

static size_t put_pairs(struct record *record, enum askr_level level, const char *request_id,
                        const char *text)
{
    bool json = app_logging.format == FORMAT_JSON;
    char head[96];
    add_text(record, json ? "{\"time\": \"" : "time=");
    add_time(record);
    snprintf(head, sizeof head,
             json ? "\", \"level\": \"%s\", \"event\": \"application\", \"pid\": %d"
                  : " level=%s event=application pid=%d",
             level_name(level), (int)getpid());
    add_text(record, head);
    if (request_id != NULL) {
        add_text(record, json ? ", \"request_id\": \"" : " request_id=\"");
        add_escaped(record, request_id);
        add_text(record, "\"");
    }
    add_text(record, json ? ", \"msg\": \"" : " msg=\"");
    size_t taken = add_escaped(record, text);
    memcpy(record->text + record->size, json ? "\"}" : "\"", json ? 2 : 1);
    record->size += json ? 2 : 1;
    return taken;
}

static bool take(struct record *record)
{
    record->text[record->size++] = '\n';
    ssize_t size = send(STDERR_FILENO, record->text, record->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0 && errno == ENOTSOCK)
        size = write(STDERR_FILENO, record->text, record->size);
    return size == (ssize_t)record->size;
}

/* How much of the text is told, or lost. */
static size_t put(enum askr_level level, const char *request_id, const char *text, bool *told)
{
    struct record record;
    record.size = 0;
    bool pairs = app_logging.format == FORMAT_JSON || app_logging.format == FORMAT_LOGFMT;
    size_t taken = pairs ? put_pairs(&record, level, request_id, text)
                         : put_line(&record, level, request_id, text);
    *told = take(&record);
    return taken;
}

static bool tell_of_loss(void)
{
    char text[96];
    bool told = true;
    if (app_logging.lost == 0)
        return true;
    snprintf(text, sizeof text, "%llu records of this process were lost: the log took none",
             (unsigned long long)app_logging.lost);
    put(ASKR_WARN, NULL, text, &told);
    if (told)
        app_logging.lost = 0;
    return told;
}

void app_log(enum askr_level level, const char *request_id, const char *text)
{
    int kept = errno;
    bool told = tell_of_loss();
    while (*text != '\0') {
        if (*text == '\n') { /* no line */
            text++;
            continue;
        }
        text += put(level, request_id, text, &told);
        app_logging.lost += !told;
    }
    errno = kept;
}
