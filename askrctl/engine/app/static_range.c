/* SPDX-License-Identifier: MIT
 * The Range field as numbers (RFC 9110 section 14). A field that is not valid is ignored, and so is
 * one that asks for more than there is, with many ranges or with overlapping ones (section 14.2
 * allows it; CVE-2011-3192 is why). */
#include <strings.h>

#include "app/static_parts.h"

static struct slice skip_spaces(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = (struct slice){text.data + 1, text.size - 1};
    return text;
}

/* Digits; INT64_MAX for a number too large to matter. False when there are none. */
static bool read_number(struct slice *text, int64_t *number)
{
    size_t used = 0;
    int64_t value = 0;
    for (; used < text->size && text->data[used] >= '0' && text->data[used] <= '9'; used++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text->data[used] - '0', &value))
            value = INT64_MAX / 10; /* stays past every size, whatever digits follow */
    *text = (struct slice){text->data + used, text->size - used};
    *number = value;
    return used > 0;
}

/* One range-spec. False when it is not valid; range->size is 0 when it cannot be satisfied. */
static bool read_spec(struct slice *text, int64_t size, struct static_range *range)
{
    int64_t first, last;
    if (text->size > 0 && text->data[0] == '-') {
        *text = (struct slice){text->data + 1, text->size - 1};
        if (!read_number(text, &last) || (size == 0 && last > 0))
            return false; /* the last bytes of an empty file: it is all there is, but no range */
        range->size = last < size ? last : size;
        range->offset = size - range->size;
        return true;
    }
    if (!read_number(text, &first) || text->size == 0 || text->data[0] != '-')
        return false;
    *text = (struct slice){text->data + 1, text->size - 1};
    if (!read_number(text, &last))
        last = INT64_MAX; /* "5-": to the end */
    if (last < first)
        return false;
    range->offset = first;
    range->size = first >= size ? 0 : (last < size ? last : size - 1) - first + 1;
    return true;
}

int static_ranges_read(struct slice field, int64_t size,
                       struct static_range out[static STATIC_RANGES_MAX])
{
    int count = 0, given = 0;
    int64_t total = 0;
    if (field.size < 6 || strncasecmp(field.data, "bytes=", 6) != 0)
        return 0;
    struct slice text = {field.data + 6, field.size - 6};
    for (;;) {
        struct static_range range;
        text = skip_spaces(text);
        if (text.size > 0 && text.data[0] == ',') { /* an empty element, section 5.6.1.2 */
            text = (struct slice){text.data + 1, text.size - 1};
            continue;
        }
        if (text.size == 0)
            break;
        if (!read_spec(&text, size, &range) || ++given > STATIC_RANGES_MAX)
            return 0;
        text = skip_spaces(text);
        if (text.size > 0 && text.data[0] != ',')
            return 0;
        if (range.size == 0)
            continue;
        total += range.size; /* at most STATIC_RANGES_MAX times a file's size */
        out[count++] = range;
    }
    if (given == 0)
        return 0;
    if (count > 1 && total > size)
        return 0;
    return count > 0 ? count : -1;
}
