/* SPDX-License-Identifier: MIT
 * How a WebSocket begins (websocket.h): a request is judged, the service asked, and answered with
 * 101, or over HTTP/2 with 200; the connection or the stream carries it from then on. */
#include <errno.h>
#include <stdlib.h>

#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/websocket.h"
#include "serve/worker.h"

/* --- memory of contexts, which is counted ---------------------------------------------------- */

struct block {
    _Alignas(16) size_t size;
    _Alignas(16) char data[];
};

static void *allocate(void *user, size_t size)
{
    struct worker *worker = user;
    size_t *memory = &worker->websockets.memory;
    if (*memory + size > (size_t)worker->config->websocket_memory_max)
        return NULL;
    struct block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    *memory += size;
    return block->data;
}

static void release(void *user, void *memory)
{
    struct worker *worker = user;
    if (memory == NULL)
        return;
    struct block *block = CONTAINER_OF(memory, struct block, data);
    worker->websockets.memory -= block->size;
    free(block);
}

/* --- the answer ------------------------------------------------------------------------------ */

static const struct websocket_service *service_of(const struct worker *worker)
{
    const char *echo = worker->config->websocket_echo;
    bool is_echo =
        echo != NULL && echo[0] != '\0' && slice_equals(worker->request.path, slice_of(echo));
    return is_echo ? &websocket_echo : NULL;
}

bool websocket_is_asked(const struct worker *worker)
{
    return service_of(worker) != NULL;
}

static struct websocket *websocket_new(struct conn *conn, const struct ws_request *wanted)
{
    struct worker *worker = conn->worker;
    struct websockets *all = &worker->websockets;
    struct encoder_memory memory = {allocate, release, worker};
    if (all->scratch == NULL && (all->scratch = malloc(WEBSOCKET_SCRATCH_SIZE)) == NULL)
        return NULL;
    struct websocket *websocket = malloc(sizeof *websocket);
    if (websocket == NULL)
        return NULL;
    *websocket = (struct websocket){
        .worker = worker, .service = service_of(worker), .deflate = wanted->deflate};
    if (!wanted->deflate.agreed) {
        ws_init(&websocket->ws, &all->limits, NULL);
        return websocket;
    }
    ws_init(&websocket->ws, &all->limits, &websocket->inflater);
    ws_inflater_init(&websocket->inflater, wanted->deflate.their_bits, &memory);
    ws_deflater_init(&websocket->deflater, wanted->deflate.our_bits, &memory);
    struct ws_deflater *shared = &all->forgetful[wanted->deflate.our_bits];
    if (shared->bits == 0)
        ws_deflater_init(shared, wanted->deflate.our_bits, &memory);
    return websocket;
}

static int say_yes(struct exchange *exchange, const struct ws_request *wanted,
                   struct slice protocol)
{
    char accept[WS_ACCEPT_SIZE], extensions[WS_ANSWER_SIZE_MAX];
    struct http_field fields[4];
    struct answer_head head = {.status = 200, .content_length = -1, .fields = fields};
    if (wanted->key.size > 0) { /* HTTP/1.1 */
        head.status = 101;
        ws_accept(wanted->key, accept);
        fields[head.field_count++] = (struct http_field){SLICE("Upgrade"), SLICE("websocket")};
        fields[head.field_count++] =
            (struct http_field){SLICE("Sec-WebSocket-Accept"), {accept, sizeof accept}};
    }
    if (protocol.size > 0)
        fields[head.field_count++] = (struct http_field){SLICE("Sec-WebSocket-Protocol"), protocol};
    if (wanted->deflate.agreed) {
        size_t size = ws_deflate_answer(&wanted->deflate, extensions);
        fields[head.field_count++] =
            (struct http_field){SLICE("Sec-WebSocket-Extensions"), {extensions, size}};
    }
    return say_head(exchange, &head);
}

void respond_websocket(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    struct worker *worker = conn->worker;
    struct exchange **owner = exchange->owner;
    struct ws_request wanted;
    struct slice protocol = SLICE("");
    const char *reason = NULL;
    int status = ws_judge(&worker->request, &worker->websockets.wish, &wanted, &reason);
    if (status == 0 && worker->draining)
        status = 503; /* it would be sent away at once */
    if (status == 0)
        status = service_of(worker)->admit(&worker->request, &wanted, &protocol);
    struct websocket *websocket = status == 0 ? websocket_new(conn, &wanted) : NULL;
    if (websocket == NULL) {
        respond_error(exchange, status != 0 ? status : 503, reason);
        return;
    }
    exchange->keep_alive = true; /* a client may say that nothing follows, and mean HTTP */
    if (say_yes(exchange, &wanted, protocol) < 0) {
        free(websocket);
        conn_close(conn);
        return;
    }
    exchange->upgraded = true;
    exchange_answered(exchange);
    conn->protocol->carry(conn, owner, websocket);
    websocket_begin(websocket);
}
