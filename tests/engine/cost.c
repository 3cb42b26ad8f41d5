/* SPDX-License-Identifier: MIT
 * The scenarios of bench/guard.py and bench/metrics.py, to be run under callgrind: the same work N
 * times and nothing else, in one thread, without the kernel's or the clock's say, so that the
 * number of instructions is the same on every run. Time passes here by a fixed amount for each turn
 * of the loop, so that durations are as large as they are in life. `waste` adds some instructions
 * to each round: that is how the guard shows that it can fail.
 *
 *     cost SCENARIO ROUNDS [WASTE] */
#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include "io/sim.h"
#include "port_pair.h"
#include "proto/h1.h"
#include "serve/conn.h"
#include "serve/worker.h"

#define TURN_NS (20 * NS_PER_US)

/* What a browser sends. */
#define FIELDS                                                                               \
    "Host: www.example.com\r\n"                                                              \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"            \
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"              \
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"                       \
    "Connection: keep-alive\r\n\r\n"

static const char request_text[] = "GET /hello.txt?from=guard HTTP/1.1\r\n" FIELDS;
static const char app_request_text[] = "GET /blog/2026?from=guard HTTP/1.1\r\n" FIELDS;

static struct worker worker; /* half a megabyte is too much for a stack */
static int64_t time_ns = NS_PER_S;

/* At least that many instructions, whatever the compiler thinks of it. */
static void spend(long waste)
{
    for (long i = waste / 2; i > 0; i--)
        __asm__ volatile("" : "+r"(i));
}

static struct h1_limits limits_of(void)
{
    return (struct h1_limits){8192, 4096, 100, 1 << 20};
}

/* All clocks. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    time_ns += NS_PER_US;
    *now = (struct timespec){time_ns / NS_PER_S, time_ns % NS_PER_S};
    return 0;
}

static void parse_h1(long rounds, long waste)
{
    static struct http_request request;
    struct h1_limits limits = limits_of();
    struct h1 h1;
    h1_init(&h1, &limits);
    for (; rounds > 0; rounds--) {
        struct slice input = {request_text, sizeof request_text - 1}, body;
        must(h1_next(&h1, &input, &request, &body) == H1_REQUEST, "a request");
        must(h1_next(&h1, &input, &request, &body) == H1_END && input.size == 0, "its end");
        spend(waste);
    }
}

/* --- a worker on the simulated backend -------------------------------------------------------- */

static struct askr_worker_config config_of(const struct askr_site_config *site)
{
    struct h1_limits limits = limits_of();
    return (struct askr_worker_config){
        .count = 1,
        .generation = 1,
        .backend = ASKR_IO_SIM,
        .bell_fd = -1,
        .control_fd = -1,
        .tls_fd = -1,
        .log_fd = -1,
        .status_fd = memfd_create("status", MFD_CLOEXEC),
        .sites = site,
        .site_count = 1,
        .default_site = -1,
        .server_header = "askrctl",
        .temp_dir = "/tmp",
        .head_size_max = limits.head_size_max,
        .target_size_max = limits.target_size_max,
        .fields_max = limits.fields_max,
        .body_size_max = limits.body_size_max,
        .route_segments = 3,
        .queue_max = 100,
        .connections_max = 100,
        .head_timeout_ns = 100 * NS_PER_S,
        .body_timeout_ns = 100 * NS_PER_S,
        .keepalive_timeout_ns = 100 * NS_PER_S,
        .write_timeout_ns = 100 * NS_PER_S,
        .queue_timeout_ns = 100 * NS_PER_S,
        .request_timeout_ns = 100 * NS_PER_S,
        .drain_timeout_ns = NS_PER_S,
    };
}

static void write_file(const char *root, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    must(file != NULL && fputs("hello", file) >= 0 && fclose(file) == 0, path);
}

static void remove_root(const char *root)
{
    static const char *const names[] = {"/hello.txt", "/index.php", ""};
    char path[64];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof path, "%s%s", root, names[i]);
        must(remove(path) == 0, path);
    }
}

/* One turn of the loop. */
static void turn(void)
{
    apps_arm(&worker);
    time_ns += TURN_NS;
    worker.io.now_ns = time_ns; /* the simulated backend reads no clock */
    io_step(&worker.io, 0);
    worker_turn(&worker);
}

static void check_answer(const char *answer, size_t size)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\n";
    must(size > sizeof begin && memcmp(answer, begin, sizeof begin - 1) == 0 &&
             memcmp(answer + size - 5, "hello", 5) == 0,
         "an answer");
}

static void open_worker(const struct askr_worker_config *config)
{
    askr_error error = {0};
    must(ftruncate(config->status_fd, (off_t)askr_status_stride()) == 0, "status");
    must(worker_open(&worker, config, &error) == 0, error.text);
}

static void open_conn(int fd)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(conn_open(&worker, fd, (struct sockaddr *)&name, 0) != NULL, "conn_open");
}

static void close_worker(const struct askr_worker_config *config)
{
    worker_close(&worker);
    close(config->status_fd);
    remove_root(config->sites->root);
}

static void answer_static(long rounds, long waste)
{
    char root[] = "/tmp/askr-cost-XXXXXX";
    must(mkdtemp(root) != NULL, root);
    write_file(root, "hello.txt");
    write_file(root, "index.php");
    struct askr_site_config site = {.root = root, .index_files = {"index.html"}};
    struct askr_worker_config config = config_of(&site);
    open_worker(&config);
    int fd = sim_socket(&worker.io);
    open_conn(fd);
    for (; rounds > 0; rounds--) {
        sim_feed(&worker.io, fd, request_text, sizeof request_text - 1);
        turn();
        turn();
        char answer[1024];
        check_answer(answer, sim_take(&worker.io, fd, answer, sizeof answer));
        spend(waste);
    }
    close_worker(&config);
}

/* --- a request's way to an application and back ----------------------------------------------- */

/* The application's part. bench/metrics.py counts it by itself, so it stays a function. */
__attribute__((noipa)) static void serve_one(struct pair *pair)
{
    static const struct askr_field fields[] = {{{"Content-Type", 12}, {"text/plain", 10}}};
    struct askr_exchange *exchange;
    must(port_host.take(pair->app, &exchange, 0) == 1, "take");
    must(port_host.request(exchange)->method.size == 3, "request");
    port_host.head(exchange, 200, fields, COUNT_OF(fields));
    port_host.write(exchange, "hello", 5);
    port_host.finish(exchange, ASKR_DONE);
}

static void go_round_port(long rounds, long waste)
{
    static struct http_request http;
    struct h1_limits limits = limits_of();
    struct port_message message;
    struct h1 h1;
    struct pair pair = pair_open();
    struct slice input = {request_text, sizeof request_text - 1}, body;
    pair_open_app(&pair);
    port_host.ready(pair.app);
    must(port_next(pair.worker, &message) == PORT_READY, "ready");
    h1_init(&h1, &limits);
    must(h1_next(&h1, &input, &http, &body) == H1_REQUEST, "a request");
    struct port_request request = {.http = &http, .path = http.path};
    for (; rounds > 0; rounds--) {
        uint32_t tag;
        must(port_put(pair.worker, &request, &tag) == 0, "put");
        port_publish(pair.worker);
        serve_one(&pair);
        enum port_event event = PORT_NONE;
        while (event != PORT_FINISHED)
            must((event = port_next(pair.worker, &message)) != PORT_NONE, "an answer");
        spend(waste);
    }
    pair_close(&pair);
}

/* --- an application's answer through a worker with sites -------------------------------------- */

/* On epoll, over a socket pair, where what is sent is there at once: so here as well the number of
 * turns is always the same. */
static void attach(struct pair *pair, int worker_bell)
{
    *pair = (struct pair){.memfd = sealed_memory(port_shm_size()),
                          .app_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                          .worker_bell = worker_bell};
    int pidfd = eventfd(0, EFD_CLOEXEC); /* never readable: it lives */
    int fds[3] = {dup(pair->memfd), dup(pair->app_bell), pidfd};
    apps_attach(&worker, 0, getpid(), fds);
    pair_open_app(pair);
    port_host.ready(pair->app);
    turn();
}

static void detach(struct pair *pair)
{
    port_app_close(pair->app);
    close(pair->memfd);
    close(pair->app_bell);
    close(pair->worker_bell);
}

/* ... and it goes to sleep, so it rings. */
__attribute__((noipa)) static void serve_and_sleep(struct pair *pair)
{
    struct askr_exchange *exchange;
    serve_one(pair);
    must(port_host.take(pair->app, &exchange, 0) == 0, "nothing more");
}

static void ask_app(struct pair *pair, int client_fd)
{
    char answer[1024];
    ssize_t size = (ssize_t)sizeof app_request_text - 1;
    must(send(client_fd, app_request_text, (size_t)size, 0) == size, "send");
    turn();
    serve_and_sleep(pair);
    turn();
    turn();
    size = recv(client_fd, answer, sizeof answer, 0);
    must(size > 0, "recv");
    check_answer(answer, (size_t)size);
}

static void answer_by_app(long rounds, long waste)
{
    static const char *const hosts[] = {"www.example.com"};
    char root[] = "/tmp/askr-cost-XXXXXX";
    must(mkdtemp(root) != NULL, root);
    write_file(root, "hello.txt");
    write_file(root, "index.php");
    struct askr_site_config site = {.name = "www",
                                    .hosts = hosts,
                                    .host_count = 1,
                                    .root = root,
                                    .front = "index.php",
                                    .index_files = {"index.php"},
                                    .scripts = 1,
                                    .app_count = 1};
    struct askr_worker_config config = config_of(&site);
    struct pair pair;
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0, "pair");
    config.backend = ASKR_IO_EPOLL;
    config.bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    open_worker(&config);
    open_conn(ends[0]);
    attach(&pair, config.bell_fd);
    for (; rounds > 0; rounds--) {
        ask_app(&pair, ends[1]);
        spend(waste);
    }
    detach(&pair);
    close(ends[1]);
    close_worker(&config);
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*run)(long rounds, long waste);
    } scenarios[] = {
        {"h1", parse_h1},
        {"static", answer_static},
        {"port", go_round_port},
        {"app", answer_by_app},
    };
    long rounds = count > 2 ? strtol(words[2], NULL, 10) : 0;
    long waste = count > 3 ? strtol(words[3], NULL, 10) : 0;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        if (count > 1 && strcmp(words[1], scenarios[i].name) == 0) {
            scenarios[i].run(rounds, waste);
            return 0;
        }
    }
    fprintf(stderr, "usage: cost h1|static|port|app ROUNDS [WASTE]\n");
    return 2;
}
