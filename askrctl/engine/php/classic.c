/* SPDX-License-Identifier: MIT
 * Classic mode: each request runs its own script from a clean start, as under php-fpm.
 *
 * Whatever the script does (exit, fatal error, endless recursion in PHP code) ends in
 * php_request_shutdown(), which runs shutdown functions and sends what was printed; only then is
 * the exchange given back. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "askr_php.h"

/* The script that was served last, so that what holds for it need not be asked for each request. */
static struct {
    char name[MAXPATHLEN];
    uint32_t size;
    time_t seen; /* when it was last found on disk */
} last;

/* The host found the script a moment ago; a deployment may have taken it away since. Without this
 * look, once a second, PHP would answer with a fatal error. */
static bool script_is_there(void)
{
    struct askr_text name = php.request.head->script_filename;
    time_t now = time(NULL);
    bool known = name.size == last.size && memcmp(name.data, last.name, name.size) == 0;
    if (known && now == last.seen)
        return true;
    if (name.size >= sizeof last.name || access(name.data, R_OK) < 0)
        return false;
    memcpy(last.name, name.data, name.size + 1);
    last.size = name.size;
    last.seen = now;
    return true;
}

/* A script starts in its own folder, as under php-fpm. PHP would ask for the folder it is in,
 * change to the script's, and back: three system calls for what is nearly always so already. */
static void enter_folder(void)
{
    char folder[MAXPATHLEN], current[MAXPATHLEN];
    const char *slash = zend_memrchr(last.name, '/', last.size);
    size_t size = !slash || slash == last.name ? 1 : (size_t)(slash - last.name);
    memcpy(folder, last.name, size);
    folder[size] = '\0';
    if (!getcwd(current, sizeof current) || strcmp(current, folder) != 0)
        (void)!chdir(folder);
}

static void answer_not_found(void)
{
    static const struct askr_field type = {{"Content-Type", 12}, {"text/plain", 10}};
    static const char text[] = "File not found.\n";
    struct php_request *request = &php.request;
    char line[512];
    snprintf(line, sizeof line, "no script at %s", request->head->script_filename.data);
    log_lines(ASKR_WARN, line);
    request->head_sent = true;
    if (php.host->head(request->exchange, 404, &type, 1) == 0)
        php.host->write(request->exchange, text, sizeof text - 1);
}

static void run_script(void)
{
    zend_file_handle file;
    SG(request_info).proto_num = php.request.head->protocol; /* startup has put 1000 there */
    zend_stream_init_filename(&file, php.request.head->script_filename.data);
    file.primary_script = true;
    enter_folder();
    php_execute_script(&file);
    zend_destroy_file_handle(&file);
}

static void serve_request(void)
{
    deadline_set();
    zend_first_try
    {
        request_bind(&php.request);
        if (php_request_startup() == SUCCESS)
            run_script();
        php_request_shutdown(NULL);
    }
    zend_catch
    {
        /* Shutdown itself fell over: what it had sent is the answer, or else a 500 page. */
    }
    zend_end_try();
    deadline_clear();
    request_unbind();
}

int classic_serve(void)
{
    SG(options) |= SAPI_OPTION_NO_CHDIR; /* enter_folder() does it */
    php.host->ready(php.port);
    for (;;) {
        switch (request_take()) {
        case REQUEST_NO_MORE:
            return 0;
        case REQUEST_PORT_BROKEN:
            return 1;
        case REQUEST_TAKEN:
            break;
        }
        if (script_is_there())
            serve_request();
        else
            answer_not_found();
        request_complete(ASKR_DONE);
    }
}
