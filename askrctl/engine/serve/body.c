/* SPDX-License-Identifier: MIT
 * A request body on its way to an application: in memory up to BODY_MEMORY_MAX, then all of it in a
 * temporary file (spool.h), so that a slow upload holds neither an interpreter nor memory. */
#include <errno.h>
#include <stdlib.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/worker.h"

void body_free(struct body *body)
{
    free(body->memory);
    if (body->spool != NULL)
        spool_free(body->spool);
    *body = (struct body){0};
}

/* Move what is in memory to a file. */
static int begin_spool(struct exchange *exchange)
{
    struct body *body = &exchange->body;
    struct worker *worker = exchange->conn->worker;
    if (worker->spools_ahead >= SPOOLS_REFUSED_AT)
        return -ENOBUFS;
    body->spool = spool_new(worker, exchange_stored, exchange);
    if (body->spool == NULL)
        return -ENOMEM;
    int result = spool_append(body->spool, (struct slice){body->memory, (size_t)body->size});
    free(body->memory);
    body->memory = NULL;
    return result;
}

/* Grown in steps of a power of two: most bodies are one small form. */
static int keep(struct body *body, struct slice bytes)
{
    size_t size = (size_t)body->size + bytes.size;
    size_t step = size <= 4096 ? 4096 : BODY_MEMORY_MAX;
    if (body->memory == NULL || (body->size <= 4096 && step > 4096)) {
        char *memory = realloc(body->memory, step);
        if (memory == NULL)
            return -ENOMEM;
        body->memory = memory;
    }
    memcpy(body->memory + body->size, bytes.data, bytes.size);
    body->size += (int64_t)bytes.size;
    return 0;
}

int body_append(struct exchange *exchange, struct slice bytes, size_t memory_max)
{
    struct body *body = &exchange->body;
    if (bytes.size == 0)
        return 0;
    assert(memory_max >= PORT_INLINE_BODY_MAX && memory_max <= BODY_MEMORY_MAX);
    if (body->spool == NULL && (size_t)body->size + bytes.size <= memory_max)
        return keep(body, bytes);
    int result = body->spool == NULL ? begin_spool(exchange) : 0;
    if (result == 0)
        result = spool_append(body->spool, bytes);
    body->size += (int64_t)bytes.size;
    return result;
}

int body_feed(struct body *body, struct port *port)
{
    char block[16384];
    while (body->fed < body->size) {
        size_t room = port_body_room(port);
        if (room == 0)
            return 0;
        size_t size = size_min(room, (size_t)(body->size - body->fed));
        if (body->spool == NULL) {
            port_body_write(port, (struct slice){body->memory + body->fed, size});
            body->fed += (int64_t)size;
            continue;
        }
        int64_t got = spool_read(body->spool, block, size_min(size, sizeof block), body->fed);
        if (got == -EAGAIN)
            return 0; /* exchange_stored() comes, and a turn after it */
        if (got < 0)
            return (int)got;
        port_body_write(port, (struct slice){block, (size_t)got});
        body->fed += got;
    }
    return 0;
}
