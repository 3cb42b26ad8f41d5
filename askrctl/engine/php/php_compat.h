/* SPDX-License-Identifier: MIT
 * The PHP headers we use, and what differs between PHP 8.1 and 8.4.
 *
 * Only non-thread-safe PHP is supported: processes give the parallelism, and the globals macros
 * (SG, PG, EG, …) then are plain struct fields. The build skips a thread-safe PHP. */
#ifndef PHP_COMPAT_H
#define PHP_COMPAT_H

#include <php.h>
#include <SAPI.h>
#include <ext/session/php_session.h>
#include <ext/standard/basic_functions.h>
#include <ext/standard/file.h>
#include <ext/standard/head.h>
#include <ext/standard/info.h>
#include <php_ini.h>
#include <php_main.h>
#include <php_output.h>
#include <php_variables.h>
#include <zend_exceptions.h>
#include <zend_ini.h>
#include <zend_signal.h>

/* PHP's headers switch assert() off; ours stay on in release. */
#undef NDEBUG
#include <assert.h>

#ifdef ZTS
#error "askr_php needs a non-thread-safe PHP (php-config without ZTS)"
#endif

/* 8.2 made the flags that a signal handler sets atomics, and took the module count away. */
#if PHP_VERSION_ID >= 80200
#define COMPAT_STORE_FLAG(flag, value) zend_atomic_bool_store(&(flag), (value))
#define COMPAT_MODULE_STARTUP(sapi, module) php_module_startup((sapi), (module))
#else
#define COMPAT_STORE_FLAG(flag, value) ((flag) = (value))
#define COMPAT_MODULE_STARTUP(sapi, module) php_module_startup((sapi), (module), 1)
#endif

#endif
