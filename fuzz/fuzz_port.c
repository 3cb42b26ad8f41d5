/* SPDX-License-Identifier: MIT
 * Invariant: whatever an application writes into the shared memory of its port between the worker's
 * calls, the worker's end neither crashes nor hangs, hands out only bytes inside the mapping or its
 * own copy, and its messages come in the order that app/port.h promises.
 *
 * The input is a program: one byte says what happens next, the bytes behind it how. Frames that are
 * almost right are an operation of their own, so that the fuzzer gets past the first check. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/port_worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { MESSAGES_MAX = 2 * PORT_RESPONSE_RING_SIZE / (int)sizeof(struct port_frame) };

struct program {
    const uint8_t *at, *end;
    struct port *port;
    uint8_t *memory; /* the application's view of the mapping: the same bytes */
    int memfd, bell_fd;
    uint32_t current; /* tag of the started request, by the messages */
    bool ready, headed, ended, over;
};

static uint32_t next_number(struct program *program, uint32_t bytes)
{
    uint32_t number = 0;
    for (; bytes > 0 && program->at < program->end; bytes--)
        number = number << 8 | *program->at++;
    return number;
}

/* A tag that is out, mostly; or any number. */
static uint32_t choose_tag(struct program *program)
{
    uint32_t tags[PORT_SLOTS], choice = next_number(program, 1);
    bool started[PORT_SLOTS];
    uint32_t count = port_outstanding(program->port, tags, started);
    return choice < 240 && count > 0 ? tags[choice % count] : choice % 3;
}

static void scribble(struct program *program)
{
    uint32_t offset = next_number(program, 3) % (uint32_t)sizeof(struct port_shared);
    uint32_t size = next_number(program, 1);
    for (; size > 0 && offset < sizeof(struct port_shared); size--, offset++)
        program->memory[offset] = (uint8_t)next_number(program, 1);
}

/* Words the worker reads, moved a little or a lot. */
static void move_word(struct program *program)
{
    struct port_shared *shared = (struct port_shared *)program->memory;
    uint32_t which = next_number(program, 1), amount = next_number(program, 2);
    uint64_t value = amount & 0x8000 ? (uint64_t)0 - (amount & 0x7fff) : amount * UINT64_C(16);
    if (which % 8 == 0)
        shared->app.response_written += value;
    else if (which % 8 == 1)
        shared->app.queue_read += value;
    else if (which % 8 == 2)
        shared->app.body_read += value;
    else if (which % 8 == 3)
        shared->app_sleeps = amount;
    else
        shared->slots[amount % PORT_SLOTS].state = next_number(program, 4);
}

/* A frame with a payload of input bytes, its size off by a little when the input says so. */
static void say_frame(struct program *program)
{
    struct port_shared *shared = (struct port_shared *)program->memory;
    uint64_t at = shared->app.response_written & ~UINT64_C(15);
    struct port_frame frame = {.kind = (uint8_t)(next_number(program, 1) % 11),
                               .status = (uint16_t)next_number(program, 2),
                               .failed = (uint8_t)next_number(program, 1)};
    frame.tag = frame.kind > PORT_FRAME_BOOT_FAILED ? choose_tag(program) : 0;
    uint32_t size = next_number(program, 1), lie = next_number(program, 1);
    size = size > 250 ? (size - 250) * 60000 : size;
    frame.value = size + (lie > 250 ? (uint64_t)(lie - 253) : 0);
    port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at,
                  (struct slice){(const char *)&frame, sizeof frame});
    for (uint32_t i = 0; i < size && program->at < program->end; i++) {
        char byte = (char)*program->at++;
        port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at + sizeof frame + i,
                      (struct slice){&byte, 1});
    }
    shared->app.response_written = at + port_frame_extent(size);
}

static void put_request(struct program *program)
{
    static const char bytes[PORT_SLOT_SIZE] = "/x";
    struct http_request http = {.method_name = SLICE("GET"), .content_length = -1};
    http.field_count = (uint16_t)(next_number(program, 1) % 4);
    for (uint32_t i = 0; i < http.field_count; i++)
        http.fields[i] = (struct http_field){SLICE("Cookie"), {bytes, next_number(program, 2)}};
    struct port_request request = {.http = &http};
    request.body_size = next_number(program, 2) * 4;
    if (request.body_size <= PORT_INLINE_BODY_MAX)
        request.body = (struct slice){bytes, (size_t)request.body_size};
    uint32_t tag;
    int result = port_put(program->port, &request, &tag);
    assert(result == 0 || result == -11 || result == -7); /* EAGAIN, E2BIG */
}

static void feed_body(struct program *program)
{
    static const char bytes[PORT_BODY_RING_SIZE] = "body";
    size_t room = port_body_room(program->port);
    assert(room <= PORT_BODY_RING_SIZE);
    size_t size = next_number(program, 1) < 128 ? room : room / 2;
    port_body_write(program->port, (struct slice){bytes, size});
}

static bool inside(struct slice slice, const char *region, size_t size)
{
    return slice.data >= region && slice.size <= size &&
           (size_t)(slice.data - region) <= size - slice.size;
}

static void check_fields(struct program *program, const struct port_message *message)
{
    const struct port *port = program->port;
    assert(message->field_count <= PORT_FIELDS_MAX);
    for (size_t i = 0; i < message->field_count; i++)
        assert(inside(message->fields[i].name, port->copy, sizeof port->copy) &&
               inside(message->fields[i].value, port->copy, sizeof port->copy));
}

/* The order of messages, kept apart from the port's own idea of it. */
static void check_order(struct program *program, enum port_event event,
                        const struct port_message *message)
{
    assert(!program->over);
    if (event == PORT_READY || event == PORT_BOOT_FAILED) {
        assert(!program->ready);
        program->ready = true;
    } else if (event == PORT_STARTED) {
        assert(program->ready && program->current == 0 && message->tag != 0);
        program->current = message->tag;
        program->headed = program->ended = false;
    } else if (event != PORT_BROKEN) {
        assert(message->tag == program->current && message->tag != 0);
    }
}

static void check_message(struct program *program, enum port_event event,
                          const struct port_message *message)
{
    const struct port *port = program->port;
    check_order(program, event, message);
    if (event == PORT_TRAILERS) {
        assert(!program->ended);
        check_fields(program, message);
    } else if (event == PORT_HEAD || event == PORT_INTERIM) {
        assert(!program->headed && message->status >= 100 && message->status <= 999);
        check_fields(program, message);
        program->headed = event == PORT_HEAD;
    } else if (event == PORT_BODY || event == PORT_FLUSH) {
        assert(program->headed && !program->ended);
        assert(event == PORT_FLUSH ||
               (message->text.size > 0 &&
                inside(message->text, port->shared->responses, sizeof port->shared->responses)));
    } else if (event == PORT_END) {
        assert(!program->ended && (program->headed || message->failed));
        program->ended = true;
    } else if (event == PORT_FINISHED) {
        assert(program->ended);
        program->current = 0;
    } else if (event == PORT_BOOT_FAILED) {
        assert(message->text.size <= PORT_BOOT_ERROR_MAX &&
               inside(message->text, port->copy, sizeof port->copy));
    }
    program->over = event == PORT_BROKEN || event == PORT_BOOT_FAILED;
}

static bool hear_one(struct program *program)
{
    struct port_message message;
    enum port_event event = port_next(program->port, &message);
    if (event != PORT_NONE)
        check_message(program, event, &message);
    return event != PORT_NONE;
}

static void hear_all(struct program *program)
{
    int count = 0;
    while (hear_one(program))
        assert(++count <= MESSAGES_MAX);
}

static void take_back(struct program *program)
{
    uint32_t tag = choose_tag(program);
    if (port_find(program->port, tag) == NULL)
        return;
    if (next_number(program, 1) & 1)
        port_abort(program->port, tag);
    else if (port_revoke(program->port, tag))
        assert(port_find(program->port, tag) == NULL);
}

static void hear_one_message(struct program *program)
{
    hear_one(program);
}

static void publish(struct program *program)
{
    port_publish(program->port);
}

static void arm(struct program *program)
{
    port_arm(program->port);
}

static void drain(struct program *program)
{
    if (next_number(program, 1) == 1)
        port_drain(program->port);
}

static void (*const operations[])(struct program *) = {
    put_request, say_frame, hear_all,  hear_one_message, scribble, move_word,
    feed_body,   take_back, say_frame, publish,          arm,      drain,
};

static void set_up(struct program *program)
{
    askr_error error;
    program->memfd = memfd_create("port", MFD_ALLOW_SEALING);
    program->bell_fd = eventfd(0, EFD_NONBLOCK);
    if (ftruncate(program->memfd, (off_t)port_shm_size()) != 0 ||
        fcntl(program->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0 ||
        port_open(&program->port, program->memfd, program->bell_fd, &error) != 0)
        abort();
    program->memory = (uint8_t *)program->port->shared;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program program = {.at = data, .end = data + size};
    set_up(&program);
    while (program.at < program.end)
        operations[next_number(&program, 1) % COUNT_OF(operations)](&program);
    hear_all(&program);
    port_close(program.port);
    close(program.memfd);
    close(program.bell_fd);
    return 0;
}
