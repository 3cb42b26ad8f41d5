/* SPDX-License-Identifier: MIT
 * The names that fields of answers mostly have, in lower case: one that is found here needs neither
 * be judged nor copied. None of those that h1_is_ours() keeps out. */
#include "proto/h1_bytes.h"
#include "proto/h2_parts.h"

enum { SAME_SIZE_MAX = 4 };

static const struct h2_name usual[][SAME_SIZE_MAX] = {
    [3] = {{"age", 0}},
    [4] = {{"etag", 0}, {"vary", 0}, {"date", H2_OWN_DATE}, {"link", 0}},
    [5] = {{"allow", 0}},
    [6] = {{"server", H2_OWN_SERVER}, {"pragma", 0}},
    [7] = {{"expires", 0}},
    [8] = {{"location", 0}},
    [10] = {{"set-cookie", 0}},
    [11] = {{"retry-after", 0}},
    [12] = {{"content-type", 0}, {"x-powered-by", 0}, {"x-request-id", 0}},
    [13] = {{"cache-control", 0}, {"last-modified", 0}, {"accept-ranges", 0}, {"server-timing", 0}},
    [15] = {{"x-frame-options", 0}},
    [16] = {{"content-encoding", 0}, {"content-language", 0}},
    [19] = {{"content-disposition", 0}},
    [22] = {{"x-content-type-options", 0}},
    [23] = {{"content-security-policy", 0}},
    [25] = {{"strict-transport-security", H2_OWN_HSTS}},
    [27] = {{"access-control-allow-origin", 0}},
};

const struct h2_name *h2_usual_name(struct slice name)
{
    if (name.size >= COUNT_OF(usual))
        return NULL;
    const struct h2_name *same_size = usual[name.size];
    for (size_t i = 0; i < SAME_SIZE_MAX && same_size[i].text != NULL; i++)
        if (h1_reads(name, (struct slice){same_size[i].text, name.size}))
            return &same_size[i];
    return NULL;
}
