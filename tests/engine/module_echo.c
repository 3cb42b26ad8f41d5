/* SPDX-License-Identifier: MIT
 * An application module for tests: the path of a request says how it is answered, see `routes`.
 * Settings: start-error=SENTENCE makes start() fail, boot-error=SENTENCE makes serve() report a
 * failed boot, requests=N makes a process leave after N requests. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "askr/module.h"

enum { BLOCK_SIZE = 65536 };

static const struct askr_host *host;
static const char *boot_error;
static long requests_max = -1;
static char block[BLOCK_SIZE];

#define TEXT(literal) ((struct askr_text){(literal), sizeof(literal) - 1})

static struct askr_text text_of(const char *text)
{
    return (struct askr_text){text, (uint32_t)strlen(text)};
}

static void sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* A head with Content-Length, unless it is negative. */
static int head(struct askr_exchange *exchange, int status, long long length)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", length);
    struct askr_field fields[] = {{TEXT("Content-Type"), TEXT("text/plain")},
                                  {TEXT("Content-Length"), text_of(digits)}};
    return host->head(exchange, status, fields, length < 0 ? 1 : 2);
}

static int answer(struct askr_exchange *exchange, int status, const char *text)
{
    int result = head(exchange, status, (long long)strlen(text));
    return result != 0 ? result : host->write(exchange, text, strlen(text));
}

static int hello(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    return answer(exchange, 200, "Hello, World!");
}

static int echo(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    int result = head(exchange, 200, host->request(exchange)->content_length);
    int64_t size = 0;
    while (result == 0 && (size = host->read(exchange, block, sizeof block)) > 0)
        result = host->write(exchange, block, (size_t)size);
    return result != 0 ? result : (int)size;
}

/* Byte i is 'a' + i % 23, so that a lost or doubled block shows. */
static int sized(struct askr_exchange *exchange, const char *argument)
{
    long long size = strtoll(argument, NULL, 10), sent = 0;
    int result = head(exchange, 200, size);
    while (result == 0 && sent < size) {
        size_t part = size - sent < BLOCK_SIZE ? (size_t)(size - sent) : BLOCK_SIZE;
        for (size_t i = 0; i < part; i++)
            block[i] = (char)('a' + (sent + (long long)i) % 23);
        result = host->write(exchange, block, part);
        sent += (long long)part;
    }
    return result;
}

static int slept(struct askr_exchange *exchange, const char *argument)
{
    sleep_ms(strtol(argument, NULL, 10));
    return answer(exchange, 200, "slept");
}

static _Noreturn void crash(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    _exit(99);
}

static int crash_now(struct askr_exchange *exchange, const char *argument)
{
    (void)exchange;
    (void)argument;
    crash();
}

static int crash_halfway(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    head(exchange, 200, 1000);
    host->write(exchange, "half", 4);
    host->flush(exchange);
    crash();
}

static int exit_early(struct askr_exchange *exchange, const char *argument)
{
    (void)exchange;
    (void)argument;
    _exit(3);
}

static int flushed(struct askr_exchange *exchange, const char *argument)
{
    long count = strtol(argument, NULL, 10);
    int result = head(exchange, 200, -1);
    for (long i = 0; i < count && result == 0; i++) {
        char line[32];
        int size = snprintf(line, sizeof line, "chunk %ld\n", i);
        result = host->write(exchange, line, (size_t)size);
        if (result == 0)
            result = host->flush(exchange);
    }
    return result;
}

/* Flushed blocks, the end, and then the process is gone while the client has yet to read. */
static int last_words(struct askr_exchange *exchange, const char *argument)
{
    int result = head(exchange, 200, -1);
    for (long count = strtol(argument, NULL, 10); count > 0 && result == 0; count--) {
        memset(block, 'l', sizeof block);
        result = host->write(exchange, block, sizeof block);
        if (result == 0)
            result = host->flush(exchange);
    }
    if (result == 0)
        result = host->end(exchange);
    _exit(result == 0 ? 0 : 1);
}

static int hinted(struct askr_exchange *exchange, const char *argument)
{
    struct askr_field link = {TEXT("Link"), TEXT("</style.css>; rel=preload; as=style")};
    int result = 0;
    long count = *argument == '/' ? strtol(argument + 1, NULL, 10) : 1;
    for (; count > 0 && result == 0; count--)
        result = host->interim(exchange, 103, &link, 1);
    return result != 0 ? result : answer(exchange, 200, "after a hint");
}

/* Two of them that may stand there, two that may not; "said" or why not is the body. With /length
 * the answer announces its length, with /flush it is streamed, with /twice they are said again. */
static int trailed(struct askr_exchange *exchange, const char *argument)
{
    struct askr_field all[] = {{TEXT("X-Sum"), TEXT("4")},
                               {TEXT("Set-Cookie"), TEXT("a=b")},
                               {TEXT("Server-Timing"), TEXT("db;dur=1.5")},
                               {TEXT("X-Split"), TEXT("1\r\nX-More: 2")}};
    bool again = strcmp(argument, "/twice") == 0, flushes = strcmp(argument, "/flush") == 0;
    const char *word = host->trailers(exchange, all, 4) == 0 ? "said" : "none";
    if (again && host->trailers(exchange, all, 4) == -EALREADY)
        word = "once";
    int result = head(exchange, 200, strcmp(argument, "/length") == 0 ? 4 : -1);
    if (result == 0)
        result = host->write(exchange, word, 4);
    return result == 0 && flushes ? host->flush(exchange) : result;
}

static int goes_on(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    int result = answer(exchange, 200, "ended");
    if (result == 0)
        result = host->end(exchange);
    sleep_ms(50);
    return result;
}

/* So many fields in its head. */
static int many_fields(struct askr_exchange *exchange, const char *argument)
{
    struct askr_field all[128];
    long count = strtol(argument, NULL, 10);
    for (long i = 0; i < count && i < 128; i++)
        all[i] = (struct askr_field){TEXT("X-Field"), TEXT("value")};
    return host->head(exchange, 200, all, count < 128 ? (size_t)count : 128);
}

/* One "name: value" a line. */
static int fields(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    const struct askr_request *request = host->request(exchange);
    int result = head(exchange, 200, -1);
    for (uint16_t i = 0; i < request->field_count && result == 0; i++) {
        const struct askr_field *field = &request->fields[i];
        int size = snprintf(block, sizeof block, "%s: %s\n", field->name.data, field->value.data);
        result = host->write(exchange, block, (size_t)size);
    }
    return result;
}

/* One "member=value" a line. */
static int request(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    const struct askr_request *r = host->request(exchange);
    int size = snprintf(
        block, sizeof block,
        "method=%s\ntarget=%s\npath=%s\nquery=%s\nhost=%s\nscript_filename=%s\nscript_name=%s\n"
        "path_info=%s\ndocument_root=%s\nremote=%s:%u\nserver=%s:%u\ncontent_type=%s\ncookie=%s\n"
        "authorization=%s\ncontent_length=%lld\nhas_body=%d\nhttps=%d\nprotocol=%u\n",
        r->method.data, r->target.data, r->path.data, r->query.data, r->host.data,
        r->script_filename.data, r->script_name.data, r->path_info.data, r->document_root.data,
        r->remote_address.data, r->remote_port, r->server_address.data, r->server_port,
        r->content_type.data, r->cookie.data, r->authorization.data, (long long)r->content_length,
        r->has_body, r->https, r->protocol);
    int result = head(exchange, 200, size);
    return result != 0 ? result : host->write(exchange, block, (size_t)size);
}

/* A body whatever the status, also one that has none. */
static int bodied(struct askr_exchange *exchange, const char *argument)
{
    return answer(exchange, (int)strtol(argument, NULL, 10), "a body that must not be sent");
}

static int status(struct askr_exchange *exchange, const char *argument)
{
    return answer(exchange, (int)strtol(argument, NULL, 10), "");
}

static int headless(struct askr_exchange *exchange, const char *argument)
{
    (void)exchange;
    (void)argument;
    return 0;
}

static int fails_halfway(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    head(exchange, 200, 1000);
    host->write(exchange, "half", 4);
    return -EIO;
}

static int process_id(struct askr_exchange *exchange, const char *argument)
{
    (void)argument;
    char text[16];
    snprintf(text, sizeof text, "%d", (int)getpid());
    return answer(exchange, 200, text);
}

static const struct route {
    const char *prefix;
    int (*run)(struct askr_exchange *, const char *argument); /* what follows the prefix */
} routes[] = {
    {"/hello", hello},                 /* 13 bytes */
    {"/echo", echo},                   /* the body back */
    {"/size/", sized},                 /* N bytes */
    {"/sleep/", slept},                /* answers after so many ms */
    {"/crash-halfway", crash_halfway}, /* head and 4 of 1000 bytes, then SIGSEGV */
    {"/crash", crash_now},             /* SIGSEGV before anything is said */
    {"/exit-before-head", exit_early}, /* leaves with status 3 */
    {"/flush/", flushed},              /* N flushed chunks, no length */
    {"/interim", hinted},              /* 103, or /N of them, then 200 */
    {"/trailers", trailed},            /* fields behind the body: see there */
    {"/last/", last_words},            /* N flushed blocks, end(), then the process exits */
    {"/after", goes_on},               /* end(), then 50 ms more work */
    {"/fields", fields},               /* request fields */
    {"/many/", many_fields},           /* N fields, at most 128 */
    {"/request", request},             /* everything else in a request */
    {"/status/", status},              /* that status, empty body */
    {"/bodied/", bodied},              /* that status, and a body in any case */
    {"/headless", headless},           /* finish() without a head */
    {"/fail-halfway", fails_halfway},  /* head and 4 of 1000 bytes, then ASKR_FAILED */
    {"/pid", process_id},              /* of the answering process */
};

static int dispatch(struct askr_exchange *exchange)
{
    const char *path = host->request(exchange)->path.data;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        size_t size = strlen(routes[i].prefix);
        if (strncmp(path, routes[i].prefix, size) == 0)
            return routes[i].run(exchange, path + size);
    }
    return answer(exchange, 404, "no such test");
}

static int serve(struct askr_port *port)
{
    if (boot_error != NULL) {
        host->boot_failed(port, boot_error);
        return 1;
    }
    host->ready(port);
    int result;
    struct askr_exchange *exchange;
    for (long count = 0; count != requests_max; count++) {
        result = host->take(port, &exchange, -1);
        if (result != 1)
            return result == -ESHUTDOWN ? 0 : 1;
        host->finish(exchange, dispatch(exchange) == 0 ? ASKR_DONE : ASKR_FAILED);
    }
    return 0;
}

static int start(const struct askr_host *table, const struct askr_setting *settings, size_t count,
                 char *error, size_t size)
{
    host = table;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].key, "boot-error") == 0)
            boot_error = settings[i].value;
        else if (strcmp(settings[i].key, "requests") == 0)
            requests_max = strtol(settings[i].value, NULL, 10);
        else if (strcmp(settings[i].key, "start-error") == 0) {
            snprintf(error, size, "%s", settings[i].value);
            return -1;
        }
    }
    return 0;
}

static int describe(char *json, size_t size)
{
    int needed = snprintf(json, size, "{\"name\": \"echo\", \"abi\": %d}", ASKR_MODULE_ABI);
    return needed >= 0 && (size_t)needed < size ? 0 : -1;
}

static int trace(int32_t pid, char *text, size_t size)
{
    int needed = snprintf(text, size, "GET /trace\nof %d\n", pid);
    return needed >= 0 && (size_t)needed < size ? 0 : -1;
}

static int caches(char *json, size_t size)
{
    int needed = snprintf(json, size, "{\"looked\": %d}", getpid());
    return needed >= 0 && (size_t)needed < size ? 0 : -1;
}

__attribute__((visibility("default"))) const struct askr_module askr_module = {
    .abi = ASKR_MODULE_ABI,
    .name = "echo",
    .built_for = "tests",
    .start = start,
    .serve = serve,
    .describe = describe,
    .trace = trace,
    .caches = caches,
};
