/* SPDX-License-Identifier: MIT
 * The client of forwarded.h. A hop is one element, counted from the right; the values that belong
 * to the client stand at the same hop in all lists, or at the leftmost of a list that is shorter,
 * because a proxy replaced it. */
#include "serve/forwarded.h"

#include <strings.h>

#include "proto/forwarded.h"
#include "serve/conn.h"
#include "serve/speak_proxy.h"
#include "serve/worker.h"

static bool read_client(struct slice text, struct address *client)
{
    enum proxy_family family;
    struct proxy_end end;
    if (!forwarded_node(text, &family, &end))
        return false;
    client->family = family == PROXY_INET ? AF_INET : AF_INET6;
    client->port = end.port;
    memcpy(client->bytes, end.bytes, sizeof client->bytes);
    address_unmap(client);
    return true;
}

/* Walk left as long as the one that wrote the element is trusted. The hop of the last one that was
 * looked at, and the element; -1: there is none. */
static int find_client(struct worker *worker, bool standard, struct address *client,
                       struct slice *element)
{
    struct forwarded_list list;
    int hop = -1;
    forwarded_begin(&list, &worker->request,
                    standard ? SLICE("Forwarded") : SLICE("X-Forwarded-For"));
    while (hop + 1 < FORWARDED_HOPS_MAX && trust_has(worker, client) &&
           forwarded_next(&list, element)) {
        struct slice node = standard ? forwarded_parameter(*element, SLICE("for")) : *element;
        hop++;
        if (!read_client(node, client))
            break; /* unknown: the last address that is known counts */
    }
    return hop;
}

static struct slice value_at(struct worker *worker, int hop, struct slice name)
{
    struct forwarded_list list;
    struct slice value = SLICE(""), element;
    forwarded_begin(&list, &worker->request, name);
    for (int at = 0; (at == 0 || at <= hop) && forwarded_next(&list, &element); at++)
        value = element;
    return value;
}

static uint8_t scheme_of(struct slice text)
{
    if (text.size == 5 && strncasecmp(text.data, "https", 5) == 0)
        return FORWARDED_HTTPS;
    return text.size == 4 && strncasecmp(text.data, "http", 4) == 0 ? FORWARDED_HTTP
                                                                    : FORWARDED_NO_SCHEME;
}

static uint16_t port_in(struct slice host)
{
    if (host.data == NULL)
        return 0; /* not told: there is no text at all */
    const char *colon = memrchr(host.data, ':', host.size);
    const char *bracket = memrchr(host.data, ']', host.size);
    if (colon == NULL || (bracket != NULL && bracket > colon))
        return 0;
    return forwarded_port((struct slice){colon + 1, host.size - (size_t)(colon - host.data) - 1});
}

static void note_target(struct exchange *exchange, struct forwarded *forwarded, struct slice host)
{
    if (forwarded_host(host)) {
        char *copy = exchange_allocate(exchange, host.size);
        if (copy != NULL) {
            memcpy(copy, host.data, host.size);
            forwarded->host = (struct slice){copy, host.size};
        }
    }
    if (forwarded->port == 0)
        forwarded->port = port_in(forwarded->host);
    if (forwarded->port == 0 && forwarded->scheme != FORWARDED_NO_SCHEME)
        forwarded->port = forwarded->scheme == FORWARDED_HTTPS ? 443 : 80;
}

void forwarded_note(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    bool standard = worker->config->forwarded == ASKR_FORWARDED_STANDARD;
    if (!trust_has(worker, &conn->peer))
        return;
    struct forwarded *forwarded = exchange_allocate(exchange, sizeof *forwarded);
    if (forwarded == NULL)
        return;
    *forwarded = (struct forwarded){.client = conn->peer};
    struct slice element = SLICE("");
    int hop = find_client(worker, standard, &forwarded->client, &element);
    if (standard) {
        forwarded->scheme = scheme_of(forwarded_parameter(element, SLICE("proto")));
        note_target(exchange, forwarded, forwarded_parameter(element, SLICE("host")));
    } else {
        forwarded->scheme = scheme_of(value_at(worker, hop, SLICE("X-Forwarded-Proto")));
        forwarded->port = forwarded_port(value_at(worker, hop, SLICE("X-Forwarded-Port")));
        note_target(exchange, forwarded, value_at(worker, hop, SLICE("X-Forwarded-Host")));
    }
    exchange->forwarded = forwarded;
}

const struct address *exchange_client(const struct exchange *exchange)
{
    return UNLIKELY(exchange->forwarded != NULL) ? &exchange->forwarded->client
                                                 : &exchange->conn->peer;
}

bool exchange_is_https(const struct exchange *exchange)
{
    const struct forwarded *forwarded = exchange->forwarded;
    if (UNLIKELY(forwarded != NULL) && forwarded->scheme != FORWARDED_NO_SCHEME)
        return forwarded->scheme == FORWARDED_HTTPS;
    return conn_is_https(exchange->conn);
}

struct slice exchange_authority(const struct exchange *exchange)
{
    const struct forwarded *forwarded = exchange->forwarded;
    return UNLIKELY(forwarded != NULL) && forwarded->host.size > 0
               ? forwarded->host
               : exchange->conn->worker->request.authority;
}

uint16_t exchange_port(const struct exchange *exchange, uint16_t own)
{
    const struct forwarded *forwarded = exchange->forwarded;
    return UNLIKELY(forwarded != NULL) && forwarded->port != 0 ? forwarded->port : own;
}
