/* SPDX-License-Identifier: MIT
 * TLS 1.2 and 1.3, sans-IO, over OpenSSL: ciphertext in, plaintext out, and back. Owns no fd and
 * reads no clock; OpenSSL allocates, we do not per connection.
 *
 * Happy path: tls_next() with what was received until it says TLS_NEED_DATA: TLS_READY once, then
 * TLS_DATA for each record; tls_write() for what is to be sent; tls_close() before the connection
 * is closed. Each call works on what it is lent: input is consumed, `out` is filled with what has
 * to be sent, in that order. One call does at most one flight of a handshake (one signature, one
 * key exchange) or reads one record, so the caller decides how many of them a turn of its loop can
 * bear.
 *
 * Failure modes: TLS_ERROR (`error_text` says why; `out` may hold an alert: send it, then close),
 * TLS_PLAINTEXT (the peer does not speak TLS: nothing was consumed, answer in clear text),
 * TLS_CLOSED (the peer said that it is done; an end of stream without it is a truncation). */
#ifndef ASKR_TLS_H
#define ASKR_TLS_H

#include "base/http.h"

enum {
    TLS_RECORD_SIZE_MAX = 16384,  /* plaintext of one record, RFC 8446 section 5.1 */
    TLS_RECORD_OVERHEAD_MAX = 64, /* header, explicit nonce or type byte, and tag: 29 at most */
    TLS_HANDSHAKE_SIZE_MAX =
        65536,                     /* from the peer; a chain of client certificates is 4 to 8 KiB */
    TLS_CHAIN_SIZE_MAX = 32768,    /* of client certificates; OpenSSL would take 100 KiB */
    TLS_CHAIN_DEPTH_MAX = 5,       /* certificates between the client's and the authority's */
    TLS_KEY_RECORDS_MAX = 1 << 23, /* then a new key: RFC 8446 section 5.5 allows 2^24.5 of GCM */
    TLS_ALPN_SIZE_MAX = 64,        /* the list of protocols in wire format */
    TLS_HOSTS_MAX = 256,           /* groups of certificates for the same names */
    TLS_NAME_SIZE_MAX = 255,       /* RFC 1035 section 2.3.4 */
    TLS_TICKET_KEYS_MAX = 4,
    TLS_FACTS_MAX = 12, /* what tls_describe() has to say */
    TLS_FACTS_SIZE_MAX = 4096,
    TLS_STORE_SIZE_MAX = 4 << 20, /* certificates and keys of all sites: 256 of 4 KiB and more */
};

enum tls_client_auth { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/* Records of a store: what the supervisor hands over in a sealed memfd. A store begins with
 * TLS_STORE_MAGIC; each record is a struct tls_record, in the byte order of this machine, and
 * `size` bytes. Python writes it (askrctl/server/tls_store.py). */
enum tls_record_kind {
    TLS_RECORD_OPTIONS = 1,     /* struct tls_options */
    TLS_RECORD_CERTIFICATE = 2, /* PEM: the certificate, then its chain */
    TLS_RECORD_KEY = 3,         /* PEM, not encrypted: of the certificate before it */
    TLS_RECORD_CLIENT_CA = 4,   /* PEM: authorities of client certificates */
    TLS_RECORD_TICKET_KEY = 5,  /* struct tls_ticket_key; the first one seals, all open */
};

#define TLS_STORE_MAGIC "ASKRTLS1"

struct tls_record {
    uint32_t kind, size;
};

struct tls_options {
    uint32_t version_min;    /* 0x0303 or 0x0304 */
    uint32_t client_auth;    /* enum tls_client_auth */
    uint32_t strict_names;   /* refuse a name that no certificate has; else the first is shown */
    uint32_t ticket_seconds; /* how long a session can be resumed */
};

struct tls_ticket_key {
    uint8_t name[16], cipher_key[32], mac_key[32];
};

struct tls_context; /* certificates, keys and rules; immutable; lives as long as its last user */

struct tls_buffer { /* filled from data[size] on */
    char *data;
    size_t size, capacity;
};

enum tls_event {
    TLS_NEED_DATA, /* all input is consumed; or, for tls_write() and tls_close(): done */
    TLS_NEED_ROOM, /* `out` is full: send it, and call again with the same input */
    TLS_READY,     /* the handshake is complete: once */
    TLS_DATA,      /* `plain` has grown by the bytes of one record */
    TLS_CLOSED,
    TLS_PLAINTEXT,
    TLS_ERROR,
};

struct tls { /* one connection */
    struct ssl_st *ssl;
    struct tls_context *context;
    const char *error_text;  /* a constant of OpenSSL's or ours */
    uint32_t handshake_size; /* bytes received for it */
    uint32_t record_count;   /* sent under this key */
    uint16_t pending;        /* bytes of a record that waits for room */
    bool begun, ready, failed, finished;
};

/* `alpn`: protocols in the order we prefer, each with its size in front ("\x02h2\x08http/1.1").
 * 0, or -errno with a sentence. The caller holds one use. */
int tls_context_load(struct tls_context **out, struct slice store, struct slice alpn, askr_error *);
void tls_context_retain(struct tls_context *);
void tls_context_release(struct tls_context *);
enum tls_client_auth tls_context_client_auth(const struct tls_context *);

/* 0 or -ENOMEM. */
int tls_open(struct tls *, struct tls_context *);
void tls_free(struct tls *);
/* The next event of the peer's. `plain` needs room for a byte at least, for TLS_RECORD_SIZE_MAX
 * best.
 */
enum tls_event tls_next(struct tls *, struct slice *input, struct tls_buffer *out,
                        struct tls_buffer *plain);
/* Encrypt what fits into one record and into `out`; `plain` shrinks by it. TLS_NEED_DATA when it
 * did, TLS_NEED_ROOM when `out` has not TLS_RECORD_OVERHEAD_MAX bytes to spare. */
enum tls_event tls_write(struct tls *, struct slice *plain, struct tls_buffer *out);
/* Say close_notify, once; nothing can be written afterwards. */
enum tls_event tls_close(struct tls *, struct tls_buffer *out);

/* Once ready: did the client resume a session? */
bool tls_resumed(const struct tls *);
/* Once ready: what ALPN chose, or empty. */
struct slice tls_alpn(const struct tls *);
/* Once ready: SSL_PROTOCOL, SSL_CIPHER, SSL_CLIENT_VERIFY and its kin, as CGI variables. Values lie
 * in `text`. Returns how many. */
size_t tls_describe(const struct tls *, struct http_field fields[static TLS_FACTS_MAX],
                    struct tls_buffer *text);

#endif
