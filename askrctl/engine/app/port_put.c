/* SPDX-License-Identifier: MIT
 * Handing a request over: its strings go into a free slot, the slot's tag into the queue.
 *
 * Names are screened here, once for every application: PHP and WSGI turn `-` into `_`, so a field
 * spelled with an underscore, or one with other bytes, could pass for a field a proxy in front of
 * us has filtered; and `Proxy` would become HTTP_PROXY, which programs take for their proxy's
 * address (CVE-2016-5385, "httpoxy"). */
#include <errno.h>
#include <strings.h>

#include "app/port_worker.h"

/* Fills a slot's text from the front. Once something did not fit, `full` stays. The slot is only
 * ever written: offsets and counts are kept in `head`, our own memory, until all is done, because
 * what lies in the slot may change at any time. */
struct slot_writer {
    char *text;
    struct port_slot_head *head;
    uint32_t at, room; /* bytes written and left; a string has a NUL behind it */
    bool full;
};

static uint32_t queue_room(const struct port *port)
{
    uint64_t read = atomic_load_explicit(&port->shared->app.queue_read, memory_order_acquire);
    uint64_t used = port->queue_written - read;
    return used < PORT_QUEUE_SIZE ? (uint32_t)(PORT_QUEUE_SIZE - used) : 0;
}

uint32_t port_room(const struct port *port)
{
    if (port->phase == PORT_BOOTING || port->phase == PORT_DEFUNCT || port->draining)
        return 0;
    return (uint32_t)size_min(PORT_SLOTS - port->order_count, queue_room(port));
}

/* The lowest free slot: the one most likely to be in the cache. */
static uint32_t free_slot(const struct port *port)
{
    uint32_t index = 0;
    while (port->pending[index].in_use)
        index++;
    assert(index < PORT_SLOTS);
    return index;
}

static struct port_text put_bytes(struct slot_writer *writer, struct slice bytes)
{
    if (bytes.size == 0)
        return (struct port_text){0, 0};
    if (UNLIKELY(bytes.size >= writer->room)) {
        writer->full = true;
        writer->room = 0;
        return (struct port_text){0, 0};
    }
    struct port_text text = {writer->at, (uint32_t)bytes.size};
    memcpy(writer->text + writer->at, bytes.data, bytes.size);
    writer->text[writer->at + text.size] = '\0';
    writer->at += text.size + 1;
    writer->room -= text.size + 1;
    return text;
}

/* What a field's name may be made of. */
static const uint8_t fine_bytes[256] = {
    ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['0' ... '9'] = 1, ['-'] = 1};

static bool name_survives(struct slice name)
{
    uint8_t fine = name.size > 0;
    for (size_t i = 0; i < name.size; i++)
        fine &= fine_bytes[(uint8_t)name.data[i]];
    return fine && !(name.size == 5 && strncasecmp(name.data, "Proxy", 5) == 0);
}

static bool name_is(struct slice name, struct slice wanted)
{
    return name.size == wanted.size && (name.data[0] | 0x20) == (wanted.data[0] | 0x20) &&
           strncasecmp(name.data, wanted.data, wanted.size) == 0;
}

/* Cookie may come in pieces over HTTP/2 (RFC 9113 section 8.2.3), to be joined with "; ". */
static void join_cookie(struct slot_writer *writer, struct slice value)
{
    struct port_text *cookie = &writer->head->cookie;
    size_t size = cookie->size + 2 + value.size;
    if (size >= writer->room) {
        writer->full = true;
        return;
    }
    char *joined = writer->text + writer->at;
    memcpy(joined, writer->text + cookie->offset, cookie->size);
    memcpy(joined + cookie->size, "; ", 2);
    memcpy(joined + cookie->size + 2, value.data, value.size);
    cookie->size = (uint32_t)size;
    cookie->offset = writer->at;
    joined[cookie->size] = '\0';
    writer->at += cookie->size + 1;
    writer->room -= cookie->size + 1;
}

/* Fields an application wants by name point at the value that is in the slot anyway. */
static void pick_field(struct slot_writer *writer, struct slice name, struct port_text value,
                       struct slice bytes)
{
    struct port_slot_head *head = writer->head;
    if (name_is(name, SLICE("Cookie"))) {
        if (head->cookie.size == 0)
            head->cookie = value;
        else if (bytes.size > 0)
            join_cookie(writer, bytes);
    } else if (head->content_type.size == 0 && name_is(name, SLICE("Content-Type"))) {
        head->content_type = value;
    } else if (head->authorization.size == 0 && name_is(name, SLICE("Authorization"))) {
        head->authorization = value;
    }
}

static void put_fields(struct slot_writer *writer, const struct http_request *http)
{
    struct port_slot_head *head = writer->head;
    head->cookie = head->content_type = head->authorization = (struct port_text){0, 0};
    head->field_count = 0;
    for (uint32_t i = 0; i < http->field_count; i++) {
        const struct http_field *field = &http->fields[i];
        if (!name_survives(field->name))
            continue;
        struct port_slot_field *put = &head->fields[head->field_count++];
        put->name = put_bytes(writer, field->name);
        put->value = put_bytes(writer, field->value);
        pick_field(writer, field->name, put->value, field->value);
    }
}

static void put_head(struct slot_writer *writer, const struct port_request *request)
{
    const struct http_request *http = request->http;
    struct port_slot_head *head = writer->head;
    head->method = put_bytes(writer, http->method_name);
    head->target = put_bytes(writer, http->target);
    head->path = put_bytes(writer, request->path);
    head->query = put_bytes(writer, http->query);
    head->host = put_bytes(writer, http->authority);
    head->script_filename = put_bytes(writer, request->script_filename);
    head->script_name = put_bytes(writer, request->script_name);
    head->path_info = put_bytes(writer, request->path_info);
    head->document_root = put_bytes(writer, request->document_root);
    head->remote_address = put_bytes(writer, request->remote_address);
    head->server_address = put_bytes(writer, request->server_address);
    head->remote_port = request->remote_port;
    head->server_port = request->server_port;
    head->protocol = http->version;
    head->https = request->https;
    head->has_body = http_has_body(http);
    head->body_size = request->body_size;
}

static void put_variables(struct slot_writer *writer, const struct port_request *request)
{
    writer->head->variable_count = (uint16_t)request->variable_count;
    for (size_t i = 0; i < request->variable_count; i++) {
        struct port_slot_field *put = &writer->head->variables[i];
        put->name = put_bytes(writer, request->variables[i].name);
        put->value = put_bytes(writer, request->variables[i].value);
    }
}

/* Only the part of the head that is used is copied: a browser sends 15 fields of 100. */
static bool fill_slot(struct port_slot *slot, struct port_slot_head *head,
                      const struct port_request *request)
{
    struct slot_writer writer = {
        .text = slot->text, .head = head, .at = 1, .room = PORT_SLOT_TEXT_SIZE - 1};
    put_head(&writer, request);
    put_fields(&writer, request->http);
    put_variables(&writer, request);
    bool inlined = request->body_size <= PORT_INLINE_BODY_MAX;
    head->body = inlined ? put_bytes(&writer, request->body) : (struct port_text){0, 0};
    memcpy(&slot->head, head,
           offsetof(struct port_slot_head, fields) + head->field_count * sizeof head->fields[0]);
    memcpy(slot->head.variables, head->variables, head->variable_count * sizeof head->variables[0]);
    return !writer.full;
}

/* The slot's next generation begins; returns its tag. */
static uint32_t take_slot(struct port *port, uint32_t index, int64_t body_size)
{
    const uint32_t generation_max = (1u << (32 - PORT_INDEX_BITS)) - 1;
    struct port_pending *pending = &port->pending[index];
    pending->generation = pending->generation == generation_max ? 1 : pending->generation + 1;
    pending->in_use = true;
    pending->started = false;
    pending->body_size = body_size;
    port->order[port->order_count++] = (uint8_t)index;
    return pending->generation << PORT_INDEX_BITS | index;
}

int port_put(struct port *port, const struct port_request *request, uint32_t *tag)
{
    bool inlined = request->body_size <= PORT_INLINE_BODY_MAX;
    assert(request->body_size >= 0 && request->http->field_count <= HTTP_FIELDS_MAX);
    assert(request->variable_count <= PORT_VARIABLES_MAX);
    assert(!inlined || (int64_t)request->body.size == request->body_size);
    if (port_room(port) == 0)
        return -EAGAIN;

    uint32_t index = free_slot(port);
    struct port_slot *slot = &port->shared->slots[index];
    if (!fill_slot(slot, &port->head, request))
        return -E2BIG;
    *tag = take_slot(port, index, request->body_size);
    atomic_store_explicit(&slot->state, port_slot_word(*tag, PORT_SLOT_QUEUED),
                          memory_order_relaxed);
    atomic_store_explicit(&port->shared->queue[port->queue_written++ % PORT_QUEUE_SIZE], *tag,
                          memory_order_relaxed);
    port->news |= PORT_NEWS_REQUEST;
    return 0;
}
