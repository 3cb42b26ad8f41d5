/* SPDX-License-Identifier: MIT
 * The sending half of secure.h. The output's pieces stay plaintext until the peer takes what was
 * encrypted before; then SECURE_AHEAD_SIZE more become ciphertext, files in chunks of one record.
 */
#include "serve/secure.h"

#include <errno.h>
#include <unistd.h>

#include "serve/output.h"
#include "serve/worker.h"

/* The largest record whose ciphertext fits a fresh piece. */
#define RECORD_SIZE_MAX (PIECE_CAPACITY - TLS_RECORD_OVERHEAD_MAX)

static int encrypt(struct output *output, struct slice plain)
{
    struct tls *tls = &secure_of(output->conn)->tls;
    struct chain *cipher = &output->cipher;
    while (plain.size > 0) {
        size_t least = size_min(plain.size, SECURE_RECORD_SMALL) + TLS_RECORD_OVERHEAD_MAX + 1;
        char *room = chain_room(cipher, least);
        if (room == NULL)
            return -ENOMEM;
        struct tls_buffer out = {room, 0, chain_spare(cipher)};
        enum tls_event event = tls_write(tls, &plain, &out);
        chain_added(cipher, out.size);
        if (event == TLS_ERROR)
            return -EPROTO;
    }
    return 0;
}

static int encrypt_bytes(struct output *output, struct piece *piece)
{
    struct slice plain = {piece->data + piece->begin, piece->end - piece->begin};
    int result = encrypt(output, plain);
    chain_drop_first(&output->chain);
    return result;
}

static int encrypt_file(struct output *output, struct piece *piece)
{
    char *block = output->conn->worker->tls_plain;
    size_t size = size_min((size_t)piece_ready(piece), RECORD_SIZE_MAX);
    ssize_t got;
    do
        got = pread(piece_fd(piece), block, size, piece->offset);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 ? -errno : -EIO; /* it shrank: the answer cannot be completed */
    int result = encrypt(output, (struct slice){block, (size_t)got});
    chain_sent(&output->chain, got);
    return result;
}

static void on_sent(struct io *io, struct io_op *op, struct io_event event)
{
    (void)io;
    struct output *output = CONTAINER_OF(op, struct output, op);
    struct chain *cipher = &output->cipher;
    assert(cipher->frozen > 0);
    for (; cipher->frozen > 0; cipher->frozen--)
        chain_drop_first(cipher);
    conn_sent(output->conn, event.result);
}

static void start_sending(struct output *output)
{
    uint32_t count = 0;
    for (struct piece *piece = output->cipher.first; piece != NULL && count < IO_IOV_MAX;
         piece = piece->next)
        output->iov[count++] =
            (struct iovec){piece->data + piece->begin, piece->end - piece->begin};
    if (count == 0)
        return;
    output->cipher.frozen = count;
    struct io_slices slices = {output->iov, count};
    io_send(&output->conn->worker->io, &output->op, output->conn->fd, slices, on_sent);
}

void secure_flush(struct output *output)
{
    if (output->cipher.frozen > 0)
        return;
    assert(output->chain.first == NULL || secure_is_ready(output->conn));
    while (output->chain.first != NULL && output->cipher.memory < SECURE_AHEAD_SIZE) {
        struct piece *piece = output->chain.first;
        if (piece_ready(piece) == 0)
            break; /* on its way to a temporary file: we are told */
        int result =
            piece->kind == PIECE_BYTES ? encrypt_bytes(output, piece) : encrypt_file(output, piece);
        if (result < 0) {
            conn_close(output->conn);
            return;
        }
    }
    start_sending(output);
}
