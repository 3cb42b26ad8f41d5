/* SPDX-License-Identifier: MIT
 * The lists and values of forwarded.h. */
#include "proto/forwarded.h"

#include <arpa/inet.h>

#include "proto/h1_parts.h"

void forwarded_begin(struct forwarded_list *list, const struct http_request *request,
                     struct slice name)
{
    *list = (struct forwarded_list){
        .fields = request->fields, .field_count = request->field_count, .name = name};
}

static bool begin_field(struct forwarded_list *list)
{
    while (list->field_count > 0) {
        const struct http_field *field = &list->fields[--list->field_count];
        if (slice_reads(field->name, list->name)) {
            list->rest = field->value;
            list->begun = true;
            return true;
        }
    }
    return false;
}

bool forwarded_next(struct forwarded_list *list, struct slice *element)
{
    if (!list->begun && !begin_field(list))
        return false;
    size_t at = list->rest.size;
    bool quoted = false;
    while (at > 0 && (quoted || list->rest.data[at - 1] != ',')) {
        quoted ^= list->rest.data[at - 1] == '"';
        at--;
    }
    *element = slice_trim((struct slice){list->rest.data + at, list->rest.size - at});
    list->begun = at > 0; /* a comma stands before it */
    list->rest.size = at > 0 ? at - 1 : 0;
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */

uint16_t forwarded_port(struct slice text)
{
    uint32_t port = 0;
    if (text.size == 0 || text.size > 5)
        return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return 0;
        port = 10 * port + (uint32_t)(text.data[i] - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool read_address(struct slice text, int family, struct proxy_end *end)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.size >= sizeof copy || memchr(text.data, '\0', text.size) != NULL)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return inet_pton(family, copy, end->bytes) == 1;
}

/* A port behind an address is believed or not; the address counts all the same. */
static bool read_tail(struct slice tail, struct proxy_end *end)
{
    if (tail.size == 0)
        return true;
    if (tail.data[0] != ':')
        return false;
    end->port = forwarded_port((struct slice){tail.data + 1, tail.size - 1});
    return true;
}

bool forwarded_node(struct slice text, enum proxy_family *family, struct proxy_end *end)
{
    *end = (struct proxy_end){0};
    const char *colon = memchr(text.data, ':', text.size);
    if (text.size > 0 && text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.size);
        if (close == NULL)
            return false;
        size_t size = (size_t)(close - text.data);
        *family = PROXY_INET6;
        return read_address((struct slice){text.data + 1, size - 1}, AF_INET6, end) &&
               read_tail((struct slice){close + 1, text.size - size - 1}, end);
    }
    if (colon != NULL && memchr(colon + 1, ':', text.size - (size_t)(colon - text.data) - 1)) {
        *family = PROXY_INET6;
        return read_address(text, AF_INET6, end);
    }
    size_t size = colon != NULL ? (size_t)(colon - text.data) : text.size;
    *family = PROXY_INET;
    return read_address((struct slice){text.data, size}, AF_INET, end) &&
           read_tail((struct slice){text.data + size, text.size - size}, end);
}

bool forwarded_host(struct slice text)
{
    return text.size > 0 && text.size <= FORWARDED_HOST_SIZE_MAX && h1_valid_authority(text);
}

/* --- Forwarded -------------------------------------------------------------------------------- */

/* Split off what stands before the next semicolon that is not quoted. */
static struct slice take_pair(struct slice *rest)
{
    bool quoted = false;
    size_t at = 0;
    for (; at < rest->size && (quoted || rest->data[at] != ';'); at++)
        quoted ^= rest->data[at] == '"';
    struct slice pair = slice_trim((struct slice){rest->data, at});
    size_t used = at < rest->size ? at + 1 : at;
    *rest = (struct slice){rest->data + used, rest->size - used};
    return pair;
}

/* A token, or a quoted string without escapes: nothing that we look for needs one. */
static bool read_value(struct slice text, struct slice *value)
{
    *value = text;
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"')
        *value = (struct slice){text.data + 1, text.size - 2};
    return memchr(value->data, '"', value->size) == NULL &&
           memchr(value->data, '\\', value->size) == NULL;
}

struct slice forwarded_parameter(struct slice element, struct slice name)
{
    static const struct slice none = {"", 0};
    struct slice found = none, value;
    bool seen = false;
    while (element.size > 0) {
        struct slice pair = take_pair(&element);
        const char *equals = memchr(pair.data, '=', pair.size);
        if (equals == NULL)
            return none;
        size_t size = (size_t)(equals - pair.data);
        if (!read_value((struct slice){equals + 1, pair.size - size - 1}, &value))
            return none;
        if (!slice_reads((struct slice){pair.data, size}, name))
            continue;
        if (seen)
            return none;
        seen = true;
        found = value;
    }
    return found;
}
