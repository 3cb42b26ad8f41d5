/* SPDX-License-Identifier: MIT
 * Application processes: attaching, listening to them, losing them (apps.h). The queue and the
 * choice of a process are in dispatch.c. */
#include "serve/apps.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "serve/dispatch.h"
#include "serve/exchange.h"
#include "serve/trailers.h"
#include "serve/worker.h"

void apps_init(struct worker *worker)
{
    struct apps *apps = &worker->apps;
    struct site *site = worker->sites, *end = site + worker->site_count;
    apps->count = end[-1].first_place + end[-1].place_count;
    for (uint32_t place = 0; place < apps->count; place++) {
        while (place >= site->first_place + site->place_count)
            site++;
        apps->app[place] = (struct app){.worker = worker,
                                        .site = site,
                                        .place = place,
                                        .status = &worker->status->apps[place],
                                        .memfd = -1,
                                        .bell_fd = -1,
                                        .pidfd = -1,
                                        .pace_ns = APP_BATCH_NS};
    }
    worker->status->app_count = apps->count;
}

/* When the request began that it runs; 0: it runs none. */
static void set_started(struct app *app, int64_t now_ns)
{
    app->started_ns = now_ns;
    app->status->since_ns = now_ns;
}

static void close_fds(int fds[static 3])
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void start(struct app *app, int32_t pid, int fds[static 3]);

/* The pidfd's poll has ended: the place is free, and may be taken by whoever waits for it. */
static void vacate(struct app *app)
{
    int fds[3] = {app->memfd, app->bell_fd, app->pidfd};
    close_fds(fds);
    app->memfd = app->bell_fd = app->pidfd = -1;
    app->leaving = false;
    if (app->next_pid == 0)
        return;
    int32_t pid = app->next_pid;
    app->next_pid = 0;
    start(app, pid, app->next_fds);
}

static void on_pidfd(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct app *app = CONTAINER_OF(op, struct app, pidfd_op);
    app->watched = event.more;
    if (app->leaving) {
        if (!event.more)
            vacate(app);
        return;
    }
    /* A pidfd becomes readable when its process ends: whatever it had said is still in the port. */
    struct worker *worker = app->worker;
    worker->status->app_deaths += !app->retiring;
    app->site->status->app_deaths += !app->retiring;
    control_send(worker, CONTROL_APP_DEAD, app->place, app->pid, 0);
    app->gone = true;
    app_drain(app, worker->io.now_ns);
    if (app->port != NULL)
        app_lost(app, 502, "the application process died while it served this request");
}

static void start(struct app *app, int32_t pid, int fds[static 3])
{
    struct worker *worker = app->worker;
    askr_error error;
    assert(app->port == NULL && !app->leaving);
    if (port_open(&app->port, fds[0], fds[1], &error) < 0) {
        close_fds(fds);
        control_send(worker, CONTROL_APP_KILL, app->place, pid, 0);
        return;
    }
    app->memfd = fds[0];
    app->bell_fd = fds[1];
    app->pidfd = fds[2];
    app->pid = pid;
    app->ready = app->failed = app->overdue = app->retiring = app->gone = false;
    app->handed_count = 0;
    app->served = NULL;
    app->taken_name = NULL;
    set_started(app, 0);
    app->told_ns = worker->io.now_ns;
    app->pace_ns = APP_BATCH_NS; /* one at a time until it has shown to be quick */
    memset(app->handed, 0, sizeof app->handed);
    struct askr_app_status *status = app->status;
    status->restarts += status->pid != 0;
    status->pid = pid;
    status->state = ASKR_APP_BOOTING;
    app->watched = true;
    io_poll(&worker->io, &app->pidfd_op, app->pidfd, EPOLLIN, on_pidfd);
}

void apps_attach(struct worker *worker, uint32_t place, int32_t pid, int fds[static 3])
{
    struct app *app = place < worker->apps.count ? &worker->apps.app[place] : NULL;
    if (app == NULL || app->next_pid != 0 || (app->port != NULL && !app->leaving)) {
        close_fds(fds);
        control_send(worker, CONTROL_APP_KILL, place, pid, 0);
        return;
    }
    if (app->leaving) {
        app->next_pid = pid;
        memcpy(app->next_fds, fds, sizeof app->next_fds);
        return;
    }
    start(app, pid, fds);
}

struct handed *app_handed(struct app *app, uint32_t tag)
{
    for (size_t i = 0; i < PORT_SLOTS; i++)
        if (app->handed[i].busy && app->handed[i].tag == tag)
            return &app->handed[i];
    return NULL;
}

static inline __attribute__((always_inline)) void
note_route(struct app *app, const struct handed *handed, int status)
{
    struct slice path = {handed->name->path, handed->name->path_size};
    if (!ASKR_METRICS)
        return;
    uint32_t route = routes_recall(&app->worker->routes, path);
    if (UNLIKELY(route == ROUTE_OTHER))
        route = routes_find(app->worker, path, status);
    handed->exchange->route = route;
}

void app_route(struct app *app, const struct handed *handed, int status)
{
    note_route(app, handed, status);
}

void app_release(struct app *app, struct handed *handed)
{
    assert(handed->busy && app->handed_count > 0);
    if (handed->exchange != NULL)
        handed->exchange->app = NULL;
    if (app->served == handed)
        app->served = NULL;
    *handed = (struct handed){0};
    app->handed_count--;
    app->site->handed_count--;
    if (--app->worker->apps.handed_count == 0)
        split_released(&app->worker->split, app->worker->io.now_ns);
}

/* What was handed over and not finished: started requests fail with `status`, the others go back to
 * the head of the queue in their order. */
static void settle(struct app *app, int status, const char *detail)
{
    uint32_t tags[PORT_SLOTS];
    bool started[PORT_SLOTS];
    uint32_t count = port_outstanding(app->port, tags, started);
    for (uint32_t i = count; i-- > 0;) {
        struct handed *handed = app_handed(app, tags[i]);
        if (handed == NULL)
            continue;
        struct exchange *exchange = handed->exchange;
        bool was_started = started[i] || handed->started;
        if (exchange != NULL && was_started)
            app_route(app, handed, status);
        split_lost(app, handed);
        app_release(app, handed);
        if (exchange == NULL)
            continue;
        exchange->state = EXCHANGE_RECEIVING; /* in no port and in no queue */
        if (was_started)
            exchange_fail(exchange, status, detail);
        else
            queue_push_first(exchange);
    }
    assert(app->handed_count == 0);
}

/* What it took last. It is copied once in a heartbeat, not for each request, so the page is behind
 * by that much. */
static void show_name(struct app *app)
{
    struct askr_app_status *status = app->status;
    const struct handed_name *name = app->taken_name;
    _Static_assert(sizeof status->path == sizeof name->path, "copied whole");
    if (name == NULL)
        return;
    memcpy(status->method, name->method, sizeof status->method);
    memcpy(status->path, name->path, sizeof status->path);
    app->taken_name = NULL;
}

void app_lost(struct app *app, int status, const char *detail)
{
    struct worker *worker = app->worker;
    assert(app->port != NULL);
    show_name(app);
    settle(app, status, detail);
    port_close(app->port);
    app->port = NULL;
    app->ready = false;
    set_started(app, 0);
    app->status->state = app->retiring ? ASKR_APP_NONE : ASKR_APP_DEAD;
    if (app->retiring)
        app->status->pid = 0;
    app->leaving = true;
    if (app->watched)
        io_cancel(&worker->io, &app->pidfd_op);
    else
        vacate(app);
}

void app_kill(struct app *app, enum control_kill why, int status, const char *detail)
{
    control_send(app->worker, CONTROL_APP_KILL, app->place, app->pid, why);
    app_lost(app, status, detail);
}

static void boot_failed(struct app *app, struct slice why)
{
    struct site *site = app->site;
    size_t size = size_min(why.size, sizeof site->boot_error - 1);
    memcpy(site->boot_error, why.data, size);
    site->boot_error[size] = '\0';
    memcpy(app->worker->status->boot_error, site->boot_error, size + 1);
    size = size_min(size, sizeof site->status->boot_error - 1);
    memcpy(site->status->boot_error, site->boot_error, size);
    site->status->boot_error[size] = '\0';
    app->failed = true;
    app->status->state = ASKR_APP_FAILED;
    if (!apps_any_ready(site))
        queue_fail_all(site);
}

static void became_ready(struct app *app)
{
    app->ready = true;
    app->site->boot_error[0] = '\0';
    app->site->status->boot_error[0] = '\0';
    app->worker->status->boot_error[0] = '\0';
    app->status->state = app->retiring ? ASKR_APP_LEAVING : ASKR_APP_IDLE;
}

/* How long a request takes here, smoothed: decides how many are handed ahead. The times are the
 * application's word, so nonsense is cut to what makes it wait for each request alone. */
static void measure_pace(struct app *app, int64_t ended_ns)
{
    int64_t took_ns;
    if (__builtin_sub_overflow(ended_ns, app->began_ns, &took_ns) || took_ns < 0 ||
        took_ns > APP_BATCH_NS)
        took_ns = APP_BATCH_NS;
    app->pace_ns += (took_ns - app->pace_ns) / 8;
}

static void finished(struct app *app, struct handed *handed, int64_t ended_ns)
{
    measure_pace(app, ended_ns);
    app_release(app, handed);
    set_started(app, 0);
    app->overdue = false;
    app->status->requests++;
}

static void started(struct app *app, struct handed *handed, int64_t began_ns, int64_t now_ns)
{
    handed->started = true;
    app->served = handed;
    set_started(app, now_ns);
    app->began_ns = began_ns;
    app->taken_name = handed->name;
}

void apps_beat(struct worker *worker)
{
    for (uint32_t place = 0; place < worker->apps.count; place++)
        show_name(&worker->apps.app[place]);
}

/* A message about one request. */
static void hear(struct app *app, enum port_event event, const struct port_message *message,
                 int64_t now_ns)
{
    struct handed *handed = app_handed(app, message->tag);
    assert(handed != NULL); /* the port checks tags */
    struct exchange *exchange = handed->exchange;
    if (event == PORT_FINISHED) {
        split_finished(app, handed, message);
        finished(app, handed, message->time_ns);
    } else if (event == PORT_STARTED) {
        split_taken(app, handed, message);
        started(app, handed, message->time_ns, now_ns);
    } else if (event == PORT_END) {
        split_ended(app, handed, message);
        if (exchange == NULL)
            return;
        handed->exchange = NULL;
        exchange->app = NULL;
        exchange->state = EXCHANGE_RECEIVING;
        answer_end(exchange, message->failed);
    } else if (exchange == NULL) {
        return; /* the client has left */
    } else if (event == PORT_HEAD) {
        note_route(app, handed, message->status);
        answer_head(exchange, message);
    } else if (event == PORT_BODY) {
        answer_body(exchange, message->text);
    } else if (event == PORT_FLUSH) {
        answer_flush(exchange);
    } else if (event == PORT_INTERIM) {
        answer_interim(exchange, message);
    } else if (event == PORT_TRAILERS) {
        answer_trailers(exchange, message);
    }
}

/* Would the application's next bytes find no room? Those of a process that has ended are no more
 * than its ring, and would be lost. */
static bool held_back(const struct app *app)
{
    const struct handed *served = app->served;
    return served != NULL && served->exchange != NULL && !app->gone &&
           !answer_has_room(served->exchange);
}

uint32_t app_drain(struct app *app, int64_t now_ns)
{
    uint32_t count = 0;
    while (app->port != NULL && !held_back(app) && (app->gone || !compress_is_tired(app->worker))) {
        struct port_message message;
        enum port_event event = port_next(app->port, &message);
        if (event == PORT_NONE)
            break;
        count++;
        if (event == PORT_READY)
            became_ready(app);
        else if (event == PORT_BOOT_FAILED)
            boot_failed(app, message.text);
        else if (event == PORT_BROKEN)
            app_kill(app, CONTROL_KILL_BROKEN, 502,
                     "the application broke the protocol of its port");
        else
            hear(app, event, &message, now_ns);
    }
    return count;
}

static void feed_body(struct app *app)
{
    if (app->served == NULL || app->served->exchange == NULL)
        return;
    struct body *body = &app->served->exchange->body;
    if (body->size <= PORT_INLINE_BODY_MAX || body->fed == body->size)
        return;
    if (body_feed(body, app->port) < 0)
        app_kill(app, CONTROL_KILL_BROKEN, 502, "the request body could not be read back");
}

uint32_t apps_drain(struct worker *worker, int64_t now_ns)
{
    struct apps *apps = &worker->apps;
    uint32_t count = 0, first = apps->first;
    for (uint32_t i = 0; i < apps->count; i++) {
        uint32_t place = (first + i) % apps->count;
        struct app *app = &apps->app[place];
        if (app->port == NULL)
            continue;
        if (compress_is_tired(worker)) {
            apps->first = place; /* it was not heard: next time it is the first */
            break;
        }
        uint32_t heard = app_drain(app, now_ns);
        count += heard;
        if (app->port == NULL)
            continue;
        feed_body(app);
    }
    return count;
}

void apps_publish(struct worker *worker)
{
    for (uint32_t place = 0; place < worker->apps.count; place++)
        if (worker->apps.app[place].port != NULL)
            port_publish(worker->apps.app[place].port);
}

bool apps_arm(struct worker *worker)
{
    bool quiet = true;
    for (uint32_t place = 0; place < worker->apps.count; place++) {
        struct app *app = &worker->apps.app[place];
        /* One that is held back is looked at again when its client has taken something. */
        if (app->port != NULL && !held_back(app) && !port_arm(app->port))
            quiet = false;
    }
    return quiet;
}

bool apps_any_ready(const struct site *site)
{
    const struct app *app = &site->worker->apps.app[site->first_place];
    for (uint32_t i = 0; i < site->place_count; i++)
        if (app[i].ready)
            return true;
    return false;
}

void apps_stop(struct worker *worker)
{
    for (uint32_t place = 0; place < worker->apps.count; place++) {
        struct app *app = &worker->apps.app[place];
        if (app->port != NULL)
            app_lost(app, 503, "the server is stopping");
    }
}
