/* SPDX-License-Identifier: MIT
 * A TLS connection against an OpenSSL client in memory: fed whole and byte by byte, with a lot of
 * room for its output and with hardly any, it has to say the same. */
#include "proto/tls.h"
#include "tap.h"
#include "tls_rig.h"

static struct identity server;
static struct tls_context *context;
static SSL_CTX *client_13, *client_12;
static struct rig rig;

static struct tls_context *load(const struct tls_options *options)
{
    struct tls_context *made = NULL;
    askr_error error = {0};
    struct store store = store_new(options);
    store_identity(&store, &server);
    store_ticket_key(&store, 'a');
    rig_must(tls_context_load(&made, store_text(&store), SLICE("\x08http/1.1"), &error) == 0);
    free(store.data);
    return made;
}

static SSL_CTX *client_new(int version)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(client, version);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(client), server.certificate);
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
    return client;
}

static void fill(char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
}

/* A whole conversation; returns the hash of the server's events. */
static uint64_t converse(SSL_CTX *client, size_t step, size_t room, const char *how)
{
    static char up[100000], down[100000], got[100000];
    fill(up, sizeof up);
    fill(down, sizeof down);
    rig_open(&rig, context, client);
    rig.step = step;
    rig.room = room;
    OK(rig_handshake(&rig) && rig.ready_count == 1, "%s: the handshake completes once", how);
    rig_must(SSL_write(rig.client, up, sizeof up) == (int)sizeof up);
    rig_client_to_server(&rig);
    OK(rig.plain_size == sizeof up && memcmp(rig.plain, up, sizeof up) == 0,
       "%s: 100 kB arrive as they were sent", how);
    rig_server_write(&rig, (struct slice){down, sizeof down});
    size_t size = rig_client_read(&rig, got, sizeof got);
    OK(size == sizeof down && memcmp(got, down, size) == 0, "%s: 100 kB are answered", how);
    SSL_shutdown(rig.client);
    rig_client_to_server(&rig);
    OK(rig.last == TLS_CLOSED, "%s: the client's close_notify is heard", how);
    RIG_WITH_ROOM(&rig, out, tls_close(&rig.server, &out));
    rig_client_read(&rig, got, 1);
    OK(SSL_get_shutdown(rig.client) == (SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN),
       "%s: ours is heard as well", how);
    uint64_t events = rig.events;
    rig_close(&rig);
    return events;
}

static void test_conversations(void)
{
    uint64_t whole = converse(client_13, 0, 0, "TLS 1.3, whole");
    OK(converse(client_13, 1, 0, "TLS 1.3, byte by byte") == whole, "with the same events");
    OK(converse(client_13, 0, 100, "TLS 1.3, 100 bytes of room") == whole, "with the same events");
    OK(converse(client_13, 5, 70, "TLS 1.3, 5 bytes, 70 bytes of room") == whole,
       "with the same events");
    whole = converse(client_12, 0, 0, "TLS 1.2, whole");
    OK(converse(client_12, 1, 0, "TLS 1.2, byte by byte") == whole, "with the same events");
    OK(converse(client_12, 1, 100, "TLS 1.2, 100 bytes of room") == whole, "with the same events");
}

static void test_plaintext_is_noticed_by_its_first_byte(void)
{
    static const char *const openings[] = {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "options",
                                           "\r\n"};
    for (size_t i = 0; i < COUNT_OF(openings); i++) {
        rig_open(&rig, context, client_13);
        rig_deliver(&rig, openings[i], 1);
        OK(rig.last == TLS_PLAINTEXT && rig.sent_size == 0,
           "opening %zu is not TLS, and gets no alert", i);
        rig_close(&rig);
    }
}

static void test_rubbish_is_refused(void)
{
    static const char records[][6] = {"\x16\x03\x01\x00\x05!", "\x17\x03\x03\x00\x01!",
                                      "\x15\x03\x03\x00\x02\x01", "\xff\xff\xff\xff\xff\xff"};
    char block[64] = {0};
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        rig_open(&rig, context, client_13);
        memcpy(block, records[i], sizeof records[i]);
        rig_deliver(&rig, block, sizeof block);
        OK(rig.last == TLS_ERROR && rig.server.error_text != NULL, "rubbish %zu: %s", i,
           rig.server.error_text);
        rig_deliver(&rig, block, sizeof block);
        OK(rig.last == TLS_ERROR, "and said again");
        rig_close(&rig);
    }
}

static void test_a_broken_record_ends_the_connection_with_an_alert(void)
{
    char block[256];
    rig_open(&rig, context, client_13);
    rig_must(rig_handshake(&rig));
    rig_must(SSL_write(rig.client, "hello", 5) == 5);
    int size = BIO_read(SSL_get_wbio(rig.client), block, sizeof block);
    block[size - 1] ^= 1;
    rig_deliver(&rig, block, (size_t)size);
    OK(rig.last == TLS_ERROR && rig.plain_size == 0, "a record with a flipped bit is not read");
    OK(rig.sent_size > 0, "and bad_record_mac is in the output");
    RIG_WITH_ROOM(&rig, out, tls_close(&rig.server, &out));
    OK(rig.last == TLS_NEED_DATA, "there is nothing more to say");
    rig_close(&rig);
}

static void test_an_end_without_close_notify_is_no_close(void)
{
    rig_open(&rig, context, client_13);
    rig_must(rig_handshake(&rig));
    rig_must(SSL_write(rig.client, "GET / HTTP/1.1\r\n", 16) == 16);
    rig_client_to_server(&rig);
    rig_deliver(&rig, "", 0);
    OK(rig.last == TLS_NEED_DATA && rig.plain_size == 16, "the caller can tell a truncation");
    rig_close(&rig);
}

static void test_a_handshake_has_a_limit(void)
{
    /* A ClientHello in many records: its length says 100,000 bytes, and they come one by one. */
    static const char opening[] = {0x16, 3, 1, 0, 5, 1, 0, 0, 100, 0};
    char record[6] = {0x16, 3, 1, 0, 1, 0};
    uint32_t count = 0;
    rig_open(&rig, context, client_13);
    rig_deliver(&rig, opening, sizeof opening);
    while (rig.last == TLS_NEED_DATA && count++ < 200000)
        rig_deliver(&rig, record, sizeof record);
    OK(rig.last == TLS_ERROR && count * sizeof record <= TLS_HANDSHAKE_SIZE_MAX + 64,
       "a hello that does not end is refused after %u bytes", rig.server.handshake_size);
    rig_close(&rig);
}

static void test_old_versions_are_refused(void)
{
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(old, 0);
    SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
    rig_open(&rig, context, old);
    OK(!rig_handshake(&rig) && rig.server.failed, "TLS 1.1: %s", rig.server.error_text);
    rig_close(&rig);
    SSL_CTX_free(old);
    struct tls_context *modern =
        load(&(struct tls_options){.version_min = TLS1_3_VERSION, .ticket_seconds = 3600});
    rig_open(&rig, modern, client_12);
    OK(!rig_handshake(&rig), "TLS 1.2 where the least is 1.3");
    rig_close(&rig);
    tls_context_release(modern);
}

static void test_a_client_may_change_its_keys(void)
{
    char got[8];
    rig_open(&rig, context, client_13);
    rig_must(rig_handshake(&rig));
    rig.room = 70;
    for (int i = 0; i < 50; i++) {
        SSL_key_update(rig.client, SSL_KEY_UPDATE_REQUESTED);
        rig_must(SSL_write(rig.client, "x", 1) == 1);
        rig_client_to_server(&rig);
        rig_server_write(&rig, SLICE("y"));
        rig_must(rig_client_read(&rig, got, sizeof got) == 1);
    }
    OK(rig.plain_size == 50, "fifty times, and we follow");
    rig_close(&rig);
}

static void test_renegotiation_is_refused(void)
{
    char got[8];
    rig_open(&rig, context, client_12);
    rig_must(rig_handshake(&rig));
    SSL_renegotiate(rig.client);
    SSL_do_handshake(rig.client);
    rig_client_to_server(&rig);
    rig_client_read(&rig, got, sizeof got);
    OK(rig.ready_count == 1, "a second handshake does not happen");
    rig_close(&rig);
}

static void test_a_context_outlives_its_successor(void)
{
    struct tls_context *first =
        load(&(struct tls_options){.version_min = TLS1_2_VERSION, .ticket_seconds = 3600});
    rig_open(&rig, first, client_13);
    rig_must(rig_handshake(&rig));
    tls_context_release(first);
    rig_must(SSL_write(rig.client, "still here", 10) == 10);
    rig_client_to_server(&rig);
    OK(rig.plain_size == 10, "a connection goes on when its context has been replaced");
    rig_close(&rig);
}

int main(void)
{
    server = identity_new("EC", "localhost", "DNS:localhost", NULL);
    context = load(&(struct tls_options){.version_min = TLS1_2_VERSION, .ticket_seconds = 3600});
    client_13 = client_new(TLS1_3_VERSION);
    client_12 = client_new(TLS1_2_VERSION);
    test_conversations();
    test_plaintext_is_noticed_by_its_first_byte();
    test_rubbish_is_refused();
    test_a_broken_record_ends_the_connection_with_an_alert();
    test_an_end_without_close_notify_is_no_close();
    test_a_handshake_has_a_limit();
    test_old_versions_are_refused();
    test_a_client_may_change_its_keys();
    test_renegotiation_is_refused();
    test_a_context_outlives_its_successor();
    SSL_CTX_free(client_13);
    SSL_CTX_free(client_12);
    tls_context_release(context);
    identity_free(&server);
    return TAP_END();
}
