/* SPDX-License-Identifier: MIT
 * Keeps ext/filter and $_SERVER together without paying for it on each request.
 *
 * ext/filter wants to see each variable as it is registered: it keeps a raw copy for filter_input()
 * and applies filter.default. Few scripts ask for filter_input(INPUT_SERVER), so the copy is made
 * when one does: the three functions that read it are wrapped. With a filter.default other than
 * unsafe_raw the values themselves change, and $_SERVER passes through the filter each time. */
#include <string.h>

#include "askr_php.h"

enum { INPUT_SERVER = PARSE_SERVER }; /* ext/filter defines its constant as SAPI's number */

static struct {
    zif_handler filter_input, filter_input_array, filter_has_var;
    bool always; /* filter.default is set: a system setting, it cannot change later */
} wrapped;

/* ext/filter registers each value, filtered, in the very array that is walked: hence the copy. */
static void pass_through_filter(void)
{
    zval *server = &PG(http_globals)[TRACK_VARS_SERVER];
    zend_array *copy = zend_array_dup(Z_ARRVAL_P(server));
    zend_string *name;
    zval *value;
    ZEND_HASH_FOREACH_STR_KEY_VAL(copy, name, value)
    {
        if (!name || Z_TYPE_P(value) != IS_STRING)
            continue;
        size_t ignored;
        char *text = estrndup(Z_STRVAL_P(value), Z_STRLEN_P(value));
        sapi_module.input_filter(PARSE_SERVER, ZSTR_VAL(name), &text, Z_STRLEN_P(value), &ignored);
        efree(text);
    }
    ZEND_HASH_FOREACH_END();
    zend_array_destroy(copy);
}

void filter_server_variables(void)
{
    if (wrapped.always)
        pass_through_filter();
}

static void fill_on_first_use(zend_execute_data *execute_data)
{
    struct php_request *request = SG(server_context);
    if (!request || request->server_filtered || wrapped.always)
        return;
    if (ZEND_CALL_NUM_ARGS(execute_data) < 1)
        return;
    zval *type = ZEND_CALL_ARG(execute_data, 1);
    if (Z_TYPE_P(type) != IS_LONG || Z_LVAL_P(type) != INPUT_SERVER)
        return;
    request->server_filtered = true;
    zend_is_auto_global(ZSTR_KNOWN(ZEND_STR_AUTOGLOBAL_SERVER));
    if (Z_TYPE(PG(http_globals)[TRACK_VARS_SERVER]) == IS_ARRAY)
        pass_through_filter();
}

static ZEND_FUNCTION(filter_input_of_server)
{
    fill_on_first_use(execute_data);
    wrapped.filter_input(INTERNAL_FUNCTION_PARAM_PASSTHRU);
}

static ZEND_FUNCTION(filter_input_array_of_server)
{
    fill_on_first_use(execute_data);
    wrapped.filter_input_array(INTERNAL_FUNCTION_PARAM_PASSTHRU);
}

static ZEND_FUNCTION(filter_has_var_of_server)
{
    fill_on_first_use(execute_data);
    wrapped.filter_has_var(INTERNAL_FUNCTION_PARAM_PASSTHRU);
}

static void wrap(const char *name, zif_handler ours, zif_handler *original)
{
    zend_function *function = find_function(name);
    if (!function)
        return; /* PHP without ext/filter, or the function is in disable_functions */
    *original = function->internal_function.handler;
    function->internal_function.handler = ours;
}

/* After module startup, before the fork. */
void filter_input_wrap(void)
{
    const char *filter = zend_ini_string("filter.default", sizeof "filter.default" - 1, false);
    wrapped.always = filter && filter[0] && strcasecmp(filter, "unsafe_raw") != 0;
    wrap("filter_input", ZEND_FN(filter_input_of_server), &wrapped.filter_input);
    wrap("filter_input_array", ZEND_FN(filter_input_array_of_server), &wrapped.filter_input_array);
    wrap("filter_has_var", ZEND_FN(filter_has_var_of_server), &wrapped.filter_has_var);
}

/* ext/filter frees its copies only at the end of a PHP request, which a worker script never
 * reaches. */
void filter_input_release(void)
{
    zend_module_entry *filter = zend_hash_str_find_ptr(&module_registry, ZEND_STRL("filter"));
    if (filter && filter->request_shutdown_func)
        filter->request_shutdown_func(filter->type, filter->module_number);
}
