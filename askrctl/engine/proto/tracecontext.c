/* SPDX-License-Identifier: MIT
 * traceparent and tracestate (tracecontext.h). Sections are those of
 * https://www.w3.org/TR/trace-context-2/. */
#include "proto/tracecontext.h"

enum {
    KEY_SIZE_MAX = 256,
    TENANT_SIZE_MAX = 241,
    SYSTEM_SIZE_MAX = 14,
    VALUE_SIZE_MAX = 256,
};

/* --- traceparent ------------------------------------------------------------------------------ */

/* Lower case only: section 3.2.2. */
static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` bytes from twice as many digits. False when one is none, or when all are zero and `zero`
 * is not allowed. */
static bool read_bytes(const char *text, uint8_t *bytes, size_t count, bool zero)
{
    bool any = zero;
    for (size_t i = 0; i < count; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
        any = any || bytes[i] != 0;
    }
    return any;
}

bool traceparent_read(struct slice value, struct trace_context *context)
{
    const char *text = value.data;
    uint8_t version;
    if (value.size < TRACEPARENT_SIZE || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return false;
    if (!read_bytes(text, &version, 1, true) || version == 0xff)
        return false;
    /* Section 3.2.4: a later version may go on, behind another dash. */
    if (value.size > TRACEPARENT_SIZE && (version == 0 || text[TRACEPARENT_SIZE] != '-'))
        return false;
    if (!read_bytes(text + 3, context->trace_id, 16, false) ||
        !read_bytes(text + 36, context->span_id, 8, false) ||
        !read_bytes(text + 53, &context->flags, 1, true))
        return false;
    context->flags &= version == 0 ? TRACE_SAMPLED | TRACE_RANDOM : TRACE_SAMPLED;
    return true;
}

static void write_bytes(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void traceparent_write(const struct trace_context *context, char out[static TRACEPARENT_SIZE])
{
    static const uint8_t version = 0;
    write_bytes(out, &version, 1);
    write_bytes(out + 3, context->trace_id, 16);
    write_bytes(out + 36, context->span_id, 8);
    write_bytes(out + 53, &context->flags, 1);
    out[2] = out[35] = out[52] = '-';
}

/* --- tracestate ------------------------------------------------------------------------------- */

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/';
}

static bool is_word(struct slice text, size_t size_max, bool digit_first)
{
    if (text.size == 0 || text.size > size_max)
        return false;
    char first = text.data[0];
    if (!(first >= 'a' && first <= 'z') && !(digit_first && first >= '0' && first <= '9'))
        return false;
    for (size_t i = 1; i < text.size; i++)
        if (!is_key_char(text.data[i]))
            return false;
    return true;
}

/* Section 3.3.1.3.1: a word, or tenant@system. */
static bool is_key(struct slice key)
{
    const char *at = memchr(key.data, '@', key.size);
    if (at == NULL)
        return is_word(key, KEY_SIZE_MAX, false);
    size_t size = (size_t)(at - key.data);
    struct slice tenant = {key.data, size}, system = {at + 1, key.size - size - 1};
    return is_word(tenant, TENANT_SIZE_MAX, true) && is_word(system, SYSTEM_SIZE_MAX, false);
}

/* Section 3.3.1.3.2: printable, no comma, no equals sign, no space at the end. */
static bool is_value(struct slice value)
{
    if (value.size == 0 || value.size > VALUE_SIZE_MAX || value.data[value.size - 1] == ' ')
        return false;
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        if (c < 0x20 || c > 0x7e || c == ',' || c == '=')
            return false;
    }
    return true;
}

static bool is_new(const struct slice *keys, size_t count, struct slice key)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equals(keys[i], key))
            return false;
    return true;
}

bool tracestate_is_valid(struct slice value)
{
    struct slice keys[TRACESTATE_MEMBERS_MAX];
    size_t count = 0;
    if (value.size > TRACESTATE_SIZE_MAX)
        return false;
    while (value.size > 0) {
        const char *comma = memchr(value.data, ',', value.size);
        size_t size = comma == NULL ? value.size : (size_t)(comma - value.data);
        struct slice member = slice_trim((struct slice){value.data, size});
        size_t used = comma == NULL ? size : size + 1;
        value = (struct slice){value.data + used, value.size - used};
        if (member.size == 0)
            continue; /* section 3.3.1.2 allows it */
        const char *equals = memchr(member.data, '=', member.size);
        if (equals == NULL || count == TRACESTATE_MEMBERS_MAX)
            return false;
        struct slice key = {member.data, (size_t)(equals - member.data)};
        if (!is_key(key) || !is_new(keys, count, key) ||
            !is_value((struct slice){equals + 1, member.size - key.size - 1}))
            return false;
        keys[count++] = key;
    }
    return count > 0;
}
