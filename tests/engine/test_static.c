/* SPDX-License-Identifier: MIT
 * What a good path leads to: files, indexes, scripts and the front controller, in each mode. */
#include "static_site.h"

struct path_case {
    const char *path, *expected;
};

static void check_all(struct site *site, const char *mode, const struct path_case *cases,
                      size_t count)
{
    site_open(site);
    for (size_t i = 0; i < count; i++)
        site_check(site, cases[i].path, cases[i].expected, mode);
}

#define CHECK_ALL(site, mode, cases) check_all(site, mode, cases, COUNT_OF(cases))

static void make_site(struct site *site)
{
    site_init(site);
    site_put(site, "root/index.html", "home");
    site_put(site, "root/hello.txt", "hello");
    site_put(site, "root/empty.css", "");
    site_put(site, "root/sp ace \xc3\xbc.txt", "spaced");
    site_put(site, "root/100%.txt", "percent");
    site_put(site, "root/docs/index.html", "docs");
    site_put(site, "root/docs/deep/er.txt", "deeper");
    site_put(site, "root/files/one.txt", "one");
    site_put(site, "root/.well-known/acme-challenge/token", "token");
    site_put(site, "root/a\\b.txt", "backslash");
    site_put(site, "root/folder.bak/x.txt", "in a folder of any name");
}

static void add_scripts(struct site *site)
{
    site_put(site, "root/index.php", "<?php front");
    site_put(site, "root/tool.php", "<?php tool");
    site_put(site, "root/admin/index.php", "<?php admin");
    site_put(site, "root/odd.php/inner.php", "<?php inner");
    site_put(site, "root/odd.php/plain.txt", "plain");
    site_put(site, "root/upper.PHP", "<?php upper");
    site_put(site, "root/image.png", "<?php upload");
}

static void test_files(struct site *site)
{
    static const struct path_case cases[] = {
        {"/", "file home"},
        {"/index.html", "file home"},
        {"/hello.txt", "file hello"},
        {"/empty.css", "file "},
        {"/sp%20ace%20%C3%bc.txt", "file spaced"},
        {"/sp%20ace \xc3\xbc.txt", "file spaced"},
        {"/100%25.txt", "file percent"},
        {"/%68ello%2Etxt", "file hello"},
        {"/a\\b.txt", "file backslash"},
        {"/docs/", "file docs"},
        {"/docs", "redirect"},
        {"/docs/.", "file docs"},
        {"/docs/deep/..", "file docs"},
        {"/docs/deep/../index.html", "file docs"},
        {"/docs/deep/../../hello.txt", "file hello"},
        {"/docs%2Fdeep%2fer.txt", "file deeper"},
        {"//docs///deep/./er.txt", "file deeper"},
        {"/.", "file home"},
        {"/docs/..", "file home"},
        {"/folder.bak/x.txt", "file in a folder of any name"},
        {"/.well-known/acme-challenge/token", "file token"},
        {"/files/", "missing"},
        {"/files", "missing"},
        {"/nothing", "missing"},
        {"/nothing/", "missing"},
        {"/hello.txt/", "missing"},
        {"/hello.txt/more", "missing"},
        {"/docs/index.html/", "missing"},
    };
    CHECK_ALL(site, "files only", cases);
}

static void test_no_scripts(struct site *site)
{
    static const struct path_case cases[] = {
        {"/", "file home"}, /* index.php comes first, but nothing could run it */
        {"/tool.php", "missing"},
        {"/tool.php/info", "missing"},
        {"/admin/", "missing"},
        {"/image.png", "file <?php upload"},
        {"/odd.php/plain.txt", "file plain"},
    };
    site->options.front = "index.php";
    CHECK_ALL(site, "scripts off", cases);
    site->options.front = NULL;
}

static void test_scripts(struct site *site)
{
    static const struct path_case cases[] = {
        {"/", "script /index.php"},
        {"/index.php", "script /index.php"},
        {"/tool.php", "script /tool.php"},
        {"/tool%2ephp", "script /tool.php"},
        {"/tool.php/", "script /tool.php info /"},
        {"/tool.php/some/info", "script /tool.php info /some/info"},
        {"/tool.php/a.php/b", "script /tool.php info /a.php/b"},
        {"/tool.php/.hidden", "script /tool.php info /.hidden"},
        {"/tool.php/a//b/../c", "script /tool.php info /a/c"},
        {"/admin/", "script /admin/index.php"},
        {"/admin", "redirect"},
        {"/odd.php/inner.php/x", "script /odd.php/inner.php info /x"},
        {"/odd.php/plain.txt", "file plain"},
        {"/odd.php/", "missing"},
        {"/none.php", "missing"},
        {"/none.php/x.php", "missing"},
        {"/image.png/x.php", "missing"},
        {"/image.png", "file <?php upload"},
        {"/upper.PHP", "missing"},
        {"/upper.php", "missing"},
        {"/tool.PHP", "missing"},
        {"/tool.php5", "missing"},
        {"/tool.php%20", "missing"},
        {"/tool.php.", "missing"},
        {"/tool.php%0a", "missing"},
        {"/.php", "denied"},
        {"/hello.txt", "file hello"},
        {"/docs/", "file docs"},
        {"/nothing", "missing"},
    };
    site->options.scripts = true;
    CHECK_ALL(site, "scripts", cases);
}

/* Where visitors may put files. */
static void test_scripts_nowhere(struct site *site)
{
    static const struct path_case cases[] = {
        {"/admin/", "missing"},
        {"/admin/index.php", "missing"},
        {"/admin/index.php/info", "missing"},
        {"/%61dmin/index.php", "missing"},
        {"/docs/../admin//index.php", "missing"},
        {"/odd.php/inner.php", "missing"},
        {"/odd.php/plain.txt", "file plain"},
        {"/tool.php/admin/index.php", "script /tool.php info /admin/index.php"},
        {"/alias/index.php", "missing"},
        {"/alias/", "missing"},
        {"/", "script /index.php"},
    };
    site_link(site, "admin", "root/alias");
    site_put(site, "root/administration/index.php", "<?php by another name");
    static const struct path_case beside[] = {
        {"/administration/", "script /administration/index.php"},
    };
    site->options.no_scripts[0] = "/odd.php";
    site->options.no_scripts[1] = "/admin";
    CHECK_ALL(site, "no scripts there", cases);
    CHECK_ALL(site, "scripts beside it", beside);
    site->options.no_scripts[0] = site->options.no_scripts[1] = NULL;
}

static void test_front(struct site *site)
{
    static const struct path_case cases[] = {
        {"/", "script /index.php"},
        {"/hello.txt", "file hello"},
        {"/docs/", "file docs"},
        {"/docs", "redirect"},
        {"/admin/", "script /admin/index.php"},
        {"/files", "script /index.php"},
        {"/files/", "script /index.php"},
        {"/some/route", "script /index.php"},
        {"/some/route/", "script /index.php"},
        {"/hello.txt/", "script /index.php"},
        {"/none.php", "script /index.php"},
        {"/image.png/x.php", "script /index.php"},
        {"/upper.PHP", "script /index.php"},
        {"/index.php~", "script /index.php"},
        {"/index.php/info", "script /index.php info /info"},
        {"/.well-known/openid", "script /index.php"},
        {"/.env", "denied"},
        {"/route/.git/config", "denied"},
    };
    site->options.front = "index.php";
    CHECK_ALL(site, "front controller", cases);
    site_remove(site, "root/index.php");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/some/route", "missing", "front controller gone");
    site_check(site, "/", "file home", "front controller gone");
    site_put(site, "root/index.php", "<?php front");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/some/route", "script /index.php", "front controller back");
}

static void test_front_below_the_root(struct site *site)
{
    site->options.front = "admin/index.php";
    site_open(site);
    site_check(site, "/any", "script /admin/index.php", "front in a folder");
    site->options.front = NULL;
}

static void test_worker_mode(struct site *site)
{
    static const struct path_case cases[] = {
        {"/", "script /app.php"}, /* index.php is there, and any script means the front */
        {"/hello.txt", "file hello"},
        {"/docs/", "file docs"},
        {"/docs", "redirect"},
        {"/admin/", "script /app.php"},
        {"/admin", "script /app.php"},
        {"/tool.php", "script /app.php"},
        {"/app.php", "script /app.php"},
        {"/app.php/", "script /app.php info /"},
        {"/app.php/some/info", "script /app.php info /some/info"},
        {"/app.phpx", "script /app.php"},
        {"/some/route", "script /app.php"},
        {"/hello.txt/", "script /app.php"},
        {"/image.png", "file <?php upload"},
        {"/.env", "denied"},
        {"/%zz", "bad"},
    };
    site->options.scripts = false;
    site->options.everything_to_front = true;
    site->options.front = "app.php"; /* a mere name: there is no such file */
    CHECK_ALL(site, "worker mode", cases);
    site_remove(site, "root/index.php");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/", "file home", "worker mode without index.php");
    site->options.front = "index.php";
    site_open(site);
    site_check(site, "/", "script /index.php", "worker mode whose front is the index");
    site->options.everything_to_front = false;
    site->options.front = NULL;
}

static void test_script_names(struct site *site)
{
    char expected[PATH_MAX];
    site->options.scripts = true;
    site_open(site);
    struct static_target target = site_resolve(site, "/x/../tool.php/a%20b?");
    snprintf(expected, sizeof expected, "%s/tool.php", site->root);
    OK(target.kind == STATIC_SCRIPT, "a script is found");
    OK(slice_equals(target.script_filename, slice_of(expected)), "its file name is below the root");
    OK(slice_equals(target.path, SLICE("/tool.php/a b?")), "the path is decoded and normalised");
    OK(slice_equals(target.path_info, SLICE("/a b?")), "what is behind the script is decoded too");
    char root[PATH_MAX];
    snprintf(root, sizeof root, "%s//", site->root);
    site->options.root = root;
    site_open(site);
    target = site_resolve(site, "/tool.php");
    OK(slice_equals(target.script_filename, slice_of(expected)), "a root's last slash is dropped");
    site->options.root = site->root;
}

static void test_options(struct site *site)
{
    static const char *const fronts[] = {"",           "/index.php", "../index.php",
                                         "index.html", "a//b.php",   "./a.php",
                                         ".x/a.php",   ".php",       "a.php/"};
    static const char *const indexes[] = {"", "a/b", ".hidden", "index.php~"};
    struct static_files *files;
    askr_error error;
    for (size_t i = 0; i < COUNT_OF(fronts); i++) {
        struct static_options options = site->options;
        options.front = fronts[i];
        OK(static_open(&files, &options, &error) == -EINVAL && files == NULL,
           "no front controller: '%s'", fronts[i]);
    }
    for (size_t i = 0; i < COUNT_OF(indexes); i++) {
        struct static_options options = site->options;
        options.index_files[0] = indexes[i];
        OK(static_open(&files, &options, &error) == -EINVAL && files == NULL, "no index file: '%s'",
           indexes[i]);
    }
    struct static_options options = site->options;
    options.root = "relative";
    OK(static_open(&files, &options, &error) == -EINVAL, "a relative root is refused");
    options.root = "/nothing/there";
    OK(static_open(&files, &options, &error) == -ENOENT && strstr(error.text, "/nothing/there"),
       "a root that is not there is refused with a sentence");
    options = site->options;
    for (size_t i = 0; i < COUNT_OF(options.index_files); i++)
        options.index_files[i] = "index.html";
    OK(static_open(&files, &options, &error) == 0, "a full list of index files needs no NULL");
    static_close(files);
}

static void test_long_paths(struct site *site)
{
    static char path[HTTP_HEAD_SIZE_MAX + 2];
    site_open(site);
    for (size_t size = STATIC_KEY_SIZE_MAX - 1; size <= HTTP_HEAD_SIZE_MAX; size = size * 2 + 1) {
        memset(path, 'a', size);
        for (size_t i = 0; i < size; i += 100)
            path[i] = '/';
        path[size] = '\0';
        site_check(site, path, "missing", "a long path");
    }
    memset(path, '/', HTTP_HEAD_SIZE_MAX);
    path[HTTP_HEAD_SIZE_MAX] = '\0';
    memcpy(path + HTTP_HEAD_SIZE_MAX - 9, "hello.txt", 9);
    site_check(site, path, "file hello", "many slashes are one");
    memset(path, 'a', HTTP_HEAD_SIZE_MAX + 1);
    path[0] = '/';
    site_check(site, path, "bad", "longer than a head");
}

int main(void)
{
    struct site site;
    make_site(&site);
    test_files(&site);
    add_scripts(&site);
    test_no_scripts(&site);
    test_scripts(&site);
    test_scripts_nowhere(&site);
    test_front(&site);
    test_front_below_the_root(&site);
    test_worker_mode(&site);
    test_script_names(&site);
    test_options(&site);
    test_long_paths(&site);
    site_close(&site);
    return TAP_END();
}
