/* SPDX-License-Identifier: MIT
 * Handlers in worker mode: those that the boot registered stay, those of a request go with it.
 *
 * Shutdown functions of the boot are put aside and run when the script ends; a request's run when
 * the request ends. Error and exception handlers are stacks: what a request pushed is popped, and
 * the boot's is put back if a request popped that. */
#include "askr_php.h"

/* set_error_handler() and set_exception_handler(): the current one, and how many lie below it. */
struct saved_handler {
    zval handler;
    int depth, mask;
};

static struct {
    HashTable *shutdown_functions;
    struct saved_handler error, exception;
} baseline;

static bool same_handler(const zval *a, const zval *b)
{
    if (Z_TYPE_P(a) != Z_TYPE_P(b))
        return false;
    return Z_TYPE_P(a) == IS_UNDEF || Z_PTR_P(a) == Z_PTR_P(b);
}

static void save_handlers(void)
{
    ZVAL_COPY(&baseline.error.handler, &EG(user_error_handler));
    baseline.error.depth = EG(user_error_handlers).top;
    baseline.error.mask = EG(user_error_handler_error_reporting);
    ZVAL_COPY(&baseline.exception.handler, &EG(user_exception_handler));
    baseline.exception.depth = EG(user_exception_handlers).top;
}

/* Drops what was pushed above the baseline. A request that popped more than it pushed has thrown
 * away the handlers below; the current one is put back all the same. */
static void restore_handler(zval *current, zend_stack *pushed, const struct saved_handler *saved)
{
    while (pushed->top > saved->depth) {
        zval *below = zend_stack_top(pushed);
        zval_ptr_dtor(current);
        ZVAL_COPY_VALUE(current, below);
        zend_stack_del_top(pushed);
    }
    if (!same_handler(current, &saved->handler)) {
        zval_ptr_dtor(current);
        ZVAL_COPY(current, &saved->handler);
    }
}

void reset_handlers_after_request(void)
{
    while (EG(user_error_handlers_error_reporting).top > baseline.error.depth)
        zend_stack_del_top(&EG(user_error_handlers_error_reporting));
    restore_handler(&EG(user_error_handler), &EG(user_error_handlers), &baseline.error);
    EG(user_error_handler_error_reporting) = baseline.error.mask;
    restore_handler(&EG(user_exception_handler), &EG(user_exception_handlers), &baseline.exception);
}

/* After a fatal error the last request's shutdown functions are still to run, before the boot's.
 * They are left to php_request_shutdown(): since 8.2.36 no PHP code runs between running out of
 * memory and there. Both tables hand their entries out by pointer, so moving them is enough. */
static void append_boot_functions(HashTable *after)
{
    zend_string *name;
    void *entry;
    ZEND_HASH_FOREACH_STR_KEY_PTR(baseline.shutdown_functions, name, entry)
    {
        if (name)
            zend_hash_add_ptr(after, name, entry);
        else
            zend_hash_next_index_insert_ptr(after, entry);
    }
    ZEND_HASH_FOREACH_END();
    baseline.shutdown_functions->pDestructor = NULL;
    zend_hash_destroy(baseline.shutdown_functions);
    FREE_HASHTABLE(baseline.shutdown_functions);
}

static void restore_shutdown_functions(void)
{
    if (!BG(user_shutdown_function_names))
        BG(user_shutdown_function_names) = baseline.shutdown_functions;
    else if (baseline.shutdown_functions)
        append_boot_functions(BG(user_shutdown_function_names));
}

void reset_handlers_baseline(void)
{
    baseline.shutdown_functions = BG(user_shutdown_function_names);
    BG(user_shutdown_function_names) = NULL;
    save_handlers();
}

void reset_handlers_undo_baseline(void)
{
    restore_shutdown_functions();
    zval_ptr_dtor(&baseline.error.handler);
    zval_ptr_dtor(&baseline.exception.handler);
}
