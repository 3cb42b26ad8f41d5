/* SPDX-License-Identifier: MIT
 * What is remembered and for how long: fresh hits cost nothing, changes on disk are seen, the
 * limits hold, and a file that is being sent outlives its place in the cache. */
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "static_site.h"

static void test_changes_are_seen(struct site *site)
{
    site_put(site, "root/page.html", "one");
    site_check(site, "/page.html", "file one", "a file is served");
    site_replace(site, "root/page.html", "two");
    site->now_ns += STATIC_FRESH_NS - 1;
    site_check(site, "/page.html", "file one", "while it is fresh nobody looks");
    site->now_ns += 1;
    site_check(site, "/page.html", "file two", "then a replaced file is seen");
    site_put(site, "root/page.html", "2wo");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/page.html", "file 2wo",
               "and one rewritten in place, of the same size and perhaps the same time");
    site_remove(site, "root/page.html");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/page.html", "missing", "a removed one is missing");
    site_put(site, "root/page.html", "back");
    site_check(site, "/page.html", "missing", "which is remembered too");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/page.html", "file back", "until it is back");
}

static void test_kinds_change(struct site *site)
{
    site_put(site, "root/thing", "file");
    site_check(site, "/thing", "file file", "a file");
    site_remove(site, "root/thing");
    site_put(site, "root/thing/index.html", "index");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/thing", "redirect", "becomes a folder");
    site_check(site, "/thing/", "file index", "with an index");
    site_remove(site, "root/thing/index.html");
    site_remove(site, "root/thing");
    site_put(site, "outside.txt", "outside");
    site_link(site, "../outside.txt", "root/thing");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/thing", "denied", "becomes a symlink out of the root");
    site_check(site, "/thing/", "denied", "with a slash too");
}

static void test_what_is_unchanged_is_kept(struct site *site)
{
    site_put(site, "root/kept.txt", "kept");
    struct static_target first = site_resolve(site, "/kept.txt");
    first.entry->settled = true; /* as if it had been written long ago */
    site->now_ns += STATIC_FRESH_NS;
    struct static_target second = site_resolve(site, "/kept.txt");
    OK(first.entry == second.entry, "a file that has not changed is not read again");
    site_put(site, "root/kept.txt", "kept longer");
    site->now_ns += STATIC_FRESH_NS;
    struct static_target third = site_resolve(site, "/kept.txt");
    OK(third.entry != first.entry && third.entry->size == 11, "one that has changed is");
    OK(first.entry->references == 2 && memcmp(first.entry->content, "kept", 4) == 0,
       "and who still sends the old one has it");
    static_release(first.entry);
    static_release(second.entry);
    static_release(third.entry);
}

static void test_same_path_spelled_otherwise(struct site *site)
{
    site_put(site, "root/same.txt", "same");
    site_check(site, "/same.txt", "file same", "a path");
    uint32_t count = site->files->route_count;
    site_check(site, "/s%61me.txt", "file same", "the same path, spelled otherwise");
    OK(site->files->route_count == count + 1, "has a place of its own");
}

static void test_long_keys(struct site *site)
{
    char path[STATIC_KEY_SIZE_MAX + 20];
    site_put(site, "root/long.txt", "long");
    memset(path, '/', STATIC_KEY_SIZE_MAX);
    memcpy(path + STATIC_KEY_SIZE_MAX - 8, "long.txt", 9);
    uint32_t count = site->files->route_count;
    site_check(site, path, "file long", "the longest path that is remembered");
    OK(site->files->route_count == count + 1, "is");
    memcpy(path + STATIC_KEY_SIZE_MAX - 8, "/long.txt", 10);
    site_check(site, path, "file long", "a longer one is served");
    OK(site->files->route_count == count + 1, "and not remembered");
}

static void make_numbered(struct site *site, const char *stem, size_t count, size_t size)
{
    char name[64], path[PATH_MAX];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "root/%s%zu", stem, i);
        site_put(site, name, "x");
        site_path(site, name, path);
        site_must(truncate(path, (off_t)size) == 0, path);
    }
}

static void ask_numbered(struct site *site, const char *stem, size_t count, const char *keep)
{
    char path[64];
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/%s%zu", stem, i);
        struct static_target target = site_resolve(site, path);
        if (target.kind != STATIC_FILE) {
            OK(false, "%s is served", path);
            return;
        }
        static_release(target.entry);
        if (keep == NULL)
            continue;
        target = site_resolve(site, keep);
        static_release(target.entry);
    }
}

static void test_the_number_is_bounded(struct site *site)
{
    char path[64];
    site_open(site);
    site_put(site, "root/held.txt", "held");
    site_put(site, "root/hot.txt", "hot");
    struct static_target held = site_resolve(site, "/held.txt");
    struct static_target hot = site_resolve(site, "/hot.txt");
    for (int i = 0; i < 3 * STATIC_ENTRIES_MAX; i++) {
        snprintf(path, sizeof path, "/nothing/%d", i);
        site_says(site, path);
        struct static_target again = site_resolve(site, "/hot.txt");
        static_release(again.entry);
    }
    OK(site->files->route_count == STATIC_ENTRIES_MAX, "no more than so many are remembered");
    OK(hot.entry->references == 2, "the one in use all the time is among them");
    OK(held.entry->references == 1, "the one that was not is not");
    OK(memcmp(held.entry->content, "held", 4) == 0, "who sends it has it still");
    static_release(held.entry);
    static_release(hot.entry);
}

static void test_the_memory_is_bounded(struct site *site)
{
    enum { COUNT = 2 * STATIC_CONTENT_TOTAL_MAX / STATIC_CONTENT_SIZE_MAX };
    site_open(site);
    make_numbered(site, "memory", COUNT, STATIC_CONTENT_SIZE_MAX);
    struct static_target held = site_resolve(site, "/memory0");
    ask_numbered(site, "memory", COUNT, "/hot.txt");
    OK(site->files->content_total <= STATIC_CONTENT_TOTAL_MAX, "contents stay within their limit");
    OK(site->files->content_total > STATIC_CONTENT_TOTAL_MAX / 2, "and use it");
    OK(held.entry->in_memory && held.entry->content[0] == 'x' && held.entry->references == 1,
       "what is being sent stays");
    static_release(held.entry);
    size_t before = site->files->content_total;
    struct static_target large = site_resolve(site, "/memory1");
    OK(large.entry->in_memory && site->files->content_total <= before + STATIC_CONTENT_SIZE_MAX,
       "the limit of one file is in memory");
    static_release(large.entry);
}

static size_t open_files(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_descriptors_are_bounded(struct site *site)
{
    enum { COUNT = STATIC_FDS_MAX + 50 };
    site_open(site);
    size_t before = open_files();
    make_numbered(site, "large", COUNT, STATIC_CONTENT_SIZE_MAX + 1);
    struct static_target held = site_resolve(site, "/large0");
    OK(!held.entry->in_memory && held.entry->fd >= 0, "a larger file is held open instead");
    ask_numbered(site, "large", COUNT, "/hot.txt");
    char byte = 0;
    OK(pread(held.entry->fd, &byte, 1, 0) == 1 && byte == 'x', "what is being sent stays open");
    OK(site->files->fd_count <= STATIC_FDS_MAX, "no more than so many are open");
    OK(open_files() - before == site->files->fd_count, "and that many are");
    static_release(held.entry);
    site_open(site);
    OK(open_files() == before, "all are closed at the end");
}

/* A server at its limit of descriptors gives up what it can and says 503 to the rest. */
static void test_out_of_descriptors(struct site *site)
{
    struct rlimit limit, tight;
    site_must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    tight = limit;
    site_open(site);
    ask_numbered(site, "large", 10, NULL);
    int free_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(free_fd);
    tight.rlim_cur = (rlim_t)free_fd; /* every number below it is taken */
    site_must(setrlimit(RLIMIT_NOFILE, &tight) == 0, "setrlimit");
    site_check(site, "/large20", "file x", "out of descriptors, one of the cache's is closed");
    OK(site->files->fd_count == 10, "one for one");
    struct static_target held[10];
    bool all = true;
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        char path[64];
        snprintf(path, sizeof path, "/large%zu", i + 30);
        held[i] = site_resolve(site, path);
        all &= held[i].kind == STATIC_FILE;
    }
    OK(all, "as often as there is one");
    while (static_cache_close_one(site->files))
        continue;
    site_check(site, "/large50", "failed", "then it fails");
    site_check(site, "/hot.txt", "failed", "and so does what is not in memory");
    static_release(held[0].entry);
    site_check(site, "/large60", "file x", "with one descriptor it is served");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/large60", "file x", "and goes on to be, though it cannot be looked for");
    for (size_t i = 1; i < COUNT_OF(held); i++)
        static_release(held[i].entry);
    site_must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/hot.txt", "file hot", "until there are some again");
}

static void ask_all_day(struct site *site, struct http_request *request)
{
    struct static_answer answer;
    for (int i = 0; i < 1000; i++) {
        struct static_target target = site_resolve_for(site, "/hot.txt", "gzip, br;q=0.9");
        static_answer(site->files, target.entry, request, &answer);
        static_retain(target.entry);
        static_release(target.entry);
        static_release(target.entry);
    }
}

/* In strict mode the kernel kills at the first system call but read, write and exit. */
static void test_a_hit_makes_no_system_call(struct site *site)
{
    struct http_request request = {.method = HTTP_GET, .field_count = 3};
    request.fields[0] = (struct http_field){SLICE("Accept-Encoding"), SLICE("gzip, br;q=0.9")};
    request.fields[1] = (struct http_field){SLICE("If-None-Match"), SLICE("\"other\"")};
    request.fields[2] =
        (struct http_field){SLICE("If-Modified-Since"), SLICE("Sun, 06 Nov 1994 08:49:37 GMT")};
    site_put(site, "root/hot.txt.gz", "packed");
    site_open(site);
    fflush(stdout);
    pid_t pid = fork();
    site_must(pid >= 0, "fork");
    if (pid == 0) {
        ask_all_day(site, &request); /* the first one reads the file */
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0)
            ask_all_day(site, &request);
        syscall(SYS_exit, 0); /* _exit() is exit_group, which is not allowed */
    }
    int status;
    site_must(waitpid(pid, &status, 0) == pid, "waitpid");
    OK(WIFEXITED(status), "a thousand fresh hits make no system call");
}

int main(void)
{
    struct site site;
    site_init(&site);
    site_open(&site);
    test_changes_are_seen(&site);
    test_kinds_change(&site);
    test_what_is_unchanged_is_kept(&site);
    test_same_path_spelled_otherwise(&site);
    test_long_keys(&site);
    test_the_number_is_bounded(&site);
    test_the_memory_is_bounded(&site);
    test_descriptors_are_bounded(&site);
    test_out_of_descriptors(&site);
    site.options.precompressed = true;
    test_a_hit_makes_no_system_call(&site);
    site_close(&site);
    return TAP_END();
}
