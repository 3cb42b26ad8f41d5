/* SPDX-License-Identifier: MIT
 * The scenarios of bench/guard.py, to be run under callgrind: the same work N times and nothing
 * else, in one thread, without the kernel's or the clock's say, so that the number of instructions
 * is the same on every run. `waste` adds some to each round: that is how the guard shows that it
 * can fail.
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

static const char request_text[] =
    "GET /hello.txt?from=guard HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "Connection: keep-alive\r\n\r\n";

static struct worker worker; /* half a megabyte is too much for a stack */

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

/* --- a static answer through the simulated backend -------------------------------------------- */

static struct askr_worker_config config_of(const char *root)
{
    static struct askr_site_config site;
    struct h1_limits limits = limits_of();
    site = (struct askr_site_config){.root = root, .index_files = {"index.html"}};
    return (struct askr_worker_config){
        .count = 1,
        .generation = 1,
        .backend = ASKR_IO_SIM,
        .bell_fd = -1,
        .control_fd = -1,
        .tls_fd = -1,
        .log_fd = -1,
        .status_fd = memfd_create("status", MFD_CLOEXEC),
        .sites = &site,
        .site_count = 1,
        .default_site = -1,
        .server_header = "askrctl",
        .temp_dir = "/tmp",
        .head_size_max = limits.head_size_max,
        .target_size_max = limits.target_size_max,
        .fields_max = limits.fields_max,
        .body_size_max = limits.body_size_max,
        .connections_max = 100,
        .head_timeout_ns = 100 * NS_PER_S,
        .body_timeout_ns = 100 * NS_PER_S,
        .keepalive_timeout_ns = 100 * NS_PER_S,
        .write_timeout_ns = 100 * NS_PER_S,
        .drain_timeout_ns = NS_PER_S,
    };
}

static void make_root(char *root)
{
    char path[64];
    must(mkdtemp(root) != NULL, root);
    snprintf(path, sizeof path, "%s/hello.txt", root);
    FILE *file = fopen(path, "w");
    must(file != NULL && fputs("hello", file) >= 0 && fclose(file) == 0, path);
}

static void remove_root(const char *root)
{
    char path[64];
    snprintf(path, sizeof path, "%s/hello.txt", root);
    unlink(path);
    rmdir(root);
}

static void ask(int fd)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\n";
    char answer[1024];
    sim_feed(&worker.io, fd, request_text, sizeof request_text - 1);
    size_t size = 0;
    for (int turn = 0; turn < 4 && size == 0; turn++) {
        io_step(&worker.io, 0);
        worker_turn(&worker);
        size = sim_take(&worker.io, fd, answer, sizeof answer);
    }
    must(size > sizeof begin && memcmp(answer, begin, sizeof begin - 1) == 0 &&
             memcmp(answer + size - 5, "hello", 5) == 0,
         "an answer");
}

static void answer_static(long rounds, long waste)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char root[] = "/tmp/askr-cost-XXXXXX";
    make_root(root);
    struct askr_worker_config config = config_of(root);
    askr_error error = {0};
    must(ftruncate(config.status_fd, (off_t)askr_status_stride()) == 0, "status");
    must(worker_open(&worker, &config, &error) == 0, error.text);
    int fd = sim_socket(&worker.io);
    must(conn_open(&worker, fd, (struct sockaddr *)&name, 0) != NULL, "conn_open");
    for (; rounds > 0; rounds--) {
        ask(fd);
        spend(waste);
    }
    worker_close(&worker);
    close(config.status_fd);
    remove_root(root);
}

/* --- a request's way to an application and back ----------------------------------------------- */

static void serve_one(struct pair *pair)
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

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*run)(long rounds, long waste);
    } scenarios[] = {
        {"h1", parse_h1},
        {"static", answer_static},
        {"port", go_round_port},
    };
    long rounds = count > 2 ? strtol(words[2], NULL, 10) : 0;
    long waste = count > 3 ? strtol(words[3], NULL, 10) : 0;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        if (count > 1 && strcmp(words[1], scenarios[i].name) == 0) {
            scenarios[i].run(rounds, waste);
            return 0;
        }
    }
    fprintf(stderr, "usage: cost h1|static|port ROUNDS [WASTE]\n");
    return 2;
}
