/* SPDX-License-Identifier: MIT
 * What must never be served, asked for in every way that has worked somewhere: traversal,
 * encodings, hidden and backup names, PHP source, symlinks by each policy, things that are no
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
    const char *walk;        /* beneath, but without openat2() */
    const char *application; /* the folder that the root is in */
};

#define SAME(path, expected)                         \
    {                                                \
        path, expected, expected, expected, expected \
    }
/* Out of the application. */
#define LINK(path, beneath, follow)             \
    {                                           \
        path, beneath, follow, beneath, beneath \
    }
/* Out of the root, but not out of the application. */
#define NEAR(path, application, follow)               \
    {                                                 \
        path, "denied", follow, "denied", application \
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
    NEAR("/link-outside.txt", "file outside", "file outside"),
    {"/link-absolute.txt", "denied", "file PUBLIC hello", "file PUBLIC hello", "file PUBLIC hello"},
    NEAR("/link-absolute-outside.txt", "file outside", "file outside"),
    NEAR("/link-elsewhere/outside.txt", "file outside", "file outside"),
    NEAR("/link-elsewhere", "missing", "missing"),
    LINK("/link-far.txt", "denied", "file far"),
    LINK("/link-far/far.txt", "denied", "file far"),
    LINK("/link-far-chain.txt", "denied", "file far"),
    SAME("/link-loop", "denied"),
    SAME("/link-broken", "missing"),
    NEAR("/link-chain.txt", "file outside", "file outside"),
    /* Out, and in again. */
    {"/link-round/root/hello.txt", "denied", "file PUBLIC hello", "file PUBLIC hello",
     "file PUBLIC hello"},
    SAME("/link-to-source.txt", "missing"),
    NEAR("/link-to-outer-source.txt", "missing", "missing"),
    NEAR("/link-to-outer-backup.txt", "missing", "missing"),
    NEAR("/link-to-outer-hidden.txt", "denied", "file SECRET above"),
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
    NEAR("/link-run.php", "missing", "script /link-run.php"), /* storage is for uploads */
    SAME("/picture.php", "missing"), /* a symlink to an upload runs nothing */
    NEAR("/link-elsewhere/outer.php", "missing", "script /link-elsewhere/outer.php"),
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
    site_put(site, "outer.bak", "SECRET backup");
    site_put(site, ".hidden/above.txt", "SECRET above");
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
        {"link-to-outer-backup.txt", "../outer.bak"},
        {"link-to-outer-hidden.txt", "../.hidden/above.txt"},
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
    site_path(site, "outside.txt", target);
    site_link(site, target, "root/link-absolute-outside.txt");
}

static void make_far_links(struct site *site, struct site *far)
{
    char path[PATH_MAX];
    site_put(far, "far.txt", "far");
    site_path(far, "far.txt", path);
    site_link(site, path, "root/link-far.txt");
    site_link(site, path, "outside-far.txt");
    site_link(site, "../outside-far.txt", "root/link-far-chain.txt");
    site_link(site, far->folder, "root/link-far");
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
    static const char *const policies[] = {"beneath", "application", "follow"};
    enum askr_symlinks policy = site->options.symlinks;
    snprintf(name, sizeof name, "%s, %s", policies[policy], has_openat2 ? "openat2" : "walk");
    for (size_t i = 0; i < count; i++) {
        const char *expected = policy == ASKR_SYMLINKS_FOLLOW        ? cases[i].follow
                               : policy == ASKR_SYMLINKS_APPLICATION ? cases[i].application
                               : has_openat2                         ? cases[i].beneath
                                                                     : cases[i].walk;
        site_check(site, cases[i].path, expected, name);
    }
}

static void check_everywhere(struct site *site, bool has_openat2)
{
    site->options.application = site->folder;
    for (int policy = ASKR_SYMLINKS_BENEATH; policy <= ASKR_SYMLINKS_FOLLOW; policy++) {
        site->options.symlinks = (enum askr_symlinks)policy;
        site->options.scripts = false;
        check_table(site, hostile, COUNT_OF(hostile), has_openat2);
        site->options.scripts = true;
        check_table(site, running, COUNT_OF(running), has_openat2);
    }
    site->options.symlinks = ASKR_SYMLINKS_BENEATH;
    site->options.scripts = false;
}

static void check_never(struct site *site, bool has_openat2)
{
    site->options.symlinks = ASKR_SYMLINKS_NEVER;
    site_open(site);
    site->files->has_openat2 = has_openat2 && site->files->has_openat2;
    site_check(site, "/hello.txt", "file PUBLIC hello", "never");
    site_check(site, "/link-inside.txt", "denied", "never");
    site_check(site, "/link-folder/one.txt", "denied", "never");
    site_check(site, "/link-far.txt", "denied", "never");
    site->options.symlinks = ASKR_SYMLINKS_BENEATH;
}

/* A folder whose name begins like the application's is not beneath it. */
static void check_neighbour(struct site *site)
{
    char application[PATH_MAX];
    site_put(site, "app/root/hello.txt", "PUBLIC hello");
    site_put(site, "app2/near.txt", "near");
    site_link(site, "../../app2/near.txt", "app/root/near.txt");
    site_path(site, "app", application);
    struct static_options before = site->options;
    char root[PATH_MAX];
    site_path(site, "app/root", root);
    site->options.root = root;
    site->options.application = application;
    site->options.symlinks = ASKR_SYMLINKS_APPLICATION;
    site_open(site);
    site_check(site, "/hello.txt", "file PUBLIC hello", "an application with a neighbour");
    site_check(site, "/near.txt", "denied", "of a name that begins like its own");
    site->options = before;
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
    struct site site, far;
    site_init(&site);
    site_init(&far);
    make_names(&site);
    make_links(&site);
    make_far_links(&site, &far);
    make_no_files(&site);
    site_open(&site);
    if (site.files->has_openat2)
        check_everywhere(&site, true);
    check_everywhere(&site, false);
    check_never(&site, true);
    check_never(&site, false);
    check_neighbour(&site);
    check_linked_root(&site);
    site.options.root = site.root;
    site_open(&site);
    check_refused(&site, ENOSYS);
    check_refused(&site, EPERM);
    check_permissions(&site);
    site_close(&site);
    site_close(&far);
    return TAP_END();
}
