/* SPDX-License-Identifier: MIT
 * The queues in front of the applications, and who is handed what (apps.h). */
#include "serve/dispatch.h"

#include <errno.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/forwarded.h"
#include "serve/secure.h"
#include "serve/sendfile.h"
#include "serve/speak_proxy.h"
#include "serve/trace.h"
#include "serve/worker.h"

static void queue_insert(struct exchange *exchange, struct exchange **at)
{
    struct queue *queue = &exchange->site->queue;
    assert(exchange->link == NULL);
    exchange->state = EXCHANGE_QUEUED;
    exchange->next = *at;
    exchange->link = at;
    if (exchange->next != NULL)
        exchange->next->link = &exchange->next;
    else
        queue->last = &exchange->next;
    *at = exchange;
    queue->depth++;
    exchange->site->worker->apps.queued++;
}

static void queue_remove(struct exchange *exchange)
{
    struct queue *queue = &exchange->site->queue;
    assert(exchange->link != NULL && queue->depth > 0);
    *exchange->link = exchange->next;
    if (exchange->next != NULL)
        exchange->next->link = exchange->link;
    else
        queue->last = exchange->link;
    exchange->link = NULL;
    exchange->state = EXCHANGE_RECEIVING;
    queue->depth--;
    exchange->site->worker->apps.queued--;
}

void queue_push_first(struct exchange *exchange)
{
    queue_insert(exchange, &exchange->site->queue.first);
}

static void fail_first(struct site *site, const char *detail)
{
    struct exchange *exchange = site->queue.first;
    queue_remove(exchange);
    exchange_fail(exchange, 503, detail);
}

void queue_fail_all(struct site *site)
{
    while (site->queue.first != NULL)
        fail_first(site, site->boot_error);
}

/* What the application may know of the client's certificate. */
static void put_facts(struct conn *conn, struct port_request *request)
{
    const struct secure *secure = secure_of(conn);
    request->variables = secure->facts;
    request->variable_count = secure->fact_count;
}

static int put(struct app *app, struct exchange *exchange, uint32_t *tag)
{
    struct worker *worker = app->worker;
    const struct askr_site_config *site = app->site->config;
    const struct body *body = &exchange->body;
    struct conn *conn = exchange->conn;
    const struct address *client = exchange_client(exchange);
    struct address_text remote = address_format(client);
    const struct own_address *own = conn_own(conn);
    if (UNLIKELY(exchange->forwarded != NULL) && exchange->forwarded->host.size > 0)
        worker->request.authority = exchange->forwarded->host;
    struct port_request request = {
        .http = &worker->request,
        .path = worker->target.path,
        .script_filename = worker->target.script_filename,
        .script_name = worker->target.script_name,
        .path_info = worker->target.path_info,
        .document_root = slice_of(site->root),
        .remote_address = address_slice(&remote),
        .server_address = address_slice(&own->text),
        .remote_port = client->port,
        .server_port = exchange_port(exchange, own->address.port),
        .https = exchange_is_https(exchange),
        .body_size = body->size,
    };
    if (exchange->conn->secure)
        put_facts(exchange->conn, &request);
    if (site->worker_script != NULL)
        request.script_filename = slice_of(site->worker_script);
    if (body->size > 0 && body->size <= PORT_INLINE_BODY_MAX)
        request.body = (struct slice){body->memory, (size_t)body->size};
    return port_put(app->port, &request, tag);
}

static uint32_t copy_cut(char *target, size_t target_size, struct slice source)
{
    size_t size = size_min(source.size, target_size - 1);
    memcpy(target, source.data, size);
    target[size] = '\0';
    return (uint32_t)size;
}

/* As it is shown; what is usual is not looked at byte by byte. */
static void note_name(struct handed_name *name, const struct worker *worker)
{
    static const char usual[HTTP_OTHER][sizeof name->method] = {
        [HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",       [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",     [HTTP_DELETE] = "DELETE",   [HTTP_OPTIONS] = "OPTIONS",
        [HTTP_PATCH] = "PATCH", [HTTP_CONNECT] = "CONNECT", [HTTP_TRACE] = "TRACE",
    };
    const struct http_request *request = &worker->request;
    if (LIKELY(request->method != HTTP_OTHER))
        memcpy(name->method, usual[request->method], sizeof name->method);
    else
        copy_cut(name->method, sizeof name->method, request->method_name);
    name->path_size = copy_cut(name->path, sizeof name->path, worker->target.path);
}

static void note_handed(struct app *app, struct exchange *exchange, uint32_t tag)
{
    for (size_t i = 0; i < PORT_SLOTS; i++) {
        struct handed *handed = &app->handed[i];
        if (handed->busy)
            continue;
        *handed = (struct handed){.exchange = exchange,
                                  .tag = tag,
                                  .busy = true,
                                  .put_ns = app->worker->io.now_ns,
                                  .name = &app->names[i]};
        app->handed_count++;
        app->site->handed_count++;
        if (app->worker->apps.handed_count++ == 0)
            split_held(&app->worker->split, app->worker->io.now_ns);
        note_name(handed->name, app->worker);
        exchange->app = app;
        exchange->tag = tag;
        exchange->body.fed = 0;
        exchange->state = EXCHANGE_HANDED;
        return;
    }
    assert(false); /* the port has PORT_SLOTS slots, and so have we */
}

static bool is_stalled(const struct app *app, int64_t now_ns)
{
    return app->started_ns != 0 && now_ns - app->started_ns > APP_STALL_NS;
}

/* How many requests this application may hold now. */
static uint32_t depth_of(const struct app *app, int64_t now_ns)
{
    if (app->pace_ns >= APP_BATCH_NS || is_stalled(app, now_ns))
        return 1;
    int64_t depth = APP_BATCH_NS / (app->pace_ns > 0 ? app->pace_ns : 1);
    return depth > PORT_SLOTS ? PORT_SLOTS : (uint32_t)depth;
}

static struct app *choose(struct site *site, int64_t now_ns)
{
    struct app *app = &site->worker->apps.app[site->first_place];
    for (const struct app *end = app + site->place_count; app < end; app++)
        if (app->ready && !app->failed && app->handed_count < depth_of(app, now_ns) &&
            port_room(app->port) > 0)
            return app;
    return NULL;
}

/* True when the exchange is off our hands: handed over, or answered with an error. */
static bool hand_over(struct exchange *exchange, int64_t now_ns)
{
    struct worker *worker = exchange->conn->worker;
    struct app *app = choose(exchange->site, now_ns);
    if (app == NULL)
        return false;
    exchange_parse(exchange);
    request_id_put(exchange);
    if (UNLIKELY(exchange->trace != NULL))
        trace_put(exchange);
    if (UNLIKELY(exchange->site->sendfile_files != NULL))
        sendfile_offer(exchange);
    if (worker->target.kind != STATIC_SCRIPT) { /* a deploy has taken the script away meanwhile */
        int status = worker->target.kind == STATIC_FAILED ? 503 : 404;
        exchange_drop_target(worker);
        exchange_fail(exchange, status, NULL);
        return true;
    }
    uint32_t tag;
    int result = put(app, exchange, &tag);
    if (result == -EAGAIN)
        return false;
    if (result < 0)
        exchange_fail(exchange, 431, "the request head does not fit the application's port");
    else
        note_handed(app, exchange, tag);
    return true;
}

void apps_submit(struct exchange *exchange)
{
    struct site *site = exchange->site;
    struct worker *worker = site->worker;
    if (site->queue.first == NULL && hand_over(exchange, worker->io.now_ns))
        return;
    if (site->boot_error[0] != '\0' && !apps_any_ready(site)) {
        exchange_fail(exchange, 503, site->boot_error);
    } else if (site->queue.depth >= worker->config->queue_max) {
        worker->status->queue_full++;
        site->status->queue_full++;
        exchange_fail(exchange, 503, "the queue is full");
    } else {
        queue_insert(exchange, site->queue.last);
    }
}

static void dispatch(struct site *site, int64_t now_ns)
{
    while (site->queue.first != NULL) {
        struct exchange *exchange = site->queue.first;
        if (choose(site, now_ns) == NULL)
            break;
        queue_remove(exchange);
        if (!hand_over(exchange, now_ns)) {
            queue_push_first(exchange);
            break;
        }
    }
}

void apps_dispatch(struct worker *worker, int64_t now_ns)
{
    for (uint32_t i = 0; i < worker->site_count && worker->apps.queued > 0; i++)
        dispatch(&worker->sites[i], now_ns);
}

void apps_forget(struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_QUEUED) {
        queue_remove(exchange);
        return;
    }
    struct app *app = exchange->app;
    struct handed *handed = app_handed(app, exchange->tag);
    assert(handed != NULL && handed->exchange == exchange);
    if (port_revoke(app->port, exchange->tag)) {
        app_release(app, handed);
    } else {
        port_abort(app->port, exchange->tag);
        handed->exchange = NULL;
    }
    exchange->app = NULL;
    exchange->state = EXCHANGE_RECEIVING;
}

/* Take back what waits behind a request that turned out to be slow; the oldest ends up first. */
static void take_back(struct app *app)
{
    uint32_t tags[PORT_SLOTS];
    bool started[PORT_SLOTS];
    for (uint32_t i = port_outstanding(app->port, tags, started); i-- > 0;) {
        struct handed *handed = app_handed(app, tags[i]);
        if (handed == NULL || handed->started || handed->exchange == NULL ||
            !port_revoke(app->port, tags[i]))
            continue;
        struct exchange *exchange = handed->exchange;
        app_release(app, handed);
        queue_push_first(exchange);
    }
}

/* The client is answered now, the process is told that nobody listens any more and gets its grace
 * to end the request by itself: php/deadline.c stops what can be stopped. */
static void give_up_request(struct app *app)
{
    app->overdue = true;
    app->worker->status->timeouts++;
    app->site->status->timeouts++;
    take_back(app);
    struct handed *served = app->served;
    if (served == NULL || served->exchange == NULL)
        return;
    app_route(app, served, 504);
    exchange_fail(served->exchange, 504, "the application took too long");
}

void apps_retire(struct worker *worker, uint32_t place, int32_t pid)
{
    struct app *app = place < worker->apps.count ? &worker->apps.app[place] : NULL;
    if (app == NULL || app->port == NULL || app->pid != pid || app->retiring)
        return;
    app->retiring = true;
    take_back(app);
    port_drain(app->port);
    worker->status->apps[place].state = ASKR_APP_LEAVING;
}

static void check_app(struct app *app, int64_t now_ns)
{
    struct worker *worker = app->worker;
    if (app->handed_count > 1 && is_stalled(app, now_ns)) {
        take_back(app);
        app->pace_ns = APP_BATCH_NS;
    }
    int64_t late_ns = now_ns - app->started_ns - worker->config->request_timeout_ns;
    if (app->started_ns == 0 || late_ns < 0)
        return;
    if (!app->overdue)
        give_up_request(app);
    if (late_ns >= worker->config->kill_grace_ns)
        app_kill(app, CONTROL_KILL_OVERDUE, 504, "the application took too long");
}

static void expire(struct site *site, int64_t now_ns)
{
    struct worker *worker = site->worker;
    while (site->queue.first != NULL &&
           now_ns - site->queue.first->times.received_ns > worker->config->queue_timeout_ns) {
        worker->status->queue_expired++;
        site->status->queue_expired++;
        fail_first(site, "no application was free in time");
    }
}

void apps_tick(struct worker *worker, int64_t now_ns)
{
    struct apps *apps = &worker->apps;
    for (uint32_t place = 0; place < apps->count; place++)
        if (apps->app[place].port != NULL)
            check_app(&apps->app[place], now_ns);
    for (uint32_t i = 0; i < worker->site_count && worker->apps.queued > 0; i++)
        expire(&worker->sites[i], now_ns);
}

int64_t apps_next(const struct worker *worker, int64_t now_ns)
{
    for (uint32_t place = 0; place < worker->apps.count; place++)
        if (worker->apps.app[place].handed_count > 1)
            return now_ns + APP_STALL_NS;
    return NEVER;
}
