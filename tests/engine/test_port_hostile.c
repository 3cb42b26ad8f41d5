/* SPDX-License-Identifier: MIT
 * A worker's end of a port while another thread of control writes rubbish into the memory, at the
 * very moments the worker reads it: what fuzz_port cannot do, since it writes only between calls.
 * Most of it are proper answers that are changed right after they were made visible. Run under
 * AddressSanitizer this shows any value that is read twice; the worker's assertions show any it
 * trusts. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "app/port_layout.h"
#include "port_pair.h"
#include "tap.h"

enum { ROUNDS = 200, TURNS_MAX = 20000, HEARD_MAX = 2000 };

static uint64_t seed = 88172645463325252u;

static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % limit;
}

/* A frame as it should be, made visible, and its header spoiled right after that. */
static void say_and_spoil(struct port_shared *shared, uint32_t tag, uint8_t kind)
{
    const struct port_frame_field field = {1, 1};
    const uint32_t field_size = sizeof field + 2;
    uint64_t at = shared->app.response_written & ~UINT64_C(15);
    bool payload = kind == PORT_FRAME_HEAD || kind == PORT_FRAME_BODY;
    uint32_t size = payload ? field_size * (1 + random_below(30)) : 0;
    struct port_frame frame = {.kind = kind, .status = 200, .tag = tag, .value = size};
    struct slice header = {(const char *)&frame, sizeof frame};
    port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at, header);
    for (uint32_t i = 0; i < size; i += field_size)
        port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at + sizeof frame + i,
                      (struct slice){(const char *)&field, sizeof field});
    atomic_store(&shared->app.response_written, at + port_frame_extent(size));
    if (random_below(200) != 0)
        return;
    frame.value = random_below(2) ? UINT64_MAX : random_below(1 << 20);
    port_ring_put(shared->responses, PORT_RESPONSE_RING_SIZE, at, header);
}

static void scribble(struct port_shared *shared)
{
    char *bytes = (char *)shared;
    uint32_t head = (uint32_t)offsetof(struct port_shared, body);
    uint32_t offset = random_below(2) ? random_below(head) : random_below(sizeof *shared - 64);
    for (uint32_t i = 0; i < 8; i++)
        bytes[offset + i] = (char)random_below(256);
}

/* What a hostile application does, until it is killed. */
static _Noreturn void attack(struct pair *pair, uint64_t random_seed)
{
    seed = random_seed;
    struct port_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, pair->memfd, 0);
    must(shared != MAP_FAILED, "map");
    struct port_frame ready = {.kind = PORT_FRAME_READY};
    memcpy(shared->responses, &ready, sizeof ready);
    atomic_store(&shared->app.response_written, sizeof ready);
    static const uint8_t kinds[] = {PORT_FRAME_STARTED, PORT_FRAME_HEAD, PORT_FRAME_BODY,
                                    PORT_FRAME_FINISHED};
    for (uint64_t turn = 0;; turn++) {
        /* A ring that is overrun is found out at once; that is for fuzz_port to do. */
        while (shared->worker.queue_written <= turn / 4 ||
               shared->app.response_written - shared->worker.response_read >
                   PORT_RESPONSE_RING_SIZE / 2)
            sched_yield();
        say_and_spoil(shared, shared->queue[turn / 4 % PORT_QUEUE_SIZE], kinds[turn % 4]);
        shared->app.queue_read = turn / 4;
        if (random_below(1000) == 0)
            shared->slots[random_below(PORT_SLOTS)].state = random_below(4096);
        if (random_below(5000) == 0)
            scribble(shared);
    }
}

static void touch(struct slice slice)
{
    for (size_t i = 0; i < slice.size; i++)
        (void)*(const volatile char *)(slice.data + i);
}

/* Hears what there is, touching every byte. False: the port broke, as it should. */
static bool hear(struct pair *pair, uint32_t *heard)
{
    struct port_message message;
    enum port_event event;
    while ((event = port_next(pair->worker, &message)) != PORT_NONE) {
        if (event == PORT_BROKEN || event == PORT_BOOT_FAILED)
            return false;
        touch(message.text);
        for (size_t i = 0; i < message.field_count; i++) {
            touch(message.fields[i].name);
            touch(message.fields[i].value);
        }
        ++*heard;
    }
    return true;
}

static void hand_over(struct pair *pair)
{
    static struct http_request http;
    static const char body[PORT_BODY_RING_SIZE];
    struct port_request request = plain_request(&http, "/");
    http.fields[0] = http.fields[1] = (struct http_field){SLICE("Cookie"), SLICE("a=1")};
    http.field_count = 2;
    request.body_size = 1 << 20;
    uint32_t tags[PORT_SLOTS], tag;
    bool started[PORT_SLOTS];
    while (port_put(pair->worker, &request, &tag) == 0)
        continue;
    port_body_write(pair->worker, (struct slice){body, port_body_room(pair->worker)});
    uint32_t count = port_outstanding(pair->worker, tags, started);
    if (count > 0 && random_below(1000) == 0)
        port_revoke(pair->worker, tags[count - 1]);
    if (count > 1)
        port_abort(pair->worker, tags[0]);
    port_publish(pair->worker);
    port_arm(pair->worker);
}

/* True when the port broke before the turns were over. */
static bool attacked_round(uint64_t random_seed, uint32_t *heard)
{
    struct pair pair = pair_open();
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0)
        attack(&pair, random_seed);
    struct port_message message;
    while (port_next(pair.worker, &message) != PORT_READY)
        sched_yield();
    bool whole = true;
    uint32_t enough = *heard + HEARD_MAX;
    for (int i = 0; i < TURNS_MAX && whole && *heard < enough; i++) {
        uint32_t before = *heard;
        whole = hear(&pair, heard);
        if (*heard == before)
            sched_yield(); /* on a single processor the attacker has to come in between */
        hand_over(&pair);
    }
    kill(pid, SIGKILL);
    must(waitpid(pid, NULL, 0) == pid, "wait");
    hear(&pair, heard);
    pair_close(&pair);
    return !whole;
}

int main(void)
{
    uint32_t broken = 0, heard = 0;
    for (uint64_t i = 1; i <= ROUNDS; i++)
        broken += attacked_round(i * 0x9e3779b97f4a7c15u, &heard);
    OK(broken > 0 && heard > ROUNDS, "%u of %u attacks were found out after %u messages", broken,
       (unsigned)ROUNDS, heard);
    return TAP_END();
}
