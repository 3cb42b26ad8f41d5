/* SPDX-License-Identifier: MIT
 * Static files from open to close (static.h), and the one look-up that every request makes: a hit
 * that is fresh costs a hash of the path and no system call. */
#include "app/static.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "app/static_parts.h"

static struct slice keep(struct static_files *files, size_t *used, const char *text)
{
    size_t size = strlen(text);
    char *at = files->options + *used;
    memcpy(at, text, size + 1);
    *used += size + 1;
    return (struct slice){at, size};
}

static int keep_root(struct static_files *files, size_t *used, const char *root, askr_error *error)
{
    if (root[0] != '/' || strlen(root) >= STATIC_PATH_MAX)
        return askr_fail(error, EINVAL, "the document root is no absolute path: %.180s", root);
    files->root = keep(files, used, root);
    while (files->root.size > 0 && files->root.data[files->root.size - 1] == '/')
        files->root.size--;
    return 0;
}

static int keep_front(struct static_files *files, size_t *used, const char *front,
                      askr_error *error)
{
    char path[STATIC_PATH_MAX] = "/", normal[STATIC_PATH_MAX];
    struct slice out, given = {path, 1 + strlen(front)};
    if (given.size < sizeof path) {
        memcpy(path + 1, front, given.size);
        if (static_decode(given, normal, &out) && slice_equals(given, out) &&
            static_may_run(static_base_name(out)) && !static_has_hidden(out)) {
            files->front = keep(files, used, front);
            return 0;
        }
    }
    return askr_fail(error, EINVAL,
                     "the front controller is no .php file relative to the document root: %.120s",
                     front);
}

static int keep_index(struct static_files *files, size_t *used, const char *name, askr_error *error)
{
    struct slice given = slice_of(name);
    if (given.size == 0 || given.size > STATIC_INDEX_NAME_MAX || strchr(name, '/') != NULL ||
        !(static_may_serve(given) || static_may_run(given)))
        return askr_fail(error, EINVAL, "this cannot be the name of an index file: %.160s", name);
    files->index_files[files->index_count++] = keep(files, used, name);
    return 0;
}

static int keep_no_scripts(struct static_files *files, size_t *used, const char *folder,
                           askr_error *error)
{
    size_t size = strlen(folder);
    if (size < 2 || size >= STATIC_PATH_MAX || folder[0] != '/' || folder[size - 1] == '/')
        return askr_fail(error, EINVAL, "this is no folder of the document root: %.160s", folder);
    files->no_scripts[files->no_scripts_count++] = keep(files, used, folder + 1);
    return 0;
}

static int keep_options(struct static_files *files, const struct static_options *options,
                        askr_error *error)
{
    size_t used = 0;
    files->scripts = options->scripts;
    files->everything_to_front = options->everything_to_front;
    files->symlinks = options->symlinks;
    files->precompressed = options->precompressed;
    files->encoder = options->encoder;
    int result = keep_root(files, &used, options->root, error);
    if (result == 0 && options->front != NULL)
        result = keep_front(files, &used, options->front, error);
    for (size_t i = 0; i < STATIC_INDEX_FILES_MAX && result == 0; i++) {
        if (options->index_files[i] == NULL)
            break;
        result = keep_index(files, &used, options->index_files[i], error);
    }
    for (size_t i = 0; i < STATIC_NO_SCRIPTS_MAX && result == 0; i++) {
        if (options->no_scripts[i] == NULL)
            break;
        result = keep_no_scripts(files, &used, options->no_scripts[i], error);
    }
    return result;
}

static int open_folder(const char *path, const char *what, int *fd, askr_error *error)
{
    *fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0)
        return 0;
    return askr_fail(error, errno, "%s %.160s cannot be opened: %s", what, path, strerror(errno));
}

/* What is opened here is what the names meant when the generation began, whatever a deploy does to
 * symlinks on the way to them later. */
static int open_folders(struct static_files *files, const struct static_options *options,
                        askr_error *error)
{
    files->application_fd = -1;
    int result = open_folder(options->root, "the document root", &files->root_fd, error);
    if (result < 0 || options->symlinks != ASKR_SYMLINKS_APPLICATION)
        return result;
    result =
        options->application != NULL
            ? open_folder(options->application, "the application", &files->application_fd, error)
            : askr_fail(error, EINVAL, "where the application lies was not said");
    if (result < 0)
        close(files->root_fd);
    return result;
}

int static_open(struct static_files **out, const struct static_options *options, askr_error *error)
{
    *out = NULL;
    struct static_files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return askr_fail(error, ENOMEM, "no memory for static files");
    int result = keep_options(files, options, error);
    if (result < 0)
        goto out_memory;
    result = open_folders(files, options, error);
    if (result < 0)
        goto out_memory;
    files->has_openat2 = static_disk_probe(files->root_fd);
    /* Without random bytes a client can at worst make look-ups slow. */
    if (getrandom(&files->seed, sizeof files->seed, GRND_NONBLOCK) < 0)
        files->seed = (uint64_t)clock_now_ns();
    *out = files;
    return 0;

out_memory:
    free(files);
    return result;
}

void static_close(struct static_files *files)
{
    if (files == NULL)
        return;
    while (files->oldest != NULL)
        static_cache_drop(files, files->oldest);
    assert(files->route_count == 0);
    close(files->root_fd);
    if (files->application_fd >= 0)
        close(files->application_fd);
    free(files);
}

/* Look at the disk. The result is remembered when it can be. Where nothing can be seen for want of
 * descriptors or memory, what was there a moment ago is better than a 503. */
static struct static_found *look(struct static_files *files, struct slice path, uint64_t hash,
                                 struct static_route *route)
{
    files->busy = route;
    static_locate(files, path, route != NULL ? &route->found : NULL, &files->found);
    files->busy = NULL;
    if (files->found.kind == STATIC_FAILED && route != NULL) {
        route->checked_ns = files->now_ns;
        return &route->found;
    }
    struct static_route *kept = static_cache_put(files, path, hash, route, &files->found);
    return kept != NULL ? &kept->found : &files->found;
}

void static_resolve(struct static_files *files, const struct http_request *request, int64_t now_ns,
                    struct static_target *out)
{
    struct slice path = request->path;
    uint64_t hash = hash_bytes(files->seed, path.data, path.size);
    struct static_route *route = static_cache_find(files, path, hash);
    struct static_found *found;
    files->now_ns = now_ns;
    if (LIKELY(route != NULL && now_ns - route->checked_ns < STATIC_FRESH_NS))
        found = &route->found;
    else
        found = look(files, path, hash, route);
    *out = (struct static_target){
        .kind = found->kind,
        .path = found->path,
        .script_filename = found->script_filename,
        .script_name = found->script_name,
        .path_info = found->path_info,
    };
    if (found->kind == STATIC_FILE) {
        struct static_entry *plain = found->entries[STATIC_PLAIN];
        bool remembered = found != &files->found;
        out->entry = plain->vary ? static_made_choose(files, request, found, remembered) : plain;
        static_retain(out->entry);
    }
    if (found == &files->found)
        static_found_release(found);
}
