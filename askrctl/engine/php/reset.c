/* SPDX-License-Identifier: MIT
 * What a request may change in a worker script's process, and is put back after it: putenv(), the
 * working directory, umask, locale, strtok, the default stream context, time zone, mbstring's
 * encoding, the last error; with reset_ini.c for ini_set() and reset_handlers.c for handlers.
 *
 * The baseline is what the script's boot left behind. Globals, statics, class statics and $_ENV are
 * the application's own state and stay: keeping them is what worker mode is for.
 *
 * Most of these are compared and left alone; the whole list costs 0.3 µs when nothing changed. */
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "askr_php.h"
#include <ext/standard/url_scanner_ex.h>
#include <zend_smart_str.h>

static struct {
    zval environment; /* what the boot putenv()ed, as a list of "NAME=value" */
    char directory[PATH_MAX];
    char *locale;
    bool locale_changed;
    mode_t mask;
    zval time_zone, encoding;
} baseline;

/* Functions that extensions offer no C interface for; looked up once, NULL when missing. */
static struct {
    zend_function *get_time_zone, *set_time_zone, *encoding, *locale, *putenv;
} functions;

zend_function *find_function(const char *name)
{
    return zend_hash_str_find_ptr(CG(function_table), name, strlen(name));
}

bool call_function(zend_function *function, uint32_t count, zval *arguments, zval *result)
{
    ZVAL_UNDEF(result);
    if (function)
        zend_call_known_function(function, NULL, NULL, result, count, arguments, NULL);
    return Z_TYPE_P(result) != IS_UNDEF;
}

static void find_functions(void)
{
    functions.get_time_zone = find_function("date_default_timezone_get");
    functions.set_time_zone = find_function("date_default_timezone_set");
    functions.encoding = find_function("mb_internal_encoding");
    functions.locale = find_function("setlocale");
    functions.putenv = find_function("putenv");
}

static void restore_setting(zval *wanted, zend_function *get, zend_function *set)
{
    zval current, ignored;
    if (Z_TYPE_P(wanted) != IS_STRING || !call_function(get, 0, NULL, &current))
        return;
    if (!zend_is_identical(wanted, &current)) {
        call_function(set, 1, wanted, &ignored);
        zval_ptr_dtor(&ignored);
    }
    zval_ptr_dtor(&current);
}

static void save_environment(void)
{
    zend_string *name;
    array_init(&baseline.environment);
    ZEND_HASH_FOREACH_STR_KEY(&BG(putenv_ht), name)
    {
        const char *value = name ? getenv(ZSTR_VAL(name)) : NULL;
        if (value)
            add_next_index_str(&baseline.environment,
                               zend_strpprintf(0, "%s=%s", ZSTR_VAL(name), value));
    }
    ZEND_HASH_FOREACH_END();
}

static bool environment_is_unchanged(void)
{
    zval *entry;
    HashTable *saved = Z_ARRVAL(baseline.environment);
    if (zend_hash_num_elements(saved) != zend_hash_num_elements(&BG(putenv_ht)))
        return false;
    ZEND_HASH_FOREACH_VAL(saved, entry)
    {
        const char *equals = strchr(Z_STRVAL_P(entry), '=');
        size_t name_size = (size_t)(equals - Z_STRVAL_P(entry));
        char name[256];
        if (name_size >= sizeof name)
            return false;
        memcpy(name, Z_STRVAL_P(entry), name_size);
        name[name_size] = '\0';
        const char *value = getenv(name);
        if (!value || strcmp(value, equals + 1) != 0)
            return false;
    }
    ZEND_HASH_FOREACH_END();
    return true;
}

/* An entry's destructor gives the variable the value it had before PHP touched it. */
static void restore_environment(void)
{
    zval *entry, ignored;
    if (environment_is_unchanged())
        return;
    zend_hash_clean(&BG(putenv_ht));
    ZEND_HASH_FOREACH_VAL(Z_ARRVAL(baseline.environment), entry)
    {
        call_function(functions.putenv, 1, entry, &ignored);
    }
    ZEND_HASH_FOREACH_END();
}

static void save_process_state(void)
{
    const char *locale = setlocale(LC_ALL, NULL);
    baseline.locale = estrdup(locale ? locale : "C");
    baseline.locale_changed = BG(locale_changed);
    BG(locale_changed) = false;
    baseline.mask = umask(0); /* not BG(umask): php_basic_globals ends differently under -pthread */
    umask(baseline.mask);
    if (!getcwd(baseline.directory, sizeof baseline.directory))
        baseline.directory[0] = '\0';
}

static void restore_locale(void)
{
    zval arguments[2], ignored;
    if (!BG(locale_changed))
        return;
    ZVAL_LONG(&arguments[0], LC_ALL);
    ZVAL_STRING(&arguments[1], baseline.locale);
    call_function(functions.locale, 2, arguments, &ignored);
    zval_ptr_dtor(&ignored);
    zval_ptr_dtor(&arguments[1]);
    BG(locale_changed) = false;
}

static void restore_directory(void)
{
    char current[PATH_MAX];
    if (!baseline.directory[0] || !getcwd(current, sizeof current))
        return;
    /* It may have been removed by now; then the script is where the request left it. */
    if (strcmp(current, baseline.directory) != 0 && chdir(baseline.directory) != 0)
        log_lines(ASKR_WARN, "a request changed the working directory and there is no way back");
}

static void forget_strtok(void)
{
    if (BG(strtok_string))
        zend_string_release(BG(strtok_string));
    BG(strtok_string) = NULL;
}

static void forget_default_context(void)
{
    if (FG(default_context))
        zend_list_delete(FG(default_context)->res);
    FG(default_context) = NULL;
}

static void forget_last_error(void)
{
    if (PG(last_error_message))
        zend_string_release(PG(last_error_message));
    if (PG(last_error_file))
        zend_string_release(PG(last_error_file));
    PG(last_error_message) = NULL;
    PG(last_error_file) = NULL;
}

/* As the scanner's own RSHUTDOWN, which is not exported. One that stays active would not start its
 * output handler for the next request, which then has no variables in its links either. */
static void forget_rewriter(url_adapt_state_ex_t *state)
{
    smart_str *texts[] = {&state->tag,    &state->arg,      &state->val,     &state->buf,
                          &state->result, &state->form_app, &state->url_app, &state->attr_val};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        smart_str_free(texts[i]);
    state->active = state->tag_type = state->attr_type = 0;
}

/* PHP forgets them at the end of a script only: they would be in the next visitor's links. */
static void forget_rewrite_variables(void)
{
    forget_rewriter(&BG(url_adapt_output_ex));
    forget_rewriter(&BG(url_adapt_session_ex));
}

void reset_baseline(void)
{
    find_functions();
    reset_handlers_baseline();
    save_environment();
    save_process_state();
    call_function(functions.get_time_zone, 0, NULL, &baseline.time_zone);
    call_function(functions.encoding, 0, NULL, &baseline.encoding);
}

void reset_after_request(void)
{
    reset_ini_after_request();
    reset_handlers_after_request();
    restore_environment();
    restore_locale();
    restore_directory();
    umask(baseline.mask);
    forget_strtok();
    forget_default_context();
    forget_last_error();
    forget_rewrite_variables();
    restore_setting(&baseline.time_zone, functions.get_time_zone, functions.set_time_zone);
    restore_setting(&baseline.encoding, functions.encoding, functions.encoding);
    zend_set_memory_limit((size_t)PG(memory_limit));
}

/* The script ends: PHP gets back what it restores itself. */
void reset_undo_baseline(void)
{
    reset_handlers_undo_baseline();
    BG(locale_changed) = BG(locale_changed) || baseline.locale_changed;
    zval_ptr_dtor(&baseline.environment);
    zval_ptr_dtor(&baseline.time_zone);
    zval_ptr_dtor(&baseline.encoding);
    efree(baseline.locale);
}
