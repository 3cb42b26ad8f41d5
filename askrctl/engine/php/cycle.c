/* SPDX-License-Identifier: MIT
 * One request inside of a running worker script: the parts of PHP's request startup and shutdown
 * that concern the request, without those that would take the booted application away.
 *
 * The order is PHP's own. Opening: output layer, SAPI (reads POST data, uploads and cookies),
 * superglobals, extensions' request init, time limit. Closing: shutdown functions, output, time
 * limit, extensions, output layer, SAPI (removes uploads). Between requests the script runs in an
 * idle phase whose output and header fields lead nowhere. */
#include <string.h>

#include "askr_php.h"

/* php://input of a request that read it is kept by the resource list until the script ends: one
 * leaked temporary stream per request, if nobody frees those that only the list knows. */
static void release_temporary_streams(void)
{
    zend_resource *resource;
    int stream_type = php_file_le_stream();
    ZEND_HASH_FOREACH_PTR(&EG(regular_list), resource)
    {
        if (resource->type != stream_type || GC_REFCOUNT(resource) != 1)
            continue;
        php_stream *stream = resource->ptr;
        if (stream && stream->ops == &php_stream_temp_ops && stream->__exposed == 0)
            zend_list_delete(resource);
    }
    ZEND_HASH_FOREACH_END();
}

/* $_SERVER and $_REQUEST are made when code that names them is compiled ("just in time"): one that
 * is still armed has not been made and will be. $_ENV is the boot's. */
static void renew_superglobal(zend_auto_global *global)
{
    if (zend_string_equals_literal(global->name, "_ENV") || !global->auto_global_callback)
        return;
    if (global->jit && global->armed)
        return;
    global->armed = global->auto_global_callback(global->name);
}

static void renew_superglobals(void)
{
    zend_auto_global *global;
    zval *files = &PG(http_globals)[TRACK_VARS_FILES];
    zval_ptr_dtor_nogc(files);
    ZVAL_UNDEF(files);
    zend_hash_str_del(&EG(symbol_table), ZEND_STRL("_SESSION"));
    ZEND_HASH_MAP_FOREACH_PTR(CG(auto_globals), global)
    {
        renew_superglobal(global);
    }
    ZEND_HASH_FOREACH_END();
}

static void start_output_buffering(void)
{
    if (PG(output_handler) && PG(output_handler)[0]) {
        zval handler;
        ZVAL_STRING(&handler, PG(output_handler));
        php_output_start_user(&handler, 0, PHP_OUTPUT_HANDLER_STDFLAGS);
        zval_ptr_dtor(&handler);
    } else if (PG(output_buffering)) {
        size_t size = PG(output_buffering) > 1 ? (size_t)PG(output_buffering) : 0;
        php_output_start_user(NULL, size, PHP_OUTPUT_HANDLER_STDFLAGS);
    } else if (PG(implicit_flush)) {
        php_output_set_implicit_flush(1);
    }
}

static void open_sapi(struct php_request *request)
{
    request_bind(request);
    php_output_activate();
    PG(header_is_being_sent) = 0;
    PG(connection_status) = PHP_CONNECTION_NORMAL;
    PG(in_user_include) = 0;
    PG(in_error_log) = 0;
    sapi_activate();
    SG(request_info).proto_num = request->head->protocol;
    SG(sapi_started) = 1;
}

static void close_sapi(void)
{
    SG(post_read) = 1; /* a body that nobody read is the host's to drop, not ours to drain */
    zend_try
    {
        sapi_deactivate();
    }
    zend_end_try();
    request_unbind();
}

void cycle_open(struct php_request *request)
{
    release_temporary_streams();
    open_sapi(request);
    if (PG(expose_php))
        sapi_add_header(SAPI_PHP_VERSION_HEADER, sizeof SAPI_PHP_VERSION_HEADER - 1, 1);
    start_output_buffering();
    renew_superglobals();
    session_open();
    if (EG(timeout_seconds) > 0)
        zend_set_timeout(EG(timeout_seconds), false);
}

static void run_shutdown_functions(void)
{
    if (!BG(user_shutdown_function_names))
        return;
    php_call_shutdown_functions();
    php_free_shutdown_functions();
    BG(user_shutdown_function_names) = NULL;
}

void cycle_close(void)
{
    run_shutdown_functions();
    zend_try
    {
        php_output_end_all();
    }
    zend_end_try();
    if (php.worker.in_callback)
        measure_end();
    zend_unset_timeout();
    filter_input_release();
    session_close();
    zend_try
    {
        php_output_deactivate();
    }
    zend_end_try();
    close_sapi();
}

void cycle_idle_open(void)
{
    open_sapi(&php.idle);
    if (!php.request.exchange)
        return;
    /* The slow log names the request that a script is still working for. */
    SG(request_info).request_method = php.request.head->method.data;
    SG(request_info).request_uri = (char *)php.request.head->target.data;
}

/* Resetting comes first: a handler that goes away may run a destructor, and that may print. */
void cycle_idle_close(void)
{
    run_shutdown_functions();
    session_close();
    reset_after_request();
    if (php.request.exchange)
        inspect_after();
    zend_try
    {
        php_output_end_all();
        php_output_deactivate();
    }
    zend_end_try();
    close_sapi();
}
