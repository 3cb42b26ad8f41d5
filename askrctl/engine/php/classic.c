/* SPDX-License-Identifier: MIT
 * Classic mode: each request runs its own script from a clean start, as under php-fpm.
 *
 * Whatever the script does (exit, fatal error, endless recursion in PHP code) ends in
 * php_request_shutdown(), which runs shutdown functions and sends what was printed; only then is
 * the exchange given back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "askr_php.h"

/* The host found the script a moment ago; a deployment may have taken it away since. Without this
 * look PHP would answer with a fatal error. */
static bool script_is_there(void)
{
    return access(php.request.head->script_filename.data, R_OK) == 0;
}

static void answer_not_found(void)
{
    static const struct askr_field type = {{"Content-Type", 12}, {"text/plain", 10}};
    static const char text[] = "File not found.\n";
    struct php_request *request = &php.request;
    char line[512];
    snprintf(line, sizeof line, "no script at %s", request->head->script_filename.data);
    php.host->log(ASKR_WARN, line);
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
