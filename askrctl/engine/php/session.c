/* SPDX-License-Identifier: MIT
 * ext/session between the requests of a worker script: one visitor's never reaches the next.
 *
 * Its own request shutdown and startup do the work: write and close, forget id and data, honour
 * session.auto_start. They also forget the save handler that the script's boot registered, which
 * lives as long as the script: a copy taken after the boot is put back before each request, so one
 * that a request registers is gone with it.
 *
 * The module is reached through its entry, as it may be a shared extension or missing. */
#include "askr_php.h"

static struct {
    zend_module_entry *module;
    zval handlers[PS_NUM_APIS];
} session;

static php_ps_globals *globals(void)
{
    return session.module->globals_ptr;
}

static void copy_handlers(const zval *from, zval *to)
{
    for (int i = 0; i < PS_NUM_APIS; i++)
        ZVAL_COPY(&to[i], &from[i]);
}

static void drop_handlers(zval *handlers)
{
    for (int i = 0; i < PS_NUM_APIS; i++) {
        zval_ptr_dtor(&handlers[i]);
        ZVAL_UNDEF(&handlers[i]);
    }
}

void session_baseline(void)
{
    session.module = zend_hash_str_find_ptr(&module_registry, ZEND_STRL("session"));
    if (session.module)
        copy_handlers(globals()->mod_user_names.names, session.handlers);
}

void session_drop_baseline(void)
{
    if (session.module)
        drop_handlers(session.handlers);
}

void session_close(void)
{
    if (!session.module)
        return;
    session.module->request_shutdown_func(session.module->type, session.module->module_number);
    globals()->in_save_handler = false; /* left set by a handler that exited */
}

bool session_is_open(void)
{
    return session.module && globals()->session_status == php_session_active;
}

void session_open(void)
{
    if (!session.module)
        return;
    drop_handlers(globals()->mod_user_names.names);
    copy_handlers(session.handlers, globals()->mod_user_names.names);
    session.module->request_startup_func(session.module->type, session.module->module_number);
}
