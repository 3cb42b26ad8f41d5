/* SPDX-License-Identifier: MIT
 * The health path: answered here, without an application, so that a load balancer learns at once
 * whether requests would be served. 503 once the worker drains, or while no application can serve.
 */
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/worker.h"

bool health_is_asked(const struct worker *worker)
{
    const char *path = worker->config->health_path;
    return path != NULL && path[0] != '\0' && slice_equals(worker->request.path, slice_of(path));
}

/* One that is broken is no reason to send the clients of the others away. */
static bool any_site_serves(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->site_count; i++)
        if (worker->sites[i].place_count == 0 || apps_any_ready(&worker->sites[i]))
            return true;
    return false;
}

void respond_health(struct exchange *exchange)
{
    const struct worker *worker = exchange->conn->worker;
    bool serves = !worker->draining && any_site_serves(worker);
    struct slice text = serves ? SLICE("ok\n") : SLICE("not ready\n");
    struct http_field fields[] = {{SLICE("Content-Type"), SLICE("text/plain")},
                                  {SLICE("Cache-Control"), SLICE("no-store")}};
    struct answer_head head = {
        .status = serves ? 200 : 503,
        .content_length = (int64_t)text.size,
        .fields = fields,
        .field_count = COUNT_OF(fields),
    };
    int result = say_head(exchange, &head);
    if (result == 0)
        result = say_body(exchange, text);
    if (result < 0) {
        conn_close(exchange->conn);
        return;
    }
    exchange_answered(exchange);
}
