/* SPDX-License-Identifier: MIT
 * The small functions of the public surface (api.cdef.h); the large one is in worker.c. */
#include <errno.h>

#include "app/port.h"
#include "base/histogram.h"
#include "io/io.h"
#include "proto/otlp.h"
#include "proto/span.h"
#include "proto/tls.h"

const char *askr_version(void)
{
    return ASKR_VERSION;
}

int askr_io_built(enum askr_io_id id)
{
#ifdef ASKR_HAVE_LIBURING
    bool uring = true;
#else
    bool uring = false;
#endif
    return id == ASKR_IO_EPOLL || id == ASKR_IO_SIM || (id == ASKR_IO_URING && uring);
}

int askr_io_try(enum askr_io_id id, askr_error *error)
{
    struct io io;
    struct io_options options = {0};
    int result = io_init(&io, id, &options, error);
    if (result == 0)
        io_fini(&io);
    return result;
}

int askr_http2_built(void)
{
#ifdef ASKR_HAVE_NGHTTP2
    return 1;
#else
    return 0;
#endif
}

int askr_tls_built(void)
{
#ifdef ASKR_HAVE_TLS
    return 1;
#else
    return 0;
#endif
}

int askr_tls_check(const void *store, size_t size, askr_error *error)
{
#ifdef ASKR_HAVE_TLS
    struct tls_context *context;
    int result = tls_context_load(&context, (struct slice){store, size}, SLICE(""), error);
    if (result == 0)
        tls_context_release(context);
    return result;
#else
    (void)store;
    (void)size;
    return askr_fail(error, ENOSYS, "askrctl was built without TLS");
#endif
}

_Static_assert((int)ASKR_SPANS_SIZE_MAX == (int)TRACE_BATCH_SIZE, "the exporter's buffer");
_Static_assert((int)ASKR_OTLP_SIZE_MAX == (int)OTLP_SIZE_MAX, "the exporter's buffer");

int64_t askr_spans_encode(const void *batch, size_t size, uint8_t *otlp, uint32_t *count)
{
    return otlp_encode((struct slice){batch, size}, otlp, count);
}

size_t askr_port_size(void)
{
    return port_shm_size();
}
