/* SPDX-License-Identifier: MIT
 * The life of a WebSocket (websocket.h): what it hears, when it is asked for a sign of life, how it
 * ends. */
#include "serve/websocket.h"

#include <stdlib.h>

#include "serve/worker.h"

enum { MESSAGE_BEGIN_SIZE = 4096 /* of its memory; it grows twofold */ };

static const char silence[] = "nothing was said for too long";

/* --- the worker's ---------------------------------------------------------------------------- */

void websockets_open(struct worker *worker)
{
    const struct askr_worker_config *config = worker->config;
    worker->websockets = (struct websockets){
        .limits = {.frame_size_max = (uint64_t)config->websocket_frame_max,
                   .message_size_max = (uint64_t)config->websocket_message_max},
        .wish = {.bits = (uint8_t)config->websocket_bits, .forget = config->websocket_forget != 0},
    };
}

void websockets_close(struct worker *worker)
{
    struct websockets *all = &worker->websockets;
    for (size_t i = 0; i < COUNT_OF(all->forgetful); i++)
        ws_deflater_close(&all->forgetful[i]);
    assert(all->count == 0 && all->memory == 0);
    free(all->scratch);
    free(all->packed);
}

/* --- deadlines ------------------------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When something is to be done, if nothing is heard until then. */
static int64_t deadline_of(const struct websocket *websocket)
{
    const struct askr_worker_config *config = websocket->worker->config;
    int64_t idle_ns =
        config->websocket_idle_ns > 0 ? websocket->spoken_ns + config->websocket_idle_ns : NEVER;
    if (websocket->close_sent)
        return websocket->worker->draining ? websocket->worker->drain_deadline_ns
                                           : websocket->asked_ns + config->websocket_close_ns;
    if (websocket->asked_ns != 0)
        return earlier(idle_ns, websocket->asked_ns + config->websocket_pong_ns);
    return earlier(idle_ns, websocket->heard_ns + config->websocket_ping_ns);
}

static void set_timer(struct websocket *websocket)
{
    timer_set(&websocket->worker->timers, &websocket->timer, deadline_of(websocket));
}

/* --- the end --------------------------------------------------------------------------------- */

static void drop_message(struct websocket *websocket)
{
    websocket->worker->websockets.memory -= websocket->message_capacity;
    free(websocket->message);
    websocket->message = NULL;
    websocket->message_size = websocket->message_capacity = 0;
}

/* Everything is said, or nothing more can be. */
static void end(struct websocket *websocket, uint16_t code)
{
    if (websocket->over)
        return;
    websocket->over = true;
    drop_message(websocket);
    timer_clear(&websocket->worker->timers, &websocket->timer);
    websocket->service->closed(websocket, code);
}

static void cut(struct websocket *websocket)
{
    if (websocket->over)
        return;
    end(websocket, WEBSOCKET_ABNORMAL);
    websocket->carrier->cut(websocket);
}

/* RFC 6455 section 7.1.7: a Close that says why, and no waiting for an answer. */
static void fail(struct websocket *websocket, uint16_t code, const char *reason)
{
    websocket->worker->status->errors++;
    if (!websocket->close_sent && websocket_send_close(websocket, code, slice_of(reason)) < 0) {
        cut(websocket);
        return;
    }
    end(websocket, code);
    websocket->carrier->finish(websocket, true);
}

static void hear_close(struct websocket *websocket, const struct ws_news *news)
{
    if (!websocket->close_sent && websocket_send_close(websocket, news->code, SLICE("")) < 0) {
        cut(websocket);
        return;
    }
    end(websocket, news->code == WS_NO_CODE ? WEBSOCKET_NO_CODE : news->code);
    websocket->carrier->finish(websocket, false);
}

void websocket_leave(struct websocket *websocket, uint16_t code, const char *reason)
{
    if (websocket->over || websocket->close_sent)
        return;
    if (websocket_send_close(websocket, code, slice_of(reason)) < 0) {
        cut(websocket);
        return;
    }
    websocket->asked_ns = websocket->worker->io.now_ns;
    set_timer(websocket);
}

void websocket_peer_closed(struct websocket *websocket)
{
    cut(websocket);
}

void websocket_free(struct websocket *websocket)
{
    struct worker *worker = websocket->worker;
    end(websocket, WEBSOCKET_ABNORMAL);
    ws_inflater_close(&websocket->inflater);
    ws_deflater_close(&websocket->deflater);
    worker->websockets.count--;
    worker->status->websockets = worker->websockets.count;
    free(websocket);
}

/* --- hearing --------------------------------------------------------------------------------- */

bool websocket_may_receive(const struct websocket *websocket)
{
    return !websocket->over && websocket->carrier->waiting(websocket) < WEBSOCKET_OUTPUT_MAX;
}

/* Room for more of a message that is not complete. False: it has had enough. */
static bool grow(struct websocket *websocket, size_t capacity)
{
    struct websockets *all = &websocket->worker->websockets;
    size_t more = capacity - websocket->message_capacity;
    size_t memory_max = (size_t)websocket->worker->config->websocket_memory_max;
    char *message = all->memory + more > memory_max ? NULL : realloc(websocket->message, capacity);
    if (message == NULL)
        return false;
    websocket->message = message;
    websocket->message_capacity = capacity;
    all->memory += more;
    return true;
}

/* The beginning of a message leaves the scratch, which is another's after this turn. */
static bool keep(struct websocket *websocket, size_t size)
{
    size_t capacity = MESSAGE_BEGIN_SIZE;
    if (websocket->message != NULL || size == 0)
        return true;
    while (capacity < 2 * size)
        capacity *= 2;
    if (!grow(websocket, capacity))
        return false;
    memcpy(websocket->message, websocket->worker->websockets.scratch, size);
    return true;
}

static void deliver(struct websocket *websocket, enum ws_opcode kind)
{
    struct worker *worker = websocket->worker;
    const char *bytes =
        websocket->message != NULL ? websocket->message : worker->websockets.scratch;
    struct slice message = {bytes, websocket->message_size};
    worker->status->websocket_messages++;
    websocket->spoken_ns = worker->io.now_ns;
    if (websocket->deflate.they_forget)
        ws_inflater_forget(&websocket->inflater);
    websocket->service->message(websocket, kind, message);
    drop_message(websocket);
}

static struct ws_room room_of(struct websocket *websocket)
{
    size_t size = websocket->message_size;
    /* While it leaves, what still comes is read for the sake of its Close. */
    if (websocket->close_sent)
        return (struct ws_room){websocket->worker->websockets.scratch, WEBSOCKET_SCRATCH_SIZE};
    if (websocket->message != NULL)
        return (struct ws_room){websocket->message + size, websocket->message_capacity - size};
    return (struct ws_room){websocket->worker->websockets.scratch + size,
                            WEBSOCKET_SCRATCH_SIZE - size};
}

static bool make_room(struct websocket *websocket)
{
    if (websocket->message == NULL)
        return keep(websocket, websocket->message_size);
    return grow(websocket, 2 * websocket->message_capacity);
}

static void hear(struct websocket *websocket, enum ws_event event, const struct ws_news *news)
{
    switch (event) {
    case WS_DATA:
        if (websocket->close_sent)
            break;
        websocket->message_size += news->bytes.size;
        if (news->end)
            deliver(websocket, news->kind);
        break;
    case WS_NEED_ROOM:
        if (!make_room(websocket))
            fail(websocket, WS_TRY_LATER, "no memory for the message");
        break;
    case WS_PING:
        if (!websocket->close_sent &&
            websocket_send_control(websocket, WS_OP_PONG, news->bytes) < 0)
            cut(websocket);
        break;
    case WS_CLOSE:
        hear_close(websocket, news);
        break;
    case WS_ERROR:
        fail(websocket, news->code, websocket->ws.error_text);
        break;
    case WS_PONG:
    case WS_NEED_DATA:
        break;
    }
}

void websocket_receive(struct websocket *websocket, struct slice *input)
{
    int64_t now_ns = websocket->worker->io.now_ns;
    enum ws_event event = WS_PONG;
    websocket->heard_ns = now_ns;
    if (websocket->asked_ns != 0 && !websocket->close_sent) {
        websocket->asked_ns = 0; /* a sign of life, whatever it is */
        set_timer(websocket);
    }
    ws_tick(&websocket->ws, now_ns);
    while (event != WS_NEED_DATA && websocket_may_receive(websocket)) {
        struct ws_news news;
        event = ws_next(&websocket->ws, input, room_of(websocket), &news);
        hear(websocket, event, &news);
    }
    if (!websocket->over && !keep(websocket, websocket->message_size))
        fail(websocket, WS_TRY_LATER, "no memory for the message");
}

/* --- signs of life --------------------------------------------------------------------------- */

static void ask_for_life(struct websocket *websocket, int64_t now_ns)
{
    websocket->asked_ns = now_ns;
    if (websocket_send_control(websocket, WS_OP_PING, SLICE("")) < 0)
        cut(websocket);
}

static void on_timer(struct timer *timer, int64_t now_ns)
{
    struct websocket *websocket = CONTAINER_OF(timer, struct websocket, timer);
    struct worker *worker = websocket->worker;
    const struct askr_worker_config *config = worker->config;
    bool due = now_ns >= deadline_of(websocket);
    if (websocket->over)
        return;
    if (due && config->websocket_idle_ns > 0 && !websocket->close_sent &&
        now_ns >= websocket->spoken_ns + config->websocket_idle_ns) {
        worker->status->timeouts++;
        websocket_leave(websocket, WS_GOING_AWAY, silence);
        return;
    }
    if (due && websocket->asked_ns != 0) {
        worker->status->timeouts++;
        cut(websocket);
        return;
    }
    if (due)
        ask_for_life(websocket, now_ns);
    if (!websocket->over)
        set_timer(websocket);
}

void websocket_begin(struct websocket *websocket)
{
    struct worker *worker = websocket->worker;
    websocket->heard_ns = websocket->spoken_ns = worker->io.now_ns;
    timer_init(&websocket->timer, on_timer);
    set_timer(websocket);
    worker->websockets.count++;
    worker->status->websockets = worker->websockets.count;
}
