/* SPDX-License-Identifier: MIT
 * Which answers are compressed (encoding.h). Left alone is what is encoded already, part of a
 * whole, signed as it is (RFC 9530), forbidden to be changed (RFC 9111 section 5.2.2.6), and event
 * streams, whose readers wait for each byte. */
#include "proto/encoding.h"

#include <strings.h>

/* Up to the next separator or the end; *rest goes on behind it. */
void encoding_rules_init(struct encoding_rules *rules, const char *names)
{
    struct slice rest = slice_of(names);
    rules->count = 0;
    while (rest.size > 0) {
        struct slice name = slice_cut(&rest, ' ');
        for (enum encoding i = ENCODING_BROTLI; i < ENCODINGS; i++)
            if (slice_reads(name, encoding_names[i]) && encoding_built(i) &&
                rules->count < ENCODINGS)
                rules->order[rules->count++] = i;
    }
}

enum encoding encoding_choose(const struct encoding_rules *rules,
                              const struct accept_encoding *accept)
{
    enum encoding best = ENCODING_NONE;
    for (uint32_t i = 0; i < rules->count; i++)
        if (accept_encoding_better(accept, rules->order[i], best))
            best = rules->order[i];
    return best;
}

static bool has_member(struct slice list, struct slice word)
{
    while (list.size > 0)
        if (slice_reads(slice_cut(&list, ','), word))
            return true;
    return false;
}

static bool matches(struct slice type, struct slice pattern)
{
    size_t size = pattern.size;
    if (size >= 1 && pattern.data[size - 1] == '*') /* a main type */
        return type.size >= size - 1 && strncasecmp(type.data, pattern.data, size - 1) == 0;
    if (size >= 1 && pattern.data[0] == '*') /* a suffix */
        return type.size >= size - 1 &&
               strncasecmp(type.data + type.size - (size - 1), pattern.data + 1, size - 1) == 0;
    return slice_reads(type, pattern);
}

static bool is_listed(const struct encoding_rules *rules, struct slice content_type)
{
    struct slice type = slice_cut(&content_type, ';');
    if (type.size == 0 || slice_reads(type, SLICE("text/event-stream")))
        return false;
    struct slice rest = slice_of(rules->types);
    while (rest.size > 0) {
        struct slice pattern = slice_cut(&rest, ' ');
        if (pattern.size > 0 && matches(type, pattern))
            return true;
    }
    return false;
}

/* A field that says: this must stay as it is. */
static bool forbids(const struct http_field *field)
{
    switch (field->name.size) {
    case 6:
        return slice_reads(field->name, SLICE("digest"));
    case 11:
        return slice_reads(field->name, SLICE("content-md5")) ||
               slice_reads(field->name, SLICE("repr-digest"));
    case 13:
        return slice_reads(field->name, SLICE("content-range")) ||
               (slice_reads(field->name, SLICE("cache-control")) &&
                has_member(field->value, SLICE("no-transform")));
    case 14:
        return slice_reads(field->name, SLICE("content-digest"));
    case 16:
        return slice_reads(field->name, SLICE("content-encoding"));
    default:
        return false;
    }
}

static bool is_whole(int status)
{
    return status >= 200 && status != 204 && status != 205 && status != 206 && status != 304;
}

void encoding_look(const struct encoding_rules *rules, int status, const struct http_field *fields,
                   size_t count, struct encoding_traits *traits)
{
    bool is_typed = false, is_forbidden = false;
    *traits = (struct encoding_traits){
        .vary = ENCODING_NO_FIELD, .etag = ENCODING_NO_FIELD, .accept_ranges = ENCODING_NO_FIELD};
    for (size_t i = 0; i < count && !is_forbidden; i++) {
        const struct http_field *field = &fields[i];
        is_forbidden = forbids(field);
        if (slice_reads(field->name, SLICE("content-type"))) {
            is_typed = is_listed(rules, field->value);
        } else if (slice_reads(field->name, SLICE("vary"))) {
            traits->vary = (int)i;
            traits->varies |= has_member(field->value, SLICE("accept-encoding")) ||
                              has_member(field->value, SLICE("*"));
        } else if (slice_reads(field->name, SLICE("etag"))) {
            traits->etag = (int)i;
        } else if (slice_reads(field->name, SLICE("accept-ranges"))) {
            traits->accept_ranges = (int)i;
        }
    }
    /* A 304 names no type (RFC 9110 section 15.4.5), but must vary as its 200 would. */
    traits->allowed = !is_forbidden && ((is_typed && is_whole(status)) || status == 304);
}
