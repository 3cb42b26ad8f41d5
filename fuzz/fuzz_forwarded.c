/* SPDX-License-Identifier: MIT
 * Invariant: whatever proxies and clients write, a list ends, its elements lie in their fields one
 * left of the other, and a value stays within its element. Lines of the input are fields. */
#include <stdlib.h>

#include "proto/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* On in every build, as in fuzz_h1.c. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check(struct slice element)
{
    static const struct slice names[] = {{"for", 3}, {"proto", 5}, {"host", 4}};
    enum proxy_family family;
    struct proxy_end end;
    forwarded_node(element, &family, &end);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice value = forwarded_parameter(element, names[i]);
        must(value.size == 0 ||
             (value.data > element.data && value.data + value.size <= element.data + element.size));
        forwarded_node(value, &family, &end);
        must(!forwarded_host(value) || value.size <= FORWARDED_HOST_SIZE_MAX);
        forwarded_port(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request request;
    struct forwarded_list list;
    struct slice rest = {(const char *)data, size}, element;
    request.field_count = 0;
    while (rest.size > 0 && request.field_count < HTTP_FIELDS_MAX) {
        const char *end = memchr(rest.data, '\n', rest.size);
        size_t line = end != NULL ? (size_t)(end - rest.data) : rest.size;
        request.fields[request.field_count++] =
            (struct http_field){SLICE("Forwarded"), {rest.data, line}};
        size_t used = end != NULL ? line + 1 : line;
        rest = (struct slice){rest.data + used, rest.size - used};
    }
    const char *last = (const char *)data + size;
    size_t count = 0;
    forwarded_begin(&list, &request, SLICE("forwarded"));
    while (forwarded_next(&list, &element)) {
        must(++count <= size + HTTP_FIELDS_MAX);
        must(element.size == 0 ||
             (element.data >= (const char *)data && element.data + element.size <= last));
        if (element.size > 0)
            last = element.data;
        check(element);
    }
    return 0;
}
