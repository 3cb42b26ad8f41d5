/* SPDX-License-Identifier: MIT
 * The fields of a compressed answer (RFC 9110): Content-Encoding, Vary joined with the
 * application's, and a strong entity-tag made weak, because it promised the same bytes (section
 * 8.8.1). Accept-Ranges goes: a range of what is compressed anew is a range of nothing. */
#include "serve/compress_head.h"

#include <errno.h>

#include "proto/encoding.h"
#include "serve/conn.h"

static bool is_strong(struct slice tag)
{
    return tag.size < 2 || tag.data[0] != 'W' || tag.data[1] != '/';
}

/* A HEAD is answered as the GET would be, as far as that is known. */
static enum compress_verdict judge_bare(const struct exchange *exchange, int64_t size_min)
{
    int64_t size = exchange->content_length >= 0 ? exchange->content_length : exchange->bare_size;
    if (exchange->status == 304 || size == 0)
        return COMPRESS_PERHAPS;
    return size >= size_min ? COMPRESS_YES : COMPRESS_NOT;
}

enum compress_verdict compress_judge(const struct exchange *exchange,
                                     const struct encoding_rules *rules, bool complete)
{
    int64_t size = (int64_t)exchange->held_size;
    int64_t size_min = exchange->not_plain ? 1 : rules->size_min;
    if (exchange->bare)
        return judge_bare(exchange, size_min);
    if (!complete) /* streamed: it may grow to anything, unless its end is known */
        size = exchange->content_length >= 0 ? exchange->content_length : INT64_MAX;
    return size >= size_min && size > 0 ? COMPRESS_YES : COMPRESS_NOT;
}

void compress_put_vary(struct exchange *exchange, const struct encoding_traits *traits)
{
    struct http_field *fields = exchange->fields;
    if (traits->varies)
        return;
    struct slice value = SLICE("Accept-Encoding");
    if (traits->vary == ENCODING_NO_FIELD || fields[traits->vary].value.size == 0) {
        fields[exchange->field_count++] = (struct http_field){SLICE("Vary"), value};
        return;
    }
    struct slice *old = &fields[traits->vary].value;
    char *joined = exchange_allocate(exchange, old->size + 2 + value.size);
    if (joined == NULL) { /* two fields say the same as one list */
        fields[exchange->field_count++] = (struct http_field){SLICE("Vary"), value};
        return;
    }
    memcpy(joined, old->data, old->size);
    memcpy(joined + old->size, ", ", 2);
    memcpy(joined + old->size + 2, value.data, value.size);
    *old = (struct slice){joined, old->size + 2 + value.size};
}

int compress_prepare(struct exchange *exchange, struct encoding_traits *traits)
{
    if (traits->etag == ENCODING_NO_FIELD)
        return 0;
    struct slice tag = exchange->fields[traits->etag].value;
    if (!is_strong(tag)) {
        traits->etag = ENCODING_NO_FIELD;
        return 0;
    }
    char *weak = exchange_allocate(exchange, tag.size + 2);
    if (weak == NULL)
        return -ENOMEM;
    memcpy(weak, "W/", 2);
    memcpy(weak + 2, tag.data, tag.size);
    traits->weak_etag = (struct slice){weak, tag.size + 2};
    return 0;
}

void compress_put(struct exchange *exchange, const struct encoding_traits *traits, bool encoded)
{
    struct http_field *fields = exchange->fields;
    if (traits->etag != ENCODING_NO_FIELD)
        fields[traits->etag].value = traits->weak_etag;
    if (!encoded)
        return;
    struct http_field coding = {SLICE("Content-Encoding"), encoding_names[exchange->encoding]};
    if (traits->accept_ranges != ENCODING_NO_FIELD)
        fields[traits->accept_ranges] = coding;
    else
        fields[exchange->field_count++] = coding;
}
