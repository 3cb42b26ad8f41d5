/* SPDX-License-Identifier: MIT
 * The chunked coding (RFC 9112 section 7.1), a byte at a time but for the data itself: what is
 * between the data is short, and a machine that holds no bytes back cannot read them twice.
 *
 * Extensions and trailers are checked, bounded and dropped. Stricter than the grammar twice: no
 * white space around an extension (senders must not write any), at most 16 size digits. */
#include "proto/h1_bytes.h"
#include "proto/h1_parts.h"

enum { SIZE_DIGITS_MAX = 16 }; /* an int64_t has no more */

static bool go(struct h1 *h1, enum h1_state state)
{
    h1->state = (uint8_t)state;
    return true;
}

/* What may follow the size, or a complete extension. */
static bool end_of_extension(struct h1 *h1, char byte)
{
    if (byte == ';')
        return go(h1, H1_AT_EXTENSION_NAME);
    if (byte == '\r')
        return go(h1, H1_AT_CHUNK_SIZE_LF);
    return h1_refuse(h1, 400, "a chunk extension is malformed");
}

/* line_size counts digits here, and from the first ';' on the bytes of the extensions. */
static bool size_digit(struct h1 *h1, char byte)
{
    if (!h1_is(byte, H1_HEX)) {
        if (h1->line_size == 0 || (byte != ';' && byte != '\r'))
            return h1_refuse(h1, 400, "a chunk size is not a hexadecimal number");
        h1->line_size = byte == ';';
        return end_of_extension(h1, byte);
    }
    h1->line_size++;
    if (h1->line_size > SIZE_DIGITS_MAX || h1->body_left > INT64_MAX >> 4)
        return h1_refuse(h1, 400, "a chunk size has too many digits");
    int digit = h1_is(byte, H1_DIGIT) ? byte - '0' : (byte | 0x20) - 'a' + 10;
    h1->body_left = h1->body_left << 4 | digit;
    return true;
}

static bool extension_byte(struct h1 *h1, char byte)
{
    bool token = h1_is(byte, H1_TOKEN);
    if (++h1->line_size > H1_CHUNK_EXTENSION_MAX && byte != '\r')
        return h1_refuse(h1, 400, "a chunk's extensions are too long");
    switch ((enum h1_state)h1->state) {
    case H1_AT_EXTENSION_NAME:
        return token ? go(h1, H1_AT_EXTENSION_NAME_REST) : end_of_extension(h1, '\0');
    case H1_AT_EXTENSION_NAME_REST:
        if (byte == '=')
            return go(h1, H1_AT_EXTENSION_VALUE);
        return token || end_of_extension(h1, byte);
    case H1_AT_EXTENSION_VALUE:
        if (byte == '"')
            return go(h1, H1_AT_QUOTED);
        return token ? go(h1, H1_AT_EXTENSION_VALUE_REST) : end_of_extension(h1, '\0');
    case H1_AT_EXTENSION_VALUE_REST:
        return token || end_of_extension(h1, byte);
    case H1_AT_QUOTED:
        if (byte == '"')
            return go(h1, H1_AT_QUOTED_END);
        if (byte == '\\')
            return go(h1, H1_AT_ESCAPED);
        return h1_is(byte, H1_VALUE) || end_of_extension(h1, '\0');
    case H1_AT_ESCAPED:
        return h1_is(byte, H1_VALUE) ? go(h1, H1_AT_QUOTED) : end_of_extension(h1, '\0');
    default:
        return end_of_extension(h1, byte);
    }
}

/* The size line is complete: data or, after the chunk of size 0, trailers. */
static bool begin_chunk(struct h1 *h1)
{
    h1->line_size = 0;
    if (h1->body_left == 0)
        return go(h1, H1_AT_TRAILER);
    if (h1->body_left > h1->limits->body_size_max - h1->body_size)
        return h1_refuse(h1, 413, "the body is too large");
    return go(h1, H1_AT_CHUNK_DATA);
}

static bool trailer_byte(struct h1 *h1, char byte)
{
    if (h1->state == H1_AT_TRAILER && byte == '\r')
        return go(h1, H1_AT_LAST_LF);
    if (++h1->line_size > H1_TRAILER_SIZE_MAX)
        return h1_refuse(h1, 431, "the trailers are too large");
    bool token = h1_is(byte, H1_TOKEN);
    if (h1->state == H1_AT_TRAILER && token)
        return go(h1, H1_AT_TRAILER_NAME);
    if (h1->state == H1_AT_TRAILER_NAME && byte == ':')
        return go(h1, H1_AT_TRAILER_VALUE);
    if (h1->state == H1_AT_TRAILER_VALUE && byte == '\r')
        return go(h1, H1_AT_TRAILER_LF);
    bool good = (h1->state == H1_AT_TRAILER_NAME && token) ||
                (h1->state == H1_AT_TRAILER_VALUE && h1_is(byte, H1_VALUE));
    return good || h1_refuse(h1, 400, "a trailer field is malformed");
}

/* A place where exactly one byte is right. */
static bool expect(struct h1 *h1, char byte, char expected, enum h1_state then)
{
    return byte == expected ? go(h1, then) : h1_refuse(h1, 400, "a chunk does not end with CRLF");
}

static bool step(struct h1 *h1, char byte)
{
    switch ((enum h1_state)h1->state) {
    case H1_AT_CHUNK_SIZE:
        return size_digit(h1, byte);
    case H1_AT_CHUNK_SIZE_LF:
        return expect(h1, byte, '\n', H1_AT_CHUNK_DATA) && begin_chunk(h1);
    case H1_AT_CHUNK_DATA_CR:
        return expect(h1, byte, '\r', H1_AT_CHUNK_DATA_LF);
    case H1_AT_CHUNK_DATA_LF:
        return expect(h1, byte, '\n', H1_AT_CHUNK_SIZE);
    case H1_AT_TRAILER_LF:
        return expect(h1, byte, '\n', H1_AT_TRAILER);
    case H1_AT_LAST_LF:
        return expect(h1, byte, '\n', H1_AT_END);
    case H1_AT_TRAILER:
    case H1_AT_TRAILER_NAME:
    case H1_AT_TRAILER_VALUE:
        return trailer_byte(h1, byte);
    default:
        return extension_byte(h1, byte);
    }
}

enum h1_event h1_read_chunked(struct h1 *h1, struct slice *input, struct slice *body)
{
    while (input->size > 0) {
        if (h1->state == H1_AT_CHUNK_DATA) {
            enum h1_event event = h1_take_body(h1, input, body);
            if (h1->body_left == 0)
                h1->state = H1_AT_CHUNK_DATA_CR;
            return event;
        }
        char byte = *input->data;
        *input = (struct slice){input->data + 1, input->size - 1};
        if (!step(h1, byte))
            return H1_ERROR;
        if (h1->state == H1_AT_END)
            return H1_END;
    }
    return H1_NEED_DATA;
}
