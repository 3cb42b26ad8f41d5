/* SPDX-License-Identifier: MIT
 * Session tickets (RFC 5077, RFC 8446 section 4.6.1), sealed with keys that all workers share, so
 * that a client may resume at any of them. The supervisor makes the keys and rotates them: the
 * first one seals, the others only open what was sealed before the rotation. No session is kept
 * here. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "proto/tls_parts.h"

enum { TICKET_REFUSED = 0, TICKET_TAKEN = 1, TICKET_RENEW = 2, TICKET_FAILED = -1 };

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac_key, sizeof key->mac_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(struct tls_context *context, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher)
{
    struct tls_ticket_key *key = &context->ticket_keys[0];
    if (context->ticket_key_count == 0)
        return TICKET_REFUSED;
    memcpy(name, key->name, sizeof key->name);
    bool sealed =
        RAND_bytes(iv, EVP_CIPHER_get_iv_length(context->ticket_cipher)) == 1 &&
        EVP_EncryptInit_ex2(cipher, context->ticket_cipher, key->cipher_key, iv, NULL) == 1;
    return sealed ? TICKET_TAKEN : TICKET_FAILED;
}

/* Which key has this name; the count when none has. */
static uint32_t find_key(const struct tls_context *context, const unsigned char *name)
{
    uint32_t index = 0;
    while (index < context->ticket_key_count &&
           memcmp(context->ticket_keys[index].name, name,
                  sizeof context->ticket_keys[index].name) != 0)
        index++;
    return index;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (sealing) {
        int result = seal(context, name, iv, cipher);
        if (result != TICKET_TAKEN)
            return result;
        return set_mac(mac, &context->ticket_keys[0]) ? TICKET_TAKEN : TICKET_FAILED;
    }
    uint32_t index = find_key(context, name);
    if (index == context->ticket_key_count)
        return TICKET_REFUSED; /* an old or foreign ticket: a full handshake follows */
    struct tls_ticket_key *key = &context->ticket_keys[index];
    if (EVP_DecryptInit_ex2(cipher, context->ticket_cipher, key->cipher_key, iv, NULL) != 1 ||
        !set_mac(mac, key))
        return TICKET_FAILED;
    /* In TLS 1.3 a ticket is for one use (RFC 8446 appendix C.4): the client needs another. */
    bool last_long = index == 0 && SSL_version(ssl) != TLS1_3_VERSION;
    return last_long ? TICKET_TAKEN : TICKET_RENEW;
}

void tls_ticket_policy(SSL_CTX *host)
{
    SSL_CTX_set_session_cache_mode(host, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(host, on_ticket);
}
