/* SPDX-License-Identifier: MIT
 * $_SERVER: the environment, then the CGI variables of the request, then its fields as HTTP_*.
 *
 * Built straight into the array with interned keys; php_register_variable() would parse each name
 * for brackets and pass each value through ext/filter, which costs 2.2 µs of the 5 a small request
 * takes. filter_input.c keeps filter_input(INPUT_SERVER, …) working.
 *
 * Trust: the host has screened field names down to [A-Za-z0-9-] and dropped `Proxy`; environment
 * variables named HTTP_* are left out here, as no script could tell them from the client's. */
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "askr_php.h"

enum {
    ENVIRONMENT_MAX = 512, /* variables beyond these do not reach $_SERVER; getenv() has them all */
};

#define KEYS(X)          \
    X(REQUEST_METHOD)    \
    X(REQUEST_URI)       \
    X(QUERY_STRING)      \
    X(SCRIPT_FILENAME)   \
    X(SCRIPT_NAME)       \
    X(DOCUMENT_URI)      \
    X(PHP_SELF)          \
    X(PATH_INFO)         \
    X(PATH_TRANSLATED)   \
    X(DOCUMENT_ROOT)     \
    X(SERVER_NAME)       \
    X(SERVER_ADDR)       \
    X(SERVER_PORT)       \
    X(SERVER_PROTOCOL)   \
    X(SERVER_SOFTWARE)   \
    X(GATEWAY_INTERFACE) \
    X(REMOTE_ADDR)       \
    X(REMOTE_PORT)       \
    X(REMOTE_HOST)       \
    X(REMOTE_IDENT)      \
    X(AUTH_TYPE)         \
    X(REQUEST_SCHEME)    \
    X(HTTPS)             \
    X(CONTENT_TYPE)      \
    X(CONTENT_LENGTH)

#define VALUES(X)            \
    X(HTTP_1_0, "HTTP/1.0")  \
    X(HTTP_1_1, "HTTP/1.1")  \
    X(HTTP_2, "HTTP/2.0")    \
    X(SOFTWARE, "askrctl")   \
    X(CGI, "CGI/1.1")        \
    X(SCHEME_HTTP, "http")   \
    X(SCHEME_HTTPS, "https") \
    X(ON, "on")

#define AS_INDEX(name) KEY_##name,
#define AS_TEXT(name) #name,
#define AS_VALUE_INDEX(name, text) VALUE_##name,
#define AS_VALUE_TEXT(name, text) text,

enum { KEYS(AS_INDEX) KEY_COUNT };
enum { VALUES(AS_VALUE_INDEX) VALUE_COUNT };
static const char *const key_texts[] = {KEYS(AS_TEXT)};
static const char *const value_texts[] = {VALUES(AS_VALUE_TEXT)};

/* Filled before the fork, only read afterwards. */
static struct {
    zend_string *keys[KEY_COUNT];
    zend_string *values[VALUE_COUNT];
    struct {
        zend_string *name, *value;
    } environment[ENVIRONMENT_MAX];
    uint32_t environment_count;
} interned;

static zend_string *intern(const char *text, size_t size)
{
    zend_string *string = zend_string_init_interned(text, size, true);
    zend_string_hash_val(string);
    return string;
}

static void intern_environment(void)
{
    for (char **entry = environ; *entry && interned.environment_count < ENVIRONMENT_MAX; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || equals == *entry || strncasecmp(*entry, "HTTP_", 5) == 0)
            continue;
        uint32_t index = interned.environment_count++;
        interned.environment[index].name = intern(*entry, (size_t)(equals - *entry));
        interned.environment[index].value = intern(equals + 1, strlen(equals + 1));
    }
}

void superglobals_intern(void)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        interned.keys[i] = intern(key_texts[i], strlen(key_texts[i]));
    for (size_t i = 0; i < VALUE_COUNT; i++)
        interned.values[i] = intern(value_texts[i], strlen(value_texts[i]));
    intern_environment();
}

bool superglobals_has_key(const char *name, size_t size)
{
    if (size > 5 && (memcmp(name, "HTTP_", 5) == 0 || memcmp(name, "SSL_", 4) == 0))
        return true;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (zend_string_equals_cstr(interned.keys[i], name, size))
            return true;
    }
    return false;
}

static void put_string(HashTable *server, int key, zend_string *string)
{
    zval value;
    ZVAL_STR(&value, string);
    zend_hash_update(server, interned.keys[key], &value);
}

static void put_text(HashTable *server, int key, struct askr_text text)
{
    put_string(server, key, zend_string_init_fast(text.data, text.size));
}

static void put_value(HashTable *server, int key, int value)
{
    put_string(server, key, interned.values[value]);
}

static void put_number(HashTable *server, int key, int64_t number)
{
    put_string(server, key, zend_long_to_str((zend_long)number));
}

static void put_joined(HashTable *server, int key, struct askr_text a, struct askr_text b)
{
    put_string(server, key, zend_string_concat2(a.data, a.size, b.data, b.size));
}

/* Host without its port; the address we were reached at when the client named no host. A colon
 * within brackets belongs to an IPv6 address (RFC 3986 section 3.2.2). */
static struct askr_text server_name(const struct askr_request *head)
{
    struct askr_text name = head->host;
    const char *colon = zend_memrchr(name.data, ':', name.size);
    const char *bracket = zend_memrchr(name.data, ']', name.size);
    if (name.size == 0)
        return head->server_address;
    if (colon && (!bracket || bracket < colon))
        name.size = (uint32_t)(colon - name.data);
    return name;
}

static void put_script(HashTable *server, const struct askr_request *head)
{
    put_text(server, KEY_SCRIPT_FILENAME, head->script_filename);
    put_text(server, KEY_SCRIPT_NAME, head->script_name);
    put_text(server, KEY_DOCUMENT_URI, head->script_name);
    put_text(server, KEY_DOCUMENT_ROOT, head->document_root);
    if (head->path_info.size == 0) {
        put_text(server, KEY_PHP_SELF, head->script_name);
        return;
    }
    put_joined(server, KEY_PHP_SELF, head->script_name, head->path_info);
    put_text(server, KEY_PATH_INFO, head->path_info);
    put_joined(server, KEY_PATH_TRANSLATED, head->document_root, head->path_info);
}

static void put_connection(HashTable *server, const struct askr_request *head)
{
    put_text(server, KEY_SERVER_NAME, server_name(head));
    put_text(server, KEY_SERVER_ADDR, head->server_address);
    put_number(server, KEY_SERVER_PORT, head->server_port);
    put_text(server, KEY_REMOTE_ADDR, head->remote_address);
    put_number(server, KEY_REMOTE_PORT, head->remote_port);
    put_text(server, KEY_REMOTE_HOST, head->remote_address); /* nobody looks names up */
    /* The server authenticates nobody: with a name in REMOTE_USER applications would believe it. */
    put_string(server, KEY_REMOTE_IDENT, ZSTR_EMPTY_ALLOC());
    put_string(server, KEY_AUTH_TYPE, ZSTR_EMPTY_ALLOC());
    put_value(server, KEY_SERVER_SOFTWARE, VALUE_SOFTWARE);
    put_value(server, KEY_GATEWAY_INTERFACE, VALUE_CGI);
    put_value(server, KEY_REQUEST_SCHEME, head->https ? VALUE_SCHEME_HTTPS : VALUE_SCHEME_HTTP);
    if (head->https)
        put_value(server, KEY_HTTPS, VALUE_ON);
}

static void put_request(HashTable *server, const struct askr_request *head)
{
    int protocol = VALUE_HTTP_1_1;
    if (head->protocol != 1001)
        protocol = head->protocol == 1000 ? VALUE_HTTP_1_0 : VALUE_HTTP_2;
    put_text(server, KEY_REQUEST_METHOD, head->method);
    put_text(server, KEY_REQUEST_URI, head->target);
    put_text(server, KEY_QUERY_STRING, head->query);
    put_value(server, KEY_SERVER_PROTOCOL, protocol);
    if (head->content_type.size)
        put_text(server, KEY_CONTENT_TYPE, head->content_type);
    if (head->has_body)
        put_number(server, KEY_CONTENT_LENGTH, head->content_length);
}

static void put_variables(HashTable *server, const struct askr_request *head)
{
    for (size_t i = 0; i < head->variable_count; i++) {
        const struct askr_field *variable = &head->variables[i];
        zval value;
        ZVAL_STR(&value, zend_string_init_fast(variable->value.data, variable->value.size));
        zend_hash_str_update(server, variable->name.data, variable->name.size, &value);
    }
}

/* Those have variables of their own (RFC 3875 section 4.1.18); cookies are joined by the host. */
static bool has_own_variable(struct askr_text name)
{
    switch (name.size) {
    case sizeof "Cookie" - 1:
        return strncasecmp(name.data, "Cookie", name.size) == 0;
    case sizeof "Content-Type" - 1:
        return strncasecmp(name.data, "Content-Type", name.size) == 0;
    case sizeof "Content-Length" - 1:
        return strncasecmp(name.data, "Content-Length", name.size) == 0;
    default:
        return false;
    }
}

/* Repeated fields are one list (RFC 9110 section 5.3). */
static void put_field(HashTable *server, const struct askr_field *field)
{
    zend_string *key = server_name_new(field->name);
    zval value, *earlier;
    if (!key)
        return;
    ZVAL_STR(&value, zend_string_init_fast(field->value.data, field->value.size));
    if (!zend_hash_add(server, key, &value)) {
        earlier = zend_hash_find(server, key);
        zend_string *joined = zend_string_concat3(Z_STRVAL_P(earlier), Z_STRLEN_P(earlier), ", ", 2,
                                                  field->value.data, field->value.size);
        zval_ptr_dtor_str(&value);
        ZVAL_STR(&value, joined);
        zend_hash_update(server, key, &value);
    }
    zend_string_release(key);
}

static void put_fields(HashTable *server, const struct askr_request *head)
{
    static const struct askr_text cookie_name = {"Cookie", 6};
    for (size_t i = 0; i < head->field_count; i++) {
        if (!has_own_variable(head->fields[i].name))
            put_field(server, &head->fields[i]);
    }
    if (head->cookie.size)
        put_field(server, &(struct askr_field){cookie_name, head->cookie});
}

static void put_environment(HashTable *server)
{
    for (uint32_t i = 0; i < interned.environment_count; i++) {
        zval value;
        ZVAL_INTERNED_STR(&value, interned.environment[i].value);
        zend_hash_update(server, interned.environment[i].name, &value);
    }
}

/* sapi_module.register_server_variables; PHP itself adds REQUEST_TIME, PHP_AUTH_*, argv. */
void superglobals_server(zval *array)
{
    struct php_request *request = SG(server_context);
    HashTable *server = Z_ARRVAL_P(array);
    if (!request)
        return;
    zend_hash_extend(
        server, KEY_COUNT + 8 + interned.environment_count + request->head->field_count, false);
    put_environment(server);
    put_request(server, request->head);
    put_script(server, request->head);
    put_connection(server, request->head);
    put_variables(server, request->head);
    put_fields(server, request->head);
    filter_server_variables();
}
