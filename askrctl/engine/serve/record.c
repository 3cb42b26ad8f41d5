/* SPDX-License-Identifier: MIT
 * Which requests are recorded, and the datagram that grows with each of them (record.h). */
#include "serve/record.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "serve/conn.h"
#include "serve/control.h"
#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/worker.h"

enum { FIRST_CAPACITY = 4096 };

struct recorder {
    int fd;
    uint32_t body_max;      /* kept of each body */
    uint32_t rate;          /* records begun in a second, at most */
    uint32_t one_in;        /* of so many requests one is taken */
    uint32_t passed;        /* since the last that was taken */
    uint32_t begun;         /* in this second */
    int64_t second_ns;      /* when it is over */
    uint32_t lost, skipped; /* since the recording began */
};

struct record {
    struct record_head *head; /* and the bytes behind it: one block of `capacity` */
    size_t size, capacity;
    size_t answer_at; /* where the answer begins; 0: it has not */
    bool spoiled;     /* memory was out, or it got too large */
};

/* --- the recorder ----------------------------------------------------------------------------- */

static uint32_t between(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

void record_open(struct worker *worker, int fd, const struct control_message *message)
{
    record_close(worker);
    struct recorder *recorder = malloc(sizeof *recorder);
    if (recorder == NULL) {
        close(fd);
        return;
    }
    *recorder = (struct recorder){
        .fd = fd,
        .body_max = between(message->place, 0, RECORD_BODY_MAX),
        .rate = between(message->value, 1, RECORD_RATE_MAX),
        .one_in = message->pid > 1 ? (uint32_t)message->pid : 1,
    };
    recorder->passed = recorder->one_in - 1; /* the first one is taken */
    worker->recorder = recorder;
}

void record_close(struct worker *worker)
{
    if (worker->recorder == NULL)
        return;
    close(worker->recorder->fd);
    free(worker->recorder);
    worker->recorder = NULL;
}

static void lose(struct worker *worker)
{
    worker->recorder->lost++;
    worker->status->records_lost++;
}

/* Is it this one's turn? */
static bool is_wanted(struct worker *worker)
{
    struct recorder *recorder = worker->recorder;
    if (++recorder->passed < recorder->one_in)
        return false;
    if (worker->io.now_ns >= recorder->second_ns) {
        recorder->second_ns = worker->io.now_ns + NS_PER_S;
        recorder->begun = 0;
    }
    if (recorder->begun >= recorder->rate || worker->records_open >= RECORDS_OPEN_MAX) {
        recorder->skipped++;
        worker->status->records_skipped++;
        return false;
    }
    recorder->begun++;
    recorder->passed = 0;
    return true;
}

/* --- one record ------------------------------------------------------------------------------- */

static bool make_room(struct record *record, size_t size)
{
    if (record->spoiled || size > RECORD_SIZE_MAX - record->size) {
        record->spoiled = true;
        return false;
    }
    size_t capacity = record->capacity;
    while (capacity < record->size + size)
        capacity *= 2;
    if (capacity == record->capacity)
        return true;
    void *grown = realloc(record->head, capacity);
    if (grown == NULL) {
        record->spoiled = true;
        return false;
    }
    record->head = grown;
    record->capacity = capacity;
    return true;
}

static void put(struct record *record, const void *bytes, size_t size)
{
    if (size == 0 || !make_room(record, size))
        return;
    memcpy((char *)record->head + record->size, bytes, size);
    record->size += size;
}

static uint32_t put_text(struct record *record, struct slice text)
{
    put(record, text.data, text.size);
    return (uint32_t)text.size;
}

static void put_field(struct record *record, const struct http_field *field)
{
    uint32_t sizes[2] = {(uint32_t)field->name.size, (uint32_t)field->value.size};
    put(record, sizes, sizeof sizes);
    put_text(record, field->name);
    put_text(record, field->value);
}

void record_begin(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    const struct http_request *request = &worker->request;
    if (!is_wanted(worker))
        return;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL || (record->head = malloc(FIRST_CAPACITY)) == NULL) {
        free(record);
        lose(worker);
        return;
    }
    record->capacity = FIRST_CAPACITY;
    record->size = sizeof *record->head;
    *record->head = (struct record_head){
        .magic = RECORD_MAGIC,
        .pid = (uint32_t)getpid(),
        .worker = worker->config->index,
        .method_size = (uint32_t)request->method_name.size,
        .target_size = (uint32_t)request->target.size,
        .authority_size = (uint32_t)request->authority.size,
        .version = request->version,
        .secure = exchange->conn->secure,
        .request_fields = request->field_count,
    };
    put_text(record, request->method_name);
    put_text(record, request->target);
    put_text(record, request->authority);
    for (uint16_t i = 0; i < request->field_count; i++)
        put_field(record, &request->fields[i]);
    exchange->record = record;
    worker->records_open++;
}

/* What is still wanted of a body of which `kept` bytes are there. */
static size_t wanted_of(const struct exchange *exchange, size_t size, uint32_t kept)
{
    const struct recorder *recorder = exchange->conn->worker->recorder;
    return recorder == NULL
               ? 0
               : size_min(size, recorder->body_max - size_min(kept, recorder->body_max));
}

void record_request_body(struct exchange *exchange, struct slice bytes)
{
    struct record *record = exchange->record;
    record->head->request_body_size += bytes.size;
    if (record->answer_at != 0)
        return; /* it is answered already: what comes now changes nothing */
    bytes.size = wanted_of(exchange, bytes.size, record->head->request_kept);
    put_text(record, bytes);
    record->head->request_kept += (uint32_t)bytes.size;
}

void record_answer(struct exchange *exchange, const struct answer_head *answer)
{
    struct record *record = exchange->record;
    if (record->answer_at != 0)
        record->size = record->answer_at;
    record->answer_at = record->size;
    record->head->status = (uint16_t)answer->status;
    record->head->answer_fields = (uint16_t)answer->field_count;
    record->head->answer_kept = 0;
    record->head->answer_body_size = 0;
    for (size_t i = 0; i < answer->field_count; i++)
        put_field(record, &answer->fields[i]);
    for (const struct piece *piece = exchange->held; piece != NULL; piece = piece->next)
        record_answer_body(exchange, (struct slice){piece->data + piece->begin, //
                                                    piece->end - piece->begin});
}

void record_answer_body(struct exchange *exchange, struct slice bytes)
{
    struct record *record = exchange->record;
    record->head->answer_body_size += bytes.size;
    bytes.size = wanted_of(exchange, bytes.size, record->head->answer_kept);
    put_text(record, bytes);
    record->head->answer_kept += (uint32_t)bytes.size;
}

/* A file that is not in memory is read if the kernel has it there: the disk is not waited for. */
void record_answer_file(struct exchange *exchange, const struct file_range *range)
{
    struct record *record = exchange->record;
    if (range->content != NULL) {
        record_answer_body(exchange,
                           (struct slice){range->content + range->offset, (size_t)range->size});
        return;
    }
    size_t size = wanted_of(exchange, (size_t)range->size, record->head->answer_kept);
    bool begun = record->head->answer_kept < record->head->answer_body_size; /* a part is missing */
    record->head->answer_body_size += (uint64_t)range->size;
    if (begun || size == 0 || !make_room(record, size))
        return;
    struct iovec into = {(char *)record->head + record->size, size};
    ssize_t got = preadv2(range->fd, &into, 1, range->offset, RWF_NOWAIT);
    if (got <= 0)
        return;
    record->size += (size_t)got;
    record->head->answer_kept += (uint32_t)got;
}

/* --- its end ---------------------------------------------------------------------------------- */

static void send_record(struct worker *worker, struct record *record)
{
    record->head->lost = worker->recorder->lost;
    record->head->skipped = worker->recorder->skipped;
    ssize_t sent =
        send(worker->recorder->fd, record->head, record->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == (ssize_t)record->size)
        worker->status->records++;
    else
        lose(worker);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN))
        record_close(worker); /* the recorder is gone */
}

void record_end(struct exchange *exchange, const char *how)
{
    struct worker *worker = exchange->conn->worker;
    struct record *record = exchange->record;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    record->head->time_ns = now.tv_sec * NS_PER_S + now.tv_nsec;
    record->head->duration_ns = worker->io.now_ns - exchange->times.began_ns;
    record->head->outcome = (uint8_t)how[0];
    if (worker->recorder != NULL && record->spoiled)
        lose(worker);
    else if (worker->recorder != NULL)
        send_record(worker, record);
    exchange->record = NULL;
    worker->records_open--;
    free(record->head);
    free(record);
}
