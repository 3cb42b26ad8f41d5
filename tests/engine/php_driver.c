/* SPDX-License-Identifier: MIT
 * A fake host for askr_php.so: struct askr_host in one process, without port, worker and network.
 *
 *     php_driver LIBPHP MODULE [--fork COUNT] [KEY=VALUE …] < requests
 *
 * Requests come as lines, "key value" each, ended by "go"; test_php.py writes them. What the module
 * does is printed as one JSON object per line, to where stdout was: PHP's stdout is stderr.
 * With --fork each child serves all requests, one child after the other, as a zygote's would.
 *
 * "repeat N" serves a request N times and prints CPU time and memory of the series instead. */
#define _GNU_SOURCE
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "askr/module.h"

enum {
    REQUESTS_MAX = 4096,
    FIELDS_MAX = 64,
    SETTINGS_MAX = 32,
    LINE_SIZE = 65536,
    READ_SIZE_MAX = 5000, /* smaller than PHP's blocks: the module has to ask again */
    WARM_UP = 500,        /* requests of a series before its figures count */
};

struct scripted {
    struct askr_request head;
    struct askr_field fields[FIELDS_MAX];
    char *body;
    int64_t abort_after; /* the client leaves once that many body bytes were written; -1: never */
    long repeat;
};

struct buffer {
    char *data;
    size_t size, capacity;
};

struct askr_exchange {
    struct scripted *scripted;
    int64_t read_size;
    int64_t written;
    int status, flushes;
    bool in_use, has_head, ended;
    enum askr_outcome outcome; /* once it has ended */
    struct buffer fields, body, interims, trailers, events;
};

struct series {
    long served, odd; /* odd: answers with another status than the first */
    int first_status;
    int64_t cpu_ns, rss_kb;
};

static struct {
    FILE *out;
    struct scripted *requests[REQUESTS_MAX];
    size_t count, next;
    struct askr_exchange exchange;
    struct series series;
} driver;
static const struct askr_module *module;

static void append(struct buffer *buffer, const char *data, size_t size)
{
    if (size == 0)
        return; /* from a buffer that was never filled: no address to copy from */
    if (buffer->size + size > buffer->capacity) {
        buffer->capacity = (buffer->size + size) * 2;
        buffer->data = realloc(buffer->data, buffer->capacity);
        assert(buffer->data);
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

/* Bytes as a JSON string of code points 0 to 255: Python gets them back with latin-1. */
static void append_json(struct buffer *buffer, const char *data, size_t size)
{
    char escaped[8];
    append(buffer, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\')
            append(buffer, &data[i], 1);
        else
            append(buffer, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", byte));
    }
    append(buffer, "\"", 1);
}

static void append_text(struct buffer *buffer, const char *text)
{
    append(buffer, text, strlen(text));
}

static void append_number(struct buffer *buffer, long long number)
{
    char text[32];
    append(buffer, text, (size_t)snprintf(text, sizeof text, "%lld", number));
}

static void print_line(struct buffer *line)
{
    append_text(line, "\n");
    fwrite(line->data, 1, line->size, driver.out);
    fflush(driver.out);
    free(line->data);
}

static void print_event(const char *event, const char *key, const char *value)
{
    struct buffer line = {0};
    append_text(&line, "{\"event\":");
    append_json(&line, event, strlen(event));
    append_text(&line, ",\"");
    append_text(&line, key);
    append_text(&line, "\":");
    append_json(&line, value, strlen(value));
    append_text(&line, "}");
    print_line(&line);
}

static void note(struct askr_exchange *exchange, const char *event)
{
    if (exchange->events.size)
        append_text(&exchange->events, ",");
    append_json(&exchange->events, event, strlen(event));
}

static void append_fields(struct buffer *out, const struct askr_field *fields, size_t count)
{
    append_text(out, "[");
    for (size_t i = 0; i < count; i++) {
        append_text(out, i ? ",[" : "[");
        append_json(out, fields[i].name.data, fields[i].name.size);
        append_text(out, ",");
        append_json(out, fields[i].value.data, fields[i].value.size);
        append_text(out, "]");
    }
    append_text(out, "]");
}

static void append_member(struct buffer *line, const char *name, const struct buffer *value,
                          const char *brackets)
{
    append_text(line, ",\"");
    append_text(line, name);
    append_text(line, "\":");
    append(line, &brackets[0], brackets[0] != ' ');
    append(line, value->data, value->size);
    append(line, &brackets[1], brackets[1] != ' ');
}

static void print_answer(struct askr_exchange *exchange, enum askr_outcome outcome)
{
    struct buffer line = {0}, body = {0};
    append_text(&line, "{\"event\":\"answer\",\"status\":");
    append_number(&line, exchange->status);
    append_text(&line, ",\"outcome\":");
    append_text(&line, outcome == ASKR_DONE ? "\"done\"" : "\"failed\"");
    append_text(&line, ",\"flushes\":");
    append_number(&line, exchange->flushes);
    append_text(&line, ",\"read\":");
    append_number(&line, exchange->read_size);
    append_json(&body, exchange->body.data, exchange->body.size);
    if (exchange->has_head)
        append_member(&line, "fields", &exchange->fields, "  ");
    append_member(&line, "body", &body, "  ");
    append_member(&line, "interims", &exchange->interims, "[]");
    append_member(&line, "trailers", &exchange->trailers, "[]");
    append_member(&line, "events", &exchange->events, "[]");
    append_text(&line, "}");
    print_line(&line);
    free(body.data);
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t rss_kb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = -1;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_series(long repeat)
{
    struct series *series = &driver.series;
    long counted = repeat - WARM_UP;
    fprintf(driver.out,
            "{\"event\":\"series\",\"count\":%ld,\"odd\":%ld,\"us\":%.3f,\"rss_kb_first\":%lld,"
            "\"rss_kb_last\":%lld}\n",
            repeat, series->odd, (double)(cpu_ns() - series->cpu_ns) / 1000.0 / (double)counted,
            (long long)series->rss_kb, (long long)rss_kb());
}

/* True: this was the last one of its series, or not part of one. */
static bool count_in_series(struct askr_exchange *exchange)
{
    struct series *series = &driver.series;
    long repeat = exchange->scripted->repeat;
    if (repeat <= WARM_UP)
        return ++series->served >= repeat;
    if (series->served == 0)
        series->first_status = exchange->status;
    series->odd += exchange->status != series->first_status;
    if (series->served == WARM_UP) {
        series->cpu_ns = cpu_ns();
        series->rss_kb = rss_kb();
    }
    if (++series->served < repeat)
        return false;
    print_series(repeat);
    return true;
}

static void host_ready(struct askr_port *port)
{
    (void)port;
    print_event("ready", "text", "");
}

static void host_boot_failed(struct askr_port *port, const char *why)
{
    (void)port;
    print_event("boot_failed", "text", why);
}

static int host_take(struct askr_port *port, struct askr_exchange **out, int64_t timeout_ns)
{
    struct askr_exchange *exchange = &driver.exchange;
    (void)port;
    (void)timeout_ns;
    assert(!exchange->in_use); /* the module owes finish() before the next take() */
    if (driver.next == driver.count)
        return -ESHUTDOWN;
    exchange->in_use = true;
    exchange->scripted = driver.requests[driver.next];
    exchange->read_size = exchange->written = 0;
    exchange->status = exchange->flushes = 0;
    exchange->has_head = exchange->ended = false;
    exchange->fields.size = exchange->body.size = 0;
    exchange->interims.size = exchange->trailers.size = exchange->events.size = 0;
    *out = exchange;
    return 1;
}

static const struct askr_request *host_request(struct askr_exchange *exchange)
{
    return &exchange->scripted->head;
}

static bool host_aborted(struct askr_exchange *exchange)
{
    int64_t limit = exchange->scripted->abort_after;
    return limit >= 0 && exchange->written >= limit;
}

static int64_t host_read(struct askr_exchange *exchange, void *buffer, size_t size)
{
    int64_t left = exchange->scripted->head.content_length - exchange->read_size;
    int64_t taken = left < (int64_t)size ? left : (int64_t)size;
    assert(exchange->in_use);
    if (taken > READ_SIZE_MAX)
        taken = READ_SIZE_MAX;
    if (taken > 0)
        memcpy(buffer, exchange->scripted->body + exchange->read_size, (size_t)taken);
    exchange->read_size += taken;
    return taken;
}

static int host_head(struct askr_exchange *exchange, int status, const struct askr_field *fields,
                     size_t count)
{
    assert(exchange->in_use && !exchange->has_head && !exchange->ended);
    exchange->has_head = true;
    exchange->status = status;
    append_fields(&exchange->fields, fields, count);
    note(exchange, "head");
    return host_aborted(exchange) ? -ECONNABORTED : 0;
}

static int host_interim(struct askr_exchange *exchange, int status, const struct askr_field *fields,
                        size_t count)
{
    assert(exchange->in_use && !exchange->has_head && status >= 100 && status < 200);
    append_text(&exchange->interims, exchange->interims.size ? ",[" : "[");
    append_number(&exchange->interims, status);
    append_text(&exchange->interims, ",");
    append_fields(&exchange->interims, fields, count);
    append_text(&exchange->interims, "]");
    note(exchange, "interim");
    return 0;
}

static int host_trailers(struct askr_exchange *exchange, const struct askr_field *fields,
                         size_t count)
{
    assert(exchange->in_use && !exchange->ended && count > 0);
    append_fields(&exchange->trailers, fields, count);
    note(exchange, "trailers");
    return 0;
}

static int host_write(struct askr_exchange *exchange, const void *data, size_t size)
{
    assert(exchange->in_use && exchange->has_head && !exchange->ended && size > 0);
    if (host_aborted(exchange))
        return -ECONNABORTED;
    append(&exchange->body, data, size);
    exchange->written += (int64_t)size;
    note(exchange, "write");
    return 0;
}

static int host_flush(struct askr_exchange *exchange)
{
    assert(exchange->in_use && exchange->has_head && !exchange->ended);
    exchange->flushes++;
    note(exchange, "flush");
    return host_aborted(exchange) ? -ECONNABORTED : 0;
}

static int host_end(struct askr_exchange *exchange)
{
    assert(exchange->in_use && exchange->has_head && !exchange->ended);
    exchange->ended = true;
    exchange->outcome = ASKR_DONE;
    note(exchange, "end");
    return 0;
}

static void host_answered(struct askr_exchange *exchange, enum askr_outcome outcome)
{
    assert(exchange->in_use);
    assert(exchange->has_head || outcome == ASKR_FAILED);
    exchange->ended = true;
    exchange->outcome = outcome;
}

static void host_finish(struct askr_exchange *exchange, enum askr_outcome outcome)
{
    assert(exchange->in_use);
    exchange->in_use = false;
    if (exchange->ended)
        outcome = exchange->outcome;
    if (!exchange->has_head) {
        assert(outcome == ASKR_FAILED);
        exchange->status = 500;
    }
    if (!count_in_series(exchange))
        return;
    print_answer(exchange, outcome);
    memset(&driver.series, 0, sizeof driver.series);
    driver.next++;
}

static void host_log(enum askr_level level, const char *id, const char *text)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[8192];
    snprintf(line, sizeof line, id ? "[%s] %s" : "%s%s", id ? id : "", text);
    print_event("log", names[level], line);
}

static void host_reload(struct askr_port *port)
{
    (void)port;
    print_event("log", "info", "a reload is asked for");
}

static const struct askr_host host = {
    .abi = ASKR_MODULE_ABI,
    .ready = host_ready,
    .boot_failed = host_boot_failed,
    .take = host_take,
    .request = host_request,
    .read = host_read,
    .head = host_head,
    .interim = host_interim,
    .trailers = host_trailers,
    .write = host_write,
    .flush = host_flush,
    .end = host_end,
    .answered = host_answered,
    .finish = host_finish,
    .aborted = host_aborted,
    .log = host_log,
    .reload = host_reload,
};

static struct askr_text keep(const char *text)
{
    return (struct askr_text){strdup(text), (uint32_t)strlen(text)};
}

static struct scripted *new_request(void)
{
    struct scripted *request = calloc(1, sizeof *request);
    struct askr_text empty = {"", 0};
    assert(request);
    request->head = (struct askr_request){
        .method = keep("GET"),
        .target = keep("/"),
        .path = keep("/"),
        .query = empty,
        .host = empty,
        .script_filename = empty,
        .script_name = empty,
        .path_info = empty,
        .document_root = empty,
        .remote_address = keep("127.0.0.1"),
        .server_address = keep("127.0.0.1"),
        .content_type = empty,
        .cookie = empty,
        .authorization = empty,
        .remote_port = 40000,
        .server_port = 8080,
        .protocol = 1001,
        .fields = request->fields,
    };
    request->abort_after = -1;
    request->repeat = 1;
    return request;
}

static void read_body(struct scripted *request, const char *path)
{
    FILE *file = fopen(path, "rb");
    assert(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    request->body = malloc((size_t)size + 1);
    assert(request->body && fread(request->body, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    request->head.content_length = size;
    request->head.has_body = true;
}

static void add_field(struct scripted *request, const char *value)
{
    const char *colon = strchr(value, ':');
    assert(colon && request->head.field_count < FIELDS_MAX);
    char *name = strndup(value, (size_t)(colon - value));
    request->fields[request->head.field_count++] =
        (struct askr_field){{name, (uint32_t)strlen(name)}, keep(colon + 2)};
}

static bool set_text(struct askr_request *head, const char *key, const char *value)
{
    const struct {
        const char *key;
        struct askr_text *text;
    } texts[] = {
        {"method", &head->method},
        {"target", &head->target},
        {"path", &head->path},
        {"query", &head->query},
        {"host", &head->host},
        {"script", &head->script_filename},
        {"script_name", &head->script_name},
        {"path_info", &head->path_info},
        {"root", &head->document_root},
        {"content_type", &head->content_type},
        {"cookie", &head->cookie},
        {"authorization", &head->authorization},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0) {
            *texts[i].text = keep(value);
            return true;
        }
    }
    return false;
}

static long number(const char *text)
{
    return strtol(text, NULL, 10);
}

static void set_other(struct scripted *request, const char *key, const char *value)
{
    if (strcmp(key, "field") == 0)
        add_field(request, value);
    else if (strcmp(key, "body") == 0)
        read_body(request, value);
    else if (strcmp(key, "https") == 0)
        request->head.https = true;
    else if (strcmp(key, "protocol") == 0)
        request->head.protocol = (uint16_t)number(value);
    else if (strcmp(key, "abort_after") == 0)
        request->abort_after = number(value);
    else if (strcmp(key, "repeat") == 0)
        request->repeat = number(value);
    else
        assert(!"unknown key");
}

static void read_requests(FILE *in)
{
    static char line[LINE_SIZE];
    struct scripted *request = new_request();
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, ' ');
        if (strcmp(line, "go") == 0) {
            assert(driver.count < REQUESTS_MAX);
            driver.requests[driver.count++] = request;
            request = new_request();
            continue;
        }
        assert(value);
        *value++ = '\0';
        if (!set_text(&request->head, line, value))
            set_other(request, line, value);
    }
    free(request);
}

static void load(const char *libphp, const char *path)
{
    if (!dlopen(libphp, RTLD_NOW | RTLD_GLOBAL) || !dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    module = dlsym(dlopen(path, RTLD_NOW | RTLD_NOLOAD), "askr_module");
    assert(module && module->abi == ASKR_MODULE_ABI);
}

static void start(int count, char **texts)
{
    struct askr_setting settings[SETTINGS_MAX];
    char error[512] = "", facts[16384];
    assert(count <= SETTINGS_MAX);
    for (int i = 0; i < count; i++) {
        char *equals = strchr(texts[i], '=');
        assert(equals);
        settings[i] =
            (struct askr_setting){strndup(texts[i], (size_t)(equals - texts[i])), equals + 1};
    }
    if (module->start(&host, settings, (size_t)count, error, sizeof error)) {
        print_event("start_failed", "text", error);
        exit(1);
    }
    if (module->describe(facts, sizeof facts) == 0)
        fprintf(driver.out, "{\"event\":\"facts\",\"facts\":%s}\n", facts);
    fflush(driver.out);
}

static int serve(void)
{
    int status = module->serve(NULL);
    fprintf(driver.out, "{\"event\":\"exit\",\"status\":%d,\"unserved\":%zu}\n", status,
            driver.count - driver.next);
    fflush(driver.out);
    return status;
}

int main(int argc, char **argv)
{
    int first = 3, forks = 0;
    assert(argc >= 3);
    driver.out = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (argc > 4 && strcmp(argv[3], "--fork") == 0) {
        forks = (int)number(argv[4]);
        first = 5;
    }
    load(argv[1], argv[2]);
    read_requests(stdin);
    start(argc - first, argv + first);
    if (forks == 0)
        _exit(serve()); /* as an application process does: no libphp clean-up on the way out */
    for (int i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(serve());
        waitpid(child, NULL, 0);
    }
    return 0;
}
