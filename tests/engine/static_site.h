/* SPDX-License-Identifier: MIT
 * A document root in a temporary folder, and what a path of it leads to as one line of text:
 * "file CONTENT", "script NAME" (with " info INFO"), "redirect", "missing", "denied", "bad",
 * "failed". The clock is the test's: nothing here waits. */
#ifndef STATIC_SITE_H
#define STATIC_SITE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/static_parts.h"
#include "tap.h"

enum { SITE_TEXT_MAX = 1024 };

struct site {
    char folder[64], root[80]; /* the root is folder/root */
    struct static_files *files;
    int64_t now_ns;
    struct static_options options;
    char text[SITE_TEXT_MAX];
};

/* A machine that cannot make a test's files cannot run the test. */
static inline void site_must(bool condition, const char *what)
{
    if (condition)
        return;
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static inline void site_path(const struct site *site, const char *name, char out[static PATH_MAX])
{
    int size = snprintf(out, PATH_MAX, "%s/%s", site->folder, name);
    site_must(size > 0 && size < PATH_MAX, name);
}

static inline void site_make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        site_must(mkdir(path, 0755) == 0 || errno == EEXIST, path);
        *slash = '/';
    }
}

/* `name` is relative to the folder: "root/index.html", "outside.txt". */
static inline void site_put_bytes(const struct site *site, const char *name, const char *bytes,
                                  size_t size)
{
    char path[PATH_MAX];
    site_path(site, name, path);
    site_make_parents(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    site_must(fd >= 0, path);
    site_must(write(fd, bytes, size) == (ssize_t)size, path);
    close(fd);
}

static inline void site_put(const struct site *site, const char *name, const char *text)
{
    site_put_bytes(site, name, text, strlen(text));
}

/* As deploys do it: written beside, renamed over. */
static inline void site_replace(const struct site *site, const char *name, const char *text)
{
    char from[PATH_MAX], to[PATH_MAX];
    site_put(site, "replacement", text);
    site_path(site, "replacement", from);
    site_path(site, name, to);
    site_must(rename(from, to) == 0, to);
}

static inline void site_link(const struct site *site, const char *target, const char *name)
{
    char path[PATH_MAX];
    site_path(site, name, path);
    site_make_parents(path);
    site_must(symlink(target, path) == 0, path);
}

static inline void site_remove(const struct site *site, const char *name)
{
    char path[PATH_MAX];
    site_path(site, name, path);
    site_must(remove(path) == 0, path);
}

/* Modification time, in seconds since 1970. */
static inline void site_set_time(const struct site *site, const char *name, int64_t seconds)
{
    char path[PATH_MAX];
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    site_path(site, name, path);
    site_must(utimensat(AT_FDCWD, path, times, 0) == 0, path);
}

static inline void site_init(struct site *site)
{
    const char *parent = getenv("TMPDIR");
    *site = (struct site){.now_ns = NS_PER_S};
    site->options.index_files[0] = "index.php";
    site->options.index_files[1] = "index.html";
    snprintf(site->folder, sizeof site->folder, "%.40s/askr-static-XXXXXX",
             parent != NULL ? parent : "/tmp");
    site_must(mkdtemp(site->folder) != NULL, site->folder);
    snprintf(site->root, sizeof site->root, "%s/root", site->folder);
    site_must(mkdir(site->root, 0755) == 0, site->root);
    site->options.root = site->root;
}

/* Open it anew with what site->options say now. */
static inline void site_open(struct site *site)
{
    askr_error error;
    static_close(site->files);
    site_must(static_open(&site->files, &site->options, &error) == 0, "static_open");
}

static inline int site_remove_one(const char *path, const struct stat *status, int type,
                                  struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static inline void site_close(struct site *site)
{
    static_close(site->files);
    site_must(nftw(site->folder, site_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, site->folder);
}

/* A request that accepts so much; a slash parts its fields. */
static inline struct http_request site_accepting(const char *accepts)
{
    struct http_request request = {0};
    for (;; accepts++) {
        struct http_field *field = &request.fields[request.field_count++];
        *field = (struct http_field){SLICE("Accept-Encoding"), {accepts, strcspn(accepts, "/")}};
        accepts += field->value.size;
        if (*accepts == '\0')
            return request;
    }
}

static inline struct static_target site_resolve_for(struct site *site, const char *path,
                                                    const char *accepts)
{
    struct static_target target;
    struct http_request request = site_accepting(accepts);
    request.path = slice_of(path);
    static_resolve(site->files, &request, site->now_ns, &target);
    return target;
}

static inline struct static_target site_resolve(struct site *site, const char *path)
{
    return site_resolve_for(site, path, "");
}

/* The whole content of an entry, up to `size` bytes. */
static inline size_t site_content(const struct static_entry *entry, char *out, size_t size)
{
    size = size_min(size, (size_t)entry->size);
    if (entry->in_memory) {
        memcpy(out, entry->content, size);
        return size;
    }
    size_t used = 0;
    for (ssize_t done = 1; used < size && done > 0; used += done > 0 ? (size_t)done : 0)
        done = pread(entry->fd, out + used, size - used, (off_t)used);
    return used;
}

static inline const char *site_describe(struct site *site, struct static_target *target)
{
    static const char *const words[] = {"file",   "script", "redirect", "missing",
                                        "denied", "bad",    "failed"};
    char *at = site->text, *end = site->text + sizeof site->text;
    at += snprintf(at, (size_t)(end - at), "%s", words[target->kind]);
    if (target->kind == STATIC_FILE) {
        *at++ = ' ';
        at += site_content(target->entry, at, 200);
        *at = '\0';
        static_release(target->entry);
    } else if (target->kind == STATIC_SCRIPT) {
        at += snprintf(at, (size_t)(end - at), " %.*s", (int)target->script_name.size,
                       target->script_name.data);
        if (target->path_info.size > 0)
            snprintf(at, (size_t)(end - at), " info %.*s", (int)target->path_info.size,
                     target->path_info.data);
    }
    return site->text;
}

static inline const char *site_says(struct site *site, const char *path)
{
    struct static_target target = site_resolve(site, path);
    return site_describe(site, &target);
}

/* One check: what `path` leads to. */
static inline void site_check(struct site *site, const char *path, const char *expected,
                              const char *name)
{
    const char *said = site_says(site, path);
    bool same = strcmp(said, expected) == 0;
    OK(same, "%s: %.100s", name, path);
    if (!same)
        printf("# expected %s\n# but said %s\n", expected, said);
}

#endif
