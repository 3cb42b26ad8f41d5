/* SPDX-License-Identifier: MIT
 * The small functions of the public surface (api.cdef.h); the large one is in worker.c. */
#include "app/port.h"
#include "io/io.h"

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

size_t askr_port_size(void)
{
    return port_shm_size();
}
