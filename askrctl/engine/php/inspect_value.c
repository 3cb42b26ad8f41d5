/* SPDX-License-Identifier: MIT
 * A digest of everything that a PHP value leads to, and whose data is in it (inspect.h).
 *
 * Nothing is called and nothing is changed: properties are read where they lie, so an object that
 * is made lazily stays unmade. Closures are followed into what they captured. What internal classes
 * keep for themselves (an iterator, a statement) is not seen.
 *
 * Without recursion: values that are still to be looked at wait in `items`, which also remembers
 * how each was reached. An object counts once, for the first piece that leads to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include <zend_closures.h>

enum {
    ITEMS_MAX = 200000, /* of one piece: a large framework's container has some 30,000 */
    DEPTH_MAX = 48,     /* arrays can hold themselves, by reference */
    COOKIES_MAX = 32,
    COOKIE_SIZE_MIN = 16, /* shorter values are "1" and "dark", anybody's */
    COOKIE_SIZE_MAX = 512,
};

static const char mark[] = "askruser";

struct item {
    const zval *value;
    const char *name; /* of the key or property; NULL: `number` */
    zend_ulong number;
    uint32_t parent, depth;
};

static struct {
    struct item *items;
    uint32_t *waiting;
    uint32_t count, waiting_count;
    HashTable seen; /* objects, by address */
    bool seen_ready;
    struct {
        char value[COOKIE_SIZE_MAX];
        size_t size;
        uint32_t users; /* who sent it; what several send tells nobody apart */
    } cookies[COOKIES_MAX];
    uint32_t cookie_count;
} walk;

/* FNV-1a, by whole words where the input is one. */
static uint64_t mix(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * 0x100000001b3;
    return digest ^ (digest >> 29);
}

static uint64_t mix_bytes(uint64_t digest, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ (unsigned char)data[i]) * 0x100000001b3;
    return mix(digest, size);
}

static uint32_t users_in(const char *data, size_t size)
{
    uint32_t users = 0;
    const char *end = data + size, *at = data;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        at += sizeof mark - 1;
        if (at < end && *at >= 'A' && *at <= 'Z')
            users |= 1u << (*at - 'A');
    }
    for (uint32_t i = 0; i < walk.cookie_count; i++)
        if (__builtin_popcount(walk.cookies[i].users) == 1 &&
            memmem(data, size, walk.cookies[i].value, walk.cookies[i].size) != NULL)
            users |= walk.cookies[i].users;
    return users;
}

static void remember_one(uint32_t user, const char *value, size_t size)
{
    if (size < COOKIE_SIZE_MIN || size > COOKIE_SIZE_MAX)
        return;
    uint32_t place = 0;
    while (place < walk.cookie_count && (walk.cookies[place].size != size ||
                                         memcmp(walk.cookies[place].value, value, size) != 0))
        place++;
    if (place == COOKIES_MAX)
        place = COOKIES_MAX - 1;
    else if (place < walk.cookie_count)
        user |= walk.cookies[place].users;
    else
        walk.cookie_count++;
    memcpy(walk.cookies[place].value, value, size);
    walk.cookies[place].size = size;
    walk.cookies[place].users = user;
}

void inspect_remember(uint32_t user, struct askr_text cookie)
{
    const char *at = cookie.data, *end = cookie.data + cookie.size;
    while (at < end) {
        const char *stop = memchr(at, ';', (size_t)(end - at));
        const char *value = memchr(at, '=', (size_t)((stop ? stop : end) - at));
        if (value)
            remember_one(1u << user, value + 1, (size_t)((stop ? stop : end) - value - 1));
        at = stop ? stop + 1 : end;
    }
}

void inspect_values_begin(void)
{
    if (walk.seen_ready)
        zend_hash_clean(&walk.seen);
    else
        zend_hash_init(&walk.seen, 1024, NULL, NULL, true);
    walk.seen_ready = true;
    if (walk.items)
        return;
    walk.items = malloc(ITEMS_MAX * sizeof *walk.items);
    walk.waiting = malloc(ITEMS_MAX * sizeof *walk.waiting);
    assert(walk.items && walk.waiting);
}

static void push(const zval *value, const char *name, zend_ulong number, uint32_t parent)
{
    uint32_t depth = walk.count ? walk.items[parent].depth + 1 : 0;
    if (walk.count == ITEMS_MAX || depth > DEPTH_MAX)
        return;
    walk.items[walk.count] = (struct item){value, name, number, parent, depth};
    walk.waiting[walk.waiting_count++] = walk.count++;
}

static void push_all(HashTable *table, uint32_t parent)
{
    zend_ulong number;
    zend_string *name;
    zval *value;
    ZEND_HASH_FOREACH_KEY_VAL(table, number, name, value)
    {
        if (Z_TYPE_P(value) == IS_INDIRECT)
            value = Z_INDIRECT_P(value);
        if (Z_TYPE_P(value) != IS_UNDEF)
            push(value, name ? ZSTR_VAL(name) : NULL, number, parent);
    }
    ZEND_HASH_FOREACH_END();
}

static void push_closure(zend_object *object, uint32_t parent)
{
    zval self, *bound;
    ZVAL_OBJ(&self, object);
    const zend_function *function = zend_get_closure_method_def(object);
    if (function->type == ZEND_USER_FUNCTION && function->op_array.static_variables &&
        ZEND_MAP_PTR(function->op_array.static_variables_ptr)) {
        HashTable *captured = ZEND_MAP_PTR_GET(function->op_array.static_variables_ptr);
        if (captured)
            push_all(captured, parent);
    }
    bound = zend_get_closure_this_ptr(&self);
    if (Z_TYPE_P(bound) == IS_OBJECT)
        push(bound, "this", 0, parent);
}

static void push_object(zend_object *object, uint32_t parent)
{
    if (object->ce == zend_ce_closure) {
        push_closure(object, parent);
        return;
    }
    if (object->properties) { /* has all of them, the declared ones by reference to their slots */
        push_all(object->properties, parent);
        return;
    }
    for (int i = 0; i < object->ce->default_properties_count; i++) {
        const zval *slot = &object->properties_table[i];
        const zend_property_info *info =
            object->ce->properties_info_table ? object->ce->properties_info_table[i] : NULL;
        if (Z_TYPE_P(slot) == IS_UNDEF)
            continue;
        const char *name = info ? ZSTR_VAL(info->name) : NULL;
        push(slot, name && !*name ? name + 1 + strlen(name + 1) + 1 : name, (zend_ulong)i, parent);
    }
}

static void describe(const zval *value, char *text)
{
    switch (Z_TYPE_P(value)) {
    case IS_LONG:
        snprintf(text, INSPECT_KIND_SIZE, "int " ZEND_LONG_FMT, Z_LVAL_P(value));
        break;
    case IS_STRING:
        snprintf(text, INSPECT_KIND_SIZE, "string(%zu)", Z_STRLEN_P(value));
        break;
    case IS_ARRAY:
        snprintf(text, INSPECT_KIND_SIZE, "array(%u)", zend_hash_num_elements(Z_ARRVAL_P(value)));
        break;
    case IS_OBJECT:
        snprintf(text, INSPECT_KIND_SIZE, "object %s", ZSTR_VAL(Z_OBJCE_P(value)->name));
        break;
    default:
        snprintf(text, INSPECT_KIND_SIZE, "%s", zend_zval_type_name(value));
    }
}

/* Outermost first; what does not fit is cut off at the front. */
static void write_path(uint32_t index, char *path)
{
    char *end = path + INSPECT_PATH_SIZE - 1, *at = end;
    *end = '\0';
    for (; index != 0; index = walk.items[index].parent) {
        char step[80];
        const struct item *item = &walk.items[index];
        int size = item->name ? snprintf(step, sizeof step, "[%.70s]", item->name)
                              : snprintf(step, sizeof step, "[" ZEND_ULONG_FMT "]", item->number);
        if (at - path <= size)
            break;
        at -= size;
        memcpy(at, step, (size_t)size);
    }
    memmove(path, at, (size_t)(end - at) + 1);
}

static void look_at_object(zend_object *object, uint32_t index, struct inspected *out)
{
    zend_ulong address = (zend_ulong)(uintptr_t)object;
    out->digest = mix_bytes(out->digest, ZSTR_VAL(object->ce->name), ZSTR_LEN(object->ce->name));
    if (zend_hash_index_add_empty_element(&walk.seen, address >> 3) == NULL)
        return;
    push_object(object, index);
}

static void look_at(uint32_t index, struct inspected *out)
{
    const struct item *item = &walk.items[index];
    const zval *value = item->value;
    ZVAL_DEREF(value);
    out->digest = item->name ? mix_bytes(out->digest, item->name, strlen(item->name))
                             : mix(out->digest, item->number);
    out->digest = mix(out->digest, Z_TYPE_P(value));
    if (Z_TYPE_P(value) == IS_LONG || Z_TYPE_P(value) == IS_DOUBLE) {
        out->digest = mix(out->digest, (uint64_t)Z_LVAL_P(value));
    } else if (Z_TYPE_P(value) == IS_STRING) {
        uint32_t users = users_in(Z_STRVAL_P(value), Z_STRLEN_P(value));
        out->digest = mix_bytes(out->digest, Z_STRVAL_P(value), Z_STRLEN_P(value));
        if (users && !out->users)
            write_path(index, out->path);
        out->users |= users;
    } else if (Z_TYPE_P(value) == IS_ARRAY) {
        out->digest = mix(out->digest, zend_hash_num_elements(Z_ARRVAL_P(value)));
        push_all(Z_ARRVAL_P(value), index);
    } else if (Z_TYPE_P(value) == IS_OBJECT) {
        look_at_object(Z_OBJ_P(value), index, out);
    }
}

void inspect_value(const zval *value, struct inspected *out)
{
    *out = (struct inspected){.digest = 0xcbf29ce484222325};
    walk.count = walk.waiting_count = 0;
    ZVAL_DEREF(value);
    describe(value, out->kind);
    push(value, NULL, 0, 0);
    while (walk.waiting_count > 0)
        look_at(walk.waiting[--walk.waiting_count], out);
}

void inspect_text(const char *data, size_t size, struct inspected *out)
{
    *out = (struct inspected){.digest = mix_bytes(0xcbf29ce484222325, data, size),
                              .users = users_in(data, size)};
    snprintf(out->kind, sizeof out->kind, "\"%.*s\"", (int)(size > 60 ? 60 : size), data);
}
