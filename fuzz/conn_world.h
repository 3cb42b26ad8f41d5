/* SPDX-License-Identifier: MIT
 * The world around a worker, for fuzz_conn.c: a document root, the simulated kernel, clients, and
 * an application that lives in this process. Nothing here waits: what would block is left for
 * later. */
#ifndef CONN_WORLD_H
#define CONN_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/port_app_end.h"
#include "io/sim.h"
#include "serve/conn.h"
#include "serve/record.h"
#include "serve/worker.h"

enum {
    CLIENTS = 4,
    SAID_MAX = 1 << 18,    /* bytes of one client */
    DEATHS_MAX = 50,       /* of the application: each costs a simulated fd */
    PATTERN_SIZE = 100000, /* more than a client has room for at once */
    BODY_MAX = 200000,     /* of a request, so that an echo fits the application's ring */
    HEAD_MAX = 2048,
    FRAME_ROOM = 4096, /* of the application's ring, free before it says anything small */
};

struct client {
    int fd; /* -1: closed, and the number belongs to another by now */
    bool used;
    bool left;        /* it reset the connection, or ended its side: it is owed nothing more */
    uint32_t streams; /* of HTTP/2, that it has begun */
    char *said, *got;
    size_t said_size, got_size, got_capacity;
};

struct application {
    struct askr_port *port; /* NULL: no process */
    int memfd, bell_fd, pidfd, deaths;
    struct askr_exchange *exchange; /* being served */
    bool wild;                      /* it does as the input says; else it echoes */
    bool headed;
    char body[BODY_MAX]; /* of the request, as far as it was read; then what is echoed */
    size_t body_size, written;
};

struct world {
    const uint8_t *at, *end; /* the program */
    uint32_t operation;      /* the byte that is being carried out */
    struct worker *worker;
    struct askr_worker_config config;
    struct askr_site_config site;
    struct client clients[CLIENTS];
    struct application app;
    int worker_bell_fd;
    int recorder_fd, exporter_fd; /* read nothing; -1: nobody records, or traces */
    bool troubled; /* a fault was asked for, time passed, an application died, or a drain began: who
                      is waiting for an answer may get another, or none */
};

static char conn_root[] = "/tmp/askr-fuzz-XXXXXX";

static const char *const conn_files[] = {"index.html", "index.html.gz", "a.txt", "echo.php",
                                         "pattern.bin"};

static char pattern_at(size_t at)
{
    return (char)(at * 7 + at / 251);
}

static void must(bool fine, const char *what)
{
    if (!fine) {
        perror(what);
        abort();
    }
}

static void write_file(const char *name, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", conn_root, name);
    FILE *file = fopen(path, "w");
    must(file != NULL, path);
    for (size_t i = 0; i < size; i++)
        putc(pattern_at(i), file);
    must(fclose(file) == 0, path);
}

static void remove_root(void)
{
    char path[64];
    for (size_t i = 0; i < COUNT_OF(conn_files); i++) {
        snprintf(path, sizeof path, "%s/%s", conn_root, conn_files[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sub", conn_root);
    rmdir(path);
    rmdir(conn_root);
}

/* Once in the life of this process. */
static void make_root(void)
{
    static bool made;
    char path[64];
    if (made)
        return;
    made = true;
    must(mkdtemp(conn_root) != NULL, conn_root);
    atexit(remove_root);
    for (size_t i = 0; i < COUNT_OF(conn_files); i++)
        write_file(conn_files[i], 50 + i);
    write_file("pattern.bin", PATTERN_SIZE);
    snprintf(path, sizeof path, "%s/sub", conn_root);
    must(mkdir(path, 0755) == 0, path);
}

/* --- clients ---------------------------------------------------------------------------------- */

static bool client_is_open(const struct world *world, const struct client *client)
{
    const struct conn *conn = world->worker->conns;
    while (conn != NULL && conn->fd != client->fd)
        conn = conn->next;
    return client->used && conn != NULL && !conn->closed;
}

/* Take at most `most` of what was sent. Returns how much there was. */
static size_t client_take(struct world *world, struct client *client, size_t most)
{
    if (!client->used || client->fd < 0)
        return 0;
    size_t size = size_min(sim_waiting(&world->worker->io, client->fd), most);
    if (client->got_size + size > client->got_capacity) {
        client->got_capacity = 2 * (client->got_size + size);
        client->got = realloc(client->got, client->got_capacity);
        must(client->got != NULL, "realloc");
    }
    if (size > 0)
        sim_take(&world->worker->io, client->fd, client->got + client->got_size, size);
    client->got_size += size;
    return size;
}

/* Before a number is used again: the last answer of a closed connection waits under its own. */
static void take_last_words(struct world *world)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        if (!client->used || client_is_open(world, client))
            continue;
        client_take(world, client, SIZE_MAX);
        client->fd = -1;
    }
}

static void client_forget(struct client *client)
{
    free(client->said);
    free(client->got);
    *client = (struct client){0};
}

static void client_connect(struct world *world, struct client *client)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    take_last_words(world);
    *client = (struct client){.fd = sim_socket(&world->worker->io), .used = true};
    client->said = malloc(SAID_MAX);
    must(client->said != NULL, "malloc");
    must(conn_open(world->worker, client->fd, (struct sockaddr *)&name, 0) != NULL, "conn_open");
}

static void client_say(struct world *world, struct client *client, const void *bytes, size_t size)
{
    if (!client_is_open(world, client) || client->left || client->said_size + size > SAID_MAX)
        return;
    memcpy(client->said + client->said_size, bytes, size);
    client->said_size += size;
    sim_feed(&world->worker->io, client->fd, bytes, size);
}

/* --- the application -------------------------------------------------------------------------- */

static struct app *place_of(const struct world *world)
{
    return &world->worker->apps.app[0];
}

/* A new process for the place, if it is free. */
static void app_start(struct world *world)
{
    struct application *app = &world->app;
    const struct app *place = place_of(world);
    askr_error error;
    if (app->port != NULL || place->next_pid != 0 || (place->port != NULL && !place->leaving) ||
        app->deaths >= DEATHS_MAX)
        return;
    app->memfd = memfd_create("port", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    must(app->memfd >= 0 && ftruncate(app->memfd, (off_t)port_shm_size()) == 0 &&
             fcntl(app->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0,
         "memfd");
    app->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    take_last_words(world);
    app->pidfd = sim_source(&world->worker->io);
    must(port_app_open(&app->port, app->memfd, app->bell_fd, world->worker_bell_fd, &error) == 0,
         error.text);
    app->exchange = NULL;
    int fds[3] = {dup(app->memfd), dup(app->bell_fd), app->pidfd};
    apps_attach(world->worker, 0, 1000 + app->deaths, fds);
    port_host.ready(app->port);
}

static void app_gone(struct world *world)
{
    struct application *app = &world->app;
    app->deaths++;
    port_app_close(app->port);
    close(app->memfd);
    close(app->bell_fd);
    app->port = NULL;
    app->exchange = NULL;
}

static void app_die(struct world *world)
{
    if (world->app.port == NULL)
        return;
    sim_fire(&world->worker->io, world->app.pidfd, EPOLLIN);
    app_gone(world);
    world->troubled = true;
}

/* The worker may have given it up, for its time was over. */
static void app_look(struct world *world)
{
    if (world->app.port != NULL && place_of(world)->port == NULL)
        app_gone(world);
}

static bool app_has_room(const struct application *app, size_t size)
{
    return port_app_room(app->port) >= size + FRAME_ROOM;
}

static void app_take(struct application *app, bool wild)
{
    if (app->port == NULL || app->exchange != NULL || !app_has_room(app, 0) ||
        port_host.take(app->port, &app->exchange, 0) != 1)
        return;
    app->wild = wild;
    app->headed = false;
    app->body_size = app->written = 0;
}

/* What has arrived of the body. True: that was all of it. */
static bool app_read(struct application *app)
{
    struct askr_exchange *exchange = app->exchange;
    while (exchange->body_left > 0 && !port_host.aborted(exchange)) {
        if (exchange->body_streamed && port_app_body_there(exchange) == 0)
            return false;
        int64_t size =
            port_host.read(exchange, app->body + app->body_size, sizeof app->body - app->body_size);
        if (size <= 0)
            break;
        app->body_size += (size_t)size;
    }
    return true;
}

static void app_finish(struct application *app, enum askr_outcome outcome)
{
    port_host.finish(app->exchange, outcome);
    app->exchange = NULL;
}

/* "POST /echo.php\n" and the body; goes as far as it can. */
static void app_echo(struct application *app)
{
    static const struct askr_field fields[] = {{{"X-Echo", 6}, {"1", 1}}};
    app_take(app, false);
    if (app->port == NULL || app->exchange == NULL || app->wild || !app_read(app) ||
        !app_has_room(app, 0))
        return;
    if (!app->headed) {
        const struct askr_request *request = port_host.request(app->exchange);
        app->headed = true;
        port_host.head(app->exchange, 200, fields, COUNT_OF(fields));
        port_host.write(app->exchange, request->method.data, request->method.size);
        port_host.write(app->exchange, " ", 1);
        port_host.write(app->exchange, request->target.data, request->target.size);
        port_host.write(app->exchange, "\n", 1);
    }
    while (app->written < app->body_size) {
        size_t size = size_min(app->body_size - app->written, 16384);
        if (!app_has_room(app, size))
            return;
        if (port_host.write(app->exchange, app->body + app->written, size) < 0)
            break;
        app->written += size;
    }
    app_finish(app, ASKR_DONE);
}

/* --- the worker ------------------------------------------------------------------------------- */

/* All requests, and the first bytes of their bodies, into a socket that is full before long. */
static void start_recording(struct world *world)
{
    struct control_message message = {CONTROL_RECORD, 100, 1, 10000};
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    world->recorder_fd = pair[0];
    record_open(world->worker, pair[1], &message);
}

static void start_tracing(struct world *world)
{
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    world->exporter_fd = pair[0];
    world->config.trace_fd = pair[1];
    world->config.trace_accept = ASKR_TRACE_ALL;
    world->config.trace_bound = UINT64_MAX;
}

/* Who stands in front is believed; and what an operator may have written for "/old/", "/limited"
 * and answers of all kinds. Redirects lead nowhere but beneath "/new/". */
static void add_rules(struct world *world)
{
    static const struct askr_pattern everything[] = {{"/", ""}};
    static const struct askr_header_edit edits[] = {{ASKR_EDIT_SET, "X-Rule", "1"},
                                                    {ASKR_EDIT_REMOVE, "X-Any", NULL}};
    static const struct askr_header_rule headers[] = {{everything, 1, edits, 2, ASKR_ANSWERS_ALL}};
    static const char *const hosts[] = {"h", ".test"};
    static const struct askr_redirect redirects[] = {
        {{"/old/", ""}, {"/new/", ""}, hosts, 2, 301},
        {{"/older", ""}, {"/new", ""}, NULL, 0, 308},
    };
    static const struct askr_rate rates[] = {
        {"key", "/limited", ASKR_RATE_HEADER, "X-Key", 2, 60, 2},
        {"cookie", "/limited/too", ASKR_RATE_COOKIE, "session", 1, 3600, 1},
    };
    static struct askr_sendfile_root sendfile[] = {{"/files", conn_root, 1}};
    world->site.headers = headers;
    world->site.header_count = COUNT_OF(headers);
    world->site.redirects = redirects;
    world->site.redirect_count = COUNT_OF(redirects);
    world->site.sendfile = sendfile;
    world->site.sendfile_count = COUNT_OF(sendfile);
    world->config.trusted_proxies = "127.0.0.0/8";
    world->config.forwarded =
        (world->end - world->at) % 5 == 0 ? ASKR_FORWARDED_STANDARD : ASKR_FORWARDED_X;
    memcpy(world->config.rates, rates, sizeof rates);
    world->config.rate_count = COUNT_OF(rates);
    world->config.rate_fd = memfd_create("rates", MFD_CLOEXEC);
    must(ftruncate(world->config.rate_fd, (off_t)askr_rate_size(16)) == 0, "rates");
}

static void world_open(struct world *world)
{
    askr_error error;
    make_root();
    world->worker_bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    world->site = (struct askr_site_config){
        .app_count = 1,
        .root = conn_root,
        .index_files = {"index.php", "index.html"},
        .precompressed = 1,
        .scripts = 1,
    };
    world->config = (struct askr_worker_config){
        .count = 1,
        .generation = 1,
        .backend = ASKR_IO_SIM,
        .bell_fd = -1,
        .control_fd = -1,
        .status_fd = memfd_create("status", MFD_CLOEXEC),
        .sites = &world->site,
        .site_count = 1,
        .default_site = -1,
        .server_header = "askrctl",
        .temp_dir = "/tmp",
        .encodings = "zstd br gzip",
        .encoding_types = "text/* *+json",
        .encoding_size_min = 8,
        .head_size_max = HEAD_MAX,
        .target_size_max = 512,
        .fields_max = 20,
        .body_size_max = BODY_MAX,
        .queue_max = 3,
        .streams_max = 10,
        .connections_max = 100,
        .head_timeout_ns = 2 * NS_PER_S,
        .body_timeout_ns = 2 * NS_PER_S,
        .keepalive_timeout_ns = 3 * NS_PER_S,
        .write_timeout_ns = 2 * NS_PER_S,
        .queue_timeout_ns = 4 * NS_PER_S,
        .request_timeout_ns = 4 * NS_PER_S,
        .drain_timeout_ns = 5 * NS_PER_S,
        .body_rate_min = 100,
        .websocket_echo = "/ws",
        .websocket_message_max = 20000,
        .websocket_frame_max = 20000,
        .websocket_memory_max = 1 << 20,
        .websocket_ping_ns = 2 * NS_PER_S,
        .websocket_pong_ns = 2 * NS_PER_S,
        .websocket_close_ns = 2 * NS_PER_S,
        .websocket_idle_ns = 5 * NS_PER_S,
        .websocket_bits = 9,
    };
    must(ftruncate(world->config.status_fd, (off_t)askr_status_stride()) == 0, "status");
    add_rules(world);
    world->exporter_fd = -1;
    if ((world->end - world->at) % 3 == 0)
        start_tracing(world);
    world->worker = calloc(1, sizeof *world->worker);
    must(world->worker != NULL && worker_open(world->worker, &world->config, &error) == 0,
         error.text);
    world->recorder_fd = -1;
    if ((world->end - world->at) % 2 == 0)
        start_recording(world);
    app_start(world);
}

/* What must hold after every turn. */
static void check_worker(const struct world *world)
{
    const struct worker *worker = world->worker;
    uint32_t count = 0;
    assert(worker->failure == 0 && worker->io.bufs_out == 0 && worker->dirty == NULL);
    for (const struct conn *conn = worker->conns; conn != NULL; conn = conn->next, count++)
        assert(conn->held_size <= conn->held_capacity &&
               conn->held_capacity <= CONN_INPUT_HELD_MAX);
    assert(count == worker->conn_count && count == worker->status->connections);
}

/* One turn of the worker's loop, which takes `pass_ns`: what comes may come just as time runs out.
 * Returns how many events there were. */
static int world_turn(struct world *world, int64_t pass_ns)
{
    struct worker *worker = world->worker;
    int64_t deadline_ns = apps_arm(worker) ? worker->io.now_ns + pass_ns : 0;
    int count = io_step(&worker->io, deadline_ns);
    if (count > 0)
        worker->io.now_ns += pass_ns;
    worker_turn(worker);
    app_look(world);
    check_worker(world);
    return count;
}

static void world_close(struct world *world)
{
    sim_hold_works(&world->worker->io, false);
    worker_close(world->worker);
    assert(world->worker->spools_ahead == 0);
    assert(world->worker->records_open == 0 && world->worker->recorder == NULL);
    assert(world->worker->conn_count == 0 && world->worker->io.inflight == 0);
    if (world->app.port != NULL)
        app_gone(world);
    free(world->worker);
    close(world->config.status_fd);
    close(world->config.rate_fd);
    close(world->worker_bell_fd);
    if (world->recorder_fd >= 0)
        close(world->recorder_fd);
    if (world->exporter_fd >= 0)
        close(world->exporter_fd);
    for (int i = 0; i < CLIENTS; i++)
        client_forget(&world->clients[i]);
}

#endif
