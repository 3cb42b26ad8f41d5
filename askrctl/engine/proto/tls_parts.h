/* SPDX-License-Identifier: MIT
 * What the files of tls.h know of each other: the context from within, and the BIO that joins
 * OpenSSL to the bytes of the call at hand. */
#ifndef ASKR_TLS_PARTS_H
#define ASKR_TLS_PARTS_H

#include <openssl/ssl.h>

#include "proto/tls.h"

/* What a BIO reads from and writes to: set in front of each call into OpenSSL. One BIO serves all
 * connections of a context, since none outlives the call; that saves 200 bytes for each of them. */
struct tls_pipe {
    struct slice *input;
    struct tls_buffer *out;
};

struct tls_name { /* of a certificate, in lower case */
    const char *text;
    uint32_t host;
};

struct tls_context {
    uint32_t users;
    BIO_METHOD *bio_method;
    BIO *bio;
    struct tls_pipe pipe;
    SSL_CTX *hosts[TLS_HOSTS_MAX];   /* [0] is shown to who names no host, or one we do not know */
    char *host_names[TLS_HOSTS_MAX]; /* all names of a host, each with a NUL behind it */
    size_t host_names_size[TLS_HOSTS_MAX];
    uint32_t host_count;
    struct tls_name *names; /* sorted */
    uint32_t name_count;
    struct tls_options options;
    char alpn[TLS_ALPN_SIZE_MAX];
    uint32_t alpn_size;
    STACK_OF(X509) * authorities; /* of client certificates; NULL without */
    struct tls_ticket_key ticket_keys[TLS_TICKET_KEYS_MAX];
    uint32_t ticket_key_count;
    EVP_CIPHER *ticket_cipher; /* fetched once: an implicit fetch costs a microsecond */
};

/* tls_bio.c */
int tls_bio_open(struct tls_context *); /* 0 or -ENOMEM */
void tls_bio_close(struct tls_context *);

/* tls_context.c: a host with our rules, its certificates still to come. NULL: OpenSSL failed. */
SSL_CTX *tls_policy_new(struct tls_context *);

/* tls_names.c */
/* Names of a certificate, sorted, each with a NUL behind it; NULL with size 0 when it has none. */
char *tls_names_of(X509 *, size_t *size);
int tls_names_sort(struct tls_context *); /* 0 or -ENOMEM */
/* The host for a name as the client wrote it; -1 when no certificate has it. */
int tls_names_find(const struct tls_context *, const char *name);

/* tls_ticket.c */
void tls_ticket_policy(SSL_CTX *);

#endif
