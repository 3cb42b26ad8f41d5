/* SPDX-License-Identifier: MIT
 * Stands in for secure.c in a build without OpenSSL: no connection is ever secure, and a worker
 * that is told to listen with TLS says why it cannot. */
#include <errno.h>
#include <unistd.h>

#include "serve/secure.h"
#include "serve/worker.h"

int secure_load(struct worker *worker, int fd, askr_error *error)
{
    (void)worker;
    close(fd);
    return askr_fail(error, ENOSYS, "askrctl was built without TLS");
}

int secure_open(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    for (uint32_t i = 0; i < config->listener_count && i < ASKR_LISTENERS_MAX; i++)
        if (config->listener_flags[i] & ASKR_LISTENER_TLS)
            return askr_fail(error, ENOSYS, "askrctl was built without TLS");
    return 0;
}

void secure_close(struct worker *worker)
{
    (void)worker;
}

void secure_turn(struct worker *worker)
{
    assert(worker->handshakes == NULL);
}

struct conn *secure_new(struct worker *worker, size_t extra)
{
    (void)worker;
    (void)extra;
    return NULL;
}

void secure_fini(struct conn *conn)
{
    assert(!conn->secure);
}

void secure_receive(struct conn *conn, struct slice bytes)
{
    (void)bytes;
    assert(!conn->secure);
}

void secure_end(struct conn *conn)
{
    assert(!conn->secure);
}

bool secure_say_goodbye(struct conn *conn)
{
    assert(!conn->secure);
    return false;
}

void secure_flush(struct output *output)
{
    (void)output;
}
