/* SPDX-License-Identifier: MIT
 * What must never be served, asked for in every way that has worked somewhere: traversal,
 * encodings, hidden and backup names, PHP source, symlinks by both policies, things that are no
 * files. Each table runs with openat2() and with the walk that stands in for it. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "static_site.h"

struct policy_case {
    const char *path, *beneath, *follow;
    const char *walk; /* beneath, but without openat2() */
};

#define SAME(path, expected)               \
    {                                      \
        path, expected, expected, expected \
    }
#define LINK(path, beneath, follow)    \
    {                                  \
        path, beneath, follow, beneath \
    }

static const struct policy_case hostile[] = {
    /* Out of the root. */
    SAME("/../outside.txt", "bad"),
    SAME("/..", "bad"),
    SAME("/../", "bad"),
    SAME("/../root/hello.txt", "bad"),
    SAME("/%2e%2e/outside.txt", "bad"),
    SAME("/%2e./outside.txt", "bad"),
    SAME("/.%2E/outside.txt", "bad"),
    SAME("/..%2foutside.txt", "bad"),
    SAME("/docs/../../outside.txt", "bad"),
    SAME("/docs/%2e%2e/%2e%2e/outside.txt", "bad"),
    SAME("/docs/..%2f..%2foutside.txt", "bad"),
    SAME("/./../outside.txt", "bad"),
    SAME("//../outside.txt", "bad"),
    SAME("/docs//..//..//outside.txt", "bad"),
    SAME("/%252e%252e/outside.txt", "missing"), /* decoded once, not twice */
    SAME("/..%5coutside.txt", "denied"),        /* one hidden name with a backslash in it */
    SAME("/..\\outside.txt", "denied"),
    SAME("/%c0%ae%c0%ae/outside.txt", "missing"), /* overlong UTF-8 is no dot here */
    SAME("/%c0%af../outside.txt", "missing"),
    SAME("/docs/..;/..;/outside.txt", "denied"),
    SAME("/.../outside.txt", "denied"),
    SAME("/hello.txt/../../outside.txt", "bad"),
    /* Broken bytes. */
    SAME("/hello.txt%00", "bad"),
    SAME("/hello.txt%00.png", "bad"),
    SAME("/%00", "bad"),
    SAME("/%", "bad"),
    SAME("/%4", "bad"),
    SAME("/%zz", "bad"),
    SAME("/%u002e", "bad"),
    SAME("/hello.txt%", "bad"),
    SAME("", "bad"),
    SAME("hello.txt", "bad"),
    SAME("*", "bad"),
    SAME("/hello.txt%0a", "missing"),
    SAME("/hello.txt%20", "missing"),
    SAME("/hello.txt.", "missing"),
    SAME("/hello.txt::$DATA", "missing"),
    SAME("/HELLO.TXT", "missing"),
    /* Hidden. */
    SAME("/.env", "denied"),
    SAME("/%2eenv", "denied"),
    SAME("/.git/config", "denied"),
    SAME("/docs/.secret", "denied"),
    SAME("/docs/.secret/", "denied"),
    SAME("/.not-there", "denied"), /* so that nobody learns what is */
    SAME("/docs/.well-known/x", "denied"),
    SAME("/.well-known/.secret", "denied"),
    SAME("/.well-known.bak", "denied"),
    SAME("/.well-known/thing", "file PUBLIC known"),
    /* Backups and source. */
    SAME("/notes.txt~", "missing"),
    SAME("/notes.bak", "missing"),
    SAME("/notes.BAK", "missing"),
    SAME("/notes.old", "missing"),
    SAME("/notes.orig", "missing"),
    SAME("/notes.save", "missing"),
    SAME("/notes.backup", "missing"),
    SAME("/notes.swp", "missing"),
    SAME("/%23notes%23", "missing"),
    SAME("/source.php", "missing"),
    SAME("/source.ph%70", "missing"),
    SAME("/source.php/", "missing"),
    SAME("/source.php%2f", "missing"),
    SAME("/source.PHP", "missing"),
    SAME("/source.pHp5", "missing"),
    SAME("/source.phtml", "missing"),
    SAME("/source.phps", "missing"),
    SAME("/source.phar", "missing"),
    SAME("/source.inc", "missing"),
    SAME("/source.php.txt", "missing"),
    SAME("/source.php.gz", "missing"),
    SAME("/source.php_old", "missing"),
    SAME("/source.php%20copy", "missing"),
    /* Symlinks. */
    SAME("/link-inside.txt", "file PUBLIC hello"),
    SAME("/link-folder/one.txt", "file PUBLIC one"),
    SAME("/link-up/hello.txt", "file PUBLIC hello"),
    LINK("/link-outside.txt", "denied", "file outside"),
    {"/link-absolute.txt", "denied", "file PUBLIC hello", "file PUBLIC hello"},
    LINK("/link-elsewhere/outside.txt", "denied", "file outside"),
    LINK("/link-elsewhere", "denied", "missing"),
    SAME("/link-loop", "denied"),
    SAME("/link-broken", "missing"),
    LINK("/link-chain.txt", "denied", "file outside"),
    /* Out, and in again. */
    {"/link-round/root/hello.txt", "denied", "file PUBLIC hello", "file PUBLIC hello"},
    SAME("/link-to-source.txt", "missing"),
    LINK("/link-to-outer-source.txt", "denied", "missing"),
    SAME("/link-to-env.txt", "denied"),
    SAME("/link-to-git/config", "denied"),
    SAME("/link-to-backup.txt", "missing"),
    /* No files. */
    SAME("/fifo.txt", "missing"),
    SAME("/socket.txt", "missing"),
    SAME("/docs", "missing"),
};

static const struct policy_case running[] = {
    SAME("/run.php", "script /run.php"),
    SAME("/link.php", "script /link.php"),
    SAME("/link.php/x", "script /link.php info /x"),
    LINK("/link-run.php", "denied", "script /link-run.php"),
    SAME("/picture.php", "missing"), /* a symlink to an upload runs nothing */
    LINK("/link-elsewhere/outer.php", "denied", "script /link-elsewhere/outer.php"),
    SAME("/loop.php", "denied"),
    LINK("/link-hidden.php", "denied", "missing"),
    SAME("/pipe.php", "missing"),
    SAME("/docs/%2e%2e/run.php", "script /run.php"),
    SAME("/../outer.php", "bad"),
    SAME("/run.php%00.txt", "bad"),
    SAME("/.run.php", "denied"),
    SAME("/.git/run.php", "denied"),
};

static void make_names(struct site *site)
{
    static const char *const secrets[] = {
        ".env",       ".git/config",    ".git/run.php",  "docs/.secret",   ".well-known/.secret",
        "notes.txt~", "notes.bak",      "notes.BAK",     "notes.old",      "notes.orig",
        "notes.save", "notes.backup",   "notes.swp",     "#notes#",        "source.php",
        "source.PHP", "source.pHp5",    "source.phtml",  "source.phps",    "source.phar",
        "source.inc", "source.php.txt", "source.php.gz", "source.php_old", "source.php copy",
        ".run.php",   ".well-known.bak"};
    char name[PATH_MAX];
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        snprintf(name, sizeof name, "root/%s", secrets[i]);
        site_put(site, name, "SECRET");
    }
    site_put(site, "root/hello.txt", "PUBLIC hello");
    site_put(site, "root/docs/one.txt", "PUBLIC one");
    site_put(site, "root/.well-known/thing", "PUBLIC known");
    site_put(site, "root/upload.png", "PUBLIC upload");
    site_put(site, "root/run.php", "<?php run");
    site_put(site, "outside.txt", "outside");
    site_put(site, "outer.php", "<?php outer");
    site_put(site, ".outer.php", "<?php hidden");
}

static void make_links(struct site *site)
{
    static const struct {
        const char *name, *target;
    } links[] = {
        {"link-inside.txt", "hello.txt"},
        {"link-folder", "docs"},
        {"docs/up", ".."},
        {"link-up", "docs/up"},
        {"link-outside.txt", "../outside.txt"},
        {"link-elsewhere", ".."},
        {"link-loop", "link-loop"},
        {"link-broken", "not-there"},
        {"link-chain.txt", "link-outside.txt"},
        {"link-round", "../"},
        {"link-to-source.txt", "source.php"},
        {"link-to-outer-source.txt", "../outer.php"},
        {"link-to-env.txt", ".env"},
        {"link-to-git", ".git"},
        {"link-to-backup.txt", "notes.bak"},
        {"link.php", "run.php"},
        {"link-run.php", "../outer.php"},
        {"picture.php", "upload.png"},
        {"link-hidden.php", "../.outer.php"},
        {"loop.php", "loop.php"},
    };
    char name[PATH_MAX], target[PATH_MAX];
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        snprintf(name, sizeof name, "root/%s", links[i].name);
        site_link(site, links[i].target, name);
    }
    snprintf(target, sizeof target, "%s/hello.txt", site->root);
    site_link(site, target, "root/link-absolute.txt");
}

static void make_no_files(struct site *site)
{
    char path[PATH_MAX];
    site_path(site, "root/fifo.txt", path);
    site_must(mkfifo(path, 0644) == 0, path);
    site_path(site, "root/pipe.php", path);
    site_must(mkfifo(path, 0644) == 0, path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket.txt", site->root);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    site_must(fd >= 0 && bind(fd, (const void *)&address, sizeof address) == 0, "socket");
    close(fd);
}

static void check_table(struct site *site, const struct policy_case *cases, size_t count,
                        bool has_openat2)
{
    char name[100];
    site_open(site);
    site->files->has_openat2 = has_openat2 && site->files->has_openat2;
    bool follow = site->options.follow_symlinks;
    snprintf(name, sizeof name, "%s, %s", follow ? "follow" : "beneath",
             has_openat2 ? "openat2" : "walk");
    for (size_t i = 0; i < count; i++) {
        const char *expected = follow        ? cases[i].follow
                               : has_openat2 ? cases[i].beneath
                                             : cases[i].walk;
        site_check(site, cases[i].path, expected, name);
    }
}

static void check_everywhere(struct site *site, bool has_openat2)
{
    for (int follow = 0; follow < 2; follow++) {
        site->options.follow_symlinks = follow == 1;
        site->options.scripts = false;
        check_table(site, hostile, COUNT_OF(hostile), has_openat2);
        site->options.scripts = true;
        check_table(site, running, COUNT_OF(running), has_openat2);
    }
    site->options.follow_symlinks = site->options.scripts = false;
}

/* A root that is a symlink, as deploys have it, is what it was when it was opened. */
static void check_linked_root(struct site *site)
{
    char current[PATH_MAX];
    site_put(site, "release2/hello.txt", "second");
    site_link(site, "root", "current");
    site_path(site, "current", current);
    site->options.root = current;
    site_open(site);
    site_check(site, "/hello.txt", "file PUBLIC hello", "a root that is a symlink");
    site_check(site, "/link-inside.txt", "file PUBLIC hello", "and a symlink in it");
    site_check(site, "/link-outside.txt", "denied", "and one out of it");
    site_remove(site, "current");
    site_link(site, "release2", "current");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/hello.txt", "file PUBLIC hello", "the old release until a reload");
    site_open(site);
    site_check(site, "/hello.txt", "file second", "the new one after it");
    site->options.root = site->root;
}

/* The walk after a sandbox has refused openat2() with this errno, which is what old ones do. */
static void check_refused(struct site *site, int errnum)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = COUNT_OF(steps), .filter = steps};
    fflush(stdout);
    pid_t pid = fork();
    site_must(pid >= 0, "fork");
    if (pid == 0) {
        site_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0,
                  "seccomp");
        site_open(site);
        bool good = !site->files->has_openat2 &&
                    strcmp(site_says(site, "/hello.txt"), "file PUBLIC hello") == 0 &&
                    strcmp(site_says(site, "/link-inside.txt"), "file PUBLIC hello") == 0 &&
                    strcmp(site_says(site, "/link-outside.txt"), "denied") == 0;
        _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    int status;
    site_must(waitpid(pid, &status, 0) == pid, "waitpid");
    OK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS,
       "a sandbox that refuses openat2() with %s is served all the same", strerror(errnum));
}

/* As somebody whom permissions bind: root reads everything. */
static void check_permissions(struct site *site)
{
    char path[PATH_MAX];
    site_put(site, "root/locked.txt", "SECRET");
    site_put(site, "root/locked/index.html", "PUBLIC index");
    site_put(site, "root/closed/index.html", "SECRET");
    site_path(site, "root/locked.txt", path);
    site_must(chmod(path, 0) == 0, path);
    site_path(site, "root/locked", path);
    site_must(chmod(path, 0711) == 0, path); /* to be searched, but not listed */
    site_path(site, "root/closed", path);
    site_must(chmod(path, 0700) == 0, path);
    site_must(chmod(site->folder, 0755) == 0, site->folder);
    fflush(stdout);
    pid_t pid = fork();
    site_must(pid >= 0, "fork");
    if (pid == 0) {
        bool is_bound = geteuid() != 0 || setuid(65534) == 0;
        site_open(site);
        bool good = is_bound && strcmp(site_says(site, "/locked.txt"), "denied") == 0 &&
                    strcmp(site_says(site, "/locked/"), "file PUBLIC index") == 0 &&
                    (geteuid() != 65534 || strcmp(site_says(site, "/closed/"), "denied") == 0);
        _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    int status;
    site_must(waitpid(pid, &status, 0) == pid, "waitpid");
    OK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS,
       "what the worker's user may not read is denied; a folder it may not list has an index");
}

int main(void)
{
    struct site site;
    site_init(&site);
    make_names(&site);
    make_links(&site);
    make_no_files(&site);
    site_open(&site);
    if (site.files->has_openat2)
        check_everywhere(&site, true);
    check_everywhere(&site, false);
    check_linked_root(&site);
    site.options.root = site.root;
    site_open(&site);
    check_refused(&site, ENOSYS);
    check_refused(&site, EPERM);
    check_permissions(&site);
    site_close(&site);
    return TAP_END();
}
