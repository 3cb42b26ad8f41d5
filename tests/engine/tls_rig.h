/* SPDX-License-Identifier: MIT
 * For tests and fuzzers of TLS: certificates made on the spot, stores as the supervisor writes
 * them, and an OpenSSL client in memory that talks to a `struct tls` through two wires. */
#ifndef TLS_RIG_H
#define TLS_RIG_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "proto/tls.h"

enum { WIRE_SIZE = 1 << 20, RIG_PLAIN_SIZE = TLS_RECORD_SIZE_MAX };

/* On in every build: a rig that fails silently proves nothing. */
static void rig_must(bool condition)
{
    if (condition)
        return;
    ERR_print_errors_fp(stderr);
    abort();
}

struct identity { /* a certificate with its key */
    X509 *certificate;
    EVP_PKEY *key;
};

static EVP_PKEY *rig_key(const char *type)
{
    EVP_PKEY *key = strcmp(type, "RSA") == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    rig_must(key != NULL);
    return key;
}

static void rig_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    rig_must(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* `names`: "DNS:a.example,DNS:*.b.example", or NULL. `issuer` NULL: signed by itself, an authority.
 */
static struct identity identity_new(const char *type, const char *common_name, const char *names,
                                    const struct identity *issuer)
{
    struct identity made = {X509_new(), rig_key(type)};
    X509 *certificate = made.certificate;
    X509_NAME *subject = X509_get_subject_name(certificate);
    static long serial = 1;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, (const unsigned char *)"Askr", -1, -1,
                               0);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1,
                               -1, 0);
    X509_set_pubkey(certificate, made.key);
    X509_set_issuer_name(certificate,
                         issuer == NULL ? subject : X509_get_subject_name(issuer->certificate));
    if (issuer == NULL)
        rig_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (names != NULL)
        rig_extension(certificate, NID_subject_alt_name, names);
    rig_must(X509_sign(certificate, issuer == NULL ? made.key : issuer->key, EVP_sha256()) > 0);
    return made;
}

static void identity_free(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}

/* --- stores -----------------------------------------------------------------------------------*/

struct store {
    char *data;
    size_t size;
};

static struct slice store_text(const struct store *store)
{
    return (struct slice){store->data, store->size};
}

static void store_bytes(struct store *store, const void *data, size_t size)
{
    store->data = realloc(store->data, store->size + size);
    rig_must(store->data != NULL);
    memcpy(store->data + store->size, data, size);
    store->size += size;
}

static void store_record(struct store *store, uint32_t kind, const void *data, size_t size)
{
    struct tls_record record = {kind, (uint32_t)size};
    store_bytes(store, &record, sizeof record);
    store_bytes(store, data, size);
}

static struct store store_new(const struct tls_options *options)
{
    struct store store = {0};
    store_bytes(&store, TLS_STORE_MAGIC, sizeof TLS_STORE_MAGIC - 1);
    store_record(&store, TLS_RECORD_OPTIONS, options, sizeof *options);
    return store;
}

static void store_printed(struct store *store, uint32_t kind, BIO *bio)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    store_record(store, kind, text, (size_t)size);
    BIO_free(bio);
}

static inline void store_certificate(struct store *store, uint32_t kind,
                                     const struct identity *identity)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, identity->certificate);
    store_printed(store, kind, bio);
}

static void store_identity(struct store *store, const struct identity *identity)
{
    BIO *bio = BIO_new(BIO_s_mem());
    store_certificate(store, TLS_RECORD_CERTIFICATE, identity);
    PEM_write_bio_PKCS8PrivateKey(bio, identity->key, NULL, NULL, 0, NULL, NULL);
    store_printed(store, TLS_RECORD_KEY, bio);
}

static inline void store_ticket_key(struct store *store, char fill)
{
    struct tls_ticket_key key;
    memset(&key, fill, sizeof key);
    store_record(store, TLS_RECORD_TICKET_KEY, &key, sizeof key);
}

/* --- a client and its wires --------------------------------------------------------------------*/

struct rig {
    SSL *client;
    struct tls server;
    size_t step; /* bytes of a delivery in either direction; 0: all there is */
    size_t room; /* of the server's output buffer; 0: a lot */
    char *sent;  /* by the server and not delivered yet */
    size_t sent_size;
    char plain[1 << 17]; /* what the server has read */
    size_t plain_size;
    uint64_t events; /* a hash over the server's events, TLS_NEED_* left out */
    enum tls_event last;
    uint32_t ready_count;
};

static void rig_open(struct rig *rig, struct tls_context *context, SSL_CTX *client)
{
    memset(rig, 0, offsetof(struct rig, plain));
    rig->plain_size = rig->ready_count = 0;
    rig->events = 0;
    rig->last = TLS_NEED_DATA;
    rig->sent = malloc(WIRE_SIZE);
    rig->client = SSL_new(client);
    rig_must(rig->sent != NULL && rig->client != NULL && tls_open(&rig->server, context) == 0);
    SSL_set_bio(rig->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(rig->client);
}

static void rig_close(struct rig *rig)
{
    SSL_free(rig->client);
    tls_free(&rig->server);
    free(rig->sent);
    rig->sent = NULL;
}

/* Run `call` with a block of `room` bytes until it no longer asks for more. */
#define RIG_WITH_ROOM(rig, out, call)                                                \
    do {                                                                             \
        size_t room_ = (rig)->room > 0 ? (rig)->room : WIRE_SIZE - (rig)->sent_size; \
        room_ = size_min(room_, WIRE_SIZE - (rig)->sent_size);                       \
        rig_must(room_ > 0);                                                         \
        struct tls_buffer out = {(rig)->sent + (rig)->sent_size, 0, room_};          \
        (rig)->last = (call);                                                        \
        (rig)->sent_size += out.size;                                                \
    } while ((rig)->last == TLS_NEED_ROOM)

static void rig_mean(struct rig *rig, enum tls_event event)
{
    if (event != TLS_NEED_DATA && event != TLS_NEED_ROOM)
        rig->events = (rig->events + (uint64_t)event + 1) * UINT64_C(0x100000001b3);
    rig->ready_count += event == TLS_READY;
}

/* Give the server these bytes, from a block of their exact size. */
static void rig_deliver(struct rig *rig, const char *data, size_t size)
{
    char *block = malloc(size > 0 ? size : 1);
    rig_must(block != NULL);
    memcpy(block, data, size);
    struct slice input = {block, size};
    enum tls_event event;
    do {
        struct tls_buffer plain = {rig->plain, rig->plain_size,
                                   size_min(sizeof rig->plain, rig->plain_size + RIG_PLAIN_SIZE)};
        RIG_WITH_ROOM(rig, out, tls_next(&rig->server, &input, &out, &plain));
        event = rig->last;
        rig->plain_size = plain.size;
        rig_mean(rig, event);
    } while (event == TLS_READY || event == TLS_DATA);
    rig_must(event != TLS_NEED_DATA || input.size == 0);
    free(block);
}

static void rig_client_to_server(struct rig *rig)
{
    static char block[WIRE_SIZE];
    BIO *bio = SSL_get_wbio(rig->client);
    int size;
    while ((size = BIO_read(bio, block, rig->step > 0 ? (int)rig->step : WIRE_SIZE)) > 0)
        rig_deliver(rig, block, (size_t)size);
}

static void rig_server_to_client(struct rig *rig)
{
    size_t size = rig->step > 0 ? size_min(rig->step, rig->sent_size) : rig->sent_size;
    if (size == 0)
        return;
    rig_must(BIO_write(SSL_get_rbio(rig->client), rig->sent, (int)size) == (int)size);
    memmove(rig->sent, rig->sent + size, rig->sent_size - size);
    rig->sent_size -= size;
}

/* Until both have finished, or one has failed. */
static inline bool rig_handshake(struct rig *rig)
{
    for (int round = 0; round < 100000; round++) {
        int result = SSL_do_handshake(rig->client);
        bool going = result == 1 || SSL_get_error(rig->client, result) == SSL_ERROR_WANT_READ;
        rig_client_to_server(rig);
        rig_server_to_client(rig);
        if (!going || rig->server.failed)
            return false;
        if (result == 1 && rig->server.ready && rig->sent_size == 0)
            return true;
    }
    return false;
}

/* What the client reads now, at most `size` bytes; 0: nothing, or the end. */
static inline size_t rig_client_read(struct rig *rig, char *data, size_t size)
{
    size_t total = 0, got = 0;
    do {
        while (SSL_read_ex(rig->client, data + total, size - total, &got) == 1)
            total += got;
        if (rig->sent_size == 0)
            return total;
        rig_server_to_client(rig);
    } while (total < size);
    return total;
}

static inline void rig_server_write(struct rig *rig, struct slice plain)
{
    while (plain.size > 0) {
        RIG_WITH_ROOM(rig, out, tls_write(&rig->server, &plain, &out));
        if (rig->last != TLS_NEED_DATA)
            return;
    }
}

#endif
