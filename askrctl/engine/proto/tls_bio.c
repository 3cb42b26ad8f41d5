/* SPDX-License-Identifier: MIT
 * The memory BIO of tls_parts.h: reads from the slice that was lent, writes into the buffer that
 * was lent, and asks to be called again when either is used up. Unlike BIO_s_mem it keeps no copy.
 */
#include <errno.h>

#include "proto/tls_parts.h"

static int on_read(BIO *bio, char *data, size_t size, size_t *got)
{
    const struct tls_pipe *pipe = BIO_get_data(bio);
    struct slice *input = pipe->input;
    BIO_clear_retry_flags(bio);
    if (input == NULL || input->size == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size = size_min(size, input->size);
    memcpy(data, input->data, size);
    input->data += size;
    input->size -= size;
    *got = size;
    return 1;
}

static int on_write(BIO *bio, const char *data, size_t size, size_t *put)
{
    const struct tls_pipe *pipe = BIO_get_data(bio);
    struct tls_buffer *out = pipe->out;
    BIO_clear_retry_flags(bio);
    if (out == NULL || out->size == out->capacity) {
        BIO_set_retry_write(bio);
        return 0;
    }
    size = size_min(size, out->capacity - out->size);
    memcpy(out->data + out->size, data, size);
    out->size += size;
    *put = size;
    return 1;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing is held here */
}

int tls_bio_open(struct tls_context *context)
{
    context->bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "askr memory");
    if (context->bio_method == NULL)
        return -ENOMEM;
    BIO_meth_set_read_ex(context->bio_method, on_read);
    BIO_meth_set_write_ex(context->bio_method, on_write);
    BIO_meth_set_ctrl(context->bio_method, on_control);
    context->bio = BIO_new(context->bio_method);
    if (context->bio == NULL)
        return -ENOMEM;
    BIO_set_data(context->bio, &context->pipe);
    BIO_set_init(context->bio, 1);
    return 0;
}

void tls_bio_close(struct tls_context *context)
{
    BIO_free(context->bio);
    BIO_meth_free(context->bio_method);
}
