/* SPDX-License-Identifier: MIT
 * Answering: frames into the response ring. Every frame is visible as soon as it is complete (that
 * costs a store); the worker is rung for it only by flush(), when the ring is more than half full,
 * or when we sleep. A frame waits for room; only those of a request whose client left give up. */
#include <errno.h>
#include <time.h>

#include "app/port_app_end.h"

/* Puts one frame into the ring, piece by piece. */
struct frame_writer {
    struct askr_port *port;
    uint64_t at, end;
};

static struct frame_writer frame_begin(struct askr_port *port, struct port_frame frame,
                                       uint64_t payload_size)
{
    uint64_t extent = port_frame_extent(payload_size);
    assert(extent <= port_app_room(port));
    port_ring_put(port->shared->responses, PORT_RESPONSE_RING_SIZE, port->written,
                  (struct slice){(const char *)&frame, sizeof frame});
    return (struct frame_writer){port, port->written + sizeof frame, port->written + extent};
}

static void frame_add(struct frame_writer *writer, struct slice bytes)
{
    assert(bytes.size <= writer->end - writer->at);
    port_ring_put(writer->port->shared->responses, PORT_RESPONSE_RING_SIZE, writer->at, bytes);
    writer->at += bytes.size;
}

static void frame_commit(const struct frame_writer *writer)
{
    struct askr_port *port = writer->port;
    port->written = writer->end;
    port->unrung = true;
    atomic_store_explicit(&port->shared->app.response_written, port->written, memory_order_release);
    if (UNLIKELY(port_app_room(port) < PORT_RESPONSE_RING_SIZE / 2))
        port_app_ring(port);
}

/* A frame without payload; `value` is a clock, or 0. Waits for room whatever happens. */
static void say(struct askr_port *port, struct port_frame frame)
{
    if (port_app_room(port) < sizeof frame)
        port_app_sleep(port, PORT_NEWS_ROOM, sizeof frame, NEVER);
    struct frame_writer writer = frame_begin(port, frame, 0);
    frame_commit(&writer);
}

/* Waits for room for a frame with that payload. 0, or -ECONNABORTED. */
static int await_room(struct askr_exchange *exchange, uint64_t payload_size)
{
    uint64_t extent = port_frame_extent(payload_size);
    if (port_app_room(exchange->port) < extent)
        port_app_sleep(exchange->port, PORT_NEWS_ROOM | PORT_NEWS_ABORT, extent, NEVER);
    return port_app_aborted(exchange) ? -ECONNABORTED : 0;
}

/* CPU time of this thread since the last call. A system call, and the dearest thing here (0.2 to
 * 1.2 µs): so it is asked once for a request. What a process does between two requests is little,
 * and counts for the second. */
static int64_t take_cpu_ns(struct askr_port *port)
{
    struct timespec now;
    if (!ASKR_METRICS)
        return 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    int64_t before_ns = port->cpu_ns;
    port->cpu_ns = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
    return port->cpu_ns - before_ns;
}

void port_app_ready(struct askr_port *port)
{
    take_cpu_ns(port); /* booting is no request's */
    say(port, (struct port_frame){.kind = PORT_FRAME_READY});
    port_app_ring(port);
}

void port_app_boot_failed(struct askr_port *port, const char *why)
{
    size_t size = size_min(strlen(why), PORT_BOOT_ERROR_MAX);
    struct frame_writer writer =
        frame_begin(port, (struct port_frame){.kind = PORT_FRAME_BOOT_FAILED, .value = size}, size);
    frame_add(&writer, (struct slice){why, size});
    frame_commit(&writer);
    port_app_ring(port);
}

void port_app_started(struct askr_exchange *exchange, int64_t now_ns)
{
    say(exchange->port, (struct port_frame){.kind = PORT_FRAME_STARTED,
                                            .tag = exchange->tag,
                                            .value = (uint64_t)now_ns});
}

/* Bytes of the field block, or -E2BIG. */
static int64_t fields_size(const struct askr_field *fields, size_t count)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += sizeof(struct port_frame_field) + fields[i].name.size + fields[i].value.size;
    return count <= PORT_FIELDS_MAX && size <= PORT_HEAD_SIZE_MAX ? (int64_t)size : -E2BIG;
}

static int say_head(struct askr_exchange *exchange, struct port_frame frame,
                    const struct askr_field *fields, size_t count)
{
    int64_t size = fields_size(fields, count);
    int result = size < 0 ? (int)size : await_room(exchange, (uint64_t)size);
    if (result != 0)
        return result;
    frame.tag = exchange->tag;
    frame.value = (uint64_t)size;
    struct frame_writer writer = frame_begin(exchange->port, frame, frame.value);
    for (size_t i = 0; i < count; i++) {
        struct port_frame_field lengths = {fields[i].name.size, fields[i].value.size};
        frame_add(&writer, (struct slice){(const char *)&lengths, sizeof lengths});
        frame_add(&writer, (struct slice){fields[i].name.data, fields[i].name.size});
        frame_add(&writer, (struct slice){fields[i].value.data, fields[i].value.size});
    }
    frame_commit(&writer);
    return 0;
}

int port_app_head(struct askr_exchange *exchange, int status, const struct askr_field *fields,
                  size_t count)
{
    assert(exchange->active);
    if (exchange->headed || exchange->ended || status < 200 || status > 999)
        return -EINVAL;
    struct port_frame frame = {.kind = PORT_FRAME_HEAD, .status = (uint16_t)status};
    int result = say_head(exchange, frame, fields, count);
    exchange->headed = result == 0;
    return result;
}

int port_app_interim(struct askr_exchange *exchange, int status, const struct askr_field *fields,
                     size_t count)
{
    assert(exchange->active);
    if (exchange->headed || exchange->ended || status < 100 || status > 199 || status == 101)
        return -EINVAL;
    struct port_frame frame = {.kind = PORT_FRAME_INTERIM, .status = (uint16_t)status};
    int result = say_head(exchange, frame, fields, count);
    if (result == 0)
        port_app_ring(exchange->port); /* a hint is worth something only while it is early */
    return result;
}

/* Does a list of TE name trailers (RFC 9110 section 10.1.4)? */
static bool names_trailers(struct askr_text list)
{
    const char *at = list.data, *end = list.data + list.size;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *item_end = comma != NULL ? comma : end;
        while (at < item_end && (*at == ' ' || *at == '\t'))
            at++;
        size_t size = (size_t)(item_end - at);
        if (size >= 8 && strncasecmp(at, "trailers", 8) == 0 &&
            (size == 8 || at[8] == ' ' || at[8] == '\t' || at[8] == ';'))
            return true;
        at = item_end + 1;
    }
    return false;
}

/* A client by HTTP/1.0 knows no chunks, and so no place for them. */
static bool asks_for_trailers(const struct askr_request *request)
{
    for (uint16_t i = 0; i < request->field_count && request->protocol > 1000; i++) {
        const struct askr_field *field = &request->fields[i];
        if (field->name.size == 2 && strncasecmp(field->name.data, "te", 2) == 0 &&
            names_trailers(field->value))
            return true;
    }
    return false;
}

int port_app_trailers(struct askr_exchange *exchange, const struct askr_field *fields, size_t count)
{
    assert(exchange->active);
    if (exchange->ended)
        return -EPIPE;
    if (exchange->trailed)
        return -EALREADY;
    if (!asks_for_trailers(&exchange->request))
        return -EOPNOTSUPP;
    int result =
        say_head(exchange, (struct port_frame){.kind = PORT_FRAME_TRAILERS}, fields, count);
    exchange->trailed = result == 0;
    return result;
}

static int say_chunk(struct askr_exchange *exchange, struct slice bytes)
{
    int result = await_room(exchange, bytes.size);
    if (result != 0)
        return result;
    struct port_frame frame = {.kind = PORT_FRAME_BODY, .tag = exchange->tag, .value = bytes.size};
    struct frame_writer writer = frame_begin(exchange->port, frame, bytes.size);
    frame_add(&writer, bytes);
    frame_commit(&writer);
    return 0;
}

int port_app_write(struct askr_exchange *exchange, const void *data, size_t size)
{
    assert(exchange->active);
    if (exchange->ended)
        return -EPIPE;
    if (!exchange->headed)
        return -EINVAL;
    struct slice left = {data, size};
    while (left.size > 0) {
        struct slice chunk = {left.data, size_min(left.size, PORT_CHUNK_SIZE_MAX)};
        int result = say_chunk(exchange, chunk);
        if (result != 0)
            return result;
        left.data += chunk.size;
        left.size -= chunk.size;
    }
    return 0;
}

int port_app_flush(struct askr_exchange *exchange)
{
    assert(exchange->active);
    if (exchange->ended)
        return -EPIPE;
    if (!exchange->headed)
        return -EINVAL;
    int result = await_room(exchange, 0);
    if (result != 0)
        return result;
    say(exchange->port, (struct port_frame){.kind = PORT_FRAME_FLUSH, .tag = exchange->tag});
    port_app_ring(exchange->port);
    return 0;
}

/* Something a client waits for is complete: from now on it may wait for a bell only so long. */
static void say_answered(struct askr_exchange *exchange, uint8_t kind, bool failed)
{
    struct askr_port *port = exchange->port;
    exchange->ended = true;
    exchange->ended_ns = clock_now_ns();
    say(port, (struct port_frame){.kind = kind,
                                  .tag = exchange->tag,
                                  .failed = failed,
                                  .status = port_pack_ns(take_cpu_ns(port)),
                                  .value = (uint64_t)exchange->ended_ns});
    if (port->answered_ns == 0)
        port->answered_ns = exchange->ended_ns;
}

int port_app_end(struct askr_exchange *exchange)
{
    assert(exchange->active);
    if (exchange->ended || !exchange->headed)
        return -EINVAL;
    if (port_app_aborted(exchange))
        return -ECONNABORTED;
    say_answered(exchange, PORT_FRAME_END, false);
    port_app_ring(exchange->port); /* the script goes on, maybe for long */
    return 0;
}

static bool has_failed(const struct askr_exchange *exchange, enum askr_outcome outcome)
{
    return outcome != ASKR_DONE || !exchange->headed;
}

/* Most worker scripts ask for the next request at once, and going to sleep rings anyway. For one
 * that goes on for long this is found out once; until then a heartbeat of the worker finds it. */
void port_app_answered(struct askr_exchange *exchange, enum askr_outcome outcome)
{
    assert(exchange->active);
    if (exchange->ended)
        return;
    say_answered(exchange, PORT_FRAME_END, has_failed(exchange, outcome));
    if (exchange->port->lingers)
        port_app_ring(exchange->port);
}

void port_app_finish(struct askr_exchange *exchange, enum askr_outcome outcome)
{
    struct askr_port *port = exchange->port;
    assert(exchange->active);
    exchange->active = false;
    if (!exchange->ended) {
        say_answered(exchange, PORT_FRAME_FINISHED, has_failed(exchange, outcome));
        return;
    }
    int64_t now_ns = clock_now_ns();
    struct port_frame frame = {
        .kind = PORT_FRAME_FINISHED, .tag = exchange->tag, .value = (uint64_t)exchange->ended_ns};
    port->lingers = now_ns - exchange->ended_ns > PORT_UNRUNG_MAX_NS;
    if (port->lingers) { /* else it is not worth a look at the clock of this thread */
        frame.value = (uint64_t)now_ns;
        frame.status = port_pack_ns(take_cpu_ns(port));
    }
    say(port, frame);
}
