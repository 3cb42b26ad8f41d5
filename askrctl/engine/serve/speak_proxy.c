/* SPDX-License-Identifier: MIT
 * The head of the PROXY protocol as the first thing a connection speaks (speak_proxy.h). */
#include "serve/speak_proxy.h"

#include "serve/per_address.h"
#include "serve/protocol.h"
#include "serve/secure.h"
#include "serve/worker.h"

bool proxy_admits(struct worker *worker, const struct sockaddr *peer, uint32_t flags)
{
    if (LIKELY(!(flags & ASKR_LISTENER_PROXY)))
        return true;
    struct address address = address_of(peer);
    if (trust_has(worker, &address))
        return true;
    worker->status->proxy_refused++;
    return false;
}

struct proxied *proxied_of(struct conn *conn)
{
    assert(conn->proxied);
    size_t size = conn->has_tls ? sizeof(struct secure) : sizeof(struct conn);
    return (struct proxied *)((char *)conn + size);
}

const struct own_address *conn_own(struct conn *conn)
{
    if (UNLIKELY(conn->proxied) && proxied_of(conn)->own.address.family != 0)
        return &proxied_of(conn)->own;
    return address_own(&conn->worker->own_addresses, conn->fd, &conn->own);
}

bool conn_is_https(struct conn *conn)
{
    return conn->secure || (UNLIKELY(conn->proxied) && proxied_of(conn)->secure);
}

static struct address address_told(uint8_t family, const struct proxy_end *end)
{
    struct address address = {.family = family == PROXY_INET ? AF_INET : AF_INET6,
                              .port = end->port};
    memcpy(address.bytes, end->bytes, sizeof address.bytes);
    address_unmap(&address);
    return address;
}

/* False: the client has its share of connections already. */
static bool believe(struct conn *conn, const struct proxy_head *head)
{
    struct proxied *proxied = proxied_of(conn);
    proxied->secure = head->secure;
    if (head->family == PROXY_NONE)
        return true;
    conn->peer = address_told(head->family, &head->source);
    proxied->own.address = address_told(head->family, &head->target);
    proxied->own.text = address_format(&proxied->own.address);
    if (!per_address_admits(conn->worker, &conn->peer))
        return false;
    per_address_enter(conn);
    return true;
}

/* From here on it is a connection like any other, and these are its first bytes. */
static void go_on(struct conn *conn, struct slice *input)
{
    conn->protocol = &protocol_h1;
    if (!conn->has_tls) {
        if (input->size > 0)
            conn->protocol->receive(conn, input);
        return;
    }
    struct slice rest = *input;
    conn->secure = true;
    conn->worker->status->bytes_in -= rest.size; /* TLS counts what is inside */
    input->size = 0;
    if (rest.size > 0)
        secure_receive(conn, rest);
}

static void receive(struct conn *conn, struct slice *input)
{
    struct proxy_head head;
    switch (proxy_read(input, &head)) {
    case PROXY_NEED_DATA:
        break;
    case PROXY_DONE:
        if (believe(conn, &head))
            go_on(conn, input);
        else
            conn_close(conn);
        break;
    case PROXY_ERROR:
        conn->worker->status->proxy_refused++;
        conn_close(conn);
        break;
    }
}

static bool may_receive(const struct conn *conn)
{
    return !conn->close;
}

/* A head that is cut off by the end of the stream is nobody's request. */
static bool busy(const struct conn *conn)
{
    (void)conn;
    return true;
}

static enum conn_wait waits_for(const struct conn *conn)
{
    (void)conn;
    return CONN_PROXY;
}

static void timed_out(struct conn *conn, enum conn_wait wait)
{
    (void)wait;
    conn->worker->status->timeouts++;
    conn_close(conn);
}

static void drain(struct conn *conn, bool grace_over)
{
    if (grace_over)
        conn_close(conn);
}

/* What TLS has of it already is freed as if it had begun. */
static void abandon(struct conn *conn)
{
    conn->secure = conn->has_tls;
}

const struct protocol protocol_proxy = {
    .name = "PROXY",
    .receive = receive,
    .may_receive = may_receive,
    .busy = busy,
    .waits_for = waits_for,
    .timed_out = timed_out,
    .drain = drain,
    .abandon = abandon,
};
