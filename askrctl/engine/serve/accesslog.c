/* SPDX-License-Identifier: MIT
 * The ring and the thread of accesslog.h. One writer, one reader: positions count bytes for ever,
 * each is stored by its owner alone. A file that takes nothing holds up the thread and nobody else.
 */
#include "serve/accesslog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/worker.h"

enum { CLOSE_WAIT_S = 2 }; /* for a file that is slow, when the worker ends */

struct accesslog {
    struct accesslog_template template;
    pthread_t thread;
    int bell_fd;
    _Atomic int next_fd; /* the file to change to; -1 */
    _Atomic bool stop;
    uint64_t put; /* what the loop has written; `written` is what it has said of it */
    _Atomic uint64_t written, read;
    _Atomic uint64_t lost; /* lines that the file did not take */
    char ring[ACCESSLOG_RING_SIZE];
};

/* --- the thread ------------------------------------------------------------------------------- */

static uint64_t lines_in(const char *bytes, size_t size)
{
    uint64_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '\n';
    return count;
}

/* All of it, or what is left is lost. */
static void write_all(struct accesslog *log, int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            atomic_fetch_add(&log->lost, lines_in(bytes, size));
            return;
        }
        bytes += written;
        size -= (size_t)written;
    }
}

static int drain(struct accesslog *log, int fd)
{
    uint64_t read = atomic_load(&log->read), written = atomic_load(&log->written);
    while (read != written) {
        size_t at = (size_t)read & (ACCESSLOG_RING_SIZE - 1);
        size_t size = size_min((size_t)(written - read), ACCESSLOG_RING_SIZE - at);
        write_all(log, fd, log->ring + at, size);
        read += size;
        atomic_store(&log->read, read);
    }
    int next = atomic_exchange(&log->next_fd, -1);
    if (next < 0)
        return fd;
    close(fd);
    return next;
}

struct start {
    struct accesslog *log;
    int fd;
};

static void *run(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    int fd = start.fd;
    while (!atomic_load(&start.log->stop)) {
        uint64_t rung;
        ssize_t got = read(start.log->bell_fd, &rung, sizeof rung);
        (void)got; /* EINTR: look all the same */
        fd = drain(start.log, fd);
    }
    fd = drain(start.log, fd);
    close(fd);
    return NULL;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void ring_bell(struct accesslog *log)
{
    uint64_t one = 1;
    ssize_t rung = write(log->bell_fd, &one, sizeof one);
    (void)rung;
}

static int start_thread(struct accesslog *log, int fd)
{
    struct start *start = malloc(sizeof *start);
    if (start == NULL)
        return -ENOMEM;
    *start = (struct start){log, fd};
    sigset_t all, before;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int result = pthread_create(&log->thread, NULL, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0)
        free(start);
    return -result;
}

int accesslog_open(struct worker *worker, int fd, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    struct accesslog *log = calloc(1, sizeof *log);
    int result = -ENOMEM;
    if (log == NULL)
        goto fail;
    log->bell_fd = -1;
    atomic_store(&log->next_fd, -1);
    result = accesslog_compile(&log->template, config->log_template, config->log_json != 0, error);
    if (result < 0)
        goto free_log;
    log->bell_fd = eventfd(0, EFD_CLOEXEC);
    result = log->bell_fd < 0 ? -errno : start_thread(log, fd);
    if (result < 0)
        goto fail;
    worker->log = log;
    return 0;

fail:
    askr_fail(error, -result, "the access log cannot be started: %s", strerror(-result));
free_log:
    if (log != NULL && log->bell_fd >= 0)
        close(log->bell_fd);
    free(log);
    close(fd);
    return result;
}

void accesslog_reopen(struct worker *worker, int fd)
{
    struct accesslog *log = worker->log;
    int before = log == NULL ? fd : atomic_exchange(&log->next_fd, fd);
    if (before >= 0)
        close(before); /* nobody logs, or the thread had not come to it yet */
    if (log != NULL)
        ring_bell(log);
}

void accesslog_close(struct worker *worker)
{
    struct accesslog *log = worker->log;
    struct timespec until;
    if (log == NULL)
        return;
    worker->log = NULL;
    atomic_store(&log->written, log->put);
    atomic_store(&log->stop, true);
    ring_bell(log);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_WAIT_S;
    if (pthread_timedjoin_np(log->thread, NULL, &until) != 0)
        return; /* it hangs in a write: the process ends without it */
    close(log->bell_fd);
    free(log);
}

static struct slice keep(struct exchange *exchange, struct slice text)
{
    size_t size = size_min(text.size, ACCESSLOG_VALUE_MAX);
    char *copy = exchange_allocate(exchange, size);
    if (copy == NULL)
        return SLICE("");
    memcpy(copy, text.data, size);
    return (struct slice){copy, size};
}

void accesslog_note(struct exchange *exchange)
{
    const struct http_request *request = &exchange->conn->worker->request;
    struct accesslog_facts *facts = exchange_allocate(exchange, sizeof *facts);
    exchange->facts = facts;
    if (facts == NULL)
        return;
    *facts = (struct accesslog_facts){
        .method = keep(exchange, request->method_name),
        .target = keep(exchange, request->target),
        .host = keep(exchange, request->authority),
        .version = request->version,
    };
    for (uint16_t i = 0; i < request->field_count; i++) {
        if (slice_reads(request->fields[i].name, SLICE("Referer")))
            facts->referer = keep(exchange, request->fields[i].value);
        else if (slice_reads(request->fields[i].name, SLICE("User-Agent")))
            facts->user_agent = keep(exchange, request->fields[i].value);
    }
}

void accesslog_write(struct exchange *exchange, const char *how)
{
    struct worker *worker = exchange->conn->worker;
    struct accesslog *log = worker->log;
    char line[ACCESSLOG_LINE_MAX];
    size_t size = accesslog_format(&log->template, exchange, how, line);
    if (ACCESSLOG_RING_SIZE - (log->put - atomic_load(&log->read)) < size) {
        worker->status->log_dropped++;
        return;
    }
    size_t at = (size_t)log->put & (ACCESSLOG_RING_SIZE - 1);
    size_t first = size_min(size, ACCESSLOG_RING_SIZE - at);
    memcpy(log->ring + at, line, first);
    memcpy(log->ring, line + first, size - first);
    bool was_quarter = log->put - atomic_load(&log->written) >= ACCESSLOG_RING_SIZE / 4;
    log->put += size;
    worker->status->log_lines++;
    if (!was_quarter && log->put - atomic_load(&log->written) >= ACCESSLOG_RING_SIZE / 4)
        accesslog_beat(worker);
}

void accesslog_beat(struct worker *worker)
{
    struct accesslog *log = worker->log;
    if (log == NULL)
        return;
    uint64_t lost = atomic_exchange(&log->lost, 0);
    worker->status->log_dropped += lost;
    worker->status->log_lines -= lost;
    if (log->put == atomic_load(&log->written))
        return;
    atomic_store(&log->written, log->put);
    ring_bell(log);
}
