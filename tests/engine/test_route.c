/* SPDX-License-Identifier: MIT
 * Routes of serve/route.h: what is an id, what a pattern matches, and that there are never more of
 * them than there is room for. */
#include <stdio.h>
#include <stdlib.h>

#include "serve/route.h"
#include "serve/worker.h"
#include "tap.h"

static void check_name(const char *path, const char *wanted)
{
    char name[ASKR_ROUTE_NAME_SIZE];
    size_t size = route_name(slice_of(path), 3, name);
    OK(strcmp(name, wanted) == 0 && size == strlen(wanted), "%.60s is of %s: %s", path, wanted,
       name);
}

static void paths_are_named_by_their_first_segments(void)
{
    check_name("/", "/");
    check_name("", "/");
    check_name("no slash", "/");
    check_name("/cart", "/cart");
    check_name("/cart/", "/cart");
    check_name("//", "/");
    check_name("//a", "//a");
    check_name("/api/users/42", "/api/users/:id");
    check_name("/api/users/42/", "/api/users/:id");
    check_name("/api/users/42/orders/7", "/api/users/:id/*");
    check_name("/v1/oauth2/utf8", "/v1/oauth2/utf8");
    check_name("/wp-login.php", "/wp-login.php");
    check_name("/d/2024-01-31", "/d/:id");
    check_name("/d/decade", "/d/decade");
    check_name("/d/0fadecaf", "/d/:id");
    check_name("/u/550e8400-e29b-41d4-a716-446655440000", "/u/:id");
    check_name("/u/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/u/:id");
    check_name("/blog/the-quick-brown-fox-jumps-over-the-dog", "/blog/:id");
    check_name("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/c",
               "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/*");
}

static void check_match(const char *pattern, const char *path, bool wanted)
{
    OK(route_matches(slice_of(pattern), slice_of(path)) == wanted, "%s %s %s", path,
       wanted ? "matches" : "does not match", pattern);
}

static void patterns_match_whole_paths(void)
{
    check_match("/", "/", true);
    check_match("/", "/a", false);
    check_match("/a", "/a", true);
    check_match("/a", "/a/", false);
    check_match("/a", "/ab", false);
    check_match("/users/:name", "/users/x", true);
    check_match("/users/:name", "/users/", false);
    check_match("/users/:name", "/users/x/y", false);
    check_match("/users/:name/orders", "/users/x/orders", true);
    check_match("/files/*", "/files/a/b/c", true);
    check_match("/files/*", "/files/", true);
    check_match("/files/*", "/files", false);
    check_match("/*", "/", true);
    check_match("/a", "", false);
    check_match("/a", "a", false);
}

static uint32_t find(struct worker *worker, const char *path, int status)
{
    return routes_find(worker, slice_of(path), status);
}

static struct worker *open_worker(const struct askr_worker_config *config)
{
    struct worker *worker = calloc(1, sizeof *worker);
    worker->config = config;
    worker->status = calloc(1, sizeof *worker->status);
    routes_open(worker);
    return worker;
}

static void close_worker(struct worker *worker)
{
    free(worker->status);
    free(worker);
}

static void what_does_not_exist_makes_no_route(void)
{
    struct askr_worker_config config = {.route_segments = 3, .route_patterns = "/a/:b /c/*"};
    struct worker *worker = open_worker(&config);
    OK(worker->status->route_count == 3, "patterns are there from the start");
    OK(strcmp(worker->status->routes[2].name, "/c/*") == 0, "by their name");
    OK(find(worker, "/c/x/y/z", 404) == 2, "and match whatever the answer is");
    OK(find(worker, "/.env", 404) == ROUTE_OTHER, "a path that was not found is (other)");
    uint32_t cart = find(worker, "/cart/1", 200);
    OK(cart == 3 && strcmp(worker->status->routes[3].name, "/cart/:id") == 0,
       "one that was is new");
    OK(find(worker, "/cart/2", 404) == cart, "and is found again, also without success");
    OK(find(worker, "/boom", 500) == 4, "one that fails is there to be seen");
    config.route_segments = 0;
    OK(find(worker, "/bang", 200) == ROUTE_OTHER, "without segments there are patterns alone");
    close_worker(worker);
}

/* Far more paths than are remembered, of every size that is hashed in another way, asked twice. */
static void what_is_remembered_changes_nothing(void)
{
    struct askr_worker_config config = {.route_segments = 1, .route_patterns = "/x/:y"};
    struct worker *worker = open_worker(&config), *other;
    bool same = true, is_long_right = true;
    char path[ROUTE_PATH_MAX + 8];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 2000; i++) {
            snprintf(path, sizeof path, "/x/%.*s%d", i % 20, "aaaaaaaaaaaaaaaaaaaa", i);
            same = same && find(worker, path, 200) == 1;
        }
    OK(same, "many paths of one route");
    other = open_worker(&config);
    OK(find(worker, "/b", 404) == ROUTE_OTHER && find(worker, "/b", 200) == 2 &&
           find(worker, "/b", 404) == 2,
       "one that was not found may still be found");
    OK(find(worker, "/", 200) == 3 && find(worker, "/", 200) == 3, "the shortest one");
    for (size_t size = ROUTE_PATH_MAX - 1; size <= ROUTE_PATH_MAX + 2; size++) {
        memset(path, '-', size);
        path[0] = '/';
        path[size] = '\0';
        uint32_t route = find(other, path, 200);
        is_long_right = is_long_right && route == 2 && find(other, path, 200) == route;
    }
    OK(is_long_right, "as long as can be remembered, and longer");
    close_worker(worker);
    close_worker(other);
}

static void there_are_never_too_many(void)
{
    struct askr_worker_config config = {.route_segments = 1};
    struct worker *worker = open_worker(&config);
    bool in_order = true;
    char path[32];
    for (uint32_t i = 1; i < 1000; i++) {
        snprintf(path, sizeof path, "/x%uy", i);
        in_order = in_order && find(worker, path, 200) == (i < ASKR_ROUTES_MAX ? i : ROUTE_OTHER);
    }
    OK(in_order, "the first ones are routes, the rest is (other)");
    OK(worker->status->route_count == ASKR_ROUTES_MAX, "as many as there is room for");
    OK(find(worker, "/x7y", 200) == 7, "those that are there stay");
    close_worker(worker);
}

int main(void)
{
    paths_are_named_by_their_first_segments();
    patterns_match_whole_paths();
    what_does_not_exist_makes_no_route();
    what_is_remembered_changes_nothing();
    there_are_never_too_many();
    return TAP_END();
}
