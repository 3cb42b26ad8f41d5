/* SPDX-License-Identifier: MIT
 * Server-Timing (W3C): the split of an application's answer, for whoever looks at it in a browser.
 * It tells strangers what a request costs, so it is off, or for trusted peers, unless asked for. */
#include <stdio.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/worker.h"

enum { TIMING_SIZE = 160 };

static double ms(int64_t duration_ns)
{
    return duration_ns > 0 ? (double)duration_ns / 1e6 : 0.0;
}

/* Behind the application's fields, if a head takes one more. */
void timing_add(struct exchange *exchange)
{
    const struct worker *worker = exchange->conn->worker;
    const struct split_times *times = &exchange->times;
    int mode = worker->config->server_timing;
    if (mode == ASKR_TIMING_OFF || exchange->field_count >= H1_RESPONSE_FIELDS_MAX ||
        (mode == ASKR_TIMING_TRUSTED && !trust_has(worker, &exchange->conn->peer)))
        return;
    char *text = exchange_allocate(exchange, TIMING_SIZE);
    if (text == NULL || times->taken_ns == 0)
        return;
    int size = snprintf(text, TIMING_SIZE, "read;dur=%.3f, queue;dur=%.3f",
                        ms(times->received_ns - times->began_ns),
                        ms(times->taken_ns - times->received_ns));
    if (!exchange->streaming && times->first_ns != 0) /* else it is not over */
        size += snprintf(text + size, TIMING_SIZE - (size_t)size, ", app;dur=%.3f, cpu;dur=%.3f",
                         ms(times->app_wall_ns), ms(times->app_cpu_ns));
    exchange->fields[exchange->field_count++] =
        (struct http_field){SLICE("Server-Timing"), {text, (size_t)size}};
}
