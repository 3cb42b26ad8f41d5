/* SPDX-License-Identifier: MIT
 * From a store (tls.h) to a context. The supervisor has checked the certificates and speaks to the
 * operator; the sentences here are for what it could not know: what this OpenSSL refuses. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "proto/tls_parts.h"

static int refuse(askr_error *error, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return askr_fail(error, EINVAL, "%s%s%s", what, reason != NULL ? ": " : "",
                     reason != NULL ? reason : "");
}

/* An encrypted key would make OpenSSL ask on the terminal. */
static int no_passphrase(char *out, int size, int writing, void *user)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static BIO *text_bio(struct slice text)
{
    return BIO_new_mem_buf(text.data, (int)text.size);
}

/* All certificates of a PEM text, in order; NULL without one. */
static STACK_OF(X509) * read_chain(struct slice text)
{
    BIO *bio = text_bio(text);
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *certificate;
    while (bio != NULL && chain != NULL &&
           (certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (sk_X509_push(chain, certificate) <= 0) {
            X509_free(certificate);
            break;
        }
    }
    ERR_clear_error(); /* the end of the text is an error to it */
    BIO_free(bio);
    if (chain != NULL && sk_X509_num(chain) > 0)
        return chain;
    sk_X509_free(chain);
    return NULL;
}

static EVP_PKEY *read_key(struct slice text)
{
    BIO *bio = text_bio(text);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return key;
}

static bool has_key_type(SSL_CTX *host, const EVP_PKEY *key)
{
    bool found = false;
    for (long more = SSL_CTX_set_current_cert(host, SSL_CERT_SET_FIRST); more == 1 && !found;
         more = SSL_CTX_set_current_cert(host, SSL_CERT_SET_NEXT)) {
        const X509 *certificate = SSL_CTX_get0_certificate(host);
        found = certificate != NULL &&
                EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_get_base_id(key);
    }
    return found;
}

/* A host with just these names and no key of this type yet: an ECDSA and an RSA certificate for the
 * same names are one host, and OpenSSL picks what the client understands. */
static int host_for(struct tls_context *context, X509 *certificate, const EVP_PKEY *key,
                    SSL_CTX **out)
{
    size_t size;
    char *names = tls_names_of(certificate, &size);
    for (uint32_t i = 0; i < context->host_count; i++) {
        if (size != context->host_names_size[i] || size == 0 ||
            memcmp(names, context->host_names[i], size) != 0 ||
            has_key_type(context->hosts[i], key))
            continue;
        free(names);
        *out = context->hosts[i];
        return 0;
    }
    if (context->host_count == TLS_HOSTS_MAX || (*out = tls_policy_new(context)) == NULL) {
        free(names);
        return context->host_count == TLS_HOSTS_MAX ? -E2BIG : -ENOMEM;
    }
    context->hosts[context->host_count] = *out;
    context->host_names[context->host_count] = names;
    context->host_names_size[context->host_count++] = size;
    return 0;
}

static int add_certificate(struct tls_context *context, struct slice chain_text,
                           struct slice key_text, askr_error *error)
{
    STACK_OF(X509) *chain = read_chain(chain_text);
    EVP_PKEY *key = read_key(key_text);
    SSL_CTX *host = NULL;
    int result = 0;
    X509 *certificate = chain == NULL ? NULL : sk_X509_shift(chain);
    if (certificate == NULL || key == NULL) {
        result = refuse(error, certificate == NULL ? "a certificate cannot be read"
                                                   : "a private key cannot be read");
        goto out;
    }
    result = host_for(context, certificate, key, &host);
    if (result < 0)
        result = refuse(error, result == -E2BIG ? "there are too many certificates"
                                                : "OpenSSL refuses the TLS rules");
    else if (SSL_CTX_use_cert_and_key(host, certificate, key, chain, 1) != 1)
        result = refuse(error, "OpenSSL refuses a certificate");
out:
    X509_free(certificate);
    sk_X509_pop_free(chain, X509_free);
    EVP_PKEY_free(key);
    return result;
}

/* The next record; its kind, or 0 at the end and for what is none. */
static uint32_t next_record(struct slice *store, struct slice *body)
{
    struct tls_record record;
    if (store->size < sizeof record)
        return 0;
    memcpy(&record, store->data, sizeof record);
    if (record.size > store->size - sizeof record)
        return 0;
    *body = (struct slice){store->data + sizeof record, record.size};
    store->data += sizeof record + record.size;
    store->size -= sizeof record + record.size;
    return record.kind;
}

/* Rules come first, since each host is made with them. */
static int read_rules(struct tls_context *context, struct slice store, askr_error *error)
{
    struct slice body;
    uint32_t kind;
    while ((kind = next_record(&store, &body)) != 0) {
        if (kind == TLS_RECORD_OPTIONS && body.size == sizeof context->options)
            memcpy(&context->options, body.data, body.size);
        else if (kind == TLS_RECORD_TICKET_KEY && body.size == sizeof context->ticket_keys[0] &&
                 context->ticket_key_count < TLS_TICKET_KEYS_MAX)
            memcpy(&context->ticket_keys[context->ticket_key_count++], body.data, body.size);
        else if (kind == TLS_RECORD_CLIENT_CA && context->authorities == NULL &&
                 (context->authorities = read_chain(body)) == NULL)
            return refuse(error, "the authorities of client certificates cannot be read");
    }
    if (context->options.client_auth != TLS_CLIENT_OFF && context->authorities == NULL)
        return refuse(error, "client certificates are asked for without an authority");
    return store.size == 0 ? 0 : refuse(error, "the TLS store is cut off");
}

static int read_certificates(struct tls_context *context, struct slice store, askr_error *error)
{
    struct slice body, chain = {NULL, 0};
    uint32_t kind;
    int result = 0;
    while (result == 0 && (kind = next_record(&store, &body)) != 0) {
        if (kind == TLS_RECORD_CERTIFICATE)
            chain = body;
        else if (kind == TLS_RECORD_KEY)
            result = add_certificate(context, chain, body, error);
    }
    if (result == 0 && context->host_count == 0)
        result = refuse(error, "there is no certificate");
    return result;
}

int tls_context_load(struct tls_context **out, struct slice store, struct slice alpn,
                     askr_error *error)
{
    const size_t magic_size = sizeof TLS_STORE_MAGIC - 1;
    ERR_clear_error();
    if (store.size < magic_size || store.size > TLS_STORE_SIZE_MAX ||
        memcmp(store.data, TLS_STORE_MAGIC, magic_size) != 0 || alpn.size > TLS_ALPN_SIZE_MAX)
        return askr_fail(error, EINVAL, "the TLS store is not valid");
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return askr_fail(error, ENOMEM, "no memory for the TLS store");
    store.data += magic_size;
    store.size -= magic_size;
    context->users = 1;
    context->options.version_min = TLS1_2_VERSION;
    context->alpn_size = (uint32_t)alpn.size;
    memcpy(context->alpn, alpn.data, alpn.size);
    context->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    int result = context->ticket_cipher != NULL && tls_bio_open(context) == 0
                     ? 0
                     : refuse(error, "OpenSSL cannot be used");
    if (result == 0)
        result = read_rules(context, store, error);
    if (result == 0)
        result = read_certificates(context, store, error);
    if (result == 0 && tls_names_sort(context) < 0)
        result = askr_fail(error, ENOMEM, "no memory for the names of the certificates");
    if (result < 0) {
        tls_context_release(context);
        return result;
    }
    *out = context;
    return 0;
}
