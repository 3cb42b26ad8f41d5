/* SPDX-License-Identifier: MIT
 * Which rules are for a request, and header rules (rules.h). Redirects are composed in
 * redirect.c. */
#include "serve/rules.h"

#include <strings.h>

#include "proto/h1.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/redirect.h"
#include "serve/worker.h"

bool pattern_matches(const struct askr_pattern *pattern, struct slice path, struct slice *rest)
{
    struct slice before = slice_of(pattern->before);
    if (pattern->behind == NULL) {
        *rest = SLICE("");
        return slice_equals(path, before);
    }
    struct slice behind = slice_of(pattern->behind);
    if (path.size < before.size + behind.size || memcmp(path.data, before.data, before.size) != 0 ||
        memcmp(path.data + path.size - behind.size, behind.data, behind.size) != 0)
        return false;
    *rest = (struct slice){path.data + before.size, path.size - before.size - behind.size};
    return true;
}

static bool is_for_path(const struct askr_header_rule *rule, struct slice path)
{
    struct slice rest;
    for (uint32_t i = 0; i < rule->path_count; i++)
        if (pattern_matches(&rule->paths[i], path, &rest))
            return true;
    return false;
}

bool rules_route(struct exchange *exchange)
{
    const struct askr_site_config *site = exchange->site->config;
    struct slice path = exchange->conn->worker->target.path; /* empty when it is not valid */
    for (uint32_t i = 0; i < site->header_count; i++)
        if (is_for_path(&site->headers[i], path))
            exchange->header_rules |= UINT32_C(1) << i;
    for (uint32_t i = 0; i < site->redirect_count && path.size > 0; i++)
        if (redirect_try(exchange, &site->redirects[i]))
            return true;
    return false;
}

bool rules_host_is_one_of(struct slice host, const char *const *names, uint32_t count)
{
    if (host.size > 0 && host.data[host.size - 1] == '.')
        host.size--; /* the root, spelled out: site_of() reads it so as well */
    for (uint32_t i = 0; i < count; i++) {
        struct slice name = slice_of(names[i]);
        bool below = name.data[0] == '.' && host.size > name.size;
        if ((below || host.size == name.size) &&
            strncasecmp(host.data + host.size - name.size, name.data, name.size) == 0)
            return true;
    }
    return false;
}

/* --- header fields ---------------------------------------------------------------------------- */

static bool applies(const struct exchange *exchange, uint32_t index, int status)
{
    const struct askr_header_rule *rule = &exchange->site->config->headers[index];
    if ((exchange->header_rules >> index & 1) == 0)
        return false;
    switch ((enum askr_answers)rule->answers) {
    case ASKR_ANSWERS_OK:
        return status < 400;
    case ASKR_ANSWERS_FILES:
        return exchange->from_file;
    case ASKR_ANSWERS_ALL:
        break;
    }
    return true;
}

static size_t drop(struct http_field *fields, size_t count, struct slice name)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (fields[i].name.size != name.size ||
            strncasecmp(fields[i].name.data, name.data, name.size) != 0)
            fields[kept++] = fields[i];
    return kept;
}

/* `fields` has room for one more for each edit. Returns how many there are now. */
static size_t edit(struct http_field *fields, size_t count, const struct askr_header_rule *rule)
{
    for (uint32_t i = 0; i < rule->edit_count; i++) {
        const struct askr_header_edit *edit = &rule->edits[i];
        struct slice name = slice_of(edit->name);
        if (edit->edit != ASKR_EDIT_ADD)
            count = drop(fields, count, name);
        if (edit->edit != ASKR_EDIT_REMOVE)
            fields[count++] = (struct http_field){name, slice_of(edit->value)};
    }
    return count;
}

const struct answer_head *rules_edit(struct exchange *exchange, const struct answer_head *head,
                                     struct answer_head *edited)
{
    const struct askr_site_config *site = exchange->site->config;
    size_t room = head->field_count, count = head->field_count;
    for (uint32_t i = 0; i < site->header_count; i++)
        if (applies(exchange, i, head->status))
            room += site->headers[i].edit_count;
    struct http_field *fields = exchange_allocate(exchange, room * sizeof *fields);
    if (fields == NULL)
        return NULL;
    if (head->field_count > 0)
        memcpy(fields, head->fields, head->field_count * sizeof *fields);
    for (uint32_t i = 0; i < site->header_count; i++)
        if (applies(exchange, i, head->status))
            count = edit(fields, count, &site->headers[i]);
    *edited = *head;
    edited->fields = fields;
    edited->field_count = count;
    return count > H1_RESPONSE_FIELDS_MAX ? NULL : edited;
}
