/* SPDX-License-Identifier: MIT
 * Settings of the module, from the key/value list that start() gets.
 *
 * Strings are copied and live as long as the process. An unknown key or a bad value is an error
 * sentence, because a setting that is silently ignored is found by its absence in production. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "askr_php.h"

static const char default_sapi_name[] = "frankenphp"; /* known to OPcache and to frameworks */

/* A setting that becomes one line of php.ini. */
static const struct {
    const char *key, *directive;
} ini_shorthands[] = {
    {"upload_dir", "upload_tmp_dir"},
    {"memory_limit", "memory_limit"},
};

static int read_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > max)
        return -EINVAL;
    *out = value;
    return 0;
}

/* Later lines win over earlier ones, so the caller's order is kept. */
static void lines_append(char **lines, const char *line)
{
    char *joined;
    int size = asprintf(&joined, "%s%s\n", *lines ? *lines : "", line);
    assert(size >= 0);
    free(*lines);
    *lines = joined;
}

static void ini_append(const char *line)
{
    lines_append(&php.settings.ini, line);
}

static int set_mode(const char *value, char *error, size_t size)
{
    bool worker = strcmp(value, "worker") == 0;
    if (!worker && strcmp(value, "classic") != 0) {
        snprintf(error, size, "php: mode is \"%s\"; it can be \"classic\" or \"worker\"", value);
        return -1;
    }
    php.settings.worker_mode = worker;
    return 0;
}

static int set_number(const struct askr_setting *setting, char *error, size_t size)
{
    bool is_timeout = strcmp(setting->key, "request_timeout_ms") == 0;
    uint64_t number;
    /* A day and a second is longer than any request; no sum of nanoseconds overflows. */
    if (read_number(setting->value, is_timeout ? 86401000 : UINT32_MAX, &number)) {
        snprintf(error, size, "php: %s is \"%s\"; it has to be a whole number", setting->key,
                 setting->value);
        return -1;
    }
    if (is_timeout)
        php.settings.request_timeout_ms = (uint32_t)number;
    else
        php.settings.max_requests = number;
    return 0;
}

/* A quote or a line break in the value could smuggle further directives in. */
static int set_shorthand(const char *directive, const char *value, char *error, size_t size)
{
    char line[PATH_MAX + 64];
    if (strpbrk(value, "\"\n\r") || strlen(value) > PATH_MAX) {
        snprintf(error, size, "php: the value of %s is too long or has a quote or line break in it",
                 directive);
        return -1;
    }
    snprintf(line, sizeof line, "%s=\"%s\"", directive, value);
    ini_append(line);
    return 0;
}

static int set_one(const struct askr_setting *setting, char *error, size_t size)
{
    struct php_settings *settings = &php.settings;
    const struct {
        const char *key, **target;
    } strings[] = {
        {"script", &settings->script},       {"document_root", &settings->document_root},
        {"sapi_name", &settings->sapi_name}, {"php_ini", &settings->php_ini},
        {"inspect", &settings->inspect},
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (strcmp(setting->key, strings[i].key) == 0) {
            *strings[i].target = strdup(setting->value);
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof ini_shorthands / sizeof *ini_shorthands; i++) {
        if (strcmp(setting->key, ini_shorthands[i].key) == 0)
            return set_shorthand(ini_shorthands[i].directive, setting->value, error, size);
    }
    if (strcmp(setting->key, "mode") == 0)
        return set_mode(setting->value, error, size);
    if (strcmp(setting->key, "max_requests") == 0 ||
        strcmp(setting->key, "request_timeout_ms") == 0)
        return set_number(setting, error, size);
    if (strcmp(setting->key, "ini") == 0) {
        ini_append(setting->value);
        return 0;
    }
    if (strcmp(setting->key, "ini_defaults") == 0) {
        lines_append(&settings->ini_defaults, setting->value);
        return 0;
    }
    snprintf(error, size, "php: unknown setting \"%s\"", setting->key);
    return -1;
}

/* What has to hold before any line of the operator, and what worker mode cannot live without. */
static void ini_begin(void)
{
    ini_append("opcache.enable=1\n"
               /* -1: the time limit is armed once per request, not twice. */
               "max_input_time=-1");
}

static void ini_begin_worker(void)
{
    ini_append(
        /* Else a client that leaves ends the worker script, not just its request. */
        "ignore_user_abort=1\n"
        /* OPcache takes the time at script boot for ever, so with the default of 2 s it
         * would never cache a file written later, such as a compiled template. */
        "opcache.file_update_protection=0\n"
        /* A worker script holds OPcache's lock for life: after this many seconds a restart
         * would kill it. 0: nobody is killed. */
        "opcache.force_restart_timeout=0");
}

static int check(char *error, size_t size)
{
    struct php_settings *settings = &php.settings;
    if (settings->worker_mode && !settings->script) {
        snprintf(error, size, "php: mode is \"worker\" but no worker script is set");
        return -1;
    }
    if (settings->script && settings->script[0] != '/') {
        snprintf(error, size, "php: the worker script \"%s\" is not an absolute path",
                 settings->script);
        return -1;
    }
    if (!settings->document_root && settings->script) {
        const char *slash = strrchr(settings->script, '/');
        settings->document_root = strndup(settings->script, (size_t)(slash - settings->script));
    }
    return 0;
}

int settings_read(const struct askr_setting *settings, size_t count, char *error, size_t size)
{
    php.settings.sapi_name = default_sapi_name;
    ini_begin();
    /* The mode decides which lines come first, so it is looked for before the rest. */
    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].key, "mode") == 0 && strcmp(settings[i].value, "worker") == 0)
            ini_begin_worker();
    }
    for (size_t i = 0; i < count; i++) {
        if (set_one(&settings[i], error, size))
            return -1;
    }
    return check(error, size);
}
