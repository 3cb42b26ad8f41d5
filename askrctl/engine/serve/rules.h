/* SPDX-License-Identifier: MIT
 * Rules that askr.toml has for a site: redirects, and edits of answers' fields.
 *
 * Paths are matched as static_resolve() has decoded and normalised them, so that no other spelling
 * gets by. Which header rules are for a request is found once, when it is routed, and they are
 * applied to whatever its answer is; what an answer's framing needs, configuration refuses and the
 * protocols write behind it anyway. */
#ifndef ASKR_RULES_H
#define ASKR_RULES_H

#include "base/base.h"

enum { RULES_HEADERS_MAX = 32 }; /* bits of exchange->header_rules */

struct answer_head;
struct exchange;

/* worker->request and worker->target are the exchange's: note its header rules, and answer it when
 * a redirect is for it. True: it was answered. */
bool rules_route(struct exchange *);
/* The head with the exchange's header rules applied; NULL when memory is out or there are too many
 * fields. `edited` is room for it. */
const struct answer_head *rules_edit(struct exchange *, const struct answer_head *,
                                     struct answer_head *edited);
/* Is the pattern one of this path? `rest` is what its "*" stands for. */
bool pattern_matches(const struct askr_pattern *, struct slice path, struct slice *rest);
/* Does a host without its port, in any case, read like one of these? They are in lower case, and
 * ".example.org" is every name below it. */
bool rules_host_is_one_of(struct slice host, const char *const *names, uint32_t count);

#endif
