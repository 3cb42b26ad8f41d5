/* SPDX-License-Identifier: MIT
 * Preconditions: RFC 9110 section 13, evaluated in the order of section 13.2.2. Fields that are not
 * valid are as good as absent, but for If-Match: what it names is not what we have. */
#include <strings.h>

#include "app/static_parts.h"

static bool reads(struct slice name, const char *word)
{
    return strncasecmp(name.data, word, name.size) == 0;
}

static struct slice skip(struct slice text, size_t count)
{
    return (struct slice){text.data + count, text.size - count};
}

/* The next entity-tag of a list, with its quotes; false at the end or where the list is broken. */
static bool next_tag(struct slice *list, struct slice *tag, bool *is_weak)
{
    while (list->size > 0 &&
           (list->data[0] == ' ' || list->data[0] == '\t' || list->data[0] == ','))
        *list = skip(*list, 1);
    *is_weak = list->size > 2 && list->data[0] == 'W' && list->data[1] == '/';
    if (*is_weak)
        *list = skip(*list, 2);
    if (list->size < 2 || list->data[0] != '"')
        return false;
    const char *end = memchr(list->data + 1, '"', list->size - 1);
    if (end == NULL)
        return false;
    *tag = (struct slice){list->data, (size_t)(end + 1 - list->data)};
    *list = skip(*list, tag->size);
    return true;
}

/* Strong comparison (section 8.8.3.2) takes no weak tag for anything. */
static bool same_tag(const struct static_entry *entry, struct slice tag, bool is_weak, bool strong)
{
    return slice_equals(tag, entry->tag) && !(strong && (is_weak || entry->weak));
}

static bool names_entry(const struct static_entry *entry, struct slice list, bool strong)
{
    struct slice tag;
    bool is_weak;
    if (slice_equals(list, SLICE("*")))
        return true;
    while (next_tag(&list, &tag, &is_weak))
        if (same_tag(entry, tag, is_weak, strong))
            return true;
    return false;
}

static void once(struct slice *value, uint8_t *count, struct slice found)
{
    *value = found;
    if (*count < 2)
        ++*count;
}

void static_wishes_read(const struct static_entry *entry, const struct http_request *request,
                        struct static_wishes *out)
{
    *out = (struct static_wishes){.none_match = true};
    for (size_t i = 0; i < request->field_count; i++) {
        struct slice name = request->fields[i].name, value = request->fields[i].value;
        switch (name.size) { /* first: most fields are none of these */
        case 5:
            if (reads(name, "range"))
                once(&out->range, &out->range_count, value);
            break;
        case 8:
            if (reads(name, "if-range"))
                once(&out->if_range, &out->if_range_count, value);
            else if (reads(name, "if-match")) {
                out->has_match = true;
                out->match |= names_entry(entry, value, true);
            }
            break;
        case 13:
            if (reads(name, "if-none-match")) {
                out->has_none_match = true;
                out->none_match &= !names_entry(entry, value, false);
            }
            break;
        case 17:
            if (reads(name, "if-modified-since"))
                once(&out->modified_since, &out->modified_since_count, value);
            break;
        case 19:
            if (reads(name, "if-unmodified-since"))
                once(&out->unmodified_since, &out->unmodified_since_count, value);
            break;
        default:
            break;
        }
    }
}

/* Was it modified after the date? -1: the field is not there or not valid, or we have no date. */
static int modified_after(const struct static_entry *entry, struct slice value, uint8_t count)
{
    int64_t seconds;
    if (count != 1 || entry->date.size == 0)
        return -1;
    if (slice_equals(value, entry->date))
        return 0; /* what nearly everybody sends is what we said */
    if (!static_date_read(value, &seconds))
        return -1;
    return entry->modified > seconds;
}

int static_condition(const struct static_entry *entry, const struct static_wishes *wishes)
{
    if (wishes->has_match) {
        if (!wishes->match)
            return 412;
    } else if (modified_after(entry, wishes->unmodified_since, wishes->unmodified_since_count) ==
               1) {
        return 412;
    }
    if (wishes->has_none_match)
        return wishes->none_match ? 0 : 304;
    return modified_after(entry, wishes->modified_since, wishes->modified_since_count) == 0 ? 304
                                                                                            : 0;
}

/* A date is a strong validator only when nothing can have been written within the same second after
 * it was taken (section 8.8.2.2). */
bool static_range_holds(const struct static_entry *entry, const struct static_wishes *wishes)
{
    if (wishes->if_range_count == 0)
        return true;
    if (wishes->if_range_count > 1)
        return false;
    if (entry->date.size > 0 && entry->settled && slice_equals(wishes->if_range, entry->date))
        return true;
    return same_tag(entry, wishes->if_range, false, true);
}
