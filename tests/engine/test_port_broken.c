/* SPDX-License-Identifier: MIT
 * What an application may not say. Each case is a list of frames as a hostile process would write
 * them; the port must break at the last one, say so once, and be over. */
#include "app/port_layout.h"
#include "port_pair.h"
#include "tap.h"

enum { FRAMES_MAX = 6 };

/* Tags of the two requests that are handed over, to be filled in, and some that are not. */
enum tag { FIRST, SECOND, NONE, STALE, ALIEN, HIGH };

struct said {
    uint8_t kind; /* enum port_frame_kind; 0 ends the list */
    enum tag tag;
    uint16_t status;
    uint64_t value;
    const char *payload;
};

/* One field, "A: b". */
#define FIELD "\1\0\0\0\1\0\0\0Ab"
#define FIELD_SIZE 10
#define STARTED                             \
    {                                       \
        PORT_FRAME_STARTED, FIRST, 0, 0, "" \
    }
#define HEAD                                           \
    {                                                  \
        PORT_FRAME_HEAD, FIRST, 200, FIELD_SIZE, FIELD \
    }
#define END                             \
    {                                   \
        PORT_FRAME_END, FIRST, 0, 0, "" \
    }

static const struct {
    const char *name;
    struct said frames[FRAMES_MAX];
} cases[] = {
    {"ready twice", {{PORT_FRAME_READY, NONE, 0, 0, ""}}},
    {"a failed boot after ready", {{PORT_FRAME_BOOT_FAILED, NONE, 0, 0, ""}}},
    {"a start of a request that was never handed over", {{PORT_FRAME_STARTED, ALIEN, 0, 0, ""}}},
    {"a start of a slot that is none", {{PORT_FRAME_STARTED, HIGH, 0, 0, ""}}},
    {"a start of a slot's earlier request", {{PORT_FRAME_STARTED, STALE, 0, 0, ""}}},
    {"a start of two requests at once", {STARTED, {PORT_FRAME_STARTED, SECOND, 0, 0, ""}}},
    {"a start of a request twice", {STARTED, END, STARTED}},
    {"a head before the start", {HEAD}},
    {"a head of another request", {STARTED, {PORT_FRAME_HEAD, SECOND, 200, 0, ""}}},
    {"a head twice", {STARTED, HEAD, HEAD}},
    {"a head with status 99", {STARTED, {PORT_FRAME_HEAD, FIRST, 99, 0, ""}}},
    {"a head with status 1000", {STARTED, {PORT_FRAME_HEAD, FIRST, 1000, 0, ""}}},
    {"a final status as interim", {STARTED, {PORT_FRAME_INTERIM, FIRST, 200, 0, ""}}},
    {"an upgrade as interim", {STARTED, {PORT_FRAME_INTERIM, FIRST, 101, 0, ""}}},
    {"an interim head after the head", {STARTED, HEAD, {PORT_FRAME_INTERIM, FIRST, 103, 0, ""}}},
    {"half of a field's sizes", {STARTED, {PORT_FRAME_HEAD, FIRST, 200, 4, "\1\0\0\0"}}},
    {"a field longer than its head", {STARTED, {PORT_FRAME_HEAD, FIRST, 200, 9, FIELD}}},
    {"field sizes that wrap when added",
     {STARTED, {PORT_FRAME_HEAD, FIRST, 200, 10, "\3\0\0\0\377\377\377\377Ab"}}},
    {"a payload past the ring's end",
     {STARTED, {PORT_FRAME_HEAD, FIRST, 200, PORT_RESPONSE_RING_SIZE, ""}}},
    {"a payload whose size wraps when rounded",
     {STARTED, {PORT_FRAME_HEAD, FIRST, 200, UINT64_MAX, ""}}},
    {"a body before the head", {STARTED, {PORT_FRAME_BODY, FIRST, 0, 1, "x"}}},
    {"a body of nothing", {STARTED, HEAD, {PORT_FRAME_BODY, FIRST, 0, 0, ""}}},
    {"a body after the end", {STARTED, HEAD, END, {PORT_FRAME_BODY, FIRST, 0, 1, "x"}}},
    {"a flush before the head", {STARTED, {PORT_FRAME_FLUSH, FIRST, 0, 0, ""}}},
    {"an end twice", {STARTED, HEAD, END, END}},
    {"an end of nothing", {END}},
    {"a finish of nothing", {{PORT_FRAME_FINISHED, FIRST, 0, 0, ""}}},
    {"trailers before the start", {{PORT_FRAME_TRAILERS, FIRST, 0, FIELD_SIZE, FIELD}}},
    {"trailers after the end", {STARTED, HEAD, END, {PORT_FRAME_TRAILERS, FIRST, 0, 0, ""}}},
    {"trailers longer than they are", {STARTED, {PORT_FRAME_TRAILERS, FIRST, 0, 9, FIELD}}},
    {"a kind that is none", {STARTED, {11, FIRST, 0, 0, ""}}},
    {"the largest kind", {STARTED, {0xff, FIRST, 0, 0, ""}}},
};

struct attack {
    struct pair pair;
    struct port_shared *shared;
    uint32_t tags[HIGH + 1];
};

static void say(struct port_shared *shared, const struct said *said, const uint32_t *tags)
{
    struct port_frame frame = {
        .kind = said->kind, .tag = tags[said->tag], .status = said->status, .value = said->value};
    uint64_t at = shared->app.response_written;
    /* A size that is a lie comes without the bytes. */
    size_t size = said->value <= FIELD_SIZE ? (size_t)said->value : 0;
    port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at,
                  (struct slice){(const char *)&frame, sizeof frame});
    port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at + sizeof frame,
                  (struct slice){said->payload, size});
    shared->app.response_written = at + port_frame_extent(size);
}

static uint32_t put(struct pair *pair)
{
    static struct http_request http;
    struct port_request request = plain_request(&http, "/");
    uint32_t tag;
    must(port_put(pair->worker, &request, &tag) == 0, "put");
    return tag;
}

static struct attack begin(void)
{
    struct attack attack = {.pair = pair_open()};
    attack.shared =
        mmap(NULL, port_shm_size(), PROT_READ | PROT_WRITE, MAP_SHARED, attack.pair.memfd, 0);
    must(attack.shared != MAP_FAILED, "map");
    struct said ready = {PORT_FRAME_READY, NONE, 0, 0, ""};
    say(attack.shared, &ready, attack.tags);
    struct port_message message;
    must(port_next(attack.pair.worker, &message) == PORT_READY, "ready");
    attack.tags[STALE] = put(&attack.pair);
    must(port_revoke(attack.pair.worker, attack.tags[STALE]), "revoke");
    attack.tags[FIRST] = put(&attack.pair);
    attack.tags[SECOND] = put(&attack.pair);
    attack.tags[ALIEN] = 1u << PORT_INDEX_BITS | 9;
    attack.tags[HIGH] = 1u << PORT_INDEX_BITS | 200;
    return attack;
}

static void end(struct attack *attack)
{
    munmap(attack->shared, port_shm_size());
    pair_close(&attack->pair);
}

/* Messages before the port broke; -1 when it did not. */
static int messages_until_broken(struct pair *pair)
{
    struct port_message message;
    for (int count = 0;; count++) {
        enum port_event event = port_next(pair->worker, &message);
        if (event == PORT_BROKEN)
            return message.text.size > 0 ? count : -1;
        if (event == PORT_NONE)
            return -1;
    }
}

static void test_what_an_application_may_not_say_breaks_its_port(void)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct attack attack = begin();
        int count = 0;
        while (count < FRAMES_MAX && cases[i].frames[count].kind != 0)
            say(attack.shared, &cases[i].frames[count++], attack.tags);
        struct port_message message;
        OK(messages_until_broken(&attack.pair) == count - 1 &&
               port_next(attack.pair.worker, &message) == PORT_NONE &&
               port_room(attack.pair.worker) == 0 && port_arm(attack.pair.worker),
           "%s", cases[i].name);
        end(&attack);
    }
}

static void test_positions_that_make_no_sense_break_a_port(void)
{
    static const uint64_t positions[] = {8, UINT64_MAX, UINT64_MAX - 15,
                                         PORT_RESPONSE_RING_SIZE + 32, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(positions); i++) {
        struct attack attack = begin();
        attack.shared->app.response_written = positions[i];
        OK(messages_until_broken(&attack.pair) == 0, "position %llx",
           (unsigned long long)positions[i]);
        end(&attack);
    }
}

static void test_a_process_may_lie_about_what_it_read(void)
{
    struct attack attack = begin();
    attack.shared->app.queue_read = 1000;
    OK(port_room(attack.pair.worker) == 0, "a queue read past its end has no room");
    attack.shared->app.queue_read = 0;
    OK(port_room(attack.pair.worker) == PORT_SLOTS - 2, "and has it again");
    OK(port_revoke(attack.pair.worker, attack.tags[FIRST]), "a queued request is revoked");
    const struct said started = STARTED;
    say(attack.shared, &started, attack.tags);
    OK(messages_until_broken(&attack.pair) == 0, "and can not be started any more");
    end(&attack);
}

static void test_a_failed_boot_has_a_short_reason(void)
{
    struct attack attack = begin();
    port_close(attack.pair.worker);
    askr_error error;
    must(port_open(&attack.pair.worker, attack.pair.memfd, attack.pair.app_bell, &error) == 0,
         error.text);
    struct port_frame failed = {.kind = PORT_FRAME_BOOT_FAILED, .value = PORT_BOOT_ERROR_MAX + 1};
    memcpy(attack.shared->responses, &failed, sizeof failed);
    attack.shared->app.response_written = port_frame_extent(failed.value);
    OK(messages_until_broken(&attack.pair) == 0, "one byte more than a reason may have");
    end(&attack);
}

int main(void)
{
    test_what_an_application_may_not_say_breaks_its_port();
    test_positions_that_make_no_sense_break_a_port();
    test_a_process_may_lie_about_what_it_read();
    test_a_failed_boot_has_a_short_reason();
    return TAP_END();
}
