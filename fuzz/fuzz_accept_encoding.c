/* SPDX-License-Identifier: MIT
 * Invariant: whatever Accept-Encoding says, a coding is chosen only if its weight is above 0 and
 * below none of the others', and a list that is cut at its commas into several fields says the
 * same.
 *
 * The input is the field's value, taken from memory that ends where it ends. */
#include <stdlib.h>

#include "proto/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const struct encoding_rules rules = {
    .order = {ENCODING_ZSTD, ENCODING_BROTLI, ENCODING_GZIP},
    .count = 3,
    .types = "text/*",
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void read_by_element(struct accept_encoding *accept, struct slice value)
{
    accept_encoding_init(accept);
    while (value.size > 0) {
        const char *comma = memchr(value.data, ',', value.size);
        size_t size = comma == NULL ? value.size : (size_t)(comma - value.data);
        accept_encoding_read(accept, (struct slice){value.data, size});
        size += comma != NULL;
        value = (struct slice){value.data + size, value.size - size};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    must(copy != NULL);
    memcpy(copy, data, size);
    struct slice value = {copy, size};
    struct accept_encoding whole, parts;
    accept_encoding_init(&whole);
    accept_encoding_read(&whole, value);
    read_by_element(&parts, value);
    must(memcmp(&whole, &parts, sizeof whole) == 0);
    enum encoding chosen = encoding_choose(&rules, &whole);
    int weight = accept_encoding_weight(&whole, chosen);
    must(weight >= 0 && weight <= 1000);
    must(chosen == ENCODING_NONE || weight > 0);
    for (uint32_t i = 0; i < rules.count && chosen != ENCODING_NONE; i++)
        must(accept_encoding_weight(&whole, rules.order[i]) <= weight);
    struct http_field field = {SLICE("Content-Type"), value};
    struct encoding_traits traits;
    encoding_look(&rules, 200, &field, 1, &traits);
    must(!traits.allowed || size >= 5);
    free(copy);
    return 0;
}
