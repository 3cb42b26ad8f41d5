/* SPDX-License-Identifier: MIT
 * Routes that are remembered: a hash table over raw request paths, and a list by last use. Bounded
 * in number, in bytes and in open files. Dropping a route releases its entries; one that is being
 * sent lives on until its send ends. */
#include <stdlib.h>

#include "app/static_parts.h"

static struct static_route **bucket_of(struct static_files *files, uint64_t hash)
{
    return &files->buckets[hash & (STATIC_BUCKETS - 1)];
}

static void list_remove(struct static_files *files, struct static_route *route)
{
    *(route->newer != NULL ? &route->newer->older : &files->newest) = route->older;
    *(route->older != NULL ? &route->older->newer : &files->oldest) = route->newer;
}

static void list_add(struct static_files *files, struct static_route *route)
{
    route->newer = NULL;
    route->older = files->newest;
    *(files->newest != NULL ? &files->newest->newer : &files->oldest) = route;
    files->newest = route;
}

struct static_route *static_cache_find(struct static_files *files, struct slice key, uint64_t hash)
{
    struct static_route *route = *bucket_of(files, hash);
    while (route != NULL && (route->hash != hash || !slice_equals(route->key, key)))
        route = route->next;
    if (route != NULL && route != files->newest) {
        list_remove(files, route);
        list_add(files, route);
    }
    return route;
}

void static_cache_drop(struct static_files *files, struct static_route *route)
{
    struct static_route **link = bucket_of(files, route->hash);
    while (*link != route)
        link = &(*link)->next;
    *link = route->next;
    list_remove(files, route);
    files->route_count--;
    static_found_release(&route->found);
    free(route);
}

static bool holds_file(const struct static_route *route)
{
    for (size_t i = 0; i < STATIC_ENCODINGS; i++)
        if (route->found.entries[i] != NULL && !route->found.entries[i]->in_memory)
            return true;
    return false;
}

bool static_cache_close_one(struct static_files *files)
{
    for (struct static_route *route = files->oldest; route != NULL; route = route->newer)
        if (route != files->busy && holds_file(route)) {
            static_cache_drop(files, route);
            return true;
        }
    return false;
}

/* Back within the limits; `kept` stays. What is being sent counts too, but cannot be dropped. */
static void trim(struct static_files *files, const struct static_route *kept)
{
    while (files->oldest != kept && (files->route_count > STATIC_ENTRIES_MAX ||
                                     files->content_total > STATIC_CONTENT_TOTAL_MAX))
        static_cache_drop(files, files->oldest);
    files->busy = kept;
    while (files->fd_count > STATIC_FDS_MAX && static_cache_close_one(files))
        continue;
    files->busy = NULL;
}

static struct slice copy(char **at, struct slice text)
{
    struct slice result = {*at, text.size};
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return result;
}

struct static_route *static_cache_put(struct static_files *files, struct slice key, uint64_t hash,
                                      struct static_route *old, struct static_found *found)
{
    size_t size = key.size + found->path.size + found->script_filename.size +
                  found->script_name.size + found->path_info.size;
    if (old != NULL)
        static_cache_drop(files, old);
    struct static_route *route =
        key.size <= STATIC_KEY_SIZE_MAX ? malloc(sizeof *route + size) : NULL;
    if (route == NULL)
        return NULL;
    *route = (struct static_route){.hash = hash, .checked_ns = files->now_ns, .found = *found};
    char *at = route->text;
    route->key = copy(&at, key);
    route->found.path = copy(&at, found->path);
    route->found.script_filename = copy(&at, found->script_filename);
    route->found.script_name = copy(&at, found->script_name);
    route->found.path_info = copy(&at, found->path_info);
    struct static_route **bucket = bucket_of(files, hash);
    route->next = *bucket;
    *bucket = route;
    list_add(files, route);
    files->route_count++;
    trim(files, route);
    return route;
}
