/* SPDX-License-Identifier: MIT
 * Invariant: whatever the path, what is sent was marked PUBLIC and what is run is one of the
 * scripts that are there; what operators linked to from outside may be sent too as far as the
 * policy goes, but never source.
 *
 * The input is a byte of options and then paths, one a line. The tree they are looked for in has a
 * file of every kind that must not be served, each marked SECRET. */
#include "../tests/engine/static_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum {
    SCRIPTS = 1,
    WORKER = 2,
    FOLLOW = 4,
    SIBLINGS = 8,
    WALK = 16,
    NO_FRONT = 32,
    STILL = 64,
    APPLICATION = 128, /* folder/: what is OUTSIDE of the root is beneath it, /proc is not */
};

static struct site site;

static const char *const tree[][2] = {
    {"root/index.php", "SECRET front"},
    {"root/run.php", "SECRET run"},
    {"root/a/index.php", "SECRET index"},
    {"root/a.php/b.php", "SECRET inner"},
    {"root/a.php/c.txt", "PUBLIC inner"},
    {"root/a.PHP", "SECRET capital"},
    {"root/a.phtml", "SECRET html"},
    {"root/a.phar", "SECRET archive"},
    {"root/a.inc", "SECRET include"},
    {"root/a.php~", "SECRET backup"},
    {"root/a.php.txt", "SECRET copy"},
    {"root/a.php.gz", "SECRET packed"},
    {"root/.env", "SECRET environment"},
    {"root/.git/config", "SECRET repository"},
    {"root/a/.b", "SECRET hidden"},
    {"root/a.bak", "SECRET backup"},
    {"root/a.old", "SECRET backup"},
    {"root/.well-known/a", "PUBLIC known"},
    {"root/.well-known/.b", "SECRET hidden"},
    {"root/a/index.html", "PUBLIC index"},
    {"root/a/a.txt", "PUBLIC deeper"},
    {"root/a.txt", "PUBLIC text"},
    {"root/uploads/a.php", "SECRET upload"},
    {"root/a.txt.br", "PUBLIC brotli"},
    {"root/a.txt.gz", "PUBLIC gzip"},
    {"root/b c", "PUBLIC space"},
    {"root/b\\c", "PUBLIC backslash"},
    {"root/%41", "PUBLIC percent"},
    {"a.txt", "OUTSIDE text"},
    {"a.php", "SECRET outside"},
    {"a/a.txt", "OUTSIDE deeper"},
    {"root2/a.txt", "OUTSIDE with a root that begins like ours"},
};

static const char *const links[][2] = {
    {"a", "root/in"},          {"../a", "root/out"},         {"..", "root/up"},
    {"../root2", "root/near"}, {"a.txt", "root/in.txt"},     {"../a.txt", "root/out.txt"},
    {"run.php", "root/p.txt"}, {"../a.php", "root/q.txt"},   {".env", "root/e.txt"},
    {".git", "root/g"},        {"a.txt", "root/t.php"},      {"run.php", "root/r.php"},
    {"loop", "root/loop"},     {"../a.php", "root/out.php"}, {"/proc/self", "root/proc"},
};

static const char *const scripts[] = {
    "/index.php",
    "/run.php",
    "/a/index.php",
    "/in/index.php",
    "/a.php/b.php",
    "/r.php",
    /* By way of symlinks that only "follow" takes. */
    "/out.php",
    "/up/a.php",
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void clean_up(void)
{
    site_close(&site);
}

static void make_tree(void)
{
    site_init(&site);
    for (size_t i = 0; i < COUNT_OF(tree); i++)
        site_put(&site, tree[i][0], tree[i][1]);
    for (size_t i = 0; i < COUNT_OF(links); i++)
        site_link(&site, links[i][0], links[i][1]);
    atexit(clean_up);
}

static void open_with(uint8_t options)
{
    site.options.scripts = (options & SCRIPTS) != 0 && (options & WORKER) == 0;
    site.options.everything_to_front = (options & WORKER) != 0;
    site.options.application = site.folder;
    site.options.symlinks = (options & FOLLOW) != 0        ? ASKR_SYMLINKS_FOLLOW
                            : (options & APPLICATION) != 0 ? ASKR_SYMLINKS_APPLICATION
                                                           : ASKR_SYMLINKS_BENEATH;
    site.options.precompressed = (options & SIBLINGS) != 0;
    site.options.no_scripts[0] = "/uploads"; /* has one, which is none of `scripts` */
    site.options.front = (options & NO_FRONT) != 0 ? NULL : "index.php";
    site_open(&site);
    site.files->has_openat2 = site.files->has_openat2 && (options & WALK) == 0;
}

static bool begins(const char *text, size_t size, const char *word)
{
    return size >= strlen(word) && memcmp(text, word, strlen(word)) == 0;
}

static void check_file(const struct static_target *target)
{
    char text[16];
    size_t size = site_content(target->entry, text, sizeof text);
    if (site.options.symlinks == ASKR_SYMLINKS_FOLLOW) /* /proc is as good a place as any */
        must(!begins(text, size, "SECRET"));
    else if (site.options.symlinks == ASKR_SYMLINKS_APPLICATION)
        must(begins(text, size, "PUBLIC") || begins(text, size, "OUTSIDE"));
    else
        must(begins(text, size, "PUBLIC"));
    static_release(target->entry);
}

/* Through any number of links to the folder above and back, under "follow" and by the walk. */
static struct slice without_detours(struct slice name)
{
    static const char detour[] = "/up/root/";
    bool may_leave = site.options.symlinks != ASKR_SYMLINKS_BENEATH || !site.files->has_openat2;
    while (may_leave && begins(name.data, name.size, detour)) {
        name.data += sizeof detour - 2;
        name.size -= sizeof detour - 2;
    }
    return name;
}

static void check_script(const struct static_target *target)
{
    struct slice name = target->script_name, file = target->script_filename;
    size_t root_size = strlen(site.root);
    must(file.size == root_size + name.size && begins(file.data, file.size, site.root));
    must(memcmp(file.data + root_size, name.data, name.size) == 0);
    must(target->path_info.size == 0 || target->path_info.data[0] == '/');
    if (site.options.everything_to_front) {
        must(slice_equals(name, SLICE("/index.php")));
        return;
    }
    must(site.options.scripts);
    if (begins(name.data, name.size, "/proc/")) /* which has a way back to everywhere */
        return;
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(scripts); i++)
        known |= slice_equals(without_detours(name), slice_of(scripts[i]));
    must(known);
}

/* One slash at the start and between segments, no "." and no "..", and no NUL. */
static void check_normal(struct slice path)
{
    must(path.size > 0 && path.data[0] == '/' && memchr(path.data, '\0', path.size) == NULL);
    for (size_t at = 0; at < path.size;) {
        const char *segment = path.data + at + 1;
        const char *slash = memchr(segment, '/', path.size - at - 1);
        size_t size = slash == NULL ? path.size - at - 1 : (size_t)(slash - segment);
        must(size > 0 || at + 1 == path.size);
        must(!(size == 1 && segment[0] == '.'));
        must(!(size == 2 && segment[0] == '.' && segment[1] == '.'));
        at += 1 + size;
    }
}

static void check_path(struct slice path, uint8_t options)
{
    struct static_target target;
    static struct http_request request;
    request.path = path;
    request.fields[0] = (struct http_field){SLICE("Accept-Encoding"), SLICE("br;q=0.5, gzip")};
    request.field_count = (options & SIBLINGS) != 0 ? 1 : 0;
    static_resolve(site.files, &request, site.now_ns, &target);
    must(target.kind <= STATIC_FAILED);
    must((target.path.size == 0) == (target.kind == STATIC_BAD));
    if (target.kind != STATIC_BAD)
        check_normal(target.path);
    if (target.kind == STATIC_FILE)
        check_file(&target);
    else if (target.kind == STATIC_SCRIPT)
        check_script(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (site.root[0] == '\0')
        make_tree();
    uint8_t options = data[0];
    open_with(options);
    struct slice rest = {(const char *)data + 1, size - 1};
    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        struct slice path = {rest.data, end == NULL ? rest.size : (size_t)(end - rest.data)};
        check_path(path, options);
        if ((options & STILL) == 0)
            site.now_ns += STATIC_FRESH_NS; /* the same path again is looked at again */
        size_t used = path.size + (end != NULL);
        rest = (struct slice){rest.data + used, rest.size - used};
    }
    return 0;
}
