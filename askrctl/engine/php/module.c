/* SPDX-License-Identifier: MIT
 * The application module "php": what the zygote loads, after libphp, to run PHP.
 *
 * start() once in the zygote; serve() once in each process forked from it. Links nothing of ours
 * and nothing of PHP: libphp is there already (RTLD_GLOBAL, as PHP's extensions need its symbols
 * too), and everything of the engine comes through struct askr_host. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "askr_php.h"

struct php_process php;

static struct askr_text text_of(const char *text)
{
    return text ? (struct askr_text){text, (uint32_t)strlen(text)} : (struct askr_text){"", 0};
}

/* What a worker script sees as its request while it boots and between requests. */
static void describe_idle_request(void)
{
    struct askr_request *head = &php.idle_head;
    const char *slash = php.settings.script ? strrchr(php.settings.script, '/') : NULL;
    *head = (struct askr_request){
        .method = text_of("GET"),
        .target = text_of(""),
        .path = text_of(""),
        .query = text_of(""),
        .host = text_of(""),
        .script_filename = text_of(php.settings.script),
        .script_name = text_of(slash),
        .path_info = text_of(""),
        .document_root = text_of(php.settings.document_root),
        .remote_address = text_of(""),
        .server_address = text_of(""),
        .content_type = text_of(""),
        .cookie = text_of(""),
        .authorization = text_of(""),
        .protocol = 1001,
    };
    php.idle.head = head;
}

static int start(const struct askr_host *host, const struct askr_setting *settings, size_t count,
                 char *error, size_t size)
{
    if (host->abi != ASKR_MODULE_ABI) {
        snprintf(error, size, "php: askr_php.so speaks ABI %d, the server %u", ASKR_MODULE_ABI,
                 host->abi);
        return -1;
    }
    php.host = host;
    if (settings_read(settings, count, error, size))
        return -1;
    describe_idle_request();
    /* Worker scripts ask for it while they boot, in $_SERVER or by getenv(). */
    if (php.settings.worker_mode)
        setenv("FRANKENPHP_WORKER", "1", 1);
    if (sapi_start(error, size))
        return -1;
    return facts_collect(error, size);
}

/* A script forked: this copy shares the exchange with its parent and must not touch it. Without a
 * context all output is dropped; request_complete() ends the copy. */
static void become_copy(void)
{
    php.is_copy = true;
    SG(server_context) = NULL;
}

/* Nothing is seeded twice: no request ran in the zygote, and PHP seeds its generators when they are
 * first used. */
static int serve(struct askr_port *port)
{
    sigset_t unblocked;
    php.port = port;
    pthread_atfork(NULL, NULL, become_copy);
    sigemptyset(&unblocked);
    sigaddset(&unblocked, SIGPROF); /* max_execution_time */
    sigaddset(&unblocked, SIGALRM); /* pcntl_alarm() */
    pthread_sigmask(SIG_UNBLOCK, &unblocked, NULL);
    if (deadline_start_timer())
        log_lines(ASKR_WARN,
                  "no timer for request_timeout: only max_execution_time limits scripts");
    return php.settings.worker_mode ? worker_serve() : classic_serve();
}

static int describe(char *json, size_t size)
{
    size_t needed = strlen(php.facts) + 1;
    if (needed == 1 || needed > size)
        return -1;
    memcpy(json, php.facts, needed);
    return 0;
}

__attribute__((visibility("default"))) const struct askr_module askr_module = {
    .abi = ASKR_MODULE_ABI,
    .name = "php",
    .built_for = PHP_VERSION " NTS",
    .start = start,
    .serve = serve,
    .describe = describe,
    .trace = trace_process,
    .caches = facts_of_caches,
};
