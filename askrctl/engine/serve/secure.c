/* SPDX-License-Identifier: MIT
 * The receiving half of secure.h: handshakes, decryption, the end of a connection. */
#include "serve/secure.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/exchange.h"
#include "serve/output.h"
#include "serve/protocol.h"
#include "serve/worker.h"

/* What we speak inside, in the order we prefer (RFC 7301). */
static const char alpn[] = "\x02h2\x08http/1.1";
enum { ALPN_H2_SIZE = 3 };

/* A flight of ours: a chain of certificates and a few messages. More is handed over in parts. */
enum { CIPHER_SCRATCH_SIZE = TLS_RECORD_SIZE_MAX + TLS_RECORD_OVERHEAD_MAX };

/* --- the worker's ---------------------------------------------------------------------------- */

int secure_load(struct worker *worker, int fd, askr_error *error)
{
    struct tls_context *context = NULL;
    struct stat facts;
    if (fstat(fd, &facts) < 0 || facts.st_size <= 0 || facts.st_size > TLS_STORE_SIZE_MAX) {
        close(fd);
        return askr_fail(error, EINVAL, "the TLS store cannot be used");
    }
    size_t size = (size_t)facts.st_size;
    void *store = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (store == MAP_FAILED)
        return askr_fail(error, errno, "the TLS store cannot be mapped");
    struct slice protocols = {alpn, sizeof alpn - 1};
    if (!askr_http2_built() || worker->config->streams_max == 0)
        protocols = (struct slice){alpn + ALPN_H2_SIZE, sizeof alpn - 1 - ALPN_H2_SIZE};
    int result = tls_context_load(&context, (struct slice){store, size}, protocols, error);
    munmap(store, size);
    if (result < 0)
        return result;
    if (worker->tls != NULL)
        tls_context_release(worker->tls); /* its connections keep it */
    worker->tls = context;
    return 0;
}

int secure_open(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    bool wanted = false;
    for (uint32_t i = 0; i < config->listener_count && i < ASKR_LISTENERS_MAX; i++)
        wanted |= (config->listener_flags[i] & ASKR_LISTENER_TLS) != 0;
    worker->handshakes_last = &worker->handshakes;
    if (!wanted)
        return 0;
    worker->tls_plain = malloc(TLS_RECORD_SIZE_MAX);
    worker->tls_cipher = malloc(CIPHER_SCRATCH_SIZE);
    if (worker->tls_plain == NULL || worker->tls_cipher == NULL)
        return askr_fail(error, ENOMEM, "no memory for TLS records");
    return secure_load(worker, config->tls_fd, error);
}

void secure_close(struct worker *worker)
{
    if (worker->tls != NULL)
        tls_context_release(worker->tls);
    free(worker->tls_plain);
    free(worker->tls_cipher);
}

/* --- a connection's life --------------------------------------------------------------------- */

struct conn *secure_new(struct worker *worker, size_t extra)
{
    struct secure *secure = calloc(1, sizeof *secure + extra);
    if (secure == NULL)
        return NULL;
    if (tls_open(&secure->tls, worker->tls) < 0) {
        free(secure);
        return NULL;
    }
    secure->conn.has_tls = true;
    return &secure->conn;
}

static void leave_queue(struct worker *worker, struct secure *secure)
{
    if (secure->link == NULL)
        return;
    *secure->link = secure->next;
    if (secure->next != NULL)
        secure->next->link = secure->link;
    else
        worker->handshakes_last = secure->link;
    secure->link = NULL;
}

static void drop_held(struct secure *secure)
{
    free(secure->held);
    secure->held = NULL;
    secure->held_size = secure->held_capacity = 0;
}

void secure_fini(struct conn *conn)
{
    struct secure *secure = secure_of(conn);
    leave_queue(conn->worker, secure);
    tls_free(&secure->tls);
    drop_held(secure);
    free(secure->facts);
    secure->facts = NULL;
}

/* --- what a peer sends ----------------------------------------------------------------------- */

/* Somebody typed http:// in front of this port. From here on the connection is a plain one. */
static void answer_in_clear(struct conn *conn)
{
    secure_fini(conn);
    conn->secure = false;
    conn->worker->status->errors++;
    exchange_refuse(conn, &conn->exchange, 400,
                    "this port speaks HTTPS: put https:// before the address");
}

/* The alert, if there is one, goes out; nothing else can. */
static void fail(struct conn *conn)
{
    struct askr_worker_status *status = conn->worker->status;
    status->errors++;
    status->tls_failed += !secure_is_ready(conn);
    conn->protocol->abandon(conn);
    if (conn->output != NULL)
        chain_clear(&conn->output->chain);
    conn->close = conn->linger = true;
    conn_dirty(conn);
}

/* Once for each connection, because a name takes microseconds to print. */
static void keep_facts(struct secure *secure)
{
    struct http_field fields[TLS_FACTS_MAX];
    char text[TLS_FACTS_SIZE_MAX];
    struct tls_buffer buffer = {text, 0, sizeof text};
    size_t count = tls_describe(&secure->tls, fields, &buffer);
    secure->facts = malloc(count * sizeof *fields + buffer.size);
    if (secure->facts == NULL)
        return; /* the application then sees no certificate, which is the safe side */
    char *copy = (char *)(secure->facts + count);
    memcpy(copy, text, buffer.size);
    for (size_t i = 0; i < count; i++) {
        struct slice value = fields[i].value;
        secure->facts[i].name = fields[i].name;
        secure->facts[i].value = (struct slice){copy + (value.data - text), value.size};
    }
    secure->fact_count = (uint32_t)count;
}

static void ready(struct secure *secure)
{
    struct askr_worker_status *status = secure->conn.worker->status;
    status->tls_handshakes++;
    status->tls_resumed += tls_resumed(&secure->tls);
    secure->spare = SECURE_EMPTY_MAX;
    secure->spare_ns = secure->conn.worker->io.now_ns;
    if (tls_context_client_auth(secure->tls.context) != TLS_CLIENT_OFF)
        keep_facts(secure);
    conn_dirty(&secure->conn); /* its timer is another one now */
#ifdef ASKR_HAVE_NGHTTP2
    if (slice_equals(tls_alpn(&secure->tls), SLICE("h2")) && conn_speak_h2(&secure->conn) < 0)
        conn_close(&secure->conn);
#endif
}

/* What TLS itself wants to say. False: the connection is closed. */
static bool put(struct conn *conn, const struct tls_buffer *out)
{
    if (out->size == 0)
        return true;
    struct output *output = conn_output(conn);
    if (output == NULL || chain_append(&output->cipher, (struct slice){out->data, out->size}) < 0 ||
        output->cipher.memory > SECURE_CIPHER_MAX) {
        conn_close(conn);
        return false;
    }
    conn_dirty(conn);
    return true;
}

/* Act on an event. False: there is nothing more to read now. */
static bool act(struct secure *secure, enum tls_event event, struct slice plain)
{
    struct conn *conn = &secure->conn;
    switch (event) {
    case TLS_NEED_DATA:
        return false;
    case TLS_NEED_ROOM:
        return true;
    case TLS_READY:
        ready(secure);
        return !conn->closing;
    case TLS_DATA:
        conn_take(conn, plain);
        return !conn->closing && !conn->linger;
    case TLS_CLOSED:
        conn_peer_closed(conn);
        return false;
    case TLS_PLAINTEXT:
        answer_in_clear(conn);
        return false;
    case TLS_ERROR:
        fail(conn);
        return false;
    }
    return false;
}

/* So many bytes were taken, and so many of data came of it. False: it has sent too much that is for
 * nothing. */
static bool pay(struct secure *secure, size_t taken, size_t got)
{
    const int64_t step_ns = NS_PER_S / SECURE_EMPTY_PER_S;
    int64_t steps = (secure->conn.worker->io.now_ns - secure->spare_ns) / step_ns;
    int64_t spare = secure->spare + steps - (int64_t)taken + (int64_t)got;
    if (got > 0)
        spare += SECURE_RECORD_OVERHEAD;
    secure->spare_ns += steps * step_ns;
    secure->spare = (int32_t)(spare < SECURE_EMPTY_MAX ? spare : SECURE_EMPTY_MAX);
    return spare >= 0;
}

static void run(struct secure *secure, struct slice input)
{
    struct worker *worker = secure->conn.worker;
    bool more = true;
    while (more) {
        struct tls_buffer out = {worker->tls_cipher, 0, CIPHER_SCRATCH_SIZE};
        struct tls_buffer plain = {worker->tls_plain, 0, TLS_RECORD_SIZE_MAX};
        bool is_ready = secure->tls.ready;
        size_t before = input.size;
        enum tls_event event = tls_next(&secure->tls, &input, &out, &plain);
        if (is_ready && UNLIKELY(!pay(secure, before - input.size, plain.size)))
            event = TLS_ERROR;
        more =
            put(&secure->conn, &out) && act(secure, event, (struct slice){plain.data, plain.size});
    }
}

/* Mostly one flight; but a client's last one may have its request and the start of an upload behind
 * it. Reading is paused when that is much (secure_is_full()). */
static bool hold(struct secure *secure, struct slice bytes)
{
    size_t size = secure->held_size + bytes.size;
    if (size > secure->held_capacity) {
        size_t capacity = size_min(2 * size, CONN_INPUT_HELD_MAX);
        char *held = size > CONN_INPUT_HELD_MAX ? NULL : realloc(secure->held, capacity);
        if (held == NULL)
            return false;
        secure->held = held;
        secure->held_capacity = (uint32_t)capacity;
    }
    memcpy(secure->held + secure->held_size, bytes.data, bytes.size);
    secure->held_size = (uint32_t)size;
    return true;
}

static void wait_turn(struct worker *worker, struct secure *secure, struct slice bytes)
{
    if (!hold(secure, bytes)) {
        conn_close(&secure->conn);
        return;
    }
    conn_dirty(&secure->conn); /* reading may have to be paused, or go on */
    if (secure->link != NULL)
        return;
    secure->next = NULL;
    secure->link = worker->handshakes_last;
    *worker->handshakes_last = secure;
    worker->handshakes_last = &secure->next;
}

void secure_receive(struct conn *conn, struct slice bytes)
{
    struct secure *secure = secure_of(conn);
    if (conn->closing || conn->peer_closed)
        return;
    if (conn->linger)
        conn_take(conn, bytes); /* which counts them */
    else if (secure->tls.ready)
        run(secure, bytes); /* also when no request is taken any more: for its close_notify */
    else if (!conn->close)
        wait_turn(conn->worker, secure, bytes);
}

static void end_after_held(struct conn *conn)
{
    if (conn->secure)
        secure_end(conn);
    else
        conn_peer_closed(conn);
}

void secure_turn(struct worker *worker)
{
    if (worker->handshakes == NULL)
        return;
    int64_t deadline_ns = clock_now_ns() + HANDSHAKES_TURN_NS;
    do {
        struct secure *secure = worker->handshakes;
        char *held = secure->held;
        struct slice bytes = {held, secure->held_size};
        leave_queue(worker, secure);
        secure->held = NULL;
        secure->held_size = secure->held_capacity = 0;
        if (!secure->conn.closing)
            run(secure, bytes);
        if (!secure->conn.closing && secure->ended)
            end_after_held(&secure->conn);
        if (!secure->conn.closing)
            conn_dirty(&secure->conn);
        free(held);
    } while (worker->handshakes != NULL && clock_now_ns() < deadline_ns);
}

void secure_end(struct conn *conn)
{
    struct secure *secure = secure_of(conn);
    if (secure->link != NULL)
        secure->ended = true; /* what is held may end with the request and a close_notify */
    else if (conn->wait == CONN_LINGER || !conn->peer_closed)
        conn_close(conn);
}

bool secure_say_goodbye(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct tls_buffer out = {worker->tls_cipher, 0, CIPHER_SCRATCH_SIZE};
    tls_close(&secure_of(conn)->tls, &out);
    if (out.size == 0)
        return false;
    struct output *output = conn_output(conn);
    if (output == NULL || chain_append(&output->cipher, (struct slice){out.data, out.size}) < 0)
        return false;
    conn->close = true; /* nothing may follow it, not even a GOAWAY */
    secure_flush(output);
    return true;
}
