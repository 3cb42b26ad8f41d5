/* SPDX-License-Identifier: MIT
 * In place of ws_deflate.c in a build without zlib: nothing is agreed, so nothing else is called.
 */
#include "proto/ws_deflate.h"

#include <errno.h>

bool ws_deflate_built(void)
{
    return false;
}

void ws_inflater_init(struct ws_inflater *inflater, uint8_t bits,
                      const struct encoder_memory *memory)
{
    *inflater = (struct ws_inflater){.memory = *memory, .bits = bits};
}

int64_t ws_inflate(struct ws_inflater *inflater, struct slice *input, char *out, size_t size)
{
    (void)inflater, (void)input, (void)out, (void)size;
    return -ENOMEM;
}

bool ws_inflater_at_end(const struct ws_inflater *inflater)
{
    (void)inflater;
    return true;
}

void ws_inflater_forget(struct ws_inflater *inflater)
{
    (void)inflater;
}

void ws_inflater_close(struct ws_inflater *inflater)
{
    (void)inflater;
}

void ws_deflater_init(struct ws_deflater *deflater, uint8_t bits,
                      const struct encoder_memory *memory)
{
    *deflater = (struct ws_deflater){.memory = *memory, .bits = bits};
}

int64_t ws_deflate(struct ws_deflater *deflater, struct encoder_step *step)
{
    (void)deflater, (void)step;
    return -ENOMEM;
}

void ws_deflater_forget(struct ws_deflater *deflater)
{
    (void)deflater;
}

void ws_deflater_close(struct ws_deflater *deflater)
{
    (void)deflater;
}
