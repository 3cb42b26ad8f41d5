/* SPDX-License-Identifier: MIT
 * Invariant: whatever a request's fields say, the answer is one the protocol can write, every byte
 * range lies inside the file, the parts are together as long as it says, and no status comes
 * without the field that asks for it.
 *
 * The input is a byte that chooses method and file, and then fields, one a line. "$" in a value
 * stands for the file's entity-tag, which no fuzzer would find. */
#include <strings.h>

#include "../tests/engine/static_site.h"
#include "proto/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { FIELDS_MAX = 16, TEXT_MAX = 8192 };

static struct site site;
static const char *const paths[] = {"/small.txt", "/large.bin", "/empty.css", "/small.txt.gz"};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void clean_up(void)
{
    site_close(&site);
}

static void make_site(void)
{
    char path[PATH_MAX];
    site_init(&site);
    site_put(&site, "root/small.txt", "0123456789");
    site_put(&site, "root/small.txt.gz", "packed");
    site_put(&site, "root/empty.css", "");
    site_put(&site, "root/large.bin", "large");
    site_path(&site, "root/large.bin", path);
    site_must(truncate(path, 1000000) == 0, path);
    site_set_time(&site, "root/small.txt", 784111777);
    site.options.precompressed = true;
    site_open(&site);
    atexit(clean_up);
}

/* One line as a field, "$" replaced; its bytes go to *text. */
static void read_field(struct slice line, struct slice tag, char **text, struct http_field *field)
{
    const char *colon = memchr(line.data, ':', line.size);
    size_t name_size = colon == NULL ? line.size : (size_t)(colon - line.data);
    size_t begin = name_size < line.size ? name_size + 1 : name_size;
    char *at = *text;
    while (begin < line.size && line.data[begin] == ' ')
        begin++;
    for (; begin < line.size; begin++) {
        if (line.data[begin] != '$') {
            *at++ = line.data[begin];
            continue;
        }
        memcpy(at, tag.data, tag.size);
        at += tag.size;
    }
    *field = (struct http_field){{line.data, name_size}, {*text, (size_t)(at - *text)}};
    *text = at;
}

static void read_request(struct slice input, struct slice tag, char *text,
                         struct http_request *request)
{
    char *at = text;
    while (input.size > 0 && request->field_count < FIELDS_MAX) {
        const char *end = memchr(input.data, '\n', input.size);
        struct slice line = {input.data, end == NULL ? input.size : (size_t)(end - input.data)};
        if (at + line.size * tag.size + 1 > text + TEXT_MAX)
            break;
        read_field(line, tag, &at, &request->fields[request->field_count++]);
        size_t used = line.size + (end != NULL);
        input = (struct slice){input.data + used, input.size - used};
    }
}

static bool asks(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        struct slice field = request->fields[i].name;
        if (field.size == strlen(name) && strncasecmp(field.data, name, field.size) == 0)
            return true;
    }
    return false;
}

static void check_status(const struct http_request *request, const struct static_answer *answer)
{
    bool ranged = request->method == HTTP_GET && asks(request, "range");
    switch (answer->status) {
    case 200:
        break;
    case 206:
    case 416:
        must(ranged);
        break;
    case 304:
        must(asks(request, "if-none-match") || asks(request, "if-modified-since"));
        break;
    case 412:
        must(asks(request, "if-match") || asks(request, "if-unmodified-since"));
        break;
    default:
        must(false);
    }
}

static void check_head(const struct http_request *request, const struct static_answer *answer)
{
    char head[2048];
    enum h1_framing framing;
    struct h1_response response = {.status = answer->status,
                                   .head_request = request->method == HTTP_HEAD,
                                   .content_length = answer->content_length,
                                   .fields = answer->fields,
                                   .field_count = answer->field_count};
    must(h1_write_head(head, sizeof head, &response, &framing) > 0);
    must(framing == H1_SIZED || framing == H1_NO_BODY);
}

static void check_parts(const struct static_entry *entry, const struct static_answer *answer)
{
    int64_t total = 0, sent = 0;
    must(answer->part_count >= 2 && answer->part_count <= STATIC_RANGES_MAX);
    for (uint32_t i = 0; i < answer->part_count; i++) {
        const struct static_part *part = &answer->parts[i];
        must(part->offset >= 0 && part->size > 0 && part->offset + part->size <= entry->size);
        must(part->head_size <= sizeof part->head);
        must(memcmp(part->head + part->head_size - 4, "\r\n\r\n", 4) == 0);
        total += part->head_size + part->size;
        sent += part->size;
    }
    must(answer->tail_size <= sizeof answer->tail);
    must(total + answer->tail_size == answer->content_length);
    must(sent <= entry->size); /* nobody gets more for asking oddly */
}

static void check_body(const struct static_entry *entry, const struct static_answer *answer)
{
    if (answer->status != 200 && answer->status != 206) {
        must(answer->content == NULL && answer->fd == -1 && answer->part_count == 0);
        must(answer->content_length == (answer->status == 304 ? -1 : 0));
        return;
    }
    must((answer->content != NULL) == entry->in_memory && answer->fd == entry->fd);
    if (answer->part_count > 0) {
        check_parts(entry, answer);
        return;
    }
    must(answer->offset >= 0 && answer->content_length >= 0);
    must(answer->offset + answer->content_length <= entry->size);
    must(answer->status == 206 ? answer->content_length > 0
                               : answer->content_length == entry->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX];
    if (size == 0)
        return 0;
    if (site.root[0] == '\0')
        make_site();
    struct http_request request = {.method = data[0] & 1 ? HTTP_HEAD : HTTP_GET};
    struct static_answer answer;
    struct static_target target;
    struct slice path = slice_of(paths[(data[0] >> 1) % COUNT_OF(paths)]);
    request.path = path;
    request.fields[0] = (struct http_field){SLICE("Accept-Encoding"), SLICE("gzip")};
    request.field_count = data[0] & 128 ? 1 : 0;
    static_resolve(site.files, &request, site.now_ns, &target);
    must(target.kind == STATIC_FILE);
    request.field_count = 0;
    target.entry->settled = (data[0] & 64) != 0;
    struct slice input = {(const char *)data + 1, size - 1};
    read_request(input, target.entry->tag, text, &request);
    static_answer(site.files, target.entry, &request, &answer);
    check_status(&request, &answer);
    check_head(&request, &answer);
    check_body(target.entry, &answer);
    static_release(target.entry);
    return 0;
}
