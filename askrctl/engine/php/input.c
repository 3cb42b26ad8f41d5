/* SPDX-License-Identifier: MIT
 * From the host to PHP: body bytes, the Cookie field, getenv() of CGI variables. */
#include "askr_php.h"

/* PHP takes a short block for the end of the body, so blocks are filled. */
size_t input_read(char *buffer, size_t size)
{
    struct php_request *request = SG(server_context);
    size_t filled = 0;
    if (!request || !request->exchange)
        return 0;
    while (filled < size) {
        int64_t got = php.host->read(request->exchange, buffer + filled, size - filled);
        if (got <= 0)
            break;
        filled += (size_t)got;
    }
    return filled;
}

char *input_cookies(void)
{
    struct php_request *request = SG(server_context);
    if (!request || request->head->cookie.size == 0)
        return NULL;
    return (char *)request->head->cookie.data;
}

/* getenv('REMOTE_ADDR') works under CGI and php-fpm, and old applications rely on it. Only names
 * that we set are answered: for the others PHP looks at the real environment, which putenv() may
 * have changed since $_SERVER was made. */
char *input_getenv(const char *name, size_t size)
{
    struct php_request *request = SG(server_context);
    if (!request || !request->exchange || !superglobals_has_key(name, size))
        return NULL;
    zend_is_auto_global(ZSTR_KNOWN(ZEND_STR_AUTOGLOBAL_SERVER));
    zval *server = &PG(http_globals)[TRACK_VARS_SERVER];
    if (Z_TYPE_P(server) != IS_ARRAY)
        return NULL;
    zval *value = zend_hash_str_find(Z_ARRVAL_P(server), name, size);
    return value && Z_TYPE_P(value) == IS_STRING ? Z_STRVAL_P(value) : NULL;
}
