/* SPDX-License-Identifier: MIT
 * Which route a request belongs to, so that durations can be told apart: /users/1 and /users/2 are
 * one. Patterns of the operator's come first: in "/users/:name" a segment with a colon stands for
 * any one segment, a star at the end for all that follows. For other paths it is their first
 * segments, ids replaced by ":id".
 *
 * Anybody can ask for any path, so how many routes there are is bounded, and an answer of 4xx makes
 * no new one: what scanners ask for does not crowd out what the application has. The rest counts as
 * route 0, "(other)". Routes are kept in the worker's page (askr/api.h), where readers find them;
 * one that is there stays. Only answers of applications count: what the worker answers itself is
 * ASKR_HISTOGRAM_SELF. */
#ifndef ASKR_ROUTE_H
#define ASKR_ROUTE_H

#include "base/base.h"

enum {
    ROUTE_OTHER = 0,
    ROUTE_SLOTS = 256,   /* of the hash table: at most a quarter is used */
    ROUTE_WORD_MAX = 32, /* bytes; a longer segment is a title or a token: an id */
    ROUTE_PATH_MAX = 62, /* bytes of a path that is remembered: with the rest a cache line */
    ROUTE_ENDS = 16,     /* of them: its first eight and its last eight */
    ROUTE_PATHS_BITS = 6,
    ROUTE_PATHS = 1 << ROUTE_PATHS_BITS, /* that are remembered: 4 KiB of each worker */
};

struct exchange;
struct worker;

/* A path that was asked for, and its route, which it has for good; 0: none is remembered here. */
struct route_path {
    uint64_t first, last; /* all of a path of up to 16 bytes */
    char middle[ROUTE_PATH_MAX - ROUTE_ENDS];
    uint8_t size, route;
};

struct routes {
    struct slice patterns[ASKR_ROUTES_MAX - 1];
    uint32_t pattern_count, count; /* of routes: "(other)" and patterns included */
    uint8_t slots[ROUTE_SLOTS];    /* index of a route; 0: free */
    struct route_path paths[ROUTE_PATHS];
};

/* Patterns from the configuration: the first routes. */
void routes_open(struct worker *);
/* The index of the path's route when it is remembered; else ROUTE_OTHER. */
static inline uint32_t routes_recall(struct routes *, struct slice path);
/* The same when it is not: `status` of the answer decides whether there may be a new one. */
uint32_t routes_find(struct worker *, struct slice path, int status);
/* The name of an exchange's route; "" when it has none. */
struct slice route_of(const struct exchange *);
/* Does the whole of `path` match? */
bool route_matches(struct slice pattern, struct slice path);
/* The name that a path has without patterns; returns its size, without the NUL. */
size_t route_name(struct slice path, uint32_t segments, char out[static ASKR_ROUTE_NAME_SIZE]);

/* The first and the last eight bytes of a path; they overlap, and are fewer, in a short one. */
static inline uint64_t route_first(struct slice path)
{
    uint64_t first = 0;
    if (LIKELY(path.size >= 8))
        memcpy(&first, path.data, 8);
    else
        memcpy(&first, path.data, path.size);
    return first;
}
static inline uint64_t route_last(struct slice path)
{
    uint64_t last = 0;
    if (path.size >= 8)
        memcpy(&last, path.data + path.size - 8, 8);
    return last;
}

/* Where a path is remembered is said by its ends and its size, which tell most paths apart. */
static inline struct route_path *route_place(struct routes *routes, struct slice path)
{
    uint64_t first = route_first(path), last = route_last(path);
    uint64_t hash = (first ^ (last << 7 | last >> 57) ^ path.size) * UINT64_C(0x9E3779B97F4A7C15);
    return &routes->paths[hash >> (64 - ROUTE_PATHS_BITS)];
}

static inline uint32_t routes_recall(struct routes *routes, struct slice path)
{
    const struct route_path *place = route_place(routes, path);
    bool same = place->first == route_first(path) && place->last == route_last(path) &&
                place->size == path.size;
    if (same && path.size > ROUTE_ENDS)
        same = memcmp(place->middle, path.data + 8, path.size - ROUTE_ENDS) == 0;
    return same ? place->route : ROUTE_OTHER;
}

#endif
