/* SPDX-License-Identifier: MIT
 * Invariant: whatever clients say, in whatever pieces, and whether they read, stall, leave or
 * reset, and whatever their application does, each gets well-framed answers to its own requests in
 * their order and nothing else, no complete request stays without one, and in the end nothing is
 * left.
 *
 * The input is a program: a byte says who does what, the bytes behind it how. conn_world.h is what
 * it acts on, conn_answers.h what is expected, conn_h2.h both for clients that speak HTTP/2. */
#include "conn_answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static uint32_t next_number(struct world *world, uint32_t bytes)
{
    uint32_t number = 0;
    for (; bytes > 0 && world->at < world->end; bytes--)
        number = number << 8 | *world->at++;
    return number;
}

static struct slice next_bytes(struct world *world, size_t most)
{
    size_t size = size_min(next_number(world, 1), most);
    size = size_min(size, (size_t)(world->end - world->at));
    struct slice bytes = {(const char *)world->at, size};
    world->at += size;
    return bytes;
}

/* --- what a client does ----------------------------------------------------------------------- */

static void connect_anew(struct world *world, struct client *client)
{
    if (client_is_open(world, client))
        return;
    client_take(world, client, SIZE_MAX);
    check_answers(world, client, false);
    client_forget(client);
    client_connect(world, client);
    if (world->operation / 64 == 3)
        h2_begin(world, client);
}

static void say_bytes_of_input(struct world *world, struct client *client)
{
    struct slice bytes = next_bytes(world, 255);
    client_say(world, client, bytes.data, bytes.size);
}

/* Whole requests, and parts that make some of what the input says. */
static void say_phrase(struct world *world, struct client *client)
{
    static const struct slice phrases[] = {
        SLICE("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("GET /pattern.bin HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("HEAD /pattern.bin HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("GET /echo.php?q=1 HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("HEAD /echo.php HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("POST /echo.php/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
        SLICE("POST /echo.php HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n"),
        SLICE("PUT /echo.php HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
        SLICE("5\r\nhello\r\n"),
        SLICE("0\r\n\r\n"),
        SLICE("GET /a.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9,20-,-3\r\n\r\n"),
        SLICE("GET /pattern.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=50000-99000\r\n\r\n"),
        SLICE("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n"),
        SLICE("GET /sub HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        SLICE("GET /a.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
        SLICE("POST /echo.php HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
              "Expect: 100-continue\r\n\r\n"),
        SLICE("POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"),
        SLICE("POST /missing HTTP/1.1\r\nHost: h\r\nContent-Length: 190000\r\n\r\n"),
        SLICE("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("GET /echo.php HTTP/1.0\r\n\r\n"),
        SLICE("GET /../x%00 HTTP/1.1\r\nHost: h\r\n\r\n"),
        SLICE("0123456789abcdef"),
        SLICE("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
        SLICE("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        SLICE("\x81\x85\0\0\0\0hello"),
        SLICE("\x02\x82\1\2\3\4he"),
        SLICE("\x80\x83\1\2\3\4llo"),
        SLICE("\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00"),
        SLICE("\x82\xfe\x4e\x20\0\0\0\0"), /* and 20,000 bytes */
        SLICE("\x89\x80\0\0\0\0"),
        SLICE("\x8a\x80\0\0\0\0"),
        SLICE("\x88\x82\0\0\0\0\x03\xe8"),
    };
    uint32_t which = next_number(world, 1);
    if (speaks_h2(client)) {
        h2_say(world, client, which, world->operation / 64 + which / 32 * 4);
        return;
    }
    const struct slice phrase = phrases[which % COUNT_OF(phrases)];
    client_say(world, client, phrase.data, phrase.size);
}

static void say_much(struct world *world, struct client *client)
{
    static char much[1 << 16];
    client_say(world, client, much, next_number(world, 1) * 257);
}

static void say_phrase_often(struct world *world, struct client *client)
{
    const uint8_t *start = world->at + 1;
    for (uint32_t count = next_number(world, 1) % 32; count > 0 && world->at == start; count--) {
        say_phrase(world, client);
        if (count > 1)
            world->at = start;
    }
}

static void read_some(struct world *world, struct client *client)
{
    client_take(world, client, next_number(world, 1) * 1024);
}

static void stall(struct world *world, struct client *client)
{
    if (client_is_open(world, client))
        sim_room(&world->worker->io, client->fd, next_number(world, 1) * 64);
}

static void leave(struct world *world, struct client *client)
{
    if (!client_is_open(world, client) || client->left)
        return;
    client->left = true;
    if (next_number(world, 1) % 2 == 0)
        sim_shutdown(&world->worker->io, client->fd);
    else
        sim_reset(&world->worker->io, client->fd);
}

/* --- what the application does ---------------------------------------------------------------- */

static void echo(struct world *world, struct client *client)
{
    (void)client;
    app_echo(&world->app);
}

static void say_wild_head(struct world *world, struct application *app)
{
    static const struct slice names[] = {
        SLICE("X-Any"),      SLICE("Content-Length"), SLICE("Transfer-Encoding"),
        SLICE("Connection"), SLICE("Content-Type"),   SLICE("Set-Cookie"),
    };
    int status = 100 + (int)(next_number(world, 2) % 600);
    uint32_t which = next_number(world, 1);
    struct slice name = names[which % COUNT_OF(names)], value = next_bytes(world, 40);
    if (which >= 128)
        name = next_bytes(world, 20);
    if ((name.size == 6 && strncasecmp(name.data, "X-Echo", 6) == 0) ||
        (name.size == 8 && strncasecmp(name.data, "Location", 8) == 0))
        return; /* the client would hold it against us */
    struct askr_field fields[] = {{{name.data, (uint32_t)name.size}, //
                                   {value.data, (uint32_t)value.size}}};
    if (status >= 600)
        port_host.trailers(app->exchange, fields, COUNT_OF(fields));
    else if (status < 200)
        port_host.interim(app->exchange, status, fields, COUNT_OF(fields));
    else
        port_host.head(app->exchange, status, fields, COUNT_OF(fields));
}

static void be_wild(struct world *world, struct client *client)
{
    struct application *app = &world->app;
    uint32_t what = next_number(world, 1);
    (void)client;
    app_take(app, true);
    if (app->port == NULL || app->exchange == NULL || !app->wild || !app_has_room(app, 1 << 16))
        return;
    if (what % 8 == 0)
        app_read(app);
    else if (what % 8 <= 2)
        say_wild_head(world, app);
    else if (what % 8 <= 4)
        port_host.write(app->exchange, app->body, what * 250);
    else if (what % 8 == 5)
        port_host.flush(app->exchange);
    else if (what % 8 == 6)
        port_host.end(app->exchange);
    else
        app_finish(app, what & 8 ? ASKR_DONE : ASKR_FAILED);
}

static void die_or_start(struct world *world, struct client *client)
{
    (void)client;
    if (next_number(world, 1) % 4 == 0)
        app_die(world);
    else
        app_start(world);
}

/* --- what the kernel and the supervisor do ---------------------------------------------------- */

static void turn(struct world *world, struct client *client)
{
    (void)client;
    world_turn(world, 0);
}

static void pass_time(struct world *world, struct client *client)
{
    (void)client;
    world->troubled = true;
    world_turn(world, next_number(world, 1) * 50 * NS_PER_MS);
}

static void cut_transfers(struct world *world, struct client *client)
{
    (void)client;
    uint32_t size = next_number(world, 1);
    sim_slice(&world->worker->io, size > 200 ? 0 : size * size);
    if (size == 255)
        sim_one_shot(&world->worker->io);
    sim_hold_works(&world->worker->io, size == 254);
}

static void go_wrong(struct world *world, struct client *client)
{
    static const int errors[] = {ECONNRESET, ENOMEM, ENOBUFS, ETIMEDOUT, EIO};
    static const enum io_kind kinds[] = {IO_RECV, IO_SEND, IO_SENDFILE, IO_CLOSE};
    uint32_t how = next_number(world, 1);
    int error = errors[how / 16 % COUNT_OF(errors)];
    world->troubled = true;
    if (how >= 120 && how < 128)
        sim_fail(&world->worker->io, IO_WORK, how % 4 + 1, error);
    else if (how >= 128 && client_is_open(world, client))
        sim_error(&world->worker->io, client->fd, error);
    else
        sim_fail(&world->worker->io, kinds[how % 4], how / 4 % 4 + 1, error);
}

static void drain(struct world *world, struct client *client)
{
    (void)client;
    world->troubled = true;
    if (next_number(world, 1) % 4 == 0)
        worker_drain(world->worker, world->worker->io.now_ns + 5 * NS_PER_S);
}

static void (*const operations[])(struct world *, struct client *) = {
    connect_anew,
    say_bytes_of_input,
    say_phrase,
    turn,
    read_some,
    stall,
    echo,
    be_wild,
    say_phrase_often,
    leave,
    die_or_start,
    cut_transfers,
    say_much,
    pass_time,
    go_wrong,
    drain,
};

/* --- the end ---------------------------------------------------------------------------------- */

/* Clients of HTTP/2 go: one that gives no window would hold the application for ever, since no time
 * passes any more. */
static void leave_h2(struct world *world)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        if (!client_is_open(world, client) || !speaks_h2(client) || client->left)
            continue;
        client->left = true;
        sim_reset(&world->worker->io, client->fd);
    }
}

/* Let everybody do what they still can, without any time passing. */
static void settle(struct world *world)
{
    struct application *app = &world->app;
    sim_slice(&world->worker->io, 0);
    sim_hold_works(&world->worker->io, false);
    leave_h2(world);
    for (int i = 0; i < CLIENTS; i++)
        if (client_is_open(world, &world->clients[i]))
            sim_room(&world->worker->io, world->clients[i].fd, SIM_ROOM);
    for (int quiet = 0, rounds = 0; quiet < 4; rounds++) {
        size_t taken = 0;
        assert(rounds < 100000);
        app_start(world);
        if (app->port != NULL && app->exchange != NULL && app->wild && app_has_room(app, 0))
            app_finish(app, ASKR_FAILED);
        app_echo(app);
        int events = world_turn(world, 0);
        for (int i = 0; i < CLIENTS; i++)
            taken += client_take(world, &world->clients[i], SIZE_MAX);
        quiet = events == 0 && taken == 0 && app->exchange == NULL ? quiet + 1 : 0;
    }
    const struct apps *apps = &world->worker->apps;
    assert(app->port == NULL ||
           (apps->handed_count == 0 && world->worker->sites->queue.depth == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    world = (struct world){.at = data, .end = data + size};
    world_open(&world);
    while (world.at < world.end) {
        world.operation = next_number(&world, 1);
        operations[world.operation % 16](&world, &world.clients[world.operation / 16 % CLIENTS]);
    }
    settle(&world);
    for (int i = 0; i < CLIENTS; i++)
        check_answers(&world, &world.clients[i], true);
    world_close(&world);
    return 0;
}
