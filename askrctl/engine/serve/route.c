/* SPDX-License-Identifier: MIT
 * Routes of route.h. A path is looked at once for each answer of an application, when its status is
 * known: a few instructions for each byte of the segments that count. */
#include "serve/route.h"

#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/worker.h"

_Static_assert(ASKR_ROUTES_MAX <= ROUTE_SLOTS / 4, "a free slot is found soon");
_Static_assert(ASKR_ROUTES_MAX <= UINT8_MAX, "a slot holds an index");
_Static_assert(ASKR_ROUTE_NAME_SIZE % sizeof(uint64_t) == 0, "a name is hashed by words");

enum { DIGIT = 1, HEX = 2, LETTER = 4 }; /* HEX: what ids of several kinds are made of */

#define C_DIGIT (DIGIT | HEX | LETTER)
#define C_HEX (HEX | LETTER)

/* Classes of the bytes that ids are made of; every other byte has none. */
static const uint8_t classes[256] = {
    ['0' ... '9'] = C_DIGIT, ['a' ... 'f'] = C_HEX,  ['g' ... 'z'] = LETTER,
    ['A' ... 'F'] = C_HEX,   ['G' ... 'Z'] = LETTER, ['-'] = HEX,
};

/* A number; a date, UUID or hash; a ULID or the like; a title. */
static bool is_id(struct slice segment)
{
    size_t digits = 0;
    uint8_t all = C_DIGIT;
    if (segment.size == 0 || segment.size > ROUTE_WORD_MAX)
        return segment.size > 0;
    for (size_t i = 0; i < segment.size; i++) {
        uint8_t class = classes[(uint8_t)segment.data[i]];
        all &= class;
        digits += class & DIGIT;
    }
    return (all & DIGIT) || ((all & HEX) && segment.size >= 8 && digits > 0) ||
           ((all & LETTER) && segment.size >= 20 && digits >= 2);
}

/* What begins behind the first '/' of `path`, up to the next one; `path` is what is left then. */
static struct slice next_segment(struct slice *path)
{
    const char *begin = path->data + 1;
    size_t size = path->size - 1;
    const char *end = memchr(begin, '/', size);
    if (end != NULL)
        size = (size_t)(end - begin);
    path->data = begin + size;
    path->size -= size + 1;
    return (struct slice){begin, size};
}

size_t route_name(struct slice path, uint32_t segments, char out[static ASKR_ROUTE_NAME_SIZE])
{
    static const struct slice id = {":id", 3}, rest = {"*", 1};
    const size_t room = ASKR_ROUTE_NAME_SIZE - 3; /* for the rest and a NUL */
    size_t size = 0;
    while (path.size > 0 && path.data[0] == '/') {
        struct slice segment = next_segment(&path);
        if (segment.size == 0 && path.size == 0)
            break; /* a slash at the end makes no other route */
        if (is_id(segment))
            segment = id;
        bool is_last = segments-- == 0 || size + 1 + segment.size > room;
        if (is_last)
            segment = rest;
        out[size++] = '/';
        memcpy(out + size, segment.data, segment.size);
        size += segment.size;
        if (is_last)
            break;
    }
    if (size == 0)
        out[size++] = '/';
    out[size] = '\0';
    return size;
}

bool route_matches(struct slice pattern, struct slice path)
{
    while (pattern.size > 0 && path.size > 0) {
        if (pattern.data[0] != '/' || path.data[0] != '/')
            return false;
        struct slice wanted = next_segment(&pattern), found = next_segment(&path);
        if (wanted.size == 1 && wanted.data[0] == '*' && pattern.size == 0)
            return true;
        bool is_any = wanted.size > 0 && wanted.data[0] == ':' && found.size > 0;
        if (!is_any &&
            !(wanted.size == found.size && memcmp(wanted.data, found.data, wanted.size) == 0))
            return false;
    }
    return pattern.size == 0 && path.size == 0;
}

/* Its name is complete before readers can know of it. */
static uint32_t add(struct worker *worker, struct slice name)
{
    struct askr_worker_status *status = worker->status;
    uint32_t index = worker->routes.count;
    size_t size = size_min(name.size, ASKR_ROUTE_NAME_SIZE - 1);
    memcpy(status->routes[index].name, name.data, size);
    status->routes[index].name[size] = '\0';
    worker->routes.count++;
    __atomic_store_n(&status->route_count, worker->routes.count, __ATOMIC_RELEASE);
    return index;
}

void routes_open(struct worker *worker)
{
    const char *text = worker->config->route_patterns;
    struct routes *routes = &worker->routes;
    add(worker, slice_of("(other)"));
    while (text != NULL && *text != '\0' && routes->count < ASKR_ROUTES_MAX) {
        size_t size = strcspn(text, " ");
        struct slice pattern = {text, size};
        routes->patterns[routes->pattern_count++] = pattern;
        add(worker, pattern);
        text += size + (text[size] == ' ');
    }
}

/* Of a name with zeros behind it, eight bytes at a time: multiply, and take the upper bits. */
static uint32_t hash_of(const char *name, size_t size)
{
    uint64_t hash = 0;
    for (size_t at = 0; at < size; at += sizeof hash) {
        uint64_t word;
        memcpy(&word, name + at, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio */
    }
    return (uint32_t)(hash >> 40);
}

static void remember(struct routes *routes, struct slice path, uint32_t route)
{
    struct route_path *place = route_place(routes, path);
    place->first = route_first(path);
    place->last = route_last(path);
    if (path.size > ROUTE_ENDS)
        memcpy(place->middle, path.data + 8, path.size - ROUTE_ENDS);
    place->size = (uint8_t)path.size;
    place->route = (uint8_t)route;
}

static uint32_t find(struct worker *worker, struct slice path, int status)
{
    struct routes *routes = &worker->routes;
    uint32_t segments = worker->config->route_segments;
    for (uint32_t i = 0; i < routes->pattern_count; i++)
        if (route_matches(routes->patterns[i], path))
            return i + 1;
    if (segments == 0)
        return ROUTE_OTHER;
    char name[ASKR_ROUTE_NAME_SIZE] = "";
    size_t size = route_name(path, segments, name);
    uint32_t at = hash_of(name, size) % ROUTE_SLOTS;
    for (; routes->slots[at] != 0; at = (at + 1) % ROUTE_SLOTS)
        if (memcmp(worker->status->routes[routes->slots[at]].name, name, size + 1) == 0)
            return routes->slots[at];
    if (routes->count == ASKR_ROUTES_MAX || (status >= 400 && status < 500))
        return ROUTE_OTHER;
    routes->slots[at] = (uint8_t)add(worker, (struct slice){name, size});
    return routes->slots[at];
}

uint32_t routes_find(struct worker *worker, struct slice path, int status)
{
    uint32_t route = find(worker, path, status);
    if (route != ROUTE_OTHER && path.size <= ROUTE_PATH_MAX)
        remember(&worker->routes, path, route); /* "(other)" may still become one */
    return route;
}

struct slice route_of(const struct exchange *exchange)
{
    if (exchange->route == ROUTE_OTHER)
        return SLICE("");
    return slice_of(exchange->conn->worker->status->routes[exchange->route].name);
}
