/* SPDX-License-Identifier: MIT
 * The life of an exchange (exchange.h): begun by a head, routed, received, answered, freed. */
#include "serve/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/chain.h"
#include "serve/compress.h"
#include "serve/forwarded.h"
#include "serve/protocol.h"
#include "serve/rate_limit.h"
#include "serve/record.h"
#include "serve/trace.h"
#include "serve/rules.h"
#include "serve/websocket.h"
#include "serve/worker.h"

struct overflow {
    struct overflow *next;
    _Alignas(16) char data[];
};

void *exchange_allocate(struct exchange *exchange, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (size <= EXCHANGE_ARENA_SIZE - exchange->arena_used) {
        void *memory = exchange->arena + exchange->arena_used;
        exchange->arena_used += (uint32_t)size;
        return memory;
    }
    struct overflow *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->next = exchange->overflow;
    exchange->overflow = block;
    return block->data;
}

static struct exchange *exchange_new(struct conn *conn, struct exchange **owner)
{
    struct worker *worker = conn->worker;
    struct exchange *exchange = worker->exchanges_free;
    if (exchange != NULL) {
        worker->exchanges_free = exchange->next;
        worker->exchanges_free_count--;
    } else if ((exchange = malloc(sizeof *exchange)) == NULL) {
        return NULL;
    }
    memset(exchange, 0, offsetof(struct exchange, arena));
    exchange->conn = conn;
    exchange->held_last = &exchange->held;
    exchange->content_length = -1;
    exchange->owner = owner;
    *owner = exchange;
    if (ASKR_METRICS) {
        exchange->times.began_ns = worker->io.now_ns;
        if (UNLIKELY(conn->begun_ns != 0)) { /* its head came in pieces */
            exchange->times.began_ns = conn->begun_ns;
            conn->begun_ns = 0;
        }
    }
    return exchange;
}

void exchange_drop_held(struct exchange *exchange)
{
    for (struct piece *piece; (piece = exchange->held) != NULL;) {
        exchange->held = piece->next;
        piece_free(exchange->conn->worker, piece);
    }
    exchange->held_last = &exchange->held;
    exchange->held_size = 0;
}

void exchange_drop_trailers(struct exchange *exchange)
{
    free(exchange->trailers);
    exchange->trailers = NULL;
}

/* All it holds but its memory, where what it says of itself stays readable. */
static inline void exchange_release(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    assert(exchange->link == NULL && exchange->app == NULL);
    *exchange->owner = NULL;
    if (worker->request_of == exchange)
        worker->request_of = NULL;
    conn->bodies_memory -= body_memory(&exchange->body);
    body_free(&exchange->body);
    compress_drop(exchange);
    exchange_drop_held(exchange);
    if (UNLIKELY(exchange->trailers != NULL))
        exchange_drop_trailers(exchange);
}

static __attribute__((noinline)) void recycle_slowly(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    for (struct overflow *block; (block = exchange->overflow) != NULL;) {
        exchange->overflow = block->next;
        free(block);
    }
    if (worker->exchanges_free_count >= EXCHANGES_FREE_MAX)
        free(exchange);
    else
        exchange_recycle(exchange);
}

void exchange_recycle(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    if (UNLIKELY(exchange->overflow != NULL ||
                 worker->exchanges_free_count >= EXCHANGES_FREE_MAX)) {
        recycle_slowly(exchange);
        return;
    }
    exchange->next = worker->exchanges_free;
    worker->exchanges_free = exchange;
    worker->exchanges_free_count++;
}

static void resolve(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    static_resolve(exchange->site->files, &worker->request, worker->io.now_ns, &worker->target);
    worker->request_of = exchange;
}

void exchange_parse(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    if (worker->request_of == exchange)
        return;
    exchange->conn->protocol->recall(exchange);
    resolve(exchange);
}

/* Forget a file that was resolved but is not going to be sent. */
void exchange_drop_target(struct worker *worker)
{
    if (worker->target.kind == STATIC_FILE)
        static_release(worker->target.entry);
    worker->target.kind = STATIC_MISSING;
    worker->request_of = NULL;
}

static int keep_head(struct exchange *exchange, struct slice head)
{
    char *copy = exchange_allocate(exchange, head.size);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, head.data, head.size);
    exchange->head = (struct slice){copy, head.size};
    return 0;
}

/* The request is for an application: keep what is needed to hand it over later, or again. */
static void begin_for_app(struct exchange *exchange, struct slice head)
{
    struct conn *conn = exchange->conn;
    const struct http_request *request = &conn->worker->request;
    exchange->for_app = true;
    compress_choose(exchange);
    if (exchange->request_id.size == 0)
        request_id_note(exchange);
    if (keep_head(exchange, head) < 0) {
        exchange_fail(exchange, 503, NULL);
        return;
    }
    if (!request->expect_continue)
        return;
    if (conn->protocol->go_on(exchange) < 0)
        exchange_fail(exchange, 503, NULL);
    else
        conn_dirty(conn);
}

static void answer_file(struct exchange *exchange, enum http_method method)
{
    struct worker *worker = exchange->conn->worker;
    if (method == HTTP_GET || method == HTTP_HEAD) {
        respond_file(exchange, &worker->target);
        return;
    }
    exchange_drop_target(worker);
    if (method == HTTP_OPTIONS)
        respond_options(exchange, "GET, HEAD, OPTIONS");
    else
        respond_error(exchange, 405, NULL);
}

/* Answer a request that is for no application: worker->request and worker->target are its. */
static void answer_ourselves(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    const struct http_request *request = &worker->request;
    if (request->method == HTTP_TRACE) {
        exchange_drop_target(worker);
        respond_error(exchange, 405, NULL);
        return;
    }
    switch (worker->target.kind) {
    case STATIC_FILE:
        answer_file(exchange, request->method);
        break;
    case STATIC_REDIRECT:
        respond_redirect(exchange, request);
        break;
    case STATIC_SCRIPT: /* and there is no application here */
    case STATIC_MISSING:
        respond_error(exchange, 404, NULL);
        break;
    case STATIC_DENIED:
        respond_error(exchange, 403, NULL);
        break;
    case STATIC_BAD:
        respond_error(exchange, 400, "the path is not valid");
        break;
    case STATIC_FAILED:
        respond_error(exchange, 503, NULL);
        break;
    }
}

/* A small body that nobody wants is read before the answer, so that the connection can go on and a
 * broken body is still refused as one. A large one, or one the client waits to be asked for, is
 * answered at once, and the connection closed. */
static bool body_is_read_first(const struct http_request *request)
{
    return (request->chunked || request->content_length > 0) && !request->expect_continue &&
           request->content_length <= BODY_MEMORY_MAX;
}

bool exchange_is_challenge(struct slice path)
{
    static const char prefix[] = "/.well-known/acme-challenge/";
    return path.size >= sizeof prefix - 1 && memcmp(path.data, prefix, sizeof prefix - 1) == 0;
}

static void route(struct exchange *exchange, struct slice head)
{
    struct worker *worker = exchange->conn->worker;
    const struct http_request *request = &worker->request;
    if (request->method == HTTP_OPTIONS && slice_equals(request->target, SLICE("*"))) {
        respond_options(exchange, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        return;
    }
    if (exchange->conn->redirect && !exchange_is_challenge(request->path)) {
        respond_to_https(exchange);
        return;
    }
    if (UNLIKELY(health_is_asked(worker))) {
        respond_health(exchange);
        return;
    }
    if (UNLIKELY(websocket_is_asked(worker))) {
        respond_websocket(exchange);
        return;
    }
    if (UNLIKELY(request->method == HTTP_CONNECT)) {
        respond_error(exchange, 404, "there is no WebSocket at this address");
        return;
    }
    if (UNLIKELY(exchange->site == NULL)) {
        respond_error(exchange, worker->config->unknown_host, "no site here has this name");
        return;
    }
    resolve(exchange);
    if (UNLIKELY(worker->rates.count > 0) && !rate_limit_admits(exchange)) {
        exchange_drop_target(worker);
        respond_error(exchange, 429, "too many requests; try again later");
        return;
    }
    if (UNLIKELY(exchange->site->has_rules) && rules_route(exchange))
        return;
    bool is_script = worker->target.kind == STATIC_SCRIPT && exchange->site->place_count > 0;
    if (is_script && request->method != HTTP_TRACE) {
        begin_for_app(exchange, head);
    } else if (body_is_read_first(request)) {
        exchange_drop_target(worker);
        if (keep_head(exchange, head) < 0)
            exchange_fail(exchange, 503, NULL);
    } else {
        answer_ourselves(exchange);
    }
}

int exchange_begin(struct conn *conn, struct exchange **owner, struct slice head)
{
    struct exchange *exchange = exchange_new(conn, owner);
    if (exchange == NULL)
        return -ENOMEM;
    const struct http_request *request = &conn->worker->request;
    conn->requests++;
    exchange->head_request = request->method == HTTP_HEAD;
    exchange->http10 = request->version < 1001;
    exchange->keep_alive = request->keep_alive;
    exchange->bodyless = !request->chunked && request->content_length <= 0;
    exchange->site = conn->worker->sites;
    if (UNLIKELY(conn->worker->config->forwarded != ASKR_FORWARDED_OFF))
        forwarded_note(exchange);
    if (UNLIKELY(conn->worker->hosts != NULL))
        exchange->site = site_of(exchange);
    if (UNLIKELY(conn->worker->tracer != NULL))
        trace_begin(exchange);
    if (conn->worker->log != NULL || UNLIKELY(exchange->trace != NULL)) {
        accesslog_note(exchange);
        request_id_note(exchange);
    }
    if (UNLIKELY(conn->worker->recorder != NULL))
        record_begin(exchange);
    route(exchange, head);
    return 0;
}

void exchange_refuse(struct conn *conn, struct exchange **owner, int status, const char *detail)
{
    if (*owner != NULL)
        exchange_abandon(*owner);
    struct exchange *exchange = exchange_new(conn, owner);
    if (exchange == NULL)
        conn_close(conn);
    else
        respond_error(exchange, status, detail);
}

/* Body bytes that are only counted; too many of them are answered at once. */
static void drop_body(struct exchange *exchange, struct slice bytes)
{
    exchange->body.size += (int64_t)bytes.size;
    if (exchange->body.size <= BODY_MEMORY_MAX)
        return;
    exchange_parse(exchange);
    answer_ourselves(exchange);
}

/* A connection with many exchanges has their bodies in memory up to a limit of its own, but for
 * small ones, which an application gets with the head. */
static int keep_body(struct exchange *exchange, struct slice bytes)
{
    struct conn *conn = exchange->conn;
    size_t before = body_memory(&exchange->body);
    bool full = conn->bodies_memory + bytes.size > BODIES_MEMORY_MAX;
    int result = body_append(exchange, bytes, full ? PORT_INLINE_BODY_MAX : BODY_MEMORY_MAX);
    conn->bodies_memory += body_memory(&exchange->body) - before;
    return result;
}

static void fail_body(struct exchange *exchange, int error)
{
    if (error == -ENOSPC || error == -EDQUOT)
        exchange_fail(exchange, 507, "there is no room for the request body");
    else if (error == -ENOBUFS)
        exchange_fail(exchange, 503, "too many request bodies wait for the disk");
    else
        exchange_fail(exchange, 503, "the request body could not be stored");
}

void exchange_body(struct exchange *exchange, struct slice bytes)
{
    if (exchange == NULL)
        return;
    if (UNLIKELY(exchange->record != NULL))
        record_request_body(exchange, bytes);
    if (!exchange->for_app) {
        drop_body(exchange, bytes);
        return;
    }
    int result = keep_body(exchange, bytes);
    if (result < 0)
        fail_body(exchange, result);
}

/* Both sides are complete: count it and let the connection go on. */
static void exchange_finish(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    conn->served = true;
    exchange_release(exchange);
    split_answered(exchange);
    conn_dirty(conn);
}

/* The request is here, and its body where it can be read from. */
static void submit(struct exchange *exchange)
{
    exchange->times.received_ns = exchange->conn->worker->io.now_ns;
    apps_submit(exchange);
}

void exchange_stored(struct spool *spool, int64_t stored)
{
    struct exchange *exchange = spool->owner;
    struct conn *conn = exchange->conn;
    (void)stored;
    if (exchange->state == EXCHANGE_HANDED)
        return; /* it was to be read: the turn that follows does */
    if (spool->error != 0)
        fail_body(exchange, spool->error);
    else if (exchange->received && !spool_is_behind(spool))
        submit(exchange);
    else
        conn->protocol->stored(exchange);
    conn_dirty(conn);
}

void exchange_received(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    assert(exchange->state == EXCHANGE_RECEIVING);
    exchange->received = true;
    if (UNLIKELY(exchange->trace != NULL))
        exchange->trace->request_size = exchange->body.size;
    if (exchange->for_app) {
        if (body_ahead(&exchange->body) == 0)
            submit(exchange); /* else exchange_stored() does */
        return;
    }
    exchange->times.received_ns = exchange->conn->worker->io.now_ns;
    exchange_parse(exchange);
    answer_ourselves(exchange);
}

void exchange_answered(struct exchange *exchange)
{
    exchange->state = EXCHANGE_ANSWERED;
    say_end(exchange);
    exchange_finish(exchange);
}

void exchange_abandon(struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_QUEUED || exchange->state == EXCHANGE_HANDED)
        apps_forget(exchange);
    split_abandoned(exchange);
    exchange_release(exchange);
    exchange_recycle(exchange);
}

void exchange_fail(struct exchange *exchange, int status, const char *detail)
{
    if (exchange->state == EXCHANGE_QUEUED || exchange->state == EXCHANGE_HANDED)
        apps_forget(exchange);
    if (!exchange->head_sent) {
        respond_error(exchange, status, detail);
        return;
    }
    exchange->cut = true;
    exchange_answered(exchange);
}
