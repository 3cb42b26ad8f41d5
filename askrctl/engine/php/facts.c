/* SPDX-License-Identifier: MIT
 * What PHP says about itself: version, php.ini, extensions, and whether OPcache really works.
 *
 * Asked in a child process, because only a request can ask and the zygote runs none: its children
 * would all inherit what a request leaves behind, such as a seeded random generator. The child
 * answers one line, the complaint about OPcache or nothing, and then the facts as JSON.
 *
 * OPcache turns itself off without an error under a SAPI name it does not know or when its shared
 * memory fails; every request would then be compiled anew, five times slower. So off is refused,
 * unless the operator asked for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "askr_php.h"

static const char question[] =
    "(static function (): string {\n"
    "    $loaded = extension_loaded('Zend OPcache');\n"
    "    $status = $loaded ? @opcache_get_status(false) : false;\n"
    "    $on = $status !== false && $status['opcache_enabled'];\n"
    "    $reason = '';\n"
    "    if (!$loaded) {\n"
    "        $reason = 'the OPcache extension is not loaded';\n"
    "    } elseif (!ini_get('opcache.enable')) {\n"
    "        $reason = 'opcache.enable is 0';\n"
    "    } elseif (!$on) {\n"
    "        $reason = 'OPcache refused to start under the SAPI name ' . PHP_SAPI\n"
    "            . ', or got no shared memory';\n"
    "    }\n"
    "    $complaint = $loaded && ini_get('opcache.enable') && !$on ? $reason : '';\n"
    "    return $complaint . \"\\n\" . json_encode([\n"
    "        'version' => PHP_VERSION, 'zts' => (bool) PHP_ZTS, 'debug' => (bool) PHP_DEBUG,\n"
    "        'sapi' => PHP_SAPI, 'ini_file' => php_ini_loaded_file() ?: null,\n"
    "        'ini_scanned' => array_values(array_filter(array_map('trim',\n"
    "            explode(',', php_ini_scanned_files() ?: '')))),\n"
    "        'memory_limit' => ini_get('memory_limit'),\n"
    "        'opcache' => ['enabled' => $on, 'reason' => $reason,\n"
    "            'jit' => $status['jit']['on'] ?? false,\n"
    "            'memory_free' => $status['memory_usage']['free_memory'] ?? 0,\n"
    "            'validate_timestamps' => (bool) ini_get('opcache.validate_timestamps')],\n"
    "        'ini' => array_filter(ini_get_all(null, false), static fn (string $name): bool =>\n"
    "            preg_match('/^(opcache|realpath_cache|session|zend|xdebug|max_|memory_|upload_|'\n"
    "                . 'post_max|output_buffering|implicit_flush|register_argc|open_basedir|'\n"
    "                . 'display_errors|log_errors|error_log|expose_php|date.timezone|pcre.jit)/',\n"
    "                $name) === 1, ARRAY_FILTER_USE_KEY),\n"
    "        'extensions' => get_loaded_extensions(),\n"
    "    ], JSON_UNESCAPED_SLASHES);\n"
    "})()";

static const char caches_question[] =
    "(static function (): string {\n"
    "    $status = function_exists('opcache_get_status') ? @opcache_get_status(false) : false;\n"
    "    return is_array($status) && $status['opcache_enabled'] ? "
    "json_encode(array_intersect_key(\n"
    "        $status, array_flip(['cache_full', 'memory_usage', 'interned_strings_usage',\n"
    "            'opcache_statistics', 'jit']))) : '';\n"
    "})()";

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        size -= (size_t)written;
    }
}

static void answer(int fd)
{
    zval result;
    request_bind(&php.idle);
    if (php_request_startup() != SUCCESS)
        return;
    zend_first_try
    {
        ZVAL_UNDEF(&result);
        if (zend_eval_string((char *)question, &result, (char *)"askr facts") == SUCCESS &&
            Z_TYPE(result) == IS_STRING)
            write_all(fd, Z_STRVAL(result), Z_STRLEN(result));
    }
    zend_end_try();
}

/* Bytes read, at most size - 1; a NUL is put behind them. */
static size_t read_all(int fd, char *data, size_t size)
{
    size_t filled = 0;
    while (filled < size - 1) {
        ssize_t got = read(fd, data + filled, size - 1 - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        filled += (size_t)got;
    }
    data[filled] = '\0';
    return filled;
}

static int ask_child(char *answer_text, size_t size)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    pid_t child = fork();
    if (child == 0) {
        answer(ends[1]);
        _exit(0);
    }
    int result = child < 0 ? -errno : 0;
    close(ends[1]);
    if (child > 0) {
        read_all(ends[0], answer_text, size);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    close(ends[0]);
    return result;
}

int facts_of_caches(char *json, size_t size)
{
    zval result;
    int found = -1;
    request_bind(&php.idle);
    if (php_request_startup() != SUCCESS)
        return -1;
    zend_first_try
    {
        ZVAL_UNDEF(&result);
        if (zend_eval_string((char *)caches_question, &result, (char *)"askr caches") == SUCCESS &&
            Z_TYPE(result) == IS_STRING && Z_STRLEN(result) > 0 && Z_STRLEN(result) < size) {
            memcpy(json, Z_STRVAL(result), Z_STRLEN(result) + 1);
            found = 0;
        }
    }
    zend_end_try();
    return found;
}

int facts_collect(char *error, size_t size)
{
    char text[FACTS_SIZE];
    int result = ask_child(text, sizeof text);
    char *json = result ? NULL : strchr(text, '\n');
    if (!json || json[1] != '{') {
        snprintf(error, size, "php: a first request in a child process gave no answer");
        return -1;
    }
    *json++ = '\0';
    if (text[0]) {
        snprintf(error, size, "php: OPcache is off: %s; accept that with ini \"opcache.enable=0\"",
                 text);
        return -1;
    }
    snprintf(php.facts, sizeof php.facts, "%s", json);
    const char *reason = strstr(php.facts, "\"opcache\":{\"enabled\":false");
    if (reason)
        log_lines(ASKR_WARN, "PHP runs without OPcache: every request compiles its files anew");
    return 0;
}
