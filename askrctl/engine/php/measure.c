/* SPDX-License-Identifier: MIT
 * What each request costs, for `askrctl tune app`: one JSON object on a line, after each request.
 *
 * Off unless the configuration names a file in askr.measure, which no application can do. Nothing
 * of the request is written but numbers. The file is opened for each line: this is no hot path, and
 * a descriptor would have to survive forks and scripts that close what they find.
 *
 * wall: from taking the request until its shutdown functions have run. cpu: of the thread that runs
 * PHP (the clock of the process moves by ticks only). waited: runnable, without a core. peak: what
 * memory_limit is compared with. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "askr_php.h"

enum { LINE_SIZE = 1024 }; /* twenty numbers of at most 20 digits, and their names */

static struct {
    const char *path; /* NULL: off */
    zend_function *cache_status, *realpath_size;
    int64_t wall, cpu, waited; /* when the request was taken */
} measure;

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* proc_pid_schedstat(5): on a core, waiting for one, time slices; nanoseconds. */
static int64_t waited_us(void)
{
    char text[64];
    int64_t ran, waited;
    int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[size < 0 ? 0 : size] = '\0';
    return sscanf(text, "%" SCNd64 " %" SCNd64, &ran, &waited) == 2 ? waited / 1000 : 0;
}

void measure_start(void)
{
    char *path = NULL;
    if (cfg_get_string("askr.measure", &path) != SUCCESS || !path || !path[0])
        return;
    measure.path = path;
    measure.cache_status = find_function("opcache_get_status");
    measure.realpath_size = find_function("realpath_cache_size");
}

void measure_begin(void)
{
    if (!measure.path)
        return;
#if PHP_VERSION_ID >= 80200
    zend_memory_reset_peak_usage(); /* before that, worker mode has the peak since the boot */
#endif
    measure.waited = waited_us();
    measure.cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
    measure.wall = clock_us(CLOCK_MONOTONIC);
}

/* status[group][name], 0 when there is none. */
static zend_long number_in(zval *status, const char *group, const char *name)
{
    zval *part = zend_hash_str_find(Z_ARRVAL_P(status), group, strlen(group));
    if (!part || Z_TYPE_P(part) != IS_ARRAY)
        return 0;
    zval *value = zend_hash_str_find(Z_ARRVAL_P(part), name, strlen(name));
    return value && Z_TYPE_P(value) == IS_LONG ? Z_LVAL_P(value) : 0;
}

static int print_cache(char *text, size_t size)
{
    static const struct {
        const char *key, *group, *name;
    } numbers[] = {
        {"used", "memory_usage", "used_memory"},
        {"free", "memory_usage", "free_memory"},
        {"wasted", "memory_usage", "wasted_memory"},
        {"strings_used", "interned_strings_usage", "used_memory"},
        {"strings_size", "interned_strings_usage", "buffer_size"},
        {"scripts", "opcache_statistics", "num_cached_scripts"},
        {"keys", "opcache_statistics", "num_cached_keys"},
        {"keys_max", "opcache_statistics", "max_cached_keys"},
        {"full", "opcache_statistics", "oom_restarts"},
    };
    zval status, without_scripts;
    ZVAL_FALSE(&without_scripts);
    if (!call_function(measure.cache_status, 1, &without_scripts, &status))
        return snprintf(text, size, "null");
    int used = 0;
    for (size_t i = 0; Z_TYPE(status) == IS_ARRAY && i < sizeof numbers / sizeof *numbers; i++)
        used += snprintf(text + used, size - (size_t)used, "%s\"%s\":" ZEND_LONG_FMT, i ? "," : "{",
                         numbers[i].key, number_in(&status, numbers[i].group, numbers[i].name));
    used += snprintf(text + used, size - (size_t)used, used ? "}" : "null");
    zval_ptr_dtor(&status);
    return used;
}

static zend_long realpath_size(void)
{
    zval size;
    return call_function(measure.realpath_size, 0, NULL, &size) ? zval_get_long(&size) : 0;
}

void measure_end(void)
{
    if (!measure.path || php.is_copy)
        return;
    char line[LINE_SIZE], cache[LINE_SIZE / 2];
    int64_t wall = clock_us(CLOCK_MONOTONIC) - measure.wall;
    int64_t cpu = clock_us(CLOCK_THREAD_CPUTIME_ID) - measure.cpu;
    int64_t waited = waited_us() - measure.waited;
    size_t peak = zend_memory_peak_usage(true);
    print_cache(cache, sizeof cache);
    int size =
        snprintf(line, sizeof line,
                 "{\"pid\":%d,\"wall_us\":%" PRId64 ",\"cpu_us\":%" PRId64 ",\"waited_us\":%" PRId64
                 ",\"peak\":%zu,\"memory_limit\":" ZEND_LONG_FMT ",\"realpath\":" ZEND_LONG_FMT
                 ",\"opcache\":%s}\n",
                 getpid(), wall, cpu, waited, peak, PG(memory_limit), realpath_size(), cache);
    int fd = open(measure.path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || write(fd, line, (size_t)size) != size)
        log_lines(ASKR_WARN, "askr.measure: the file cannot be written");
    if (fd >= 0)
        close(fd);
}
