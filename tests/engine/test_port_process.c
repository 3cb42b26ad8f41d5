/* SPDX-License-Identifier: MIT
 * A port between two processes: nothing is lost, doubled or mixed up, nobody sleeps through a bell,
 * and a process killed at any point leaves a port that says what became of its requests.
 *
 * A bell that does not come within 30 s ends the test: that is what a lost wake-up looks like.
 * Random numbers come from a fixed seed, so a failure can be repeated as far as two processes
 * allow. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "app/port_layout.h"
#include "port_pair.h"
#include "tap.h"

enum {
    STRESS_EXCHANGES = 200000,
    KILL_ROUNDS = 300,
    BODY_MAX = 2 * PORT_BODY_RING_SIZE,
    OFFSETS = 251,     /* bodies begin at different places of the pattern, so that they differ */
    SPINS_MAX = 20000, /* a few wake-ups' worth of doing nothing */
};

static const struct askr_host *const host = &port_host;
static char pattern[BODY_MAX + OFFSETS], received[BODY_MAX];
static struct http_request http;
static uint64_t seed = 88172645463325252u;

static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % limit;
}

/* Lets the other process get to any point of what it does. */
static void spin(void)
{
    for (uint32_t spins = random_below(SPINS_MAX); spins > 0; spins--)
        __asm__ volatile("");
}

/* Mostly small, sometimes around a limit, seldom larger than any ring. */
static size_t random_size(void)
{
    uint32_t kind = random_below(1000);
    if (kind < 900)
        return random_below(200);
    if (kind < 980)
        return PORT_INLINE_BODY_MAX - 8 + random_below(16);
    return kind < 998 ? random_below(100000) : random_below(BODY_MAX);
}

/* The application: answers with the body it was sent, in pieces of odd sizes. Once in a while it
 * flushes, hints, or ends early. Counts in shared memory what it has taken. */
static void echo(struct askr_exchange *exchange, uint64_t count)
{
    static char buf[30000];
    if (count % 97 == 0)
        host->interim(exchange, 103, NULL, 0);
    int64_t size = host->head(exchange, 200, NULL, 0);
    while (size >= 0 && (size = host->read(exchange, buf, 1 + count * 7919 % sizeof buf)) > 0)
        size = host->write(exchange, buf, (size_t)size) == 0 ? size : -1;
    if (count % 89 == 0)
        host->flush(exchange);
    if (count % 83 == 0)
        host->end(exchange);
    host->finish(exchange, ASKR_DONE);
}

static _Noreturn void serve(struct pair *pair, _Atomic uint64_t *taken)
{
    pair_open_app(pair);
    host->ready(pair->app);
    struct askr_exchange *exchange;
    int result;
    while ((result = host->take(pair->app, &exchange, -1)) == 1)
        echo(exchange, ++*taken);
    _exit(result == -ESHUTDOWN ? 0 : 1);
}

static pid_t fork_app(struct pair *pair, _Atomic uint64_t *taken)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0)
        serve(pair, taken);
    struct port_message message;
    must(pair_next(pair, &message) == PORT_READY, "ready");
    return pid;
}

static _Atomic uint64_t *shared_counter(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "counter");
    return memory;
}

/* The worker's side of the traffic: what is out, and how much of each body went in and came back.
 */
struct traffic {
    struct pair *pair;
    uint64_t put, finished, revoked;
    size_t sizes[PORT_SLOTS]; /* by slot */
    const char *bodies[PORT_SLOTS];
    uint32_t tags[PORT_SLOTS];
    uint32_t current; /* slot of the started request */
    size_t fed, came;
    bool wrong;
};

static void put_some(struct traffic *traffic, uint32_t count)
{
    for (; count > 0 && port_room(traffic->pair->worker) > 0; count--) {
        size_t size = random_size();
        struct port_request request = plain_request(&http, "/");
        request.body_size = (int64_t)size;
        const char *body = pattern + random_below(OFFSETS);
        if (size <= PORT_INLINE_BODY_MAX)
            request.body = (struct slice){body, size};
        uint32_t tag;
        must(port_put(traffic->pair->worker, &request, &tag) == 0, "put");
        traffic->tags[tag & 0xff] = tag;
        traffic->sizes[tag & 0xff] = size;
        traffic->bodies[tag & 0xff] = body;
        traffic->put++;
        if (random_below(50) == 0 && port_revoke(traffic->pair->worker, tag))
            traffic->revoked++;
    }
}

static void feed(struct traffic *traffic)
{
    size_t room = port_body_room(traffic->pair->worker);
    if (room == 0)
        return;
    size_t size = room > 1000 ? room - random_below(1000) : room;
    port_body_write(traffic->pair->worker,
                    (struct slice){traffic->bodies[traffic->current] + traffic->fed, size});
    traffic->fed += size;
}

static void check(struct traffic *traffic, enum port_event event,
                  const struct port_message *message)
{
    uint32_t slot = message->tag & 0xff;
    traffic->wrong = traffic->wrong || event == PORT_BROKEN || traffic->tags[slot] != message->tag;
    if (event == PORT_STARTED) {
        traffic->current = slot;
        traffic->fed = traffic->came = 0;
    } else if (event == PORT_BODY) {
        memcpy(received + traffic->came, message->text.data, message->text.size);
        traffic->came += message->text.size;
    } else if (event == PORT_END) {
        traffic->wrong = traffic->wrong || message->failed ||
                         traffic->came != traffic->sizes[slot] ||
                         memcmp(received, traffic->bodies[slot], traffic->came) != 0;
    } else if (event == PORT_FINISHED) {
        traffic->finished++;
    }
}

/* One turn of a worker's loop. True: the application has to do something now. */
static bool turn(struct traffic *traffic)
{
    struct port_message message;
    port_publish(traffic->pair->worker);
    for (enum port_event event;
         !traffic->wrong && (event = port_next(traffic->pair->worker, &message)) != PORT_NONE;)
        check(traffic, event, &message);
    feed(traffic);
    port_publish(traffic->pair->worker);
    if (random_below(8) == 0)
        spin();
    return traffic->put > traffic->finished + traffic->revoked;
}

static void test_two_processes_exchange_without_loss(void)
{
    struct pair pair = pair_open();
    _Atomic uint64_t *taken = shared_counter();
    pid_t pid = fork_app(&pair, taken);
    struct traffic traffic = {.pair = &pair};
    while (traffic.put < STRESS_EXCHANGES && !traffic.wrong) {
        put_some(&traffic, 1 + random_below(PORT_SLOTS));
        if (turn(&traffic) && random_below(4) != 0)
            pair_sleep(&pair);
    }
    while (turn(&traffic) && !traffic.wrong)
        pair_sleep(&pair);
    OK(!traffic.wrong, "every answer is the body that was sent");
    OK(traffic.put == traffic.finished + traffic.revoked && *taken == traffic.finished,
       "of %lu requests %lu were answered and %lu taken back", (unsigned long)traffic.put,
       (unsigned long)traffic.finished, (unsigned long)traffic.revoked);
    port_drain(pair.worker);
    port_publish(pair.worker);
    int status;
    OK(waitpid(pid, &status, 0) == pid && status == 0,
       "a drain wakes the application, and it goes");
    pair_close(&pair);
}

/* Some exchanges, then a kill at whatever point the application has reached. */
static bool kill_round(void)
{
    struct pair pair = pair_open();
    _Atomic uint64_t *taken = shared_counter();
    pid_t pid = fork_app(&pair, taken);
    struct traffic traffic = {.pair = &pair};
    for (uint32_t turns = random_below(20); turns > 0; turns--) {
        put_some(&traffic, random_below(PORT_SLOTS));
        if (turn(&traffic) && random_below(2) == 0)
            pair_sleep(&pair);
    }
    put_some(&traffic, random_below(PORT_SLOTS));
    port_publish(pair.worker);
    spin();
    kill(pid, SIGKILL);
    must(waitpid(pid, NULL, 0) == pid, "wait");
    turn(&traffic);

    uint32_t tags[PORT_SLOTS], count;
    bool started[PORT_SLOTS];
    count = port_outstanding(pair.worker, tags, started);
    uint64_t taken_unfinished = *taken - traffic.finished;
    bool right = !traffic.wrong && count == traffic.put - traffic.finished - traffic.revoked &&
                 taken_unfinished <= 1 && (taken_unfinished == 0 || (count > 0 && started[0]));
    for (uint32_t i = 1; i < count; i++)
        right = right && !started[i];
    munmap(taken, 4096);
    pair_close(&pair);
    return right;
}

static void test_a_killed_process_leaves_a_port_that_tells_the_truth(void)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < KILL_ROUNDS; i++)
        right += kill_round();
    OK(right == KILL_ROUNDS,
       "in %u of %u rounds what was started, and nothing else, counts as started", right,
       (unsigned)KILL_ROUNDS);
}

/* Forks an application that takes one request, which is put here, and does `act` with it. */
static pid_t start_one(struct pair *pair, int64_t body_size, int (*act)(struct askr_exchange *),
                       uint32_t *tag)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        pair_open_app(pair);
        host->ready(pair->app);
        struct askr_exchange *exchange;
        must(host->take(pair->app, &exchange, -1) == 1, "take");
        int result = act(exchange);
        host->finish(exchange, ASKR_FAILED);
        must(host->take(pair->app, &exchange, -1) == -ESHUTDOWN, "drain");
        _exit(result);
    }
    struct port_message message;
    must(pair_next(pair, &message) == PORT_READY, "ready");
    struct port_request request = plain_request(&http, "/");
    request.body_size = body_size;
    must(port_put(pair->worker, &request, tag) == 0, "put");
    port_publish(pair->worker);
    return pid;
}

static int fill_the_ring(struct askr_exchange *exchange)
{
    host->head(exchange, 200, NULL, 0);
    int result = 0;
    while (result == 0)
        result = host->write(exchange, pattern, sizeof pattern);
    return result == -ECONNABORTED ? 42 : 1;
}

static int read_a_body(struct askr_exchange *exchange)
{
    int64_t size = 1;
    while (size > 0)
        size = host->read(exchange, received, sizeof received);
    return size == -ECONNABORTED ? 42 : 1;
}

/* Until the application sleeps and wants to be woken by an abort. */
static void await_sleep(const struct pair *pair)
{
    struct port_shared *shared = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, pair->memfd, 0);
    must(shared != MAP_FAILED, "map");
    int64_t deadline_ns = clock_now_ns() + 30 * NS_PER_S;
    while (!(atomic_load(&shared->app_sleeps) & PORT_NEWS_ABORT))
        must(clock_now_ns() < deadline_ns, "the application does not sleep");
    munmap(shared, sizeof *shared);
}

/* An application that is done with its one request only by an abort says so with status 42. */
static bool aborted_while_blocked(int (*act)(struct askr_exchange *), int64_t body_size)
{
    struct pair pair = pair_open();
    struct port_message message;
    uint32_t tag;
    pid_t pid = start_one(&pair, body_size, act, &tag);
    must(pair_next(&pair, &message) == PORT_STARTED && message.tag == tag, "started");
    await_sleep(&pair);
    port_abort(pair.worker, tag);
    port_publish(pair.worker);
    while (pair_next(&pair, &message) != PORT_FINISHED)
        continue;
    port_drain(pair.worker);
    port_publish(pair.worker);
    int status;
    must(waitpid(pid, &status, 0) == pid, "wait");
    pair_close(&pair);
    return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

static void test_an_abort_wakes_a_blocked_application(void)
{
    OK(aborted_while_blocked(fill_the_ring, 0), "one that waits for room in the response ring");
    OK(aborted_while_blocked(read_a_body, BODY_MAX), "one that waits for its request body");
}

static void test_an_answer_does_not_wait_for_a_slow_successor(void)
{
    struct pair pair = pair_open();
    pair_open_app(&pair);
    host->ready(pair.app);
    struct port_message message;
    must(port_next(pair.worker, &message) == PORT_READY, "ready");
    struct port_request request = plain_request(&http, "/");
    uint32_t tag;
    for (int i = 0; i < 2; i++)
        must(port_put(pair.worker, &request, &tag) == 0, "put");
    port_publish(pair.worker);
    struct askr_exchange *exchange;
    must(host->take(pair.app, &exchange, 0) == 1, "take");
    must(port_next(pair.worker, &message) == PORT_STARTED, "started");
    must(port_next(pair.worker, &message) == PORT_NONE && port_arm(pair.worker), "arm");
    host->finish(exchange, ASKR_DONE);
    int64_t later_ns = clock_now_ns() + NS_PER_MS;
    while (clock_now_ns() < later_ns)
        continue;
    must(host->take(pair.app, &exchange, 0) == 1, "take");
    struct pollfd bell = {.fd = pair.worker_bell, .events = POLLIN};
    OK(poll(&bell, 1, 0) == 1, "a finished answer is rung for before the next request is started");
    pair_close(&pair);
}

int main(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i * 131 + i / 257);
    test_an_answer_does_not_wait_for_a_slow_successor();
    test_an_abort_wakes_a_blocked_application();
    test_two_processes_exchange_without_loss();
    test_a_killed_process_leaves_a_port_that_tells_the_truth();
    return TAP_END();
}
