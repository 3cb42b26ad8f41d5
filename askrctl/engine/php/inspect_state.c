/* SPDX-License-Identifier: MIT
 * Where a PHP process keeps state from one request to the next, piece by piece (inspect.h). */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect.h"
#include <zend_interfaces.h>

enum { NAME_SIZE = 512 };

extern char **environ;

static void note_value(const char *category, const char *name, const zval *value)
{
    struct inspected found;
    inspect_value(value, &found);
    inspect_note(category, name, &found);
}

static void note_text(const char *category, const char *name, const char *text)
{
    struct inspected found;
    inspect_text(text ? text : "", text ? strlen(text) : 0, &found);
    inspect_note(category, name, &found);
}

static void note_number(const char *category, const char *name, zend_long number)
{
    struct inspected found = {.digest = (uint64_t)number};
    snprintf(found.kind, sizeof found.kind, ZEND_LONG_FMT, number);
    inspect_note(category, name, &found);
}

/* --- what lasts: the application's own state ---------------------------------------------------*/

/* `static $x` in a function; NULL until it has run for the first time. */
static void inspect_function(const zend_op_array *code, const char *class)
{
    char name[NAME_SIZE];
    zend_string *variable;
    zval *value;
    if (!code->static_variables || !ZEND_MAP_PTR(code->static_variables_ptr))
        return;
    HashTable *variables = ZEND_MAP_PTR_GET(code->static_variables_ptr);
    if (!variables)
        return;
    ZEND_HASH_FOREACH_STR_KEY_VAL(variables, variable, value)
    {
        snprintf(name, sizeof name, "%s%s%s() $%s", class, *class ? "::" : "",
                 ZSTR_VAL(code->function_name), ZSTR_VAL(variable));
        note_value("static", name, value);
    }
    ZEND_HASH_FOREACH_END();
}

static void inspect_functions(HashTable *functions, const char *class)
{
    zend_function *function;
    ZEND_HASH_FOREACH_PTR(functions, function)
    {
        if (function->type == ZEND_USER_FUNCTION && function->op_array.function_name)
            inspect_function(&function->op_array, class);
    }
    ZEND_HASH_FOREACH_END();
}

static void inspect_class(zend_class_entry *class)
{
    char name[NAME_SIZE];
    zend_property_info *info;
    inspect_functions(&class->function_table, ZSTR_VAL(class->name));
    if (!class->default_static_members_count || !ZEND_MAP_PTR(class->static_members_table) ||
        !CE_STATIC_MEMBERS(class))
        return;
    ZEND_HASH_FOREACH_PTR(&class->properties_info, info)
    {
        if (!(info->flags & ZEND_ACC_STATIC) || info->ce != class)
            continue;
        const zval *value = &CE_STATIC_MEMBERS(class)[info->offset];
        if (Z_TYPE_P(value) == IS_INDIRECT)
            value = Z_INDIRECT_P(value);
        const char *property = ZSTR_VAL(info->name); /* "\0Class\0name" when it is private */
        if (!*property)
            property += strlen(property + 1) + 2;
        snprintf(name, sizeof name, "%s::$%s", ZSTR_VAL(class->name), property);
        if (Z_TYPE_P(value) != IS_UNDEF)
            note_value("static", name, value);
    }
    ZEND_HASH_FOREACH_END();
}

static void inspect_classes(void)
{
    zend_string *key;
    zend_class_entry *class;
    ZEND_HASH_FOREACH_STR_KEY_PTR(EG(class_table), key, class)
    {
        if (class->type == ZEND_USER_CLASS && key && zend_string_equals_ci(key, class->name))
            inspect_class(class);
    }
    ZEND_HASH_FOREACH_END();
}

static void inspect_globals(void)
{
    char name[NAME_SIZE];
    zend_string *key;
    zval *value;
    ZEND_HASH_FOREACH_STR_KEY_VAL(&EG(symbol_table), key, value)
    {
        if (!key ||
            (zend_hash_exists(CG(auto_globals), key) && !zend_string_equals_literal(key, "_ENV")))
            continue;
        if (Z_TYPE_P(value) == IS_INDIRECT)
            value = Z_INDIRECT_P(value);
        snprintf(name, sizeof name, "$%s", ZSTR_VAL(key));
        bool is_environment = zend_string_equals_literal(key, "_ENV");
        if (Z_TYPE_P(value) != IS_UNDEF)
            note_value(is_environment ? "superglobal" : "global", name, value);
    }
    ZEND_HASH_FOREACH_END();
}

/* The functions that are running, from the one that asks for requests outwards. */
static void inspect_frames(void)
{
    char name[NAME_SIZE];
    const zend_execute_data *frame = EG(current_execute_data);
    for (; frame; frame = frame->prev_execute_data) {
        const zend_function *function = frame->func;
        if (!function || !ZEND_USER_CODE(function->type) || !function->common.function_name)
            continue;
        const char *called = ZSTR_VAL(function->common.function_name);
        if (Z_TYPE(frame->This) == IS_OBJECT) {
            snprintf(name, sizeof name, "$this in %s()", called);
            note_value("local", name, &frame->This);
        }
        for (int i = 0; i < function->op_array.last_var; i++) {
            const zval *value = ZEND_CALL_VAR_NUM(frame, i);
            snprintf(name, sizeof name, "$%s in %s()", ZSTR_VAL(function->op_array.vars[i]),
                     called);
            if (Z_TYPE_P(value) != IS_UNDEF)
                note_value("local", name, value);
        }
    }
}

static bool is_in_transaction(zend_object *object)
{
    zval answer;
    ZVAL_UNDEF(&answer);
    zend_call_method_with_0_params(object, object->ce, NULL, "intransaction", &answer);
    if (EG(exception))
        zend_clear_exception(); /* it was made without its constructor */
    bool open = Z_TYPE(answer) == IS_TRUE;
    zval_ptr_dtor(&answer);
    return open;
}

/* Counted by class, and PDO connections asked. The table may grow meanwhile. */
static void inspect_objects(void)
{
    zend_class_entry *pdo = zend_hash_str_find_ptr(CG(class_table), ZEND_STRL("pdo"));
    zend_long open = 0;
    HashTable counts;
    zval *count;
    zend_string *name;
    zend_hash_init(&counts, 256, NULL, NULL, true);
    for (uint32_t i = 1; i < EG(objects_store).top; i++) {
        zend_object *object = EG(objects_store).object_buckets[i];
        if (!IS_OBJ_VALID(object))
            continue;
        if (pdo && instanceof_function(object->ce, pdo) && is_in_transaction(object))
            open++;
        count = zend_hash_lookup(&counts, object->ce->name);
        ZVAL_LONG(count, Z_TYPE_P(count) == IS_LONG ? Z_LVAL_P(count) + 1 : 1);
    }
    note_number("transaction", "PDO connections in a transaction", open);
    ZEND_HASH_FOREACH_STR_KEY_VAL(&counts, name, count)
    {
        note_number("objects", ZSTR_VAL(name), Z_LVAL_P(count));
    }
    ZEND_HASH_FOREACH_END();
    zend_hash_destroy(&counts);
}

static void note_count_of(const char *category, const char *name, const char *function)
{
    zval list;
    if (call_function(find_function(function), 0, NULL, &list) && Z_TYPE(list) == IS_ARRAY)
        note_number(category, name, (zend_long)zend_hash_num_elements(Z_ARRVAL(list)));
    zval_ptr_dtor(&list);
}

void inspect_lasting(void)
{
    inspect_values_begin();
    inspect_classes();
    inspect_functions(EG(function_table), "");
    inspect_globals();
    inspect_frames();
    inspect_objects();
    note_count_of("handlers", "autoload functions", "spl_autoload_functions");
    note_count_of("handlers", "stream wrappers", "stream_get_wrappers");
    note_number("handlers", "tick functions",
                BG(user_tick_functions) ? (zend_long)zend_llist_count(BG(user_tick_functions)) : 0);
    note_number("handlers", "shutdown functions",
                BG(user_shutdown_function_names)
                    ? (zend_long)zend_hash_num_elements(BG(user_shutdown_function_names))
                    : 0);
    note_number("session", "open", session_is_open());
    note_number("resources", "open", (zend_long)zend_hash_num_elements(&EG(regular_list)));
}

/* --- what the server puts back
 * ------------------------------------------------------------------*/

static void inspect_ini(void)
{
    zend_ini_entry *entry;
    ZEND_HASH_FOREACH_PTR(EG(ini_directives), entry)
    {
        note_text("ini", ZSTR_VAL(entry->name), entry->value ? ZSTR_VAL(entry->value) : "");
    }
    ZEND_HASH_FOREACH_END();
}

/* One that is gone shows as a different number of them. */
static void inspect_environment(void)
{
    char name[NAME_SIZE];
    zend_long count = 0;
    for (char **entry = environ; *entry; entry++, count++) {
        size_t size = strcspn(*entry, "=");
        snprintf(name, sizeof name, "%.*s", (int)(size < NAME_SIZE ? size : NAME_SIZE - 1), *entry);
        note_text("env", name, *entry + size);
    }
    note_number("env", "number of variables", count);
}

static void note_answer_of(const char *category, const char *name, const char *function)
{
    zval answer;
    if (call_function(find_function(function), 0, NULL, &answer) && Z_TYPE(answer) == IS_STRING)
        note_text(category, name, Z_STRVAL(answer));
    zval_ptr_dtor(&answer);
}

static void inspect_process(void)
{
    char folder[MAXPATHLEN];
    mode_t mask = umask(0);
    umask(mask);
    note_text("locale", "locale", setlocale(LC_ALL, NULL));
    note_answer_of("locale", "time zone", "date_default_timezone_get");
    note_answer_of("locale", "encoding of mbstring", "mb_internal_encoding");
    note_text("process", "working directory", getcwd(folder, sizeof folder));
    note_number("process", "umask", mask);
}

static void inspect_handlers(void)
{
    struct inspected found;
    const zval *now[] = {&EG(user_error_handler), &EG(user_exception_handler)};
    const int depths[] = {EG(user_error_handlers).top, EG(user_exception_handlers).top};
    static const char *const names[] = {"error handler", "exception handler"};
    for (size_t i = 0; i < 2; i++) {
        found = (struct inspected){.digest = (uint64_t)depths[i] << 32 | Z_TYPE_P(now[i])};
        if (Z_TYPE_P(now[i]) != IS_UNDEF)
            found.digest ^= (uint64_t)(uintptr_t)Z_PTR_P(now[i]);
        snprintf(found.kind, sizeof found.kind, "%d deep", depths[i]);
        inspect_note("handlers", names[i], &found);
    }
}

void inspect_put_back(zend_long buffers)
{
    inspect_ini();
    inspect_environment();
    inspect_process();
    inspect_handlers();
    note_number("output", "buffers left open", buffers);
}

/* --- what a request finds
 * -----------------------------------------------------------------------*/

void inspect_superglobals(uint32_t own)
{
    static const char *const names[] = {"_GET",     "_POST",   "_COOKIE",  "_FILES",
                                        "_REQUEST", "_SERVER", "_SESSION", "_ENV"};
    inspect_values_begin();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[16];
        struct inspected found;
        zval *value = zend_hash_str_find_ind(&EG(symbol_table), names[i], strlen(names[i]));
        if (!value)
            continue;
        inspect_value(value, &found);
        found.users &= ~(1u << own);
        found.digest = found.users; /* that it differs from request to request is what it is for */
        snprintf(name, sizeof name, "$%s", names[i]);
        inspect_note("found", name, &found);
    }
}
