/* SPDX-License-Identifier: MIT
 * The buckets of rate_table.h: found, given away, paid from. */
#include "serve/rate_table.h"

#include "askr/api.h"

enum { TRIES = 4 }; /* to get a bucket that others want as well */

size_t askr_rate_size(uint32_t buckets)
{
    return sizeof(struct rate_memory) + (size_t)buckets * sizeof(struct rate_bucket);
}

size_t askr_rate_seed_size(void)
{
    return sizeof(uint64_t);
}

uint32_t rate_table_count(size_t size)
{
    uint32_t count = RATE_WAYS;
    if (size < askr_rate_size(count))
        return 0;
    while (count <= UINT32_MAX / 2 && askr_rate_size(count * 2) <= size)
        count *= 2;
    return count;
}

static int64_t load(const int64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* The owner's, or the one of the set that is full first. */
static struct rate_bucket *look(struct rate_bucket *set, uint64_t owner)
{
    struct rate_bucket *first = set;
    for (int i = 0; i < RATE_WAYS; i++) {
        if (__atomic_load_n(&set[i].owner, __ATOMIC_RELAXED) == owner)
            return &set[i];
        if (load(&set[i].full_ns) < load(&first->full_ns))
            first = &set[i];
    }
    return first;
}

static struct rate_bucket *find(struct rate_bucket *set, uint64_t owner)
{
    struct rate_bucket *bucket = NULL;
    for (int i = 0; i < TRIES; i++) {
        bucket = look(set, owner);
        uint64_t before = __atomic_load_n(&bucket->owner, __ATOMIC_RELAXED);
        if (before == owner)
            return bucket;
        if (__atomic_compare_exchange_n(&bucket->owner, &before, owner, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            __atomic_store_n(&bucket->full_ns, 0, __ATOMIC_RELAXED);
            return bucket;
        }
    }
    return bucket; /* somebody else's: at worst that one pays */
}

int64_t rate_table_take(struct rate_memory *memory, uint32_t count, uint64_t owner,
                        const struct rate_allowance *allowance, int64_t now_ns)
{
    assert(count >= RATE_WAYS && (count & (count - 1)) == 0);
    owner |= 1; /* never nobody's */
    struct rate_bucket *bucket = find(&memory->buckets[(owner >> 1) & (count - RATE_WAYS)], owner);
    int64_t full_ns = load(&bucket->full_ns), next_ns;
    do {
        next_ns = (full_ns > now_ns ? full_ns : now_ns) + allowance->interval_ns;
        int64_t wait_ns = next_ns - now_ns - allowance->interval_ns * (int64_t)allowance->burst;
        if (wait_ns > 0)
            return wait_ns;
    } while (!__atomic_compare_exchange_n(&bucket->full_ns, &full_ns, next_ns, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return 0;
}
