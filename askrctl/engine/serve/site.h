/* SPDX-License-Identifier: MIT
 * A site: what one host name leads to. Its files, its application processes and the queue in front
 * of them. A worker has at least one; without [[site]] in askr.toml exactly one, for every host.
 *
 * Requests wait in their site's queue for their site's processes, so that a site that is stuck
 * holds up nobody else. */
#ifndef ASKR_SITE_H
#define ASKR_SITE_H

#include "app/static.h"

struct exchange;
struct worker;

struct queue { /* of requests that are complete, the oldest first */
    struct exchange *first, **last;
    uint32_t depth;
};

struct site {
    struct worker *worker;
    const struct askr_site_config *config;
    struct askr_site_status *status; /* part of the worker's page */
    struct askr_tally *tally;        /* where its answers are counted */
    struct static_files *files;
    struct static_files **sendfile_files; /* one for each of config->sendfile; NULL: none */
    struct queue queue;
    uint32_t first_place, place_count; /* of worker->apps */
    bool has_rules;                    /* redirects, or header rules */
    uint32_t handed_count;             /* requests in the ports of its processes */
    char boot_error[512];              /* why no application can serve, or "" */
};

struct host { /* of a site */
    struct slice name;
    struct site *site;
};

/* Open the sites of worker->config. What it opened before it failed, sites_close() closes. */
int sites_open(struct worker *, askr_error *);
void sites_close(struct worker *);
/* The site that is asked when there are several, or NULL. */
struct site *site_of(const struct exchange *);
/* The name of an exchange's site; "" before it has one, and without sites. */
struct slice site_name_of(const struct exchange *);
/* Every heartbeat: what the page says of them now. */
void sites_beat(struct worker *, int64_t now_ns);

#endif
