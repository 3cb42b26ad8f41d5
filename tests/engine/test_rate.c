/* SPDX-License-Identifier: MIT
 * Token buckets in shared memory (serve/rate_table.h), and whose they are (serve/rate_key.h). */
#include <pthread.h>
#include <stdlib.h>

#include "serve/rate_key.h"
#include "serve/rate_table.h"
#include "tap.h"

enum { BUCKETS = 64, THREADS = 4, ROUNDS = 20000 };

static const int64_t start_ns = 1000 * NS_PER_S;
static const struct rate_allowance five_a_second = {NS_PER_S / 5, 3};

static struct rate_memory *memory_new(void)
{
    struct rate_memory *memory = aligned_alloc(64, (askr_rate_size(BUCKETS) + 63) / 64 * 64);
    memset(memory, 0, askr_rate_size(BUCKETS));
    return memory;
}

static int64_t take(struct rate_memory *memory, uint64_t owner, int64_t now_ns)
{
    return rate_table_take(memory, BUCKETS, owner, &five_a_second, now_ns);
}

static void a_bucket_gives_its_burst_and_then_its_rate(void)
{
    struct rate_memory *memory = memory_new();
    for (int i = 0; i < 3; i++)
        OK(take(memory, 7, start_ns) == 0, "token %d of the burst", i + 1);
    OK(take(memory, 7, start_ns) == NS_PER_S / 5, "then it says how long until the next");
    OK(take(memory, 7, start_ns) == NS_PER_S / 5, "and asking again does not make it longer");
    OK(take(memory, 7, start_ns + NS_PER_S / 5 - 1) == 1, "a nanosecond early is too early");
    OK(take(memory, 7, start_ns + NS_PER_S / 5) == 0, "in time it is there");
    OK(take(memory, 7, start_ns + NS_PER_S / 5) == NS_PER_S / 5, "one, not more");
    OK(take(memory, 9, start_ns) == 0, "another client has a bucket of its own");
    int64_t later_ns = start_ns + 3600 * NS_PER_S;
    for (int i = 0; i < 3; i++)
        OK(take(memory, 7, later_ns) == 0, "after an hour the burst is there again, %d", i + 1);
    OK(take(memory, 7, later_ns) > 0, "and no more than that");
    free(memory);
}

static void a_crowd_does_not_wash_away_who_asks_too_much(void)
{
    struct rate_memory *memory = memory_new();
    while (take(memory, 7, start_ns) == 0)
        ;
    for (uint64_t owner = 100; owner < 100 + 50 * BUCKETS; owner++)
        take(memory, owner * UINT64_C(0x9e3779b97f4a7c15), start_ns);
    OK(take(memory, 7, start_ns) > 0, "it is still refused");
    free(memory);
}

static void the_table_is_as_large_as_it_fits(void)
{
    OK(rate_table_count(askr_rate_size(RATE_WAYS) - 1) == 0, "too small is told");
    OK(rate_table_count(askr_rate_size(RATE_WAYS)) == RATE_WAYS, "the smallest");
    OK(rate_table_count(askr_rate_size(1000)) == 512, "rounded down to a power of two");
    OK(rate_table_count(askr_rate_size(1024)) == 1024, "exactly one");
}

struct taker {
    struct rate_memory *memory;
    uint64_t taken;
};

static void *take_many(void *argument)
{
    struct taker *taker = argument;
    for (int i = 0; i < ROUNDS; i++)
        taker->taken += take(taker->memory, 7, start_ns) == 0;
    return NULL;
}

static void workers_share_a_bucket(void)
{
    struct rate_memory *memory = memory_new();
    struct taker takers[THREADS];
    pthread_t threads[THREADS];
    uint64_t taken = 0;
    take(memory, 7, start_ns - NS_PER_S); /* it is the client's already */
    for (int i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){memory, 0};
        pthread_create(&threads[i], NULL, take_many, &takers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        taken += takers[i].taken;
    }
    OK(taken == 3, "all of them together get the burst");
    free(memory);
}

static struct http_request request_with(const char *name, const char *first, const char *second)
{
    struct http_request request = {0};
    request.fields[request.field_count++] = (struct http_field){SLICE("Host"), SLICE("a")};
    request.fields[request.field_count++] = (struct http_field){slice_of(name), slice_of(first)};
    if (second != NULL)
        request.fields[request.field_count++] =
            (struct http_field){slice_of(name), slice_of(second)};
    return request;
}

static uint64_t header(const char *first, const char *second)
{
    struct http_request request = request_with("X-API-KEY", first, second);
    return rate_key_header(&request, SLICE("X-Api-Key"), 1);
}

static void headers_tell_clients_apart(void)
{
    OK(header("a", NULL) != 0 && header("a", NULL) == header("a", NULL), "the same is the same");
    OK(header("a", NULL) != header("b", NULL), "another value is another client");
    OK(header("a", "b") != header("a", NULL), "all fields of the name count");
    OK(header("", NULL) == 0, "an empty one is none");
    struct http_request request = request_with("X-Other", "a", NULL);
    OK(rate_key_header(&request, SLICE("X-Api-Key"), 1) == 0, "nor is another field");
    request = request_with("X-Api-Key", "a", NULL);
    OK(rate_key_header(&request, SLICE("X-Api-Key"), 2) != header("a", NULL), "rules differ");
}

static uint64_t cookie(const char *first, const char *second)
{
    struct http_request request = request_with("cookie", first, second);
    return rate_key_cookie(&request, SLICE("sid"), 1);
}

static void cookies_tell_clients_apart(void)
{
    uint64_t wanted = cookie("sid=abc", NULL);
    OK(wanted != 0, "a cookie alone");
    static const char *const same[] = {"sid=abc; x=1",    "x=1; sid=abc",
                                       "x=1;sid=abc;y=2", "x=1; sid=abc; sid=other",
                                       "; ;sid=abc",      "xsid=1; sid=abc"};
    for (size_t i = 0; i < COUNT_OF(same); i++)
        OK(cookie(same[i], NULL) == wanted, "in '%s'", same[i]);
    OK(cookie("x=1", "sid=abc") == wanted, "in a second field, as HTTP/2 sends them");
    static const char *const none[] = {"",         "sid",      "sid=",         "SID=abc",
                                       "xsid=abc", "sidx=abc", "x=sid=abc; y", "si=d=abc"};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        OK(cookie(none[i], NULL) == 0, "not in '%s'", none[i]);
    OK(cookie("sid=abd", NULL) != wanted, "another value is another client");
}

int main(void)
{
    a_bucket_gives_its_burst_and_then_its_rate();
    a_crowd_does_not_wash_away_who_asks_too_much();
    the_table_is_as_large_as_it_fits();
    workers_share_a_bucket();
    headers_tell_clients_apart();
    cookies_tell_clients_apart();
    return TAP_END();
}
