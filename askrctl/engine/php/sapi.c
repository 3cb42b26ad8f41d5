/* SPDX-License-Identifier: MIT
 * Our SAPI: the table through which PHP reaches a server, and PHP's module startup under it.
 *
 * Started once, in the zygote; the shared memory of OPcache is mapped here and inherited by every
 * application process. Order: signals, sapi_startup(), our php.ini lines (sapi_startup() clears
 * them), module startup, then the replacements of functions, which need all modules in place. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "askr_php.h"

static int startup(sapi_module_struct *module)
{
    return COMPAT_MODULE_STARTUP(module, &askr_php_module);
}

/* One line, "directive=value". */
static void ini_default(HashTable *configuration, const char *line, size_t size)
{
    zval value;
    const char *equals = memchr(line, '=', size);
    if (!equals)
        return;
    size_t name_size = (size_t)(equals - line);
    ZVAL_NEW_STR(&value, zend_string_init(equals + 1, size - name_size - 1, true));
    zend_hash_str_update(configuration, line, name_size, &value);
}

/* Defaults that php.ini may change. Without a php.ini PHP would show errors to visitors. */
static void ini_defaults(HashTable *configuration)
{
    static const char *const ours[] = {"display_errors=0", "html_errors=0", "log_errors=1"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        ini_default(configuration, ours[i], strlen(ours[i]));
    const char *at = php.settings.ini_defaults ? php.settings.ini_defaults : "";
    for (size_t size; *at; at += size + (at[size] == '\n')) {
        size = strcspn(at, "\n");
        ini_default(configuration, at, size);
    }
}

static sapi_module_struct askr_sapi = {
    .pretty_name = "askrctl",
    .startup = startup,                               /* module startup, called by us */
    .shutdown = php_module_shutdown_wrapper,          /* never: the process just ends */
    .ub_write = output_write,                         /* bytes that left all output buffers */
    .flush = output_flush,                            /* flush(): to the client, now */
    .getenv = input_getenv,                           /* getenv() asks here first */
    .sapi_error = php_error,                          /* errors that the SAPI layer itself raises */
    .send_headers = output_send_head,                 /* the head, all of it at once */
    .read_post = input_read,                          /* body bytes */
    .read_cookies = input_cookies,                    /* the Cookie field; parsed into $_COOKIE */
    .register_server_variables = superglobals_server, /* fills $_SERVER */
    .log_message = log_message,                       /* error_log() and logged errors */
    .ini_defaults = ini_defaults,                     /* before php.ini is read */
};

/* The structures of another PHP would be misread. A mismatch can crash before this sees it, but the
 * usual one, a library upgraded after the module was built, gets here. */
static int check_library(char *error, size_t size)
{
    zend_module_entry *standard = zend_hash_str_find_ptr(&module_registry, ZEND_STRL("standard"));
    if (!standard || standard->zts) {
        snprintf(error, size, "php: the PHP library is thread-safe (ZTS); this module needs %s NTS",
                 PHP_VERSION);
        return -1;
    }
    if (standard->zend_api != ZEND_MODULE_API_NO) {
        snprintf(error, size,
                 "php: the PHP library has module API %u, askr_php.so was built for %d (PHP %s)",
                 standard->zend_api, ZEND_MODULE_API_NO, PHP_VERSION);
        return -1;
    }
    return 0;
}

int sapi_start(char *error, size_t size)
{
    askr_sapi.name = (char *)php.settings.sapi_name;
    askr_sapi.php_ini_path_override = (char *)php.settings.php_ini;
    signal(SIGPIPE, SIG_IGN);
    zend_signal_startup();
    sapi_startup(&askr_sapi);
    sapi_module.ini_entries = php.settings.ini;
    if (sapi_module.startup(&sapi_module) != SUCCESS) {
        snprintf(error, size, "php: module startup failed; its log lines say why");
        return -1;
    }
    if (check_library(error, size))
        return -1;
    SIGG(reset) = 0; /* else PHP installs its signal handlers anew for each request: 0.85 µs */
    functions_replace();
    measure_start();
    return 0;
}
