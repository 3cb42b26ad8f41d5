/* SPDX-License-Identifier: MIT
 * Reading what an application says: frames of the response ring become messages.
 *
 * The ring's end is read from shared memory and compared with the ring's size; a frame's header is
 * copied before it is looked at, and so are field blocks; body bytes are handed out in place, since
 * nobody here interprets them. Frames must come in the order PORT_STARTED, INTERIM*, HEAD,
 * (BODY | FLUSH)*, END, FINISHED, with TRAILERS anywhere before the END, and all with the tag that
 * was started; anything else breaks the port.
 * Bounded: between two PORT_NONE an application can get no more than one ring of frames in. */
#include "app/port_worker.h"

static enum port_event broken(struct port *port, struct port_message *out, const char *what)
{
    port->phase = PORT_DEFUNCT;
    port->consumed = port->cursor = port->written;
    port->body_frame_left = 0;
    port->body_left = 0;
    out->text = slice_of(what);
    return PORT_BROKEN;
}

/* Looks for more frames when the known ones are used up; 0 when there are none, -1 for nonsense. */
static int find_frames(struct port *port)
{
    if (port->cursor != port->written)
        return 1;
    uint64_t written =
        atomic_load_explicit(&port->shared->app.response_written, memory_order_acquire);
    if (written - port->released > PORT_RESPONSE_RING_SIZE || written < port->written ||
        written % sizeof(struct port_frame) != 0)
        return -1;
    port->written = written;
    return port->cursor != written;
}

/* BODY payload from the cursor to its end or to the ring's, whichever comes first. */
static enum port_event hand_out_body(struct port *port, struct port_message *out)
{
    size_t at = (size_t)port->cursor & (PORT_RESPONSE_RING_SIZE - 1);
    size_t size = size_min((size_t)port->body_frame_left, PORT_RESPONSE_RING_SIZE - at);
    out->text = (struct slice){port->shared->responses + at, size};
    port->body_frame_left -= size;
    port->cursor += size;
    if (port->body_frame_left == 0)
        port->cursor += port->body_frame_padding;
    return PORT_BODY;
}

/* Splits a copied field block. Returns how many fields, or -1. */
static int split_fields(struct port *port, size_t size)
{
    size_t at = 0;
    int count = 0;
    while (at < size) {
        struct port_frame_field lengths;
        if (count == PORT_FIELDS_MAX || size - at < sizeof lengths)
            return -1;
        memcpy(&lengths, port->copy + at, sizeof lengths);
        at += sizeof lengths;
        if (lengths.name_size > size - at || lengths.value_size > size - at - lengths.name_size)
            return -1;
        struct http_field *field = &port->fields[count++];
        field->name = (struct slice){port->copy + at, lengths.name_size};
        field->value = (struct slice){port->copy + at + lengths.name_size, lengths.value_size};
        at += (size_t)lengths.name_size + lengths.value_size;
    }
    return count;
}

/* The payload in our own memory, NULL when it is larger than `size_max`. Steps over the frame. */
static const char *copy_payload(struct port *port, size_t size_max)
{
    if (port->frame.value > size_max)
        return NULL;
    port_ring_get(port->shared->responses, PORT_RESPONSE_RING_SIZE,
                  port->cursor + sizeof(struct port_frame), port->copy, (size_t)port->frame.value);
    port->cursor += port_frame_extent(port->frame.value);
    return port->copy;
}

static const char *wrong_with_fields(const struct port *port)
{
    int status = port->frame.status;
    bool trailers = port->frame.kind == PORT_FRAME_TRAILERS;
    if (port->phase != PORT_SERVING && !(trailers && port->phase == PORT_HEADED))
        return "response fields out of turn";
    if (trailers)
        return NULL;
    bool interim = port->frame.kind == PORT_FRAME_INTERIM;
    if (interim ? status < 100 || status > 199 || status == 101 : status < 200 || status > 999)
        return "a response status that is none";
    return NULL;
}

/* HEAD, INTERIM and TRAILERS. */
static enum port_event read_fields(struct port *port, struct port_message *out)
{
    const char *wrong = wrong_with_fields(port);
    if (wrong != NULL)
        return broken(port, out, wrong);
    int count = copy_payload(port, PORT_HEAD_SIZE_MAX) != NULL
                    ? split_fields(port, (size_t)port->frame.value)
                    : -1;
    if (count < 0)
        return broken(port, out, "response fields that do not add up");
    out->status = port->frame.status;
    out->fields = port->fields;
    out->field_count = (size_t)count;
    if (port->frame.kind != PORT_FRAME_HEAD)
        return port->frame.kind == PORT_FRAME_INTERIM ? PORT_INTERIM : PORT_TRAILERS;
    port->phase = PORT_HEADED;
    return PORT_HEAD;
}

static enum port_event read_body(struct port *port, struct port_message *out)
{
    if (port->phase != PORT_HEADED || port->frame.value == 0)
        return broken(port, out, "response body out of turn");
    uint64_t extent = port_frame_extent(port->frame.value);
    port->body_frame_left = port->frame.value;
    port->body_frame_padding = extent - sizeof(struct port_frame) - port->frame.value;
    port->cursor += sizeof(struct port_frame);
    return hand_out_body(port, out);
}

/* The body of a large request begins where the ring stands now. */
static void begin_body(struct port *port, uint32_t tag, int64_t body_size)
{
    port->body_left = body_size > PORT_INLINE_BODY_MAX ? body_size : 0;
    port->body_room = 0;
    port->body_starved = false;
    if (port->body_left == 0)
        return;
    port->body_start = port->body_written;
    atomic_store_explicit(&port->shared->worker.body_start, port->body_start, memory_order_relaxed);
    atomic_store_explicit(&port->shared->worker.body_written, port->body_written,
                          memory_order_relaxed);
    atomic_store_explicit(&port->shared->worker.body_tag, tag, memory_order_release);
}

static enum port_event read_started(struct port *port, struct port_message *out)
{
    struct port_pending *pending = port_find(port, port->frame.tag);
    if (port->phase != PORT_IDLE || pending == NULL || pending->started)
        return broken(port, out, "a start of a request that is not waiting");
    pending->started = true;
    port->current = port->frame.tag;
    port->phase = PORT_SERVING;
    begin_body(port, port->current, pending->body_size);
    return PORT_STARTED;
}

/* An answer without a head is a failed one, whatever the application calls it. */
static enum port_event read_end(struct port *port, struct port_message *out)
{
    if (port->phase != PORT_SERVING && port->phase != PORT_HEADED)
        return broken(port, out, "an end of an answer out of turn");
    out->failed = port->frame.failed != 0 || port->phase == PORT_SERVING;
    out->cpu_ns = port_unpack_ns(port->frame.status);
    port->phase = PORT_ENDED;
    return PORT_END;
}

static enum port_event finish(struct port *port)
{
    port_free_slot(port, port->current);
    port->current = 0;
    port->body_left = 0;
    port->phase = PORT_IDLE;
    return PORT_FINISHED;
}

static enum port_event read_finished(struct port *port, struct port_message *out)
{
    if (port->phase == PORT_ENDED) {
        out->cpu_ns = port_unpack_ns(port->frame.status);
        return finish(port);
    }
    enum port_event event = read_end(port, out);
    port->finish_follows = event == PORT_END;
    return event;
}

static enum port_event read_boot(struct port *port, struct port_message *out)
{
    if (port->phase != PORT_BOOTING || port->frame.tag != 0)
        return broken(port, out, "a second boot");
    if (port->frame.kind == PORT_FRAME_READY) {
        port->phase = PORT_IDLE;
        return PORT_READY;
    }
    out->text.size = (size_t)port->frame.value;
    out->text.data = copy_payload(port, PORT_BOOT_ERROR_MAX);
    if (out->text.data == NULL)
        return broken(port, out, "a reason for a failed boot that is too long");
    port->phase = PORT_DEFUNCT;
    return PORT_BOOT_FAILED;
}

/* Frames that carry a payload step over it themselves; of the others `value` is a clock. */
static enum port_event read_frame(struct port *port, struct port_message *out)
{
    uint8_t kind = port->frame.kind;
    if (kind == PORT_FRAME_READY || kind == PORT_FRAME_BOOT_FAILED) {
        port->cursor += kind == PORT_FRAME_READY ? sizeof(struct port_frame) : 0;
        return read_boot(port, out);
    }
    if (kind != PORT_FRAME_STARTED && (port->current == 0 || port->frame.tag != port->current))
        return broken(port, out, "a message about a request that was not started");
    if (kind == PORT_FRAME_HEAD || kind == PORT_FRAME_INTERIM || kind == PORT_FRAME_TRAILERS)
        return read_fields(port, out);
    if (kind == PORT_FRAME_BODY)
        return read_body(port, out);

    port->cursor += sizeof(struct port_frame);
    out->time_ns = (int64_t)port->frame.value;
    switch (kind) {
    case PORT_FRAME_STARTED:
        return read_started(port, out);
    case PORT_FRAME_END:
        return read_end(port, out);
    case PORT_FRAME_FINISHED:
        return read_finished(port, out);
    case PORT_FRAME_FLUSH:
        return port->phase == PORT_HEADED ? PORT_FLUSH : broken(port, out, "a flush out of turn");
    default:
        return broken(port, out, "a message of an unknown kind");
    }
}

static bool has_payload(uint8_t kind)
{
    const uint32_t kinds = 1u << PORT_FRAME_HEAD | 1u << PORT_FRAME_INTERIM |
                           1u << PORT_FRAME_TRAILERS | 1u << PORT_FRAME_BODY |
                           1u << PORT_FRAME_BOOT_FAILED;
    return kind < 32 && (kinds >> kind & 1) != 0;
}

/* The rest of a frame whose first part has been handed out. */
static enum port_event continue_frame(struct port *port, struct port_message *out)
{
    out->tag = port->current;
    if (port->body_frame_left > 0)
        return hand_out_body(port, out);
    port->finish_follows = false;
    out->time_ns = (int64_t)port->frame.value;
    return finish(port);
}

static enum port_event give_back(struct port *port)
{
    if (port->released != port->consumed) {
        port->released = port->consumed;
        port->news |= PORT_NEWS_ROOM;
        atomic_store_explicit(&port->shared->worker.response_read, port->released,
                              memory_order_release);
    }
    return PORT_NONE;
}

enum port_event port_next(struct port *port, struct port_message *out)
{
    *out = (struct port_message){.tag = 0};
    port->consumed = port->cursor;
    if (port->armed) {
        port->armed = false;
        atomic_store_explicit(&port->shared->worker_sleeps, 0, memory_order_relaxed);
    }
    if (port->body_frame_left > 0 || port->finish_follows)
        return continue_frame(port, out);
    if (port->phase == PORT_DEFUNCT)
        return PORT_NONE;
    int found = find_frames(port);
    if (found < 0)
        return broken(port, out, "a position outside of the response ring");
    if (found == 0)
        return give_back(port);

    port_ring_get(port->shared->responses, PORT_RESPONSE_RING_SIZE, port->cursor, &port->frame,
                  sizeof port->frame);
    uint64_t there = port->written - port->cursor;
    if (has_payload(port->frame.kind) &&
        (port->frame.value > there || port_frame_extent(port->frame.value) > there))
        return broken(port, out, "a message longer than what was written");
    out->tag = port->frame.tag;
    return read_frame(port, out);
}
