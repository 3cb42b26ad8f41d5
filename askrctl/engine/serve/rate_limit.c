/* SPDX-License-Identifier: MIT
 * The rules of rate_limit.h, and what a client that is refused is told. */
#include "serve/rate_limit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/rate_key.h"
#include "serve/worker.h"

static int map_memory(struct rates *rates, int fd)
{
    struct stat facts;
    if (fstat(fd, &facts) < 0)
        return -errno;
    rates->size = (size_t)facts.st_size;
    rates->buckets = rate_table_count(rates->size);
    if (rates->buckets == 0)
        return -EINVAL;
    void *memory = mmap(NULL, rates->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    rates->memory = memory;
    return 0;
}

static struct rate_allowance allowance_of(const struct askr_rate *rule)
{
    int64_t period_ns = (int64_t)rule->period_s * NS_PER_S;
    struct rate_allowance allowance = {period_ns / rule->count, rule->burst};
    if (allowance.interval_ns == 0)
        allowance.interval_ns = 1;
    return allowance;
}

int rate_limit_open(struct worker *worker, askr_error *error)
{
    const struct askr_worker_config *config = worker->config;
    struct rates *rates = &worker->rates;
    if (config->rate_count == 0)
        return 0;
    if (config->rate_count > ASKR_RATES_MAX)
        return askr_fail(error, EINVAL, "there are more than %d rate limits", ASKR_RATES_MAX);
    int result = map_memory(rates, config->rate_fd);
    if (result < 0)
        return askr_fail(error, -result, "the memory of rate limits cannot be used: %s",
                         strerror(-result));
    rates->rules = config->rates;
    rates->count = config->rate_count;
    for (uint32_t i = 0; i < rates->count; i++) {
        rates->allowances[i] = allowance_of(&rates->rules[i]);
        rates->seeds[i] = rate_key_seed(&rates->rules[i], rates->memory->seed);
    }
    return 0;
}

void rate_limit_close(struct worker *worker)
{
    struct rates *rates = &worker->rates;
    if (rates->memory != NULL)
        munmap(rates->memory, rates->size);
    rates->memory = NULL;
    rates->count = 0;
}

/* "/api" holds for "/api" and "/api/users", not for "/apical"; "/api/" for what is below only. */
static bool is_below(struct slice path, struct slice prefix)
{
    if (path.size < prefix.size || memcmp(path.data, prefix.data, prefix.size) != 0)
        return false;
    return path.size == prefix.size || prefix.data[prefix.size - 1] == '/' ||
           path.data[prefix.size] == '/';
}

static bool holds(const struct askr_rate *rule, const struct static_target *target)
{
    struct slice prefix = slice_of(rule->path);
    return is_below(target->path, prefix) || is_below(target->path_info, prefix);
}

bool rate_limit_admits(struct exchange *exchange)
{
    struct worker *worker = exchange->conn->worker;
    struct rates *rates = &worker->rates;
    for (uint32_t i = 0; i < rates->count; i++) {
        const struct askr_rate *rule = &rates->rules[i];
        uint64_t owner;
        if (!holds(rule, &worker->target) || !rate_key(exchange, rule, rates->seeds[i], &owner))
            continue;
        rates->wait_ns = rate_table_take(rates->memory, rates->buckets, owner,
                                         &rates->allowances[i], worker->io.now_ns);
        if (rates->wait_ns == 0)
            continue;
        rates->refused_by = i;
        exchange->limited = true;
        worker->status->rate_limited++;
        return false;
    }
    return true;
}

size_t rate_limit_fields(const struct exchange *exchange, struct http_field fields[static 3],
                         struct rate_limit_text *text)
{
    const struct rates *rates = &exchange->conn->worker->rates;
    if (!exchange->limited)
        return 0;
    const struct askr_rate *rule = &rates->rules[rates->refused_by];
    long long wait_s = (rates->wait_ns + NS_PER_S - 1) / NS_PER_S;
    snprintf(text->retry_after, sizeof text->retry_after, "%lld", wait_s);
    snprintf(text->policy, sizeof text->policy, "\"%.40s\";q=%u;w=%u", rule->name, rule->count,
             rule->period_s);
    snprintf(text->state, sizeof text->state, "\"%.40s\";r=0;t=%lld", rule->name, wait_s);
    fields[0] = (struct http_field){SLICE("Retry-After"), slice_of(text->retry_after)};
    fields[1] = (struct http_field){SLICE("RateLimit-Policy"), slice_of(text->policy)};
    fields[2] = (struct http_field){SLICE("RateLimit"), slice_of(text->state)};
    return 3;
}
