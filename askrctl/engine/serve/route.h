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
    ROUTE_PATH_MAX = 62, /* of a path that is remembered: with the rest a cache line */
    ROUTE_PATHS = 64     /* that are remembered: 4 KiB of each worker */
};

struct exchange;
struct worker;

/* A path that was asked for, and its route, which it has for good; 0: none is remembered here. */
struct route_path {
    char path[ROUTE_PATH_MAX];
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
/* The index of the path's route; `status` of the answer decides whether there may be a new one. */
uint32_t routes_find(struct worker *, struct slice path, int status);
/* The name of an exchange's route; "" when it has none. */
struct slice route_of(const struct exchange *);
/* Does the whole of `path` match? */
bool route_matches(struct slice pattern, struct slice path);
/* The name that a path has without patterns; returns its size, without the NUL. */
size_t route_name(struct slice path, uint32_t segments, char out[static ASKR_ROUTE_NAME_SIZE]);

#endif
