/* SPDX-License-Identifier: MIT
 * askr_trailers(): fields behind the body, for what is known only then. What a client may be told
 * there is the server's to decide; here is what makes a field a field, so that a script learns of
 * its mistake where it made it. */
#include <string.h>

#include "askr_php.h"

enum { TRAILERS_MAX = 32, TRAILERS_SIZE_MAX = 4096 }; /* what the server sends */

/* A token (RFC 9110 section 5.6.2). */
static bool is_name(const zend_string *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < ZSTR_LEN(name); i++) {
        char byte = ZSTR_VAL(name)[i];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
              (byte >= '0' && byte <= '9') || (byte != '\0' && strchr(others, byte) != NULL)))
            return false;
    }
    return ZSTR_LEN(name) > 0;
}

static bool is_value(const zend_string *value)
{
    for (size_t i = 0; i < ZSTR_LEN(value); i++) {
        unsigned char byte = (unsigned char)ZSTR_VAL(value)[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

struct list {
    struct askr_field fields[TRAILERS_MAX];
    zend_string *values[TRAILERS_MAX];
    size_t count, size;
};

/* False: an exception was thrown. */
static bool add(struct list *list, zend_string *name, zval *given)
{
    if (list->count == TRAILERS_MAX) {
        zend_argument_value_error(1, "must not have more than %d fields", TRAILERS_MAX);
        return false;
    }
    zend_string *value = zval_try_get_string(given);
    if (!value)
        return false;
    list->values[list->count] = value;
    struct askr_field *field = &list->fields[list->count++];
    if (!name || !is_name(name) || !is_value(value)) {
        zend_argument_value_error(1, "must be names of fields => values of one line");
        return false;
    }
    field->name = (struct askr_text){ZSTR_VAL(name), (uint32_t)ZSTR_LEN(name)};
    field->value = (struct askr_text){ZSTR_VAL(value), (uint32_t)ZSTR_LEN(value)};
    list->size += ZSTR_LEN(name) + ZSTR_LEN(value);
    if (list->size > TRAILERS_SIZE_MAX) {
        zend_argument_value_error(1, "must not be larger than %d bytes", TRAILERS_SIZE_MAX);
        return false;
    }
    return true;
}

PHP_FUNCTION(askr_trailers)
{
    struct php_request *request = SG(server_context);
    struct list list = {.count = 0};
    HashTable *fields;
    zend_string *name;
    zval *value;
    bool good = true;
    ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_ARRAY_HT(fields)
    ZEND_PARSE_PARAMETERS_END();
    ZEND_HASH_FOREACH_STR_KEY_VAL(fields, name, value)
    {
        good = good && add(&list, name, value);
    }
    ZEND_HASH_FOREACH_END();
    RETVAL_FALSE;
    if (good && list.count > 0 && request && request->exchange && !request->ended &&
        !request->refused)
        RETVAL_BOOL(php.host->trailers(request->exchange, list.fields, list.count) == 0);
    for (size_t i = 0; i < list.count; i++)
        zend_string_release(list.values[i]);
}
