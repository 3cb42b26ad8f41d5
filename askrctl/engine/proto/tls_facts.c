/* SPDX-License-Identifier: MIT
 * What an application may want to know of a TLS connection and its client certificate, under the
 * names that Apache and nginx made usual. Distinguished names as RFC 2253 writes them, which is
 * what both of them do. */
#include <openssl/x509.h>

#include "proto/tls_parts.h"

struct facts {
    struct http_field *fields;
    size_t count;
    struct tls_buffer *text;
};

/* What does not fit is left out: a name of 4 KiB is nobody's. */
static void add(struct facts *facts, struct slice name, const char *value, size_t size)
{
    struct tls_buffer *text = facts->text;
    if (value == NULL || size > text->capacity - text->size || facts->count == TLS_FACTS_MAX)
        return;
    char *copy = text->data + text->size;
    memcpy(copy, value, size);
    text->size += size;
    facts->fields[facts->count++] = (struct http_field){name, {copy, size}};
}

static void add_text(struct facts *facts, struct slice name, const char *value)
{
    if (value != NULL)
        add(facts, name, value, strlen(value));
}

/* By way of a memory BIO: that is how OpenSSL prints. */
static void add_printed(struct facts *facts, struct slice name, BIO *bio)
{
    char *value = NULL;
    long size = BIO_get_mem_data(bio, &value);
    if (size > 0)
        add(facts, name, value, (size_t)size);
    BIO_reset(bio);
}

static void add_certificate(struct facts *facts, const X509 *certificate, BIO *bio)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    add_printed(facts, SLICE("SSL_CLIENT_S_DN"), bio);
    X509_NAME_print_ex(bio, X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253);
    add_printed(facts, SLICE("SSL_CLIENT_I_DN"), bio);
    i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(certificate));
    add_printed(facts, SLICE("SSL_CLIENT_M_SERIAL"), bio);
    ASN1_TIME_print(bio, X509_get0_notBefore(certificate));
    add_printed(facts, SLICE("SSL_CLIENT_V_START"), bio);
    ASN1_TIME_print(bio, X509_get0_notAfter(certificate));
    add_printed(facts, SLICE("SSL_CLIENT_V_END"), bio);
    if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1)
        return;
    for (unsigned int i = 0; i < size; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    add(facts, SLICE("SSL_CLIENT_FINGERPRINT"), hex, 2 * size);
}

size_t tls_describe(const struct tls *tls, struct http_field fields[static TLS_FACTS_MAX],
                    struct tls_buffer *text)
{
    struct facts facts = {.fields = fields, .text = text};
    const SSL *ssl = tls->ssl;
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    add_text(&facts, SLICE("SSL_PROTOCOL"),
             SSL_version(ssl) == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
    add_text(&facts, SLICE("SSL_CIPHER"), SSL_get_cipher_name(ssl));
    add_text(&facts, SLICE("SSL_TLS_SNI"), SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    /* One that did not verify has not got this far: the handshake failed. */
    bool verified = certificate != NULL && SSL_get_verify_result(ssl) == X509_V_OK;
    add_text(&facts, SLICE("SSL_CLIENT_VERIFY"), verified ? "SUCCESS" : "NONE");
    BIO *bio = verified ? BIO_new(BIO_s_mem()) : NULL;
    if (bio != NULL)
        add_certificate(&facts, certificate, bio);
    BIO_free(bio);
    return facts.count;
}
