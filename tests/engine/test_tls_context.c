/* SPDX-License-Identifier: MIT
 * What a context decides: which certificate is shown to whom, which protocol, who may resume, and
 * what of a client's certificate reaches an application; and which stores it refuses. */
#include "tap.h"
#include "tls_rig.h"

static struct rig rig;
static struct identity authority, first_ecdsa, first_rsa, other, wild;
static const struct tls_options plain_options = {.version_min = TLS1_2_VERSION,
                                                 .ticket_seconds = 3600};

static struct tls_context *load(struct store *store, struct slice alpn)
{
    struct tls_context *made = NULL;
    askr_error error = {0};
    if (tls_context_load(&made, store_text(store), alpn, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    free(store->data);
    return made;
}

static struct tls_context *sites(bool strict)
{
    struct tls_options options = plain_options;
    options.strict_names = strict;
    struct store store = store_new(&options);
    store_identity(&store, &first_rsa);
    store_identity(&store, &first_ecdsa);
    store_identity(&store, &other);
    store_identity(&store, &wild);
    return load(&store, SLICE(""));
}

static SSL_CTX *client_new(int version)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(client, version);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(client), authority.certificate);
    return client;
}

/* Shake hands asking for `name`; which of ours was shown? NULL: no handshake. */
static const struct identity *shown_to(struct tls_context *context, SSL_CTX *client,
                                       const char *name)
{
    const struct identity *all[] = {&first_rsa, &first_ecdsa, &other, &wild};
    const struct identity *found = NULL;
    rig_open(&rig, context, client);
    if (name != NULL)
        SSL_set_tlsext_host_name(rig.client, name);
    if (rig_handshake(&rig))
        for (size_t i = 0; i < COUNT_OF(all); i++)
            if (X509_cmp(SSL_get0_peer_certificate(rig.client), all[i]->certificate) == 0)
                found = all[i];
    rig_close(&rig);
    return found;
}

static void test_names(void)
{
    struct tls_context *context = sites(false);
    SSL_CTX *client = client_new(TLS1_3_VERSION);
    OK(shown_to(context, client, "other.example") == &other, "a name gets its certificate");
    OK(shown_to(context, client, "OTHER.example") == &other, "case does not matter");
    OK(shown_to(context, client, "a.wild.example") == &wild, "a wildcard stands for one label");
    OK(shown_to(context, client, "a.b.wild.example") == &first_ecdsa, "and for one only");
    OK(shown_to(context, client, "wild.example") == &first_ecdsa, "and not for none");
    OK(shown_to(context, client, "unknown.example") == &first_ecdsa,
       "an unknown name gets the first certificate");
    OK(shown_to(context, client, NULL) == &first_ecdsa, "and so does no name");
    OK(shown_to(context, client, "x") == &first_ecdsa, "a name without a dot is no trouble");
    tls_context_release(context);
    context = sites(true);
    OK(shown_to(context, client, "unknown.example") == NULL,
       "where names are strict an unknown one is refused");
    OK(shown_to(context, client, "other.example") == &other, "and a known one is not");
    OK(shown_to(context, client, NULL) != NULL, "and neither is a client that names none");
    tls_context_release(context);
    SSL_CTX_free(client);
}

static void test_key_types(void)
{
    struct tls_context *context = sites(false);
    SSL_CTX *client = client_new(TLS1_3_VERSION), *old = client_new(TLS1_2_VERSION);
    OK(shown_to(context, client, "first.example") == &first_ecdsa,
       "of two certificates for a name a modern client gets the ECDSA one");
    SSL_CTX_set1_sigalgs_list(client, "RSA-PSS+SHA256");
    OK(shown_to(context, client, "first.example") == &first_rsa, "and one without ECDSA gets RSA");
    SSL_CTX_set_cipher_list(old, "ECDHE-RSA-AES128-GCM-SHA256");
    OK(shown_to(context, old, "first.example") == &first_rsa, "also by its TLS 1.2 ciphers");
    SSL_CTX_set_cipher_list(old, "ECDHE-RSA-AES128-SHA");
    OK(shown_to(context, old, "first.example") == NULL, "a CBC cipher is not spoken");
    SSL_CTX_set_cipher_list(old, "AES128-GCM-SHA256");
    OK(shown_to(context, old, "first.example") == NULL, "static RSA is not spoken");
    tls_context_release(context);
    SSL_CTX_free(client);
    SSL_CTX_free(old);
}

static void test_alpn(void)
{
    static const unsigned char both[] = "\x08http/1.1\x02h2", strange[] = "\x03xyz";
    struct store store = store_new(&plain_options);
    store_identity(&store, &other);
    struct tls_context *context = load(&store, SLICE("\x02h2\x08http/1.1"));
    SSL_CTX *client = client_new(TLS1_3_VERSION);
    rig_open(&rig, context, client);
    OK(rig_handshake(&rig) && tls_alpn(&rig.server).size == 0, "no ALPN asked, none chosen");
    rig_close(&rig);
    SSL_CTX_set_alpn_protos(client, both, sizeof both - 1);
    rig_open(&rig, context, client);
    OK(rig_handshake(&rig) && slice_equals(tls_alpn(&rig.server), SLICE("h2")),
       "our order decides, and the result is on the connection");
    rig_close(&rig);
    SSL_CTX_set_alpn_protos(client, strange, sizeof strange - 1);
    rig_open(&rig, context, client);
    OK(!rig_handshake(&rig), "no protocol in common: no_application_protocol");
    rig_close(&rig);
    tls_context_release(context);
    SSL_CTX_free(client);
}

static SSL_SESSION *session_of_client;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(session_of_client);
    session_of_client = session;
    return 1;
}

static struct tls_context *with_keys(const char *fills)
{
    struct store store = store_new(&plain_options);
    store_identity(&store, &other);
    for (; *fills != '\0'; fills++)
        store_ticket_key(&store, *fills);
    return load(&store, SLICE(""));
}

/* A handshake and a read, so that tickets of TLS 1.3 arrive. Was the session resumed? */
static bool visit(struct tls_context *context, SSL_CTX *client, bool resume)
{
    char byte;
    rig_open(&rig, context, client);
    if (resume)
        SSL_set_session(rig.client, session_of_client);
    rig_must(rig_handshake(&rig));
    rig_server_write(&rig, SLICE("x"));
    rig_must(rig_client_read(&rig, &byte, 1) == 1);
    bool reused = SSL_session_reused(rig.client) == 1;
    if (SSL_version(rig.client) == TLS1_2_VERSION) /* says nothing of a ticket that was renewed */
        keep_session(rig.client, SSL_get1_session(rig.client));
    SSL_shutdown(rig.client);
    rig_close(&rig);
    return reused;
}

static void test_resumption(int version, const char *name)
{
    struct tls_context *one = with_keys("ab"), *two = with_keys("ab"), *rotated = with_keys("ca"),
                       *strange = with_keys("xy"), *none = with_keys("");
    SSL_CTX *client = client_new(version);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    OK(!visit(one, client, false) && session_of_client != NULL, "%s: a ticket is given", name);
    OK(SSL_SESSION_get_ticket_lifetime_hint(session_of_client) == 3600, "%s: for an hour", name);
    OK(SSL_SESSION_get_max_early_data(session_of_client) == 0, "%s: without early data", name);
    OK(visit(two, client, true), "%s: another worker with the same keys resumes", name);
    OK(visit(rotated, client, true), "%s: an older key still opens", name);
    OK(visit(rotated, client, true), "%s: and the ticket has been renewed", name);
    OK(!visit(strange, client, true), "%s: a ticket under other keys is a full handshake", name);
    OK(visit(strange, client, true), "%s: which brings a new ticket", name);
    OK(!visit(none, client, true), "%s: without keys nothing is resumed", name);
    struct tls_context *all[] = {one, two, rotated, strange, none};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        tls_context_release(all[i]);
    SSL_SESSION_free(session_of_client);
    session_of_client = NULL;
    SSL_CTX_free(client);
}

/* The authority stands so many times in its file. */
static struct tls_context *asking_again(enum tls_client_auth mode, const struct identity *trusted,
                                        int times)
{
    struct tls_options options = plain_options;
    options.client_auth = mode;
    struct store store = store_new(&options);
    BIO *bio = BIO_new(BIO_s_mem());
    store_identity(&store, &other);
    for (int i = 0; i < times; i++)
        PEM_write_bio_X509(bio, trusted->certificate);
    store_printed(&store, TLS_RECORD_CLIENT_CA, bio);
    store_ticket_key(&store, 'a');
    return load(&store, SLICE(""));
}

static struct tls_context *asking(enum tls_client_auth mode, const struct identity *trusted)
{
    return asking_again(mode, trusted, 1);
}

static struct slice fact(const struct http_field *facts, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equals(facts[i].name, slice_of(name)))
            return facts[i].value;
    return (struct slice){NULL, 0};
}

static struct slice describe(const char *name)
{
    static char text[TLS_FACTS_SIZE_MAX];
    struct http_field facts[TLS_FACTS_MAX];
    struct tls_buffer buffer = {text, 0, sizeof text};
    return fact(facts, tls_describe(&rig.server, facts, &buffer), name);
}

/* The server learns of a refused certificate after the client thinks that all is well in TLS 1.3.
 */
static bool both_agree(void)
{
    char byte;
    bool done = rig_handshake(&rig);
    if (done)
        rig_client_read(&rig, &byte, 1);
    return done && !rig.server.failed;
}

static void test_client_certificates(void)
{
    struct identity person = identity_new("EC", "Ada, Countess", NULL, &authority);
    struct identity stranger = identity_new("EC", "Eve", NULL, NULL);
    SSL_CTX *bare = client_new(TLS1_3_VERSION), *known = client_new(TLS1_3_VERSION),
            *unknown = client_new(TLS1_3_VERSION);
    rig_must(SSL_CTX_use_cert_and_key(known, person.certificate, person.key, NULL, 1) == 1);
    rig_must(SSL_CTX_use_cert_and_key(unknown, stranger.certificate, stranger.key, NULL, 1) == 1);
    struct tls_context *optional = asking(TLS_CLIENT_OPTIONAL, &authority),
                       *required = asking(TLS_CLIENT_REQUIRED, &authority);
    rig_open(&rig, optional, bare);
    OK(both_agree() && slice_equals(describe("SSL_CLIENT_VERIFY"), SLICE("NONE")),
       "optional: none is fine");
    OK(describe("SSL_CLIENT_S_DN").size == 0, "and nobody is named");
    OK(slice_equals(describe("SSL_PROTOCOL"), SLICE("TLSv1.3")), "the protocol is");
    rig_close(&rig);
    rig_open(&rig, required, bare);
    OK(!both_agree(), "required: none is refused: %s", rig.server.error_text);
    rig_close(&rig);
    rig_open(&rig, required, known);
    OK(both_agree() && slice_equals(describe("SSL_CLIENT_VERIFY"), SLICE("SUCCESS")),
       "required: one by the authority is let in");
    OK(slice_equals(describe("SSL_CLIENT_S_DN"), SLICE("CN=Ada\\, Countess,O=Askr")),
       "with its subject, escaped");
    OK(slice_equals(describe("SSL_CLIENT_I_DN"), SLICE("CN=Authority,O=Askr")), "its issuer");
    OK(describe("SSL_CLIENT_M_SERIAL").size > 0 && describe("SSL_CLIENT_V_END").size > 0 &&
           describe("SSL_CLIENT_FINGERPRINT").size == 64,
       "its serial, its dates and its fingerprint");
    rig_close(&rig);
    rig_open(&rig, optional, unknown);
    OK(!both_agree(), "one by nobody we know is refused, optional or not: %s",
       rig.server.error_text);
    rig_close(&rig);
    tls_context_release(optional);
    tls_context_release(required);
    SSL_CTX_free(bare);
    SSL_CTX_free(known);
    SSL_CTX_free(unknown);
    identity_free(&person);
    identity_free(&stranger);
}

static void test_resumption_keeps_to_its_authority(int times)
{
    struct identity person = identity_new("EC", "Ada", NULL, &authority);
    SSL_CTX *client = client_new(TLS1_3_VERSION);
    rig_must(SSL_CTX_use_cert_and_key(client, person.certificate, person.key, NULL, 1) == 1);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    struct tls_context *here = asking_again(TLS_CLIENT_REQUIRED, &authority, times),
                       *there = asking_again(TLS_CLIENT_REQUIRED, &wild, times);
    rig_must(!visit(here, client, false));
    SSL_SESSION *another = SSL_SESSION_dup(session_of_client); /* one that was used is spent */
    rig_open(&rig, here, client);
    SSL_set_session(rig.client, session_of_client);
    OK(both_agree() && SSL_session_reused(rig.client) &&
           slice_equals(describe("SSL_CLIENT_VERIFY"), SLICE("SUCCESS")) &&
           slice_equals(describe("SSL_CLIENT_S_DN"), SLICE("CN=Ada,O=Askr")),
       "a resumed session still knows its client");
    rig_close(&rig);
    rig_open(&rig, there, client);
    SSL_set_session(rig.client, another);
    OK(!both_agree(), "and does not pass where another authority is asked for, named %d times",
       times);
    rig_close(&rig);
    tls_context_release(here);
    tls_context_release(there);
    SSL_SESSION_free(another);
    SSL_SESSION_free(session_of_client);
    session_of_client = NULL;
    SSL_CTX_free(client);
    identity_free(&person);
}

static void refuse(struct store *store, size_t size, const char *what)
{
    struct tls_context *made = NULL;
    askr_error error = {0};
    int result = tls_context_load(&made, (struct slice){store->data, size}, SLICE(""), &error);
    OK(result < 0 && made == NULL && error.text[0] != '\0', "%s: %s", what, error.text);
}

static void test_stores_that_are_refused(void)
{
    struct store good = store_new(&plain_options), empty = store_new(&plain_options);
    struct store mixed = store_new(&plain_options), rubbish = store_new(&plain_options);
    struct identity half = {other.certificate, wild.key};
    store_identity(&good, &other);
    refuse(&good, 4, "no magic");
    size_t accepted = 0;
    for (size_t size = 0; size < good.size; size++) {
        struct tls_context *made = NULL;
        askr_error error;
        accepted +=
            tls_context_load(&made, (struct slice){good.data, size}, SLICE(""), &error) == 0;
    }
    OK(accepted == 0, "a store cut anywhere is refused");
    refuse(&empty, empty.size, "no certificate");
    store_identity(&mixed, &half);
    refuse(&mixed, mixed.size, "a key of another certificate");
    store_certificate(&rubbish, TLS_RECORD_CERTIFICATE, &other);
    store_record(&rubbish, TLS_RECORD_KEY, "-----BEGIN PRIVATE KEY-----", 27);
    refuse(&rubbish, rubbish.size, "a key that is none");
    free(good.data);
    free(empty.data);
    free(mixed.data);
    free(rubbish.data);
}

int main(void)
{
    authority = identity_new("EC", "Authority", NULL, NULL);
    first_ecdsa = identity_new("EC", "x", "DNS:www.first.example,DNS:first.example", &authority);
    first_rsa = identity_new("RSA", "y", "DNS:first.example,DNS:www.first.example", &authority);
    other = identity_new("EC", "z", "DNS:Other.example", &authority);
    wild = identity_new("EC", "w", "DNS:*.wild.example,IP:127.0.0.1", &authority);
    test_names();
    test_key_types();
    test_alpn();
    test_resumption(TLS1_3_VERSION, "TLS 1.3");
    test_resumption(TLS1_2_VERSION, "TLS 1.2");
    test_client_certificates();
    test_resumption_keeps_to_its_authority(1);
    test_resumption_keeps_to_its_authority(2);
    test_stores_that_are_refused();
    struct identity *all[] = {&authority, &first_ecdsa, &first_rsa, &other, &wild};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        identity_free(all[i]);
    return TAP_END();
}
