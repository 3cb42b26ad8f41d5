/* SPDX-License-Identifier: MIT
 * How files in memory are compressed (app/static.h): by the rules and within the budget of answers.
 */
#include "serve/compress.h"
#include "serve/worker.h"

static bool is_text(void *user, struct slice type, int64_t size)
{
    const struct worker *worker = user;
    const struct encoding_rules *rules = &worker->compressors.rules;
    const struct http_field field = {SLICE("Content-Type"), type};
    struct encoding_traits traits;
    if (size < rules->size_min)
        return false;
    encoding_look(rules, 200, &field, 1, &traits);
    return traits.allowed;
}

static enum encoding choose(void *user, const struct http_request *request)
{
    const struct worker *worker = user;
    struct accept_encoding accept;
    accept_encoding_of(request, &accept);
    return encoding_choose(&worker->compressors.rules, &accept);
}

static int64_t encode(void *user, enum encoding encoding, struct slice content, char *out,
                      size_t size)
{
    return compress_block(user, encoding, content, out, size);
}

const struct static_encoder *compress_files(struct worker *worker)
{
    struct compressors *all = &worker->compressors;
    all->files = (struct static_encoder){worker, is_text, choose, encode};
    return all->rules.count > 0 ? &all->files : NULL;
}
