/* SPDX-License-Identifier: MIT
 * Worker mode: a script boots once and pulls requests with handle_request().
 *
 * The whole script is one PHP request to the engine; cycle.c opens and closes the parts of one
 * within it. exit() and an uncaught exception end only the request they happen in. A fatal error
 * cannot be survived in place: it longjmps out of the script, which is then run again; the request
 * stays attached until PHP has shut down, so shutdown functions can still render an error page.
 *
 * A request is answered when its callback has returned and complete when the script asks for the
 * next one: what the script does in between (Symfony's kernel.terminate, a new boot) is the
 * request's, so its time limit holds, what it leaves behind is put back, and nobody is handed to a
 * process that cannot serve yet.
 *
 * A script that ends before it asks for a request has failed to boot: the host is told why, in one
 * line, and the process ends. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "askr_php.h"
#include <ext/spl/spl_exceptions.h>

enum {
    EXIT_BOOT_FAILED = 3, /* tells the supervisor to back off; after 0 it replaces at once */
    FATAL_ERRORS =
        E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR,
};

static void announce_ready(void)
{
    if (!php.ready_said)
        php.host->ready(php.port);
    php.ready_said = true;
}

/* What the boot set up becomes what each request starts from. */
static void finish_boot(void)
{
    php.worker.booted = true;
    session_baseline();
    reset_baseline();
    cycle_close();
    reset_ini_baseline();
    inspect_boot();
    announce_ready();
}

static bool next_request(void)
{
    if (php.worker.draining)
        return false;
    php.worker.draining = request_take() != REQUEST_TAKEN;
    return !php.worker.draining;
}

/* exit() has done its work by unwinding to here. Another exception is reported the way PHP reports
 * it at the end of a script: to the script's handler if it set one, else as a fatal error. */
static void settle_exception(void)
{
    if (!zend_is_unwind_exit(EG(exception)) && !zend_is_graceful_exit(EG(exception))) {
        if (Z_TYPE(EG(user_exception_handler)) != IS_UNDEF)
            zend_user_exception_handler();
        if (EG(exception))
            zend_exception_error(EG(exception), E_ERROR);
    }
    if (EG(exception))
        zend_clear_exception();
}

static void call_callback(zend_fcall_info *info, zend_fcall_info_cache *cache)
{
    zval result;
    ZVAL_UNDEF(&result);
    info->retval = &result;
    info->params = NULL;
    info->param_count = 0;
    EG(exit_status) = 0;
    zend_call_function(info, cache);
    /* Since 8.2.36 running out of memory arrives here like exit() does, but with the engine already
     * given up: going on would answer every later request with nothing. And with the exception
     * still pending no shutdown function would run. */
    if (CG(unclean_shutdown)) {
        zend_clear_exception();
        zend_bailout();
    }
    if (EG(exception))
        settle_exception();
    zval_ptr_dtor(&result);
}

static void serve_request(zend_fcall_info *info, zend_fcall_info_cache *cache)
{
    php.worker.in_callback = true;
    deadline_set();
    cycle_open(&php.request);
    inspect_begin();
    call_callback(info, cache);
    inspect_end();
    cycle_close();
    request_answered();
    php.worker.in_callback = false;
}

static void complete_last_request(void)
{
    deadline_clear();
    if (php.request.exchange)
        request_complete(ASKR_DONE);
}

static bool refuse_call(void)
{
    const char *why = NULL;
    if (!php.worker.running)
        why = "while not in worker mode";
    else if (php.worker.in_callback)
        why = "while a request is being handled";
    if (why)
        zend_throw_exception_ex(spl_ce_RuntimeException, 0, "%s() called %s",
                                get_active_function_name(), why);
    return why != NULL;
}

PHP_FUNCTION(askr_handle_request)
{
    zend_fcall_info info;
    zend_fcall_info_cache cache;
    ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_FUNC(info, cache)
    ZEND_PARSE_PARAMETERS_END();
    if (refuse_call())
        RETURN_THROWS();
    if (php.is_copy)
        RETURN_FALSE;
    if (php.worker.booted)
        cycle_idle_close();
    else
        finish_boot();
    complete_last_request();
    bool taken = next_request();
    if (taken)
        serve_request(&info, &cache);
    cycle_idle_open();
    RETURN_BOOL(taken);
}

/* Octane writes to STDERR when a boot fails. They are copies of our own 1 and 2 and end with the
 * script: one that is run again after a fatal error gets new ones. STDIN is left out on purpose:
 * its presence is how CodeIgniter and others tell that they run on a command line. */
static void define_streams(void)
{
    static const struct {
        const char *name, *url;
    } streams[] = {{"STDOUT", "php://stdout"}, {"STDERR", "php://stderr"}};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        php_stream *stream = php_stream_open_wrapper((char *)streams[i].url, "wb", 0, NULL);
        zend_constant constant;
        if (!stream)
            continue;
        php_stream_to_zval(stream, &constant.value);
        ZEND_CONSTANT_SET_FLAGS(&constant, CONST_CS, 0);
        constant.name = zend_string_init_interned(streams[i].name, strlen(streams[i].name), false);
        zend_register_constant(&constant);
    }
}

static void describe_fatal_error(char *text, size_t size)
{
    const char *message = ZSTR_VAL(PG(last_error_message));
    int line_size = (int)strcspn(message, "\n");
    /* "Uncaught Exception: no database in /srv/boot.php:3" says where already. */
    if (strncmp(message, "Uncaught ", 9) == 0 || !PG(last_error_file))
        snprintf(text, size, "%.*s", line_size, message);
    else
        snprintf(text, size, "%.*s in %s:%d", line_size, message, ZSTR_VAL(PG(last_error_file)),
                 PG(last_error_lineno));
}

/* Before php_request_shutdown(), which forgets the last error. */
static void note_boot_failure(void)
{
    struct php_worker *worker = &php.worker;
    zend_try
    {
        php_output_end_all();
    }
    zend_end_try();
    char reason[400] = "it ended before it called frankenphp_handle_request()";
    worker->output[strcspn(worker->output, "\r\n")] = '\0';
    if (PG(last_error_message) && (PG(last_error_type) & FATAL_ERRORS))
        describe_fatal_error(reason, sizeof reason);
    else if (EG(exit_status) && worker->output[0])
        snprintf(reason, sizeof reason, "exit(%d): %s", EG(exit_status), worker->output);
    else if (EG(exit_status))
        snprintf(reason, sizeof reason, "exit(%d)", EG(exit_status));
    snprintf(worker->failure, sizeof worker->failure, "worker script %s: %s", php.settings.script,
             reason);
}

static void execute_script(void)
{
    zend_file_handle file;
    define_streams();
    zend_stream_init_filename(&file, php.settings.script);
    file.primary_script = true;
    EG(exit_status) = 0;
    php_execute_script(&file);
    zend_destroy_file_handle(&file);
    if (!php.worker.booted)
        note_boot_failure();
}

static void run_script(void)
{
    memset(&php.worker, 0, sizeof php.worker);
    memset(&php.idle, 0, offsetof(struct php_request, gather));
    php.idle.head = &php.idle_head;
    zend_first_try
    {
        request_bind(&php.idle);
        if (php_request_startup() == SUCCESS) {
            php.worker.running = true;
            execute_script();
        }
        php.worker.running = false;
        if (php.worker.booted) {
            reset_ini_undo_baseline();
            reset_undo_baseline();
            session_drop_baseline();
        }
        php_request_shutdown(NULL);
    }
    zend_catch
    {
        php.worker.running = false;
    }
    zend_end_try();
    request_unbind();
    deadline_clear();
    if (php.request.exchange)
        request_answered();
}

int worker_serve(void)
{
    do
        run_script();
    while (php.worker.booted && !php.worker.draining && !php.is_copy);
    if (php.is_copy)
        _exit(EG(exit_status));
    complete_last_request();
    if (php.worker.booted)
        return 0;
    if (php.ready_said)
        log_lines(ASKR_ERROR,
                  php.worker.failure); /* whoever comes in its place tells the clients */
    else
        php.host->boot_failed(php.port, php.worker.failure);
    return EXIT_BOOT_FAILED;
}
