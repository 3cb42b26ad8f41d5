/* SPDX-License-Identifier: MIT
 * X-Sendfile and X-Accel-Redirect: which file, and the answer that carries it (sendfile.h). */
#include "serve/sendfile.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/worker.h"

enum { ESCAPED_SIZE_MAX = 3 * STATIC_PATH_MAX };

/* --- folders ---------------------------------------------------------------------------------- */

/* Two prefixes of one folder share what is known of its files. */
static struct static_files *opened_before(const struct site *site, uint32_t index)
{
    const struct askr_sendfile_root *roots = site->config->sendfile;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(roots[i].root, roots[index].root) == 0)
            return site->sendfile_files[i];
    return NULL;
}

int sendfile_open(struct site *site, askr_error *error)
{
    const struct askr_site_config *config = site->config;
    if (config->sendfile_count == 0)
        return 0;
    if (config->sendfile_count > SENDFILE_ROOTS_MAX)
        return askr_fail(error, EINVAL, "more than %d folders of sendfile", SENDFILE_ROOTS_MAX);
    site->sendfile_files = calloc(config->sendfile_count, sizeof *site->sendfile_files);
    if (site->sendfile_files == NULL)
        return askr_fail(error, ENOMEM, "no memory for sendfile");
    for (uint32_t i = 0; i < config->sendfile_count; i++) {
        struct static_options options = {
            .root = config->sendfile[i].root,
            .application = config->application,
            .symlinks = (enum askr_symlinks)config->symlinks,
        };
        int result = 0;
        site->sendfile_files[i] = opened_before(site, i);
        if (site->sendfile_files[i] == NULL)
            result = static_open(&site->sendfile_files[i], &options, error);
        if (result < 0)
            return result;
    }
    return 0;
}

void sendfile_close(struct site *site)
{
    if (site->sendfile_files == NULL)
        return;
    for (uint32_t i = site->config->sendfile_count; i-- > 0;)
        if (opened_before(site, i) == NULL)
            static_close(site->sendfile_files[i]);
    free(site->sendfile_files);
    site->sendfile_files = NULL;
}

/* --- what the application says ---------------------------------------------------------------- */

/* Once a second is enough for a log, however often an application says it. */
static void tell(struct worker *worker, enum sendfile_problem problem, struct slice name)
{
    if (worker->io.now_ns < worker->sendfile_told_ns + NS_PER_S)
        return;
    worker->sendfile_told_ns = worker->io.now_ns;
    control_say(worker, CONTROL_SENDFILE, problem, name);
}

int sendfile_note(struct exchange *exchange, const struct http_field *field)
{
    bool internal = field->name.size == 16;
    if (!slice_reads(field->name, internal ? SLICE("x-accel-redirect") : SLICE("x-sendfile")))
        return 0;
    if (exchange->site->config->sendfile_count == 0) {
        exchange->site->status->sendfile_refused++;
        tell(exchange->conn->worker, SENDFILE_OFF, field->value);
        return 1;
    }
    struct sendfile *sendfile = exchange_allocate(exchange, sizeof *sendfile + field->value.size);
    if (sendfile == NULL)
        return -ENOMEM;
    char *text = (char *)(sendfile + 1);
    memcpy(text, field->value.data, field->value.size);
    *sendfile = (struct sendfile){{text, field->value.size}, internal};
    exchange->sendfile = sendfile;
    return 1;
}

/* --- which file ------------------------------------------------------------------------------- */

/* A path on disk as static_resolve() takes it, which undoes percent-encoding. */
static bool escape(struct slice path, char out[static ESCAPED_SIZE_MAX], struct slice *escaped)
{
    size_t used = 0;
    if (path.size > STATIC_PATH_MAX)
        return false;
    for (size_t i = 0; i < path.size; i++) {
        bool percent = path.data[i] == '%';
        memcpy(out + used, percent ? "%25" : path.data + i, percent ? 3 : 1);
        used += percent ? 3 : 1;
    }
    *escaped = (struct slice){out, used};
    return true;
}

/* What of the name is a path within the folder, with a slash in front. */
static bool is_within(const struct askr_sendfile_root *root, const struct sendfile *sendfile,
                      struct slice *inside)
{
    struct slice name = sendfile->name, prefix = slice_of(root->prefix);
    if ((root->internal != 0) != sendfile->internal)
        return false;
    if (name.size <= prefix.size || memcmp(name.data, prefix.data, prefix.size) != 0 ||
        name.data[prefix.size] != '/')
        return false;
    *inside = (struct slice){name.data + prefix.size, name.size - prefix.size};
    const char *query = sendfile->internal ? memchr(inside->data, '?', inside->size) : NULL;
    if (query != NULL)
        inside->size = (size_t)(query - inside->data);
    return true;
}

static enum sendfile_problem problem_of(enum static_kind kind)
{
    switch (kind) {
    case STATIC_FILE:
        return SENDFILE_NONE;
    case STATIC_MISSING:
    case STATIC_REDIRECT:
    case STATIC_SCRIPT:
        return SENDFILE_MISSING;
    case STATIC_DENIED:
    case STATIC_BAD:
        return SENDFILE_DENIED;
    case STATIC_FAILED:
        break;
    }
    return SENDFILE_FAILED;
}

static enum sendfile_problem find(struct exchange *exchange, struct static_files **files,
                                  struct static_entry **entry)
{
    const struct site *site = exchange->site;
    struct http_request *request = &site->worker->request; /* recalled by compose() */
    char text[ESCAPED_SIZE_MAX];
    struct slice inside;
    site->worker->request_of = NULL;
    for (uint32_t i = 0; i < site->config->sendfile_count; i++) {
        struct static_target target;
        if (!is_within(&site->config->sendfile[i], exchange->sendfile, &inside))
            continue;
        if (!exchange->sendfile->internal && !escape(inside, text, &inside))
            return SENDFILE_MISSING;
        *files = site->sendfile_files[i];
        request->path = inside;
        request->field_count = 0; /* the file itself, in no coding */
        static_resolve(*files, request, site->worker->io.now_ns, &target);
        *entry = target.entry;
        return problem_of(target.kind);
    }
    return SENDFILE_OUTSIDE;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Of the application's fields, those that are about the file are the file's. */
static bool is_files_own(struct slice name)
{
    return slice_reads(name, SLICE("etag")) || slice_reads(name, SLICE("last-modified")) ||
           slice_reads(name, SLICE("accept-ranges")) || slice_reads(name, SLICE("content-range")) ||
           slice_reads(name, SLICE("content-encoding"));
}

static bool has_type(const struct exchange *exchange)
{
    for (size_t i = 0; i < exchange->field_count; i++)
        if (slice_reads(exchange->fields[i].name, SLICE("content-type")))
            return true;
    return false;
}

/* The application's fields, then the file's; a type that the application gave stays. */
static bool join_fields(struct exchange *exchange, const struct static_answer *answer)
{
    size_t count = 0;
    bool typed = has_type(exchange);
    struct http_field *fields =
        exchange_allocate(exchange, (exchange->field_count + answer->field_count) * sizeof *fields);
    if (fields == NULL)
        return false;
    for (size_t i = 0; i < exchange->field_count; i++)
        if (!is_files_own(exchange->fields[i].name))
            fields[count++] = exchange->fields[i];
    for (size_t i = 0; i < answer->field_count; i++)
        if (!typed || !slice_reads(answer->fields[i].name, SLICE("content-type")))
            fields[count++] = answer->fields[i];
    exchange->fields = fields;
    exchange->field_count = count;
    return true;
}

/* Preconditions and ranges are about a plain 200. Of several ranges each would have to be told the
 * application's type, so then all of the file is sent. */
static void compose(struct exchange *exchange, struct static_files *files,
                    struct static_entry *entry, struct static_answer *answer)
{
    struct worker *worker = exchange->conn->worker;
    struct http_request *request = &worker->request;
    worker->request_of = NULL;
    exchange->conn->protocol->recall(exchange);
    if (exchange->status != 200 || (request->method != HTTP_GET && request->method != HTTP_HEAD))
        request->field_count = 0;
    static_answer(files, entry, request, answer);
    if (answer->part_count > 0) {
        request->field_count = 0;
        static_answer(files, entry, request, answer);
    }
}

static void refuse(struct exchange *exchange, enum sendfile_problem problem)
{
    int status = problem == SENDFILE_MISSING ? 404 : problem == SENDFILE_FAILED ? 503 : 500;
    exchange->site->status->sendfile_refused++;
    tell(exchange->conn->worker, problem, exchange->sendfile->name);
    respond_error(exchange, status, NULL);
}

void sendfile_answer(struct exchange *exchange)
{
    struct static_files *files;
    struct static_entry *entry;
    struct static_answer answer;
    enum sendfile_problem problem = find(exchange, &files, &entry);
    if (problem != SENDFILE_NONE) {
        refuse(exchange, problem);
        return;
    }
    timing_add(exchange);
    compose(exchange, files, entry, &answer);
    if (!join_fields(exchange, &answer)) {
        static_release(entry);
        respond_error(exchange, 503, NULL);
        return;
    }
    struct answer_head head = {
        .status = exchange->status == 200 ? answer.status : exchange->status,
        .content_length = answer.content_length,
        .fields = exchange->fields,
        .field_count = exchange->field_count,
    };
    respond_entry(exchange, entry, &answer, &head);
}

/* --- what the application is told ------------------------------------------------------------- */

static void drop(struct http_request *request, struct slice name)
{
    uint16_t kept = 0;
    for (uint16_t i = 0; i < request->field_count; i++)
        if (!slice_reads(request->fields[i].name, name))
            request->fields[kept++] = request->fields[i];
    request->field_count = kept;
}

static void put(struct http_request *request, struct slice name, const char *value)
{
    drop(request, name);
    if (value != NULL && request->field_count < HTTP_FIELDS_MAX)
        request->fields[request->field_count++] = (struct http_field){name, slice_of(value)};
}

void sendfile_offer(const struct exchange *exchange)
{
    const struct askr_site_config *site = exchange->site->config;
    struct http_request *request = &exchange->conn->worker->request;
    put(request, SLICE("X-Sendfile-Type"), site->sendfile_type);
    put(request, SLICE("X-Accel-Mapping"), site->sendfile_mapping);
}
