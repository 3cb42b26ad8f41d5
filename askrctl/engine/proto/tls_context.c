/* SPDX-License-Identifier: MIT
 * The rules of our TLS: versions, ciphers, groups, signatures, ALPN, names and client certificates;
 * and the life of a context. What is left out is what scanners call weak: CBC, SHA-1, static RSA,
 * finite-field Diffie-Hellman, renegotiation, compression, early data. */
#include <errno.h>
#include <stdlib.h>

#include "proto/tls_parts.h"

/* AES-128 first: as safe as 256 here and a fifth faster. ChaCha20 for who prefers it (phones). */
#define CIPHERS_12                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SIGNATURES                                                     \
    "ECDSA+SHA256:ed25519:RSA-PSS+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:" \
    "ECDSA+SHA512:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
/* OpenSSL 3.5 and newer have the hybrid post-quantum group that browsers prefer. */
#define GROUPS_HYBRID "X25519MLKEM768:X25519:P-256:P-384"
#define GROUPS "X25519:P-256:P-384"

/* The client's list and ours are both in wire format (RFC 7301 section 3.1). */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                   const unsigned char *theirs, unsigned int theirs_size, void *user)
{
    (void)ssl;
    const struct tls_context *context = user;
    unsigned char *chosen;
    int result = SSL_select_next_proto(&chosen, out_size, (const unsigned char *)context->alpn,
                                       context->alpn_size, theirs, theirs_size);
    if (result != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol, section 3.2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int on_server_name(SSL *ssl, int *alert, void *user)
{
    struct tls_context *context = user;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    int host = tls_names_find(context, name);
    if (host < 0 && context->options.strict_names) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (host > 0)
        SSL_set_SSL_CTX(ssl, context->hosts[host]);
    return host < 0 ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

static bool ask_for_certificate(SSL_CTX *host, const struct tls_context *context)
{
    int mode = SSL_VERIFY_PEER;
    if (context->options.client_auth == TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(host, mode, NULL);
    SSL_CTX_set_verify_depth(host, TLS_CHAIN_DEPTH_MAX);
    SSL_CTX_set_max_cert_list(host, TLS_CHAIN_SIZE_MAX);
    X509_STORE *store = SSL_CTX_get_cert_store(host);
    for (int i = 0; i < sk_X509_num(context->authorities); i++) {
        X509 *authority = sk_X509_value(context->authorities, i);
        if (X509_STORE_add_cert(store, authority) != 1 ||
            SSL_CTX_add_client_CA(host, authority) != 1)
            return false;
    }
    return true;
}

/* A session is resumed without its certificate being verified again, so it may only be where the
 * same authorities are trusted in the same way: the identity says which. It is a digest over the
 * digests of all of them, in their order: what does not hang together could cancel out. */
static bool set_session_identity(SSL_CTX *host, const struct tls_context *context)
{
    unsigned char both[2][SSL_MAX_SID_CTX_LENGTH] = {0}; /* of those before, and of this one */
    static_assert(sizeof both[0] == 32, "one SHA-256");
    both[0][0] = (unsigned char)context->options.client_auth;
    for (int i = 0; i < sk_X509_num(context->authorities); i++) {
        const X509 *authority = sk_X509_value(context->authorities, i);
        if (X509_digest(authority, EVP_sha256(), both[1], NULL) != 1 ||
            EVP_Digest(both, sizeof both, both[0], NULL, EVP_sha256(), NULL) != 1)
            return false;
    }
    return SSL_CTX_set_session_id_context(host, both[0], sizeof both[0]) == 1;
}

static bool set_algorithms(SSL_CTX *host, const struct tls_context *context)
{
    return SSL_CTX_set_min_proto_version(host, (int)context->options.version_min) == 1 &&
           SSL_CTX_set_cipher_list(host, CIPHERS_12) == 1 &&
           SSL_CTX_set_ciphersuites(host, CIPHERS_13) == 1 &&
           SSL_CTX_set1_sigalgs_list(host, SIGNATURES) == 1 &&
           (SSL_CTX_set1_groups_list(host, GROUPS_HYBRID) == 1 ||
            SSL_CTX_set1_groups_list(host, GROUPS) == 1);
}

SSL_CTX *tls_policy_new(struct tls_context *context)
{
    SSL_CTX *host = SSL_CTX_new(TLS_server_method());
    if (host == NULL)
        return NULL;
    SSL_CTX_set_app_data(host, context);
    SSL_CTX_set_options(host, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                  SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* RELEASE_BUFFERS: an idle connection keeps no 33 KiB of record buffers. The two others: what
     * is offered again after WANT_WRITE may lie elsewhere, and part of it may go. */
    SSL_CTX_set_mode(host, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_max_early_data(host, 0);
    SSL_CTX_set_timeout(host, (long)context->options.ticket_seconds);
    tls_ticket_policy(host);
    SSL_CTX_set_tlsext_servername_callback(host, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(host, context);
    if (context->alpn_size > 0)
        SSL_CTX_set_alpn_select_cb(host, on_alpn, context);
    bool asks = context->options.client_auth != TLS_CLIENT_OFF;
    if (set_algorithms(host, context) && set_session_identity(host, context) &&
        (!asks || ask_for_certificate(host, context)))
        return host;
    SSL_CTX_free(host);
    return NULL;
}

void tls_context_retain(struct tls_context *context)
{
    context->users++;
}

void tls_context_release(struct tls_context *context)
{
    assert(context->users > 0);
    if (--context->users > 0)
        return;
    for (uint32_t i = 0; i < context->host_count; i++) {
        SSL_CTX_free(context->hosts[i]);
        free(context->host_names[i]);
    }
    free(context->names);
    sk_X509_pop_free(context->authorities, X509_free);
    EVP_CIPHER_free(context->ticket_cipher);
    tls_bio_close(context);
    OPENSSL_cleanse(context->ticket_keys, sizeof context->ticket_keys);
    free(context);
}

enum tls_client_auth tls_context_client_auth(const struct tls_context *context)
{
    return (enum tls_client_auth)context->options.client_auth;
}
