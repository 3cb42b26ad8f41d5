/* SPDX-License-Identifier: MIT
 * The keys of rate_key.h. A header counts with all of its fields, as an application would join
 * them; of cookies the first of the name does, as PHP takes it. */
#include "serve/rate_key.h"

#include "base/hash.h"
#include "serve/forwarded.h"
#include "serve/per_address.h"
#include "serve/worker.h"

uint64_t rate_key_header(const struct http_request *request, struct slice name, uint64_t seed)
{
    uint64_t hash = 0;
    for (uint16_t i = 0; i < request->field_count; i++) {
        struct slice value = request->fields[i].value;
        if (slice_reads(request->fields[i].name, name) && value.size > 0)
            hash = hash_bytes(seed ^ hash, value.data, value.size);
    }
    return hash;
}

/* "a=1; b=2": RFC 6265 section 4.2.1. */
static struct slice cookie_in(struct slice text, struct slice name)
{
    while (text.size > name.size) {
        while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == ';'))
            text = (struct slice){text.data + 1, text.size - 1};
        const char *end = memchr(text.data, ';', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        if (size > name.size && text.data[name.size] == '=' &&
            memcmp(text.data, name.data, name.size) == 0)
            return (struct slice){text.data + name.size + 1, size - name.size - 1};
        text = (struct slice){text.data + size, text.size - size};
    }
    return SLICE("");
}

uint64_t rate_key_cookie(const struct http_request *request, struct slice name, uint64_t seed)
{
    for (uint16_t i = 0; i < request->field_count; i++) {
        if (!slice_reads(request->fields[i].name, SLICE("Cookie")))
            continue;
        struct slice value = cookie_in(request->fields[i].value, name);
        if (value.size > 0)
            return hash_bytes(seed, value.data, value.size);
    }
    return 0;
}

uint64_t rate_key_seed(const struct askr_rate *rule, uint64_t seed)
{
    uint32_t numbers[] = {rule->key, rule->count, rule->period_s, rule->burst};
    seed = hash_bytes(seed, rule->name, strlen(rule->name));
    seed = hash_bytes(seed, rule->path, strlen(rule->path));
    return hash_bytes(seed, (const char *)numbers, sizeof numbers);
}

bool rate_key(const struct exchange *exchange, const struct askr_rate *rule, uint64_t seed,
              uint64_t *owner)
{
    const struct worker *worker = exchange->conn->worker;
    struct slice name = slice_of(rule->key_name);
    *owner = rule->key == ASKR_RATE_HEADER   ? rate_key_header(&worker->request, name, seed)
             : rule->key == ASKR_RATE_COOKIE ? rate_key_cookie(&worker->request, name, seed)
                                             : 0;
    if (*owner != 0)
        return true;
    const struct address *address = exchange_client(exchange);
    if (!address_is_limited(worker, address))
        return false;
    uint64_t client[] = {address->family, address_client(address)};
    *owner = hash_bytes(~seed, (const char *)client, sizeof client);
    return true;
}
