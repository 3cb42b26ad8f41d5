/* SPDX-License-Identifier: MIT
 * Invariant: whatever records a peer sends, and however they are split, a TLS connection consumes
 * what it is lent or fails for good, stays within its limits, and says the same.
 *
 * The first byte chooses: bit 0 shakes hands first, so that the rest arrives at a connection that
 * is ready; bit 1 asks for a client certificate; bit 2 puts each of the input's parts into an
 * encrypted record of the client's, so that what is inside is read. What follows is what the peer
 * sends. */
#include "../tests/engine/tls_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { READY_FIRST = 1, ASK = 2, ENCRYPTED = 4, INPUT_SIZE_MAX = 1 << 16 };

static struct tls_context *contexts[2];
static SSL_CTX *client;

static struct tls_context *context_new(const struct identity *server, enum tls_client_auth mode)
{
    struct tls_options options = {
        .version_min = TLS1_2_VERSION, .client_auth = mode, .ticket_seconds = 3600};
    struct tls_context *made = NULL;
    askr_error error;
    struct store store = store_new(&options);
    store_identity(&store, server);
    store_certificate(&store, TLS_RECORD_CLIENT_CA, server);
    store_ticket_key(&store, 'a');
    rig_must(tls_context_load(&made, store_text(&store), SLICE("\x08http/1.1"), &error) == 0);
    free(store.data);
    return made;
}

static void prepare(void)
{
    struct identity server = identity_new("EC", "localhost", "DNS:localhost", NULL);
    contexts[0] = context_new(&server, TLS_CLIENT_OFF);
    contexts[1] = context_new(&server, TLS_CLIENT_OPTIONAL);
    client = SSL_CTX_new(TLS_client_method());
    identity_free(&server);
}

struct verdict {
    uint64_t events;
    size_t plain_size;
    enum tls_event last;
};

static struct verdict feed(struct rig *rig, uint8_t choice, struct slice input, size_t step)
{
    rig_open(rig, contexts[(choice & ASK) != 0], client);
    rig->step = step;
    if (choice & READY_FIRST)
        rig_must(rig_handshake(rig));
    if ((choice & READY_FIRST) && (choice & ENCRYPTED)) {
        if (input.size > 0)
            rig_must(SSL_write(rig->client, input.data, (int)input.size) == (int)input.size);
        rig_client_to_server(rig);
        rig_must(rig->last == TLS_NEED_DATA && rig->plain_size == input.size);
        rig_must(memcmp(rig->plain, input.data, input.size) == 0);
    } else {
        for (size_t at = 0, size; at < input.size; at += size) {
            size = step == 0 ? input.size : size_min(step, input.size - at);
            rig_deliver(rig, input.data + at, size);
            if (rig->last != TLS_NEED_DATA)
                break;
        }
        /* Without its keys a peer gets nothing through. */
        rig_must(rig->plain_size == 0);
        rig_must((rig->last == TLS_ERROR) == rig->server.failed);
    }
    rig_must(rig->server.handshake_size <= TLS_HANDSHAKE_SIZE_MAX + INPUT_SIZE_MAX);
    struct verdict verdict = {rig->events, rig->plain_size, rig->last};
    rig_close(rig);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig;
    if (contexts[0] == NULL)
        prepare();
    if (size == 0 || size > INPUT_SIZE_MAX)
        return 0;
    struct slice input = {(const char *)data + 1, size - 1};
    struct verdict whole = feed(&rig, data[0], input, 0);
    struct verdict split = feed(&rig, data[0], input, size < 2048 ? 1 : 97);
    rig_must(whole.events == split.events && whole.plain_size == split.plain_size);
    rig_must(whole.last == split.last);
    return 0;
}
