/* SPDX-License-Identifier: MIT
 * Asking for an entry as a worker does, and the answer as it would go over the wire. The site has
 * digits.txt, of 1994, and an empty file. */
#ifndef STATIC_ASK_H
#define STATIC_ASK_H

#include "static_site.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
enum { DATE_SECONDS = 784111777 };

/* An answer as it would go over the wire: the status, and the body as the caller puts it together.
 */
struct asked {
    struct static_answer answer;
    char body[8192];
    size_t size;
};

static inline struct http_request request_of(enum http_method method, const char *fields)
{
    struct http_request request = {.method = method};
    while (*fields != '\0') {
        const char *colon = strchr(fields, ':'), *end = strchr(fields, '\n');
        struct http_field *field = &request.fields[request.field_count++];
        field->name = (struct slice){fields, (size_t)(colon - fields)};
        field->value = (struct slice){colon + 2, (size_t)(end - colon - 2)};
        fields = end + 1;
    }
    return request;
}

static inline void add(struct asked *asked, const char *bytes, size_t size)
{
    site_must(size <= sizeof asked->body - asked->size, "a body this test has room for");
    memcpy(asked->body + asked->size, bytes, size);
    asked->size += size;
}

static inline void add_content(struct asked *asked, int64_t offset, int64_t size)
{
    char bytes[4096];
    site_must(size <= (int64_t)sizeof bytes, "a part this test has room for");
    if (asked->answer.content != NULL)
        add(asked, asked->answer.content + offset, (size_t)size);
    else if (size > 0 && pread(asked->answer.fd, bytes, (size_t)size, offset) == size)
        add(asked, bytes, (size_t)size);
}

static inline void ask_entry(struct site *site, struct static_entry *entry, enum http_method method,
                             const char *fields, struct asked *asked)
{
    struct http_request request = request_of(method, fields);
    asked->size = 0;
    static_answer(site->files, entry, &request, &asked->answer);
    const struct static_answer *answer = &asked->answer;
    for (uint32_t i = 0; i < answer->part_count; i++) {
        add(asked, answer->parts[i].head, answer->parts[i].head_size);
        add_content(asked, answer->parts[i].offset, answer->parts[i].size);
    }
    if (answer->part_count > 0)
        add(asked, answer->tail, answer->tail_size);
    else if (answer->content_length > 0 && answer->content_length < 4096)
        add_content(asked, answer->offset, answer->content_length);
}

static inline struct slice value_of(const struct asked *asked, const char *name)
{
    for (size_t i = 0; i < asked->answer.field_count; i++)
        if (slice_equals(asked->answer.fields[i].name, slice_of(name)))
            return asked->answer.fields[i].value;
    return SLICE("");
}

static inline bool has(const struct asked *asked, const char *name, const char *value)
{
    return slice_equals(value_of(asked, name), slice_of(value));
}

static inline struct static_entry *entry_of(struct site *site, const char *path)
{
    struct static_target target = site_resolve(site, path);
    site_must(target.kind == STATIC_FILE, path);
    return target.entry;
}

static inline void ask_init(struct site *site)
{
    site_init(site);
    site_put(site, "root/digits.txt", "0123456789");
    site_set_time(site, "root/digits.txt", DATE_SECONDS);
    site_put(site, "root/empty.css", "");
    site_open(site);
}

#endif
