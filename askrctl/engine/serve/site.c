/* SPDX-License-Identifier: MIT
 * Sites from start to end (site.h). */
#include "serve/site.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "serve/compress.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/forwarded.h"
#include "serve/rules.h"
#include "serve/sendfile.h"
#include "serve/worker.h"

static struct static_options static_options_of(const struct site *site)
{
    const struct askr_site_config *config = site->config;
    struct static_options options = {
        .root = config->root,
        .front = config->front,
        .scripts = config->scripts != 0 && config->worker_script == NULL,
        .everything_to_front = config->worker_script != NULL,
        .application = config->application,
        .symlinks = (enum askr_symlinks)config->symlinks,
        .precompressed = config->precompressed != 0,
        .encoder = compress_files(site->worker),
    };
    for (size_t i = 0; i < COUNT_OF(options.index_files); i++)
        options.index_files[i] = config->index_files[i];
    for (size_t i = 0; i < COUNT_OF(options.no_scripts); i++)
        options.no_scripts[i] = config->no_scripts[i];
    return options;
}

static void name_status(struct site *site, uint32_t index)
{
    struct askr_worker_status *page = site->worker->status;
    const char *name = site->config->name != NULL ? site->config->name : "";
    site->status = &page->sites[index];
    site->tally = name[0] != '\0' ? &site->status->tally : &page->tally;
    memcpy(site->status->name, name, size_min(strlen(name), sizeof site->status->name - 1));
    page->site_count = index + 1;
}

static int site_open(struct site *site, askr_error *error)
{
    if (site->config->header_count > RULES_HEADERS_MAX)
        return askr_fail(error, EINVAL, "more than %d header rules", RULES_HEADERS_MAX);
    struct static_options options = static_options_of(site);
    site->queue.last = &site->queue.first;
    site->has_rules = site->config->header_count + site->config->redirect_count > 0;
    int result = static_open(&site->files, &options, error);
    return result < 0 ? result : sendfile_open(site, error);
}

static int name_hosts(struct worker *worker, askr_error *error)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < worker->site_count; i++)
        count += worker->sites[i].config->host_count;
    if (count == 0)
        return 0;
    worker->hosts = calloc(count, sizeof *worker->hosts);
    if (worker->hosts == NULL)
        return askr_fail(error, ENOMEM, "no memory for the hosts of sites");
    for (uint32_t i = 0; i < worker->site_count; i++) {
        struct site *site = &worker->sites[i];
        for (uint32_t at = 0; at < site->config->host_count; at++)
            worker->hosts[worker->host_count++] =
                (struct host){slice_of(site->config->hosts[at]), site};
    }
    return 0;
}

/* The name itself, else the longest "*." that it lies below. */
static struct site *find(const struct worker *worker, struct slice name)
{
    const struct host *best = NULL;
    for (uint32_t i = 0; i < worker->host_count; i++) {
        const struct host *host = &worker->hosts[i];
        bool below = host->name.data[0] == '.' && name.size > host->name.size;
        if ((!below && name.size != host->name.size) ||
            strncasecmp(name.data + name.size - host->name.size, host->name.data,
                        host->name.size) != 0)
            continue;
        if (!below)
            return host->site;
        if (best == NULL || host->name.size > best->name.size)
            best = host;
    }
    return best != NULL ? best->site : NULL;
}

struct site *site_of(const struct exchange *exchange)
{
    const struct worker *worker = exchange->conn->worker;
    struct slice name = host_of(exchange_authority(exchange));
    if (name.size > 0 && name.data[name.size - 1] == '.')
        name.size--; /* RFC 1034 section 3.1: the root, spelled out */
    struct site *site = name.size > 0 ? find(worker, name) : NULL;
    int index = worker->config->default_site;
    return site != NULL || index < 0 ? site : &worker->sites[index];
}

struct slice site_name_of(const struct exchange *exchange)
{
    return exchange->site == NULL ? SLICE("") : slice_of(exchange->site->status->name);
}

int sites_open(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    uint32_t place = 0;
    assert(config->site_count > 0);
    if (config->site_count > ASKR_SITES_MAX)
        return askr_fail(error, EINVAL, "more than %d sites", ASKR_SITES_MAX);
    worker->sites = calloc(config->site_count, sizeof *worker->sites);
    if (worker->sites == NULL)
        return askr_fail(error, ENOMEM, "no memory for sites");
    for (uint32_t i = 0; i < config->site_count; i++) {
        struct site *site = &worker->sites[i];
        site->worker = worker;
        site->config = &config->sites[i];
        site->first_place = place;
        site->place_count = site->config->app_count;
        place += site->place_count;
        if (place > ASKR_APPS_MAX)
            return askr_fail(error, EINVAL, "more than %d application processes", ASKR_APPS_MAX);
        name_status(site, i);
        worker->site_count = i + 1;
        int result = site_open(site, error);
        if (result < 0)
            return result;
    }
    if (config->default_site >= (int)config->site_count)
        return askr_fail(error, EINVAL, "there is no site %d", config->default_site);
    return name_hosts(worker, error);
}

void sites_close(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->site_count; i++) {
        sendfile_close(&worker->sites[i]);
        static_close(worker->sites[i].files);
    }
    free(worker->hosts);
    free(worker->sites);
    worker->hosts = NULL;
    worker->host_count = 0;
    worker->sites = NULL;
    worker->site_count = 0;
}

void sites_beat(struct worker *worker, int64_t now_ns)
{
    struct askr_worker_status *page = worker->status;
    uint32_t depth = 0;
    int64_t wait_ns = 0;
    for (uint32_t i = 0; i < worker->site_count; i++) {
        const struct site *site = &worker->sites[i];
        const struct exchange *oldest = site->queue.first;
        site->status->queue_depth = site->queue.depth;
        site->status->queue_wait_ns = oldest != NULL ? now_ns - oldest->times.received_ns : 0;
        site->status->inflight = site->handed_count;
        depth += site->queue.depth;
        if (site->status->queue_wait_ns > wait_ns)
            wait_ns = site->status->queue_wait_ns;
    }
    page->queue_depth = depth;
    page->queue_wait_ns = wait_ns;
}
