/* SPDX-License-Identifier: MIT
 * The functions that scripts see: those of php-fpm and Apache that applications look for, and those
 * of FrankenPHP, so that worker scripts written for it run unmodified.
 *
 * Two module entries: "askr" carries the functions, "frankenphp" answers extension_loaded(). */
#include <stdlib.h>
#include <string.h>

#include "askr_php.h"
#include <ext/json/php_json.h>
#include <ext/spl/spl_exceptions.h>
#include <zend_smart_str.h>

/* FrankenPHP's levels, which are those of Go's log/slog. */
enum { LOG_LEVEL_DEBUG = -4, LOG_LEVEL_INFO = 0, LOG_LEVEL_WARN = 4, LOG_LEVEL_ERROR = 8 };

static PHP_FUNCTION(askr_finish_request)
{
    ZEND_PARSE_PARAMETERS_NONE();
    RETURN_BOOL(output_end(SG(server_context)));
}

/* 1xx: an interim answer with the fields set so far, which stay for the final one. */
static PHP_FUNCTION(headers_send)
{
    zend_long status = 200;
    ZEND_PARSE_PARAMETERS_START(0, 1)
    Z_PARAM_OPTIONAL
    Z_PARAM_LONG(status)
    ZEND_PARSE_PARAMETERS_END();
    int final_status = SG(sapi_headers).http_response_code;
    if (status < 100 || status > 599) {
        zend_argument_value_error(1, "must be a status code between 100 and 599");
        RETURN_THROWS();
    }
    SG(sapi_headers).http_response_code = (int)status;
    if (status >= 200)
        RETURN_LONG(sapi_send_headers());
    int result = sapi_module.send_headers(&SG(sapi_headers));
    SG(sapi_headers).http_response_code = final_status;
    RETURN_LONG(result);
}

/* Adds name → value; a repeated name becomes a list (RFC 9110 section 5.3). */
static void add_field(zval *array, zend_string *name, const char *value, size_t size)
{
    zval *earlier = zend_hash_find(Z_ARRVAL_P(array), name);
    zval joined;
    if (earlier)
        ZVAL_STR(&joined, zend_string_concat3(Z_STRVAL_P(earlier), Z_STRLEN_P(earlier), ", ", 2,
                                              value, size));
    else
        ZVAL_STRINGL(&joined, value, size);
    zend_hash_update(Z_ARRVAL_P(array), name, &joined);
}

/* "accept-encoding" as "Accept-Encoding": HTTP/2 clients send lower case, and applications look up
 * the spelling that they know from HTTP/1. */
static zend_string *title_case(struct askr_text name)
{
    zend_string *title = zend_string_init(name.data, name.size, false);
    bool starts_word = true;
    zend_str_tolower(ZSTR_VAL(title), ZSTR_LEN(title));
    for (size_t i = 0; i < ZSTR_LEN(title); i++) {
        char letter = ZSTR_VAL(title)[i];
        if (starts_word && letter >= 'a' && letter <= 'z')
            ZSTR_VAL(title)[i] = (char)(letter - 'a' + 'A');
        starts_word = letter == '-';
    }
    return title;
}

static PHP_FUNCTION(askr_request_headers)
{
    ZEND_PARSE_PARAMETERS_NONE();
    struct php_request *request = SG(server_context);
    array_init(return_value);
    for (size_t i = 0; request && i < request->head->field_count; i++) {
        const struct askr_field *field = &request->head->fields[i];
        zend_string *name = title_case(field->name);
        add_field(return_value, name, field->value.data, field->value.size);
        zend_string_release(name);
    }
}

static PHP_FUNCTION(askr_response_headers)
{
    ZEND_PARSE_PARAMETERS_NONE();
    zend_llist_position position;
    zend_llist *list = &SG(sapi_headers).headers;
    sapi_header_struct *header = zend_llist_get_first_ex(list, &position);
    array_init(return_value);
    for (; header; header = zend_llist_get_next_ex(list, &position)) {
        const char *colon = strchr(header->header, ':');
        if (!colon)
            continue;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        zend_string *name = zend_string_init(header->header, (size_t)(colon - header->header), 0);
        add_field(return_value, name, value, strlen(value));
        zend_string_release(name);
    }
}

static enum askr_level level_of(zend_long level)
{
    if (level >= LOG_LEVEL_ERROR)
        return ASKR_ERROR;
    if (level >= LOG_LEVEL_WARN)
        return ASKR_WARN;
    return level >= LOG_LEVEL_INFO ? ASKR_INFO : ASKR_DEBUG;
}

static PHP_FUNCTION(askr_log)
{
    zend_string *message;
    zend_long level = LOG_LEVEL_INFO;
    zval *context = NULL;
    smart_str line = {0};
    ZEND_PARSE_PARAMETERS_START(1, 3)
    Z_PARAM_STR(message)
    Z_PARAM_OPTIONAL
    Z_PARAM_LONG(level)
    Z_PARAM_ARRAY(context)
    ZEND_PARSE_PARAMETERS_END();
    smart_str_append(&line, message);
    if (context && zend_hash_num_elements(Z_ARRVAL_P(context)) > 0) {
        smart_str_appendc(&line, ' ');
        php_json_encode(&line, context,
                        PHP_JSON_PARTIAL_OUTPUT_ON_ERROR | PHP_JSON_UNESCAPED_SLASHES);
    }
    smart_str_0(&line);
    if (line.s)
        log_lines(level_of(level), ZSTR_VAL(line.s));
    smart_str_free(&line);
}

/* A restart of OPcache in place waits until nobody holds its lock, which worker scripts do for
 * life, and under load it crashes others: instead the server replaces all processes, and with them
 * the cache. True, as the cache that the next requests meet will be an empty one. */
static PHP_FUNCTION(opcache_reset_by_reload)
{
    ZEND_PARSE_PARAMETERS_NONE();
    if (php.is_copy)
        RETURN_FALSE;
    php.host->reload(php.port);
    RETURN_TRUE;
}

/* Symfony's FrankenPhpHub calls it; there is no hub here. */
static PHP_FUNCTION(mercure_publish)
{
    zval *topics;
    zend_string *data = NULL, *id = NULL, *type = NULL;
    bool is_private = false, no_retry = true;
    zend_long retry = 0;
    ZEND_PARSE_PARAMETERS_START(1, 6)
    Z_PARAM_ZVAL(topics)
    Z_PARAM_OPTIONAL
    Z_PARAM_STR(data)
    Z_PARAM_BOOL(is_private)
    Z_PARAM_STR_OR_NULL(id)
    Z_PARAM_STR_OR_NULL(type)
    Z_PARAM_LONG_OR_NULL(retry, no_retry)
    ZEND_PARSE_PARAMETERS_END();
    if (Z_TYPE_P(topics) != IS_STRING && Z_TYPE_P(topics) != IS_ARRAY) {
        zend_argument_type_error(1, "must be of type array|string, %s given",
                                 zend_zval_type_name(topics));
        RETURN_THROWS();
    }
    zend_throw_exception(spl_ce_RuntimeException, "No Mercure hub configured", 0);
}

/* After module startup, before the fork. */
void functions_replace(void)
{
    zend_function *reset = find_function("opcache_reset");
    if (reset)
        reset->internal_function.handler = ZEND_FN(opcache_reset_by_reload);
    filter_input_wrap();
}

/* PHP's table macros bring their own commas and braces. */
/* clang-format off */

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(handle_request_arguments, 0, 1, _IS_BOOL, 0)
    ZEND_ARG_TYPE_INFO(0, callback, IS_CALLABLE, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(returns_bool, 0, 0, _IS_BOOL, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(trailers_arguments, 0, 1, _IS_BOOL, 0)
    ZEND_ARG_TYPE_INFO(0, fields, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(returns_array, 0, 0, IS_ARRAY, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(headers_send_arguments, 0, 0, IS_LONG, 0)
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, status, IS_LONG, 0, "200")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(mercure_arguments, 0, 1, IS_STRING, 0)
    ZEND_ARG_TYPE_MASK(0, topics, MAY_BE_STRING | MAY_BE_ARRAY, NULL)
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, data, IS_STRING, 0, "\'\'")
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, private, _IS_BOOL, 0, "false")
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, id, IS_STRING, 1, "null")
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, type, IS_STRING, 1, "null")
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, retry, IS_LONG, 1, "null")
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(log_arguments, 0, 1, IS_VOID, 0)
    ZEND_ARG_TYPE_INFO(0, message, IS_STRING, 0)
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, level, IS_LONG, 0, "0")
    ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(0, context, IS_ARRAY, 0, "[]")
ZEND_END_ARG_INFO()

static const zend_function_entry functions[] = {
    PHP_FE(askr_handle_request, handle_request_arguments)
    PHP_FALIAS(frankenphp_handle_request, askr_handle_request, handle_request_arguments)
    PHP_FE(askr_finish_request, returns_bool)
    PHP_FALIAS(fastcgi_finish_request, askr_finish_request, returns_bool)
    PHP_FALIAS(frankenphp_finish_request, askr_finish_request, returns_bool)
    PHP_FE(headers_send, headers_send_arguments)
    PHP_FE(askr_trailers, trailers_arguments)
    PHP_FE(askr_request_headers, returns_array)
    PHP_FALIAS(getallheaders, askr_request_headers, returns_array)
    PHP_FALIAS(apache_request_headers, askr_request_headers, returns_array)
    PHP_FALIAS(frankenphp_request_headers, askr_request_headers, returns_array)
    PHP_FE(askr_response_headers, returns_array)
    PHP_FALIAS(apache_response_headers, askr_response_headers, returns_array)
    PHP_FALIAS(frankenphp_response_headers, askr_response_headers, returns_array)
    PHP_FE(askr_log, log_arguments)
    PHP_FALIAS(frankenphp_log, askr_log, log_arguments)
    PHP_FE(mercure_publish, mercure_arguments)
    PHP_FE_END
};

static zend_module_entry frankenphp_module = {
    STANDARD_MODULE_HEADER, "frankenphp", NULL, NULL, NULL, NULL, NULL, NULL, ASKR_VERSION,
    STANDARD_MODULE_PROPERTIES,
};

/* clang-format on */

static PHP_MINIT_FUNCTION(askr)
{
    const int flags = CONST_CS | CONST_PERSISTENT;
    REGISTER_LONG_CONSTANT("FRANKENPHP_LOG_LEVEL_DEBUG", LOG_LEVEL_DEBUG, flags);
    REGISTER_LONG_CONSTANT("FRANKENPHP_LOG_LEVEL_INFO", LOG_LEVEL_INFO, flags);
    REGISTER_LONG_CONSTANT("FRANKENPHP_LOG_LEVEL_WARN", LOG_LEVEL_WARN, flags);
    REGISTER_LONG_CONSTANT("FRANKENPHP_LOG_LEVEL_ERROR", LOG_LEVEL_ERROR, flags);
    /* Interned strings that outlive requests can be made in this phase only. */
    superglobals_intern();
    server_names_intern();
    return zend_startup_module(&frankenphp_module);
}

/* Called once a request's output is complete, shutdown functions included. */
static PHP_RSHUTDOWN_FUNCTION(askr)
{
    SG(post_read) = 1; /* a body that nobody read is the host's to drop, not ours to drain */
    if (!php.settings.worker_mode || php.worker.in_callback)
        measure_end();
    return SUCCESS;
}

static PHP_MINFO_FUNCTION(askr)
{
    php_info_print_table_start();
    php_info_print_table_row(2, "askrctl", ASKR_VERSION);
    php_info_print_table_row(2, "Mode", php.settings.worker_mode ? "worker" : "classic");
    php_info_print_table_end();
}

/* clang-format off */
zend_module_entry askr_php_module = {
    STANDARD_MODULE_HEADER, "askr", functions, PHP_MINIT(askr), NULL, NULL, PHP_RSHUTDOWN(askr),
    PHP_MINFO(askr), ASKR_VERSION, STANDARD_MODULE_PROPERTIES,
};
