/* SPDX-License-Identifier: MIT
 * What is said about a file: 200, 206, 304, 412 or 416, with the fields and the body's extent. */
#include <stdio.h>

#include "app/static_parts.h"

static void add(struct static_answer *answer, struct slice name, struct slice value)
{
    assert(answer->field_count < COUNT_OF(answer->fields));
    answer->fields[answer->field_count++] = (struct http_field){name, value};
}

static void add_vary(struct static_answer *answer, const struct static_entry *entry)
{
    if (entry->vary)
        add(answer, SLICE("Vary"), SLICE("Accept-Encoding"));
}

/* Everything a body needs, but for where it begins and ends. */
static void begin(struct static_answer *answer, const struct static_entry *entry, int status)
{
    answer->status = status;
    memcpy(answer->fields, entry->fields, entry->field_count * sizeof *entry->fields);
    answer->field_count = entry->field_count;
    add_vary(answer, entry);
    answer->content = entry->in_memory ? entry->content : NULL;
    answer->fd = entry->fd;
    answer->offset = 0;
    answer->content_length = entry->size;
    answer->part_count = 0;
    answer->parts = NULL;
    answer->tail_size = 0;
}

static void begin_empty(struct static_answer *answer, const struct static_entry *entry, int status)
{
    begin(answer, entry, status);
    answer->field_count = 0;
    answer->content = NULL;
    answer->fd = -1;
    answer->content_length = status == 304 ? -1 : 0;
}

/* A 304 repeats what a cache needs to find and refresh what it has (RFC 9110 section 15.4.5). */
static void answer_condition(struct static_answer *answer, const struct static_entry *entry,
                             int status)
{
    begin_empty(answer, entry, status);
    if (status != 304)
        return;
    add(answer, SLICE("ETag"), entry->etag);
    add_vary(answer, entry);
}

static struct slice print_range(char *out, size_t size, struct static_range range, int64_t total)
{
    int length = snprintf(out, size, "bytes %lld-%lld/%lld", (long long)range.offset,
                          (long long)(range.offset + range.size - 1), (long long)total);
    assert(length > 0 && (size_t)length < size);
    return (struct slice){out, (size_t)length};
}

static void answer_unsatisfiable(struct static_answer *answer, const struct static_entry *entry)
{
    begin_empty(answer, entry, 416);
    int length =
        snprintf(answer->text, sizeof answer->text, "bytes */%lld", (long long)entry->size);
    add(answer, SLICE("Content-Range"), (struct slice){answer->text, (size_t)length});
    add_vary(answer, entry);
}

static void answer_range(struct static_answer *answer, const struct static_entry *entry,
                         struct static_range range)
{
    begin(answer, entry, 206);
    answer->offset = range.offset;
    answer->content_length = range.size;
    add(answer, SLICE("Content-Range"),
        print_range(answer->text, sizeof answer->text, range, entry->size));
}

/* Content-Type names the boundary instead; the file's own type moves into the parts. */
static struct slice set_boundary(struct static_files *files, struct static_answer *answer)
{
    uint64_t count = ++files->boundary_count;
    const char *bytes = (const char *)&count;
    int length =
        snprintf(answer->text, sizeof answer->text, "multipart/byteranges; boundary=%016llx%016llx",
                 (unsigned long long)hash_bytes(files->seed, bytes, sizeof count),
                 (unsigned long long)hash_bytes(~files->seed, bytes, sizeof count));
    assert(length > 32);
    answer->fields[0].value = (struct slice){answer->text, (size_t)length};
    return (struct slice){answer->text + length - 32, 32};
}

static void answer_parts(struct static_files *files, struct static_answer *answer,
                         const struct static_entry *entry, const struct static_range *ranges,
                         int count)
{
    begin(answer, entry, 206);
    struct slice boundary = set_boundary(files, answer);
    answer->parts = files->parts;
    answer->part_count = (uint32_t)count;
    answer->content_length = 0;
    for (int i = 0; i < count; i++) {
        struct static_part *part = &files->parts[i];
        char range[80];
        print_range(range, sizeof range, ranges[i], entry->size);
        int size = snprintf(part->head, sizeof part->head,
                            "%s--%.32s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n",
                            i == 0 ? "" : "\r\n", boundary.data, entry->type.data, range);
        assert(size > 0 && (size_t)size < sizeof part->head);
        part->head_size = (uint16_t)size;
        part->offset = ranges[i].offset;
        part->size = ranges[i].size;
        answer->content_length += size + part->size;
    }
    int size = snprintf(answer->tail, sizeof answer->tail, "\r\n--%.32s--\r\n", boundary.data);
    answer->tail_size = (uint16_t)size;
    answer->content_length += size;
}

void static_answer(struct static_files *files, struct static_entry *entry,
                   const struct http_request *request, struct static_answer *out)
{
    struct static_wishes wishes;
    struct static_range ranges[STATIC_RANGES_MAX];
    static_wishes_read(entry, request, &wishes);
    int status = static_condition(entry, &wishes);
    if (status != 0) {
        answer_condition(out, entry, status);
        return;
    }
    int count = 0;
    if (wishes.range_count == 1 && request->method == HTTP_GET &&
        static_range_holds(entry, &wishes))
        count = static_ranges_read(wishes.range, entry->size, ranges);
    if (count == 0)
        begin(out, entry, 200);
    else if (count < 0)
        answer_unsatisfiable(out, entry);
    else if (count == 1)
        answer_range(out, entry, ranges[0]);
    else
        answer_parts(files, out, entry, ranges, count);
}
