/* SPDX-License-Identifier: MIT
 * Which paths a pattern is for, which hosts a name is for, and which site a host asks
 * (serve/rules.h, serve/site.h). */
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/rules.h"
#include "serve/site.h"
#include "serve/worker.h"
#include "tap.h"

static void a_star_stands_for_anything(void)
{
    static const struct {
        const char *before, *behind, *path, *rest; /* rest NULL: it is not for the path */
    } cases[] = {
        {"/a", NULL, "/a", ""},       {"/a", NULL, "/a/", NULL},    {"/a", NULL, "", NULL},
        {"/a/", "", "/a/b/c", "b/c"}, {"/a/", "", "/a/", ""},       {"/a/", "", "/a", NULL},
        {"", ".css", "/b.css", "/b"}, {"", ".css", "/b.CSS", NULL}, {"", "", "/x", "/x"},
        {"/a", "a", "/a", NULL},      {"/a", "a", "/aa", ""},       {"", "", "", ""},
        {"/a/", "/z", "/a/b/z", "b"}, {"/a/", "/z", "/a/z", NULL},  {"/", NULL, "/", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct askr_pattern pattern = {cases[i].before, cases[i].behind};
        struct slice rest;
        bool found = pattern_matches(&pattern, slice_of(cases[i].path), &rest);
        bool wanted = cases[i].rest != NULL;
        OK(found == wanted && (!found || slice_equals(rest, slice_of(cases[i].rest))),
           "%s*%s and %s", cases[i].before, cases[i].behind ? cases[i].behind : "(none)",
           cases[i].path);
    }
}

static void a_host_is_matched_in_any_case_and_whole(void)
{
    static const char *const names[] = {"example.org", ".shop.test", "[::1]"};
    static const struct {
        const char *host;
        bool found;
    } cases[] = {
        {"example.org", true},    {"EXAMPLE.org", true}, {"www.example.org", false},
        {"xexample.org", false},  {"shop.test", false},  {"a.shop.test", true},
        {"a.b.shop.TEST", true},  {"ashop.test", false}, {".shop.test", true},
        {"example.org.x", false}, {"", false},           {"[::1]", true},
        {"example.org.", true},   {".", false},          {"a.shop.test.", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        OK(rules_host_is_one_of(slice_of(cases[i].host), names, COUNT_OF(names)) == cases[i].found,
           "host %s", cases[i].host);
}

/* Just enough of a worker for site_of(). */
static void the_closest_name_is_the_site(void)
{
    static const struct {
        const char *authority;
        int site; /* -1: none */
    } cases[] = {
        {"one.test", 0},
        {"ONE.test:8080", 0},
        {"one.test.", 0},
        {"one.test.:80", 0},
        {"a.one.test", 0},
        {"deep.one.test", 1},
        {"x.deep.one.test", 2},
        {"y.x.deep.one.test", 2},
        {"other.test", -1},
        {"", -1},
        {":80", -1},
        {"[::1]:443", 1},
        {"test", -1},
        {"..", -1},
    };
    static struct worker worker;
    static struct askr_worker_config config = {.default_site = -1};
    static struct site sites[3];
    struct host hosts[] = {{SLICE("one.test"), &sites[0]},
                           {SLICE(".one.test"), &sites[0]},
                           {SLICE("deep.one.test"), &sites[1]},
                           {SLICE("[::1]"), &sites[1]},
                           {SLICE(".deep.one.test"), &sites[2]}};
    struct conn conn = {.worker = &worker};
    struct exchange exchange = {.conn = &conn};
    worker.config = &config;
    worker.sites = sites;
    worker.hosts = hosts;
    worker.host_count = COUNT_OF(hosts);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        worker.request.authority = slice_of(cases[i].authority);
        const struct site *site = site_of(&exchange);
        const struct site *wanted = cases[i].site < 0 ? NULL : &sites[cases[i].site];
        OK(site == wanted, "authority '%s'", cases[i].authority);
    }
    config.default_site = 2;
    worker.request.authority = slice_of("other.test");
    OK(site_of(&exchange) == &sites[2], "the default site takes what no other has");
}

int main(void)
{
    a_star_stands_for_anything();
    a_host_is_matched_in_any_case_and_whole();
    the_closest_name_is_the_site();
    return TAP_END();
}
