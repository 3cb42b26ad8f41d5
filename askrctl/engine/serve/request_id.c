/* SPDX-License-Identifier: MIT
 * Trusted networks and request ids (request_id.h). */
#include "serve/request_id.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "base/mix.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/worker.h"

static bool parse_network(struct trusted_network *network, const char *text)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t size = slash == NULL ? strlen(text) : (size_t)(slash - text);
    if (strcmp(text, "unix") == 0) {
        *network = (struct trusted_network){.family = AF_UNIX};
        return true;
    }
    if (size >= sizeof address)
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    network->family = memchr(address, ':', size) != NULL ? AF_INET6 : AF_INET;
    unsigned long most = network->family == AF_INET6 ? 128 : 32;
    char *end = NULL;
    unsigned long prefix = slash == NULL ? most : strtoul(slash + 1, &end, 10);
    network->prefix = (uint8_t)prefix;
    return inet_pton(network->family, address, network->bytes) == 1 && prefix <= most &&
           (slash == NULL || (end != slash + 1 && *end == '\0'));
}

int trust_open(struct worker *worker, askr_error *error)
{
    struct trust *trust = &worker->trust;
    const char *text = worker->config->trusted_proxies;
    if (getrandom(&trust->id_seed, sizeof trust->id_seed, GRND_NONBLOCK) < 0)
        trust->id_seed = (uint64_t)clock_now_ns() ^ (uint64_t)(uintptr_t)worker;
    while (text != NULL && *text != '\0') {
        char word[64];
        size_t size = strcspn(text, " ");
        if (size >= sizeof word || trust->count == TRUSTED_MAX)
            return askr_fail(error, EINVAL, "trusted_proxies: too long");
        memcpy(word, text, size);
        word[size] = '\0';
        if (!parse_network(&trust->networks[trust->count++], word))
            return askr_fail(error, EINVAL, "trusted_proxies: %s is no network", word);
        text += size + strspn(text + size, " ");
    }
    return 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, uint8_t bits)
{
    uint8_t rest = (uint8_t)(0xff00u >> (bits % 8));
    return memcmp(a, b, bits / 8) == 0 &&
           (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & rest) == 0);
}

bool trust_has(const struct worker *worker, const struct address *peer)
{
    for (uint32_t i = 0; i < worker->trust.count; i++) {
        const struct trusted_network *network = &worker->trust.networks[i];
        if (network->family == peer->family &&
            same_bits(network->bytes, peer->bytes, network->prefix))
            return true;
    }
    return false;
}

/* --- ids -------------------------------------------------------------------------------------- */

static bool is_named_so(const struct http_field *field)
{
    return field->name.size == 12 && strncasecmp(field->name.data, "X-Request-Id", 12) == 0;
}

static struct http_field *find_field(struct http_request *request)
{
    for (uint16_t i = 0; i < request->field_count; i++)
        if (is_named_so(&request->fields[i]))
            return &request->fields[i];
    return NULL;
}

/* What cannot break a log line or a header, whoever reads it. */
static bool is_sound(struct slice id)
{
    for (size_t i = 0; i < id.size; i++) {
        char c = id.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              strchr("-_.:+/=@", c) != NULL))
            return false;
    }
    return id.size > 0 && id.size <= REQUEST_ID_SIZE_MAX;
}

/* Eight digits at a time: a byte of up to 9 gets '0' added, one of more gets 'a' - 10, which is 39
 * above that; 6 carries into the fifth bit from 10 on. */
#define NIBBLES UINT64_C(0x0f0f0f0f0f0f0f0f)
static void put_digits(char *digits, uint64_t values)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t letters = (values + 6 * ones) >> 4 & ones;
    uint64_t text = values + '0' * ones + letters * ('a' - 10 - '0');
    memcpy(digits, &text, sizeof text);
}

static void make(struct trust *trust, char id[static REQUEST_ID_SIZE])
{
    for (int half = 0; half < 2; half++) {
        uint64_t bits = mix64(trust->id_seed + ++trust->id_count * MIX_STEP);
        put_digits(id + 16 * half, bits & NIBBLES);
        put_digits(id + 16 * half + 8, bits >> 4 & NIBBLES);
    }
}

void request_id_note(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    struct slice given = {0};
    if (worker->trust.count > 0 && trust_has(worker, &exchange->conn->peer)) {
        const struct http_field *field = find_field(&worker->request);
        if (field != NULL && is_sound(field->value))
            given = field->value;
    }
    size_t size = given.size > 0 ? given.size : REQUEST_ID_SIZE;
    char *id = exchange_allocate(exchange, size);
    if (id == NULL)
        return;
    if (given.size > 0)
        memcpy(id, given.data, size);
    else
        make(&worker->trust, id);
    exchange->request_id = (struct slice){id, size};
}

/* Behind `field`, which says it: an application would read more of them as one list. */
static void drop_others(struct http_request *request, const struct http_field *field)
{
    uint16_t kept = (uint16_t)(field - request->fields + 1);
    for (uint16_t i = kept; i < request->field_count; i++)
        if (!is_named_so(&request->fields[i]))
            request->fields[kept++] = request->fields[i];
    request->field_count = kept;
}

void request_id_put(struct exchange *exchange)
{
    struct http_request *request = &exchange->conn->worker->request;
    struct http_field *field = find_field(request);
    if (field != NULL) {
        drop_others(request, field);
    } else if (request->field_count < HTTP_FIELDS_MAX) {
        field = &request->fields[request->field_count++];
        field->name = SLICE("X-Request-Id");
    }
    if (field != NULL)
        field->value = exchange->request_id;
}
