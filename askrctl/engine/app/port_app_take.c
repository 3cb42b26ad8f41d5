/* SPDX-License-Identifier: MIT
 * Taking a request from the queue, and reading it and its body. A request belongs to whoever
 * changes its slot's state first: us, starting it, or the worker, revoking it. */
#include <errno.h>

#include "app/port_app_end.h"

static struct askr_text text_at(const struct port_slot *slot, struct port_text text)
{
    return (struct askr_text){slot->text + text.offset, text.size};
}

static void fill_fields(struct askr_exchange *exchange)
{
    const struct port_slot *slot = exchange->slot;
    for (uint32_t i = 0; i < slot->head.field_count; i++) {
        exchange->fields[i].name = text_at(slot, slot->head.fields[i].name);
        exchange->fields[i].value = text_at(slot, slot->head.fields[i].value);
    }
    for (uint32_t i = 0; i < slot->head.variable_count; i++) {
        exchange->variables[i].name = text_at(slot, slot->head.variables[i].name);
        exchange->variables[i].value = text_at(slot, slot->head.variables[i].value);
    }
}

static void fill_request(struct askr_exchange *exchange)
{
    const struct port_slot *slot = exchange->slot;
    const struct port_slot_head *head = &slot->head;
    exchange->request = (struct askr_request){
        .method = text_at(slot, head->method),
        .target = text_at(slot, head->target),
        .path = text_at(slot, head->path),
        .query = text_at(slot, head->query),
        .host = text_at(slot, head->host),
        .script_filename = text_at(slot, head->script_filename),
        .script_name = text_at(slot, head->script_name),
        .path_info = text_at(slot, head->path_info),
        .document_root = text_at(slot, head->document_root),
        .remote_address = text_at(slot, head->remote_address),
        .server_address = text_at(slot, head->server_address),
        .content_type = text_at(slot, head->content_type),
        .cookie = text_at(slot, head->cookie),
        .authorization = text_at(slot, head->authorization),
        .content_length = head->body_size,
        .has_body = head->has_body,
        .https = head->https,
        .remote_port = head->remote_port,
        .server_port = head->server_port,
        .protocol = head->protocol,
        .field_count = head->field_count,
        .fields = exchange->fields,
        .variable_count = head->variable_count,
        .variables = exchange->variables,
    };
    fill_fields(exchange);
}

static void begin(struct askr_port *port, uint32_t tag)
{
    struct askr_exchange *exchange = &port->exchange;
    struct port_slot *slot = &port->shared->slots[port_tag_index(tag)];
    exchange->port = port;
    exchange->tag = tag;
    exchange->slot = slot;
    exchange->active = true;
    exchange->headed = exchange->ended = exchange->trailed = exchange->body_begun = false;
    exchange->body_left = slot->head.body_size;
    exchange->body_streamed = slot->head.body_size > PORT_INLINE_BODY_MAX;
    exchange->inline_at = slot->head.body.offset;
    fill_request(exchange);

    int64_t now_ns = clock_now_ns();
    port_app_started(exchange, now_ns);
    /* Should this request take long, the answers before it must not wait for it. */
    if (port->answered_ns != 0 && now_ns - port->answered_ns > PORT_UNRUNG_MAX_NS)
        port_app_ring(port);
}

/* The next request that was not revoked; false when the queue is empty. */
static bool start_next(struct askr_port *port)
{
    struct port_shared *shared = port->shared;
    uint64_t written = atomic_load_explicit(&shared->worker.queue_written, memory_order_acquire);
    while (port->queue_read != written) {
        uint32_t tag = atomic_load_explicit(&shared->queue[port->queue_read % PORT_QUEUE_SIZE],
                                            memory_order_relaxed);
        port->queue_read++;
        atomic_store_explicit(&shared->app.queue_read, port->queue_read, memory_order_release);
        uint32_t queued = port_slot_word(tag, PORT_SLOT_QUEUED);
        if (atomic_compare_exchange_strong(&shared->slots[port_tag_index(tag)].state, &queued,
                                           port_slot_word(tag, PORT_SLOT_STARTED))) {
            begin(port, tag);
            return true;
        }
    }
    return false;
}

int port_app_take(struct askr_port *port, struct askr_exchange **out, int64_t timeout_ns)
{
    if (port->exchange.active)
        return -EBUSY;
    int64_t deadline_ns = timeout_ns < 0 ? NEVER : clock_now_ns() + timeout_ns;
    for (;;) {
        /* Read before the queue: what was handed over before the drain is still to be served. */
        bool draining =
            atomic_load_explicit(&port->shared->worker.draining, memory_order_acquire) != 0;
        if (start_next(port)) {
            *out = &port->exchange;
            return 1;
        }
        if (draining) {
            port_app_ring(port);
            return -ESHUTDOWN;
        }
        if (!port_app_sleep(port, PORT_NEWS_REQUEST, 0, deadline_ns))
            return 0;
    }
}

const struct askr_request *port_app_request(struct askr_exchange *exchange)
{
    assert(exchange->active);
    return &exchange->request;
}

static void read_ring(struct askr_exchange *exchange, void *buf, size_t size)
{
    struct askr_port *port = exchange->port;
    struct port_shared *shared = port->shared;
    if (!exchange->body_begun) {
        exchange->body_begun = true;
        port->body_read = port->body_announced =
            atomic_load_explicit(&shared->worker.body_start, memory_order_relaxed);
    }
    port_ring_get(shared->body, PORT_BODY_RING_SIZE, port->body_read, buf, size);
    port->body_read += size;
    atomic_store_explicit(&shared->app.body_read, port->body_read, memory_order_release);
    /* Half a ring is free: let the worker fill it before we run dry. */
    if (port->body_read - port->body_announced >= PORT_BODY_RING_SIZE / 2)
        port_app_ring(port);
}

int64_t port_app_read(struct askr_exchange *exchange, void *buf, size_t size)
{
    assert(exchange->active);
    if (port_app_aborted(exchange))
        return -ECONNABORTED;
    size_t wanted = size_min(size, (size_t)exchange->body_left);
    if (wanted == 0)
        return 0;
    if (exchange->body_streamed) {
        uint64_t there = port_app_body_there(exchange);
        if (there == 0) {
            port_app_sleep(exchange->port, PORT_NEWS_BODY | PORT_NEWS_ABORT, 0, NEVER);
            if (port_app_aborted(exchange))
                return -ECONNABORTED;
            there = port_app_body_there(exchange);
        }
        wanted = size_min(wanted, (size_t)there);
        read_ring(exchange, buf, wanted);
    } else {
        memcpy(buf, exchange->slot->text + exchange->inline_at, wanted);
        exchange->inline_at += (uint32_t)wanted;
    }
    exchange->body_left -= (int64_t)wanted;
    return (int64_t)wanted;
}
