/* SPDX-License-Identifier: MIT
 * One TLS connection (tls.h). OpenSSL is called with input and output set in the context's pipe,
 * its error queue emptied before, because what an earlier connection left there would count as
 * ours. */
#include "proto/tls.h"

#include <errno.h>
#include <openssl/err.h>

#include "proto/tls_parts.h"

static void lend(struct tls *tls, struct slice *input, struct tls_buffer *out)
{
    tls->context->pipe = (struct tls_pipe){input, out};
    ERR_clear_error();
}

static enum tls_event fail(struct tls *tls, const char *text)
{
    tls->failed = true;
    tls->error_text = text != NULL ? text : "the TLS connection failed";
    return TLS_ERROR;
}

/* What a call that did not succeed asks for. */
static enum tls_event outcome(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_NEED_DATA;
    case SSL_ERROR_WANT_WRITE:
        return TLS_NEED_ROOM;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        return fail(tls, ERR_reason_error_string(ERR_peek_last_error()));
    }
}

int tls_open(struct tls *tls, struct tls_context *context)
{
    *tls = (struct tls){.context = context, .ssl = SSL_new(context->hosts[0])};
    if (tls->ssl == NULL)
        return -ENOMEM;
    /* One reference for each direction, both of which SSL_free() gives back. */
    BIO_up_ref(context->bio);
    BIO_up_ref(context->bio);
    SSL_set0_rbio(tls->ssl, context->bio);
    SSL_set0_wbio(tls->ssl, context->bio);
    SSL_set_accept_state(tls->ssl);
    tls_context_retain(context);
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls->ssl == NULL)
        return;
    lend(tls, NULL, NULL);
    SSL_free(tls->ssl);
    tls_context_release(tls->context);
    *tls = (struct tls){0};
}

/* A TLS record begins with its type, 20 to 23, an SSL 2 hello with its high bit set: letters and
 * line ends are somebody's HTTP. */
static bool looks_plain(char first)
{
    return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z') || first == '\r' ||
           first == '\n';
}

static enum tls_event handshake(struct tls *tls, struct slice *input)
{
    if (!tls->begun && input->size > 0) {
        if (looks_plain(input->data[0]))
            return TLS_PLAINTEXT;
        tls->begun = true;
    }
    size_t before = input->size;
    int result = SSL_do_handshake(tls->ssl);
    tls->handshake_size += (uint32_t)(before - input->size);
    if (result == 1) {
        tls->ready = true;
        return TLS_READY;
    }
    enum tls_event event = outcome(tls, result);
    if (event == TLS_CLOSED)
        return fail(tls, "the peer gave up its handshake");
    if (event != TLS_ERROR && tls->handshake_size > TLS_HANDSHAKE_SIZE_MAX)
        return fail(tls, "the handshake is too large");
    return event;
}

enum tls_event tls_next(struct tls *tls, struct slice *input, struct tls_buffer *out,
                        struct tls_buffer *plain)
{
    size_t got = 0;
    if (tls->failed)
        return TLS_ERROR;
    lend(tls, input, out);
    if (!tls->ready)
        return handshake(tls, input);
    assert(plain->size < plain->capacity);
    int result =
        SSL_read_ex(tls->ssl, plain->data + plain->size, plain->capacity - plain->size, &got);
    plain->size += got;
    return result == 1 ? TLS_DATA : outcome(tls, result);
}

/* TLS 1.2 has no way to do this, but no connection of its lives this long either. */
static void renew_key(struct tls *tls)
{
    tls->record_count = 0;
    if (SSL_version(tls->ssl) == TLS1_3_VERSION)
        SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
}

enum tls_event tls_write(struct tls *tls, struct slice *plain, struct tls_buffer *out)
{
    size_t room = out->capacity - out->size, put = 0;
    assert(tls->ready && !tls->finished && plain->size > 0 && plain->size >= tls->pending);
    if (tls->failed)
        return TLS_ERROR;
    if (room <= TLS_RECORD_OVERHEAD_MAX)
        return TLS_NEED_ROOM;
    if (tls->pending == 0 && ++tls->record_count > TLS_KEY_RECORDS_MAX)
        renew_key(tls);
    size_t size = size_min(plain->size, TLS_RECORD_SIZE_MAX);
    /* A record that OpenSSL has made already must be offered again as it was (SSL_write(3)). */
    size = tls->pending > 0 ? tls->pending : size_min(size, room - TLS_RECORD_OVERHEAD_MAX);
    lend(tls, NULL, out);
    int result = SSL_write_ex(tls->ssl, plain->data, size, &put);
    if (result != 1) {
        enum tls_event event = outcome(tls, result);
        tls->pending = event == TLS_NEED_ROOM ? (uint16_t)size : 0;
        return event == TLS_NEED_ROOM ? event : fail(tls, tls->error_text);
    }
    assert(put == size);
    tls->pending = 0;
    plain->data += put;
    plain->size -= put;
    return TLS_NEED_DATA;
}

enum tls_event tls_close(struct tls *tls, struct tls_buffer *out)
{
    if (tls->failed || !tls->ready || tls->finished)
        return TLS_NEED_DATA;
    lend(tls, NULL, out);
    int result = SSL_shutdown(tls->ssl);
    if (result < 0 && SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_WRITE)
        return TLS_NEED_ROOM;
    tls->finished = true; /* 0: said; 1: both sides said it */
    return TLS_NEED_DATA;
}

struct slice tls_alpn(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned int size = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &size);
    return (struct slice){(const char *)name, size};
}

bool tls_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl) == 1;
}
