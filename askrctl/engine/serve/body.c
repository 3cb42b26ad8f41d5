/* SPDX-License-Identifier: MIT
 * A request body on its way to an application: in memory up to BODY_MEMORY_MAX, then all of it in
 * an unnamed temporary file, so that a slow upload holds neither an interpreter nor memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/exchange.h"

void body_init(struct body *body)
{
    *body = (struct body){.fd = -1};
}

void body_free(struct body *body)
{
    free(body->memory);
    if (body->fd >= 0)
        close(body->fd);
    body_init(body);
}

static int write_at(int fd, struct slice bytes, int64_t offset)
{
    while (bytes.size > 0) {
        ssize_t size = pwrite(fd, bytes.data, bytes.size, offset);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        offset += size;
        bytes.data += size;
        bytes.size -= (size_t)size;
    }
    return 0;
}

/* Move what is in memory to a file. */
static int spool(struct body *body, const char *temp_dir)
{
    body->fd = open(temp_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (body->fd < 0)
        return -errno;
    int result = write_at(body->fd, (struct slice){body->memory, (size_t)body->size}, 0);
    free(body->memory);
    body->memory = NULL;
    return result;
}

int body_append(struct body *body, struct slice bytes, size_t memory_max, const char *temp_dir)
{
    if (bytes.size == 0)
        return 0;
    int64_t size = body->size + (int64_t)bytes.size;
    assert(memory_max <= BODY_MEMORY_MAX);
    if (body->fd < 0 && size <= (int64_t)memory_max) {
        /* Grown in steps of a power of two: most bodies are one small form. */
        size_t step = size <= 4096 ? 4096 : BODY_MEMORY_MAX;
        if (body->memory == NULL || (body->size <= 4096 && step > 4096)) {
            char *memory = realloc(body->memory, step);
            if (memory == NULL)
                return -ENOMEM;
            body->memory = memory;
        }
        memcpy(body->memory + body->size, bytes.data, bytes.size);
        body->size = size;
        return 0;
    }
    int result = body->fd < 0 ? spool(body, temp_dir) : 0;
    if (result == 0)
        result = write_at(body->fd, bytes, body->size);
    body->size = size;
    return result;
}

int body_feed(struct body *body, struct port *port)
{
    char block[16384];
    while (body->fed < body->size) {
        size_t room = port_body_room(port);
        if (room == 0)
            return 0;
        size_t size = size_min(room, (size_t)(body->size - body->fed));
        if (body->fd < 0) {
            port_body_write(port, (struct slice){body->memory + body->fed, size});
            body->fed += (int64_t)size;
            continue;
        }
        ssize_t got = pread(body->fd, block, size_min(size, sizeof block), body->fed);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        port_body_write(port, (struct slice){block, (size_t)got});
        body->fed += got;
    }
    return 0;
}
