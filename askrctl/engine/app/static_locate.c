/* SPDX-License-Identifier: MIT
 * What a path leads to, in this order: a script on the way (classic mode), a file, a directory's
 * index, the front controller, nothing.
 *
 * A path with a hidden segment is refused before anything is looked for, so the answer does not
 * tell whether it exists. A name that is never served counts as not there: with a front controller
 * the application has the word, as for any other path that is no file. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "app/static_parts.h"

/* A step either decides, or leaves it to the next. */
enum step { NEXT, DECIDED };

static enum step decide(struct static_found *found, enum static_kind kind)
{
    found->kind = kind;
    return DECIDED;
}

/* `error` of opening something: not there is the next step's to answer. */
static enum step decide_error(struct static_found *found, int error)
{
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV: /* a socket, a device without a driver: no file */
        return NEXT;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
        return decide(found, STATIC_DENIED);
    default:
        return decide(found, STATIC_FAILED);
    }
}

/* Compose files->name. False when it is longer than any name can be. */
static bool set_name(struct static_files *files, struct slice directory, struct slice name,
                     struct slice *out)
{
    size_t size = directory.size + name.size;
    if (size >= sizeof files->name)
        return false;
    memcpy(files->name, directory.data, directory.size);
    memcpy(files->name + directory.size, name.data, name.size);
    files->name[size] = '\0';
    *out = (struct slice){files->name, size};
    return true;
}

/* 1: a script lies at `name` (relative to the root); 0: none; -errno. */
static int look_for_script(struct static_files *files, struct slice name)
{
    struct static_opened opened;
    int result = static_disk_open(files, name, O_PATH, &opened);
    if (result < 0)
        return result;
    close(opened.fd);
    return S_ISREG(opened.status.st_mode) && opened.may_run;
}

static enum step decide_script(struct static_files *files, struct static_found *found,
                               struct slice name, struct slice path_info)
{
    struct slice root = files->root;
    size_t size = root.size + 1 + name.size;
    if (size > sizeof files->script)
        return NEXT;
    memcpy(files->script, root.data, root.size);
    files->script[root.size] = '/';
    memcpy(files->script + root.size + 1, name.data, name.size);
    found->script_filename = (struct slice){files->script, size};
    found->script_name = (struct slice){files->script + root.size, 1 + name.size};
    found->path_info = path_info;
    return decide(found, STATIC_SCRIPT);
}

/* /a/b.php/info: the first segment that is a script ends the script's name. */
static enum step split_script(struct static_files *files, struct static_found *found)
{
    struct slice path = found->path;
    for (size_t at = 0; at < path.size;) {
        const char *segment = path.data + at + 1;
        const char *slash = memchr(segment, '/', path.size - at - 1);
        size_t end = slash == NULL ? path.size : (size_t)(slash - path.data);
        struct slice last = {segment, end - at - 1};
        at = end;
        if (static_is_hidden(last, segment == path.data + 1))
            return decide(found, STATIC_DENIED);
        if (!static_may_run(last))
            continue;
        struct slice name;
        if (!set_name(files, (struct slice){path.data + 1, end - 1}, SLICE(""), &name))
            break;
        int result = look_for_script(files, name);
        if (result == 1)
            return decide_script(files, found, name,
                                 (struct slice){path.data + end, path.size - end});
        if (result == -ENOENT || result == -ENOTDIR)
            break; /* and so nothing lies beneath it */
        if (result < 0 && decide_error(found, result) == DECIDED)
            return DECIDED;
    }
    return NEXT;
}

static enum step decide_front(struct static_files *files, struct static_found *found,
                              struct slice path_info)
{
    if (files->front.size == 0)
        return NEXT;
    return decide_script(files, found, files->front, path_info);
}

/* The front controller in classic mode: it has to be there, since PHP fails hard on a script that
 * is not. It is the busiest of all scripts, so that it is there is remembered. */
static enum step try_front(struct static_files *files, struct static_found *found)
{
    struct slice name;
    if (files->front.size == 0 || !set_name(files, files->front, SLICE(""), &name))
        return NEXT;
    if (!files->front_is_there || files->now_ns - files->front_checked_ns >= STATIC_FRESH_NS) {
        int result = look_for_script(files, name);
        files->front_is_there = result == 1;
        files->front_checked_ns = files->now_ns;
        if (result < 0 && decide_error(found, result) == DECIDED)
            return DECIDED;
    }
    return files->front_is_there ? decide_front(files, found, SLICE("")) : NEXT;
}

/* One candidate of a directory's index; `name` is in files->name. */
static enum step try_index_script(struct static_files *files, struct slice name,
                                  struct static_found *found)
{
    if (files->everything_to_front && slice_equals(name, files->front))
        return decide_front(files, found, SLICE("")); /* there or not */
    if (!files->scripts && !files->everything_to_front)
        return NEXT;
    int result = look_for_script(files, name);
    if (result < 0)
        return decide_error(found, result);
    if (result == 0)
        return NEXT;
    return files->everything_to_front ? decide_front(files, found, SLICE(""))
                                      : decide_script(files, found, name, SLICE(""));
}

/* `name` is in files->name; `opened` is taken over. */
static enum step decide_file(struct static_files *files, struct slice name,
                             struct static_opened *opened, const struct static_found *old,
                             struct static_found *found)
{
    int result = static_file_load(files, name, opened, old, found);
    return decide(found, result < 0 ? STATIC_FAILED : STATIC_FILE);
}

static enum step try_index_file(struct static_files *files, struct slice name,
                                const struct static_found *old, struct static_found *found)
{
    struct static_opened opened;
    int result = static_disk_open(files, name, O_RDONLY, &opened);
    if (result < 0)
        return decide_error(found, result);
    if (S_ISREG(opened.status.st_mode) && opened.may_serve)
        return decide_file(files, name, &opened, old, found);
    close(opened.fd);
    return NEXT;
}

/* found->path is a directory. */
static enum step try_index(struct static_files *files, const struct static_found *old,
                           struct static_found *found)
{
    struct slice path = found->path;
    bool has_slash = path.data[path.size - 1] == '/';
    files->path[path.size] = '/'; /* in place of the NUL; nothing reads that any more */
    struct slice directory = {path.data + 1, path.size - has_slash};
    enum step step = NEXT;
    for (size_t i = 0; i < files->index_count && step == NEXT; i++) {
        struct slice index = files->index_files[i], name;
        if (!set_name(files, directory, index, &name))
            continue;
        step = static_may_run(index) ? try_index_script(files, name, found)
                                     : try_index_file(files, name, old, found);
    }
    bool is_front = files->everything_to_front && found->kind == STATIC_SCRIPT;
    if (!has_slash && !is_front && (found->kind == STATIC_FILE || found->kind == STATIC_SCRIPT)) {
        static_found_release(found);
        return decide(found, STATIC_REDIRECT);
    }
    return step;
}

static enum step try_path(struct static_files *files, const struct static_found *old,
                          struct static_found *found)
{
    struct slice path = found->path, inside = {path.data + 1, path.size - 1}, name;
    struct static_opened opened;
    bool has_slash = path.data[path.size - 1] == '/';
    if (has_slash && inside.size > 0)
        inside.size--;
    if (!set_name(files, inside, SLICE(""), &name))
        return NEXT;
    int result = static_disk_open(files, name, O_RDONLY, &opened);
    bool may_read = result != -EACCES;
    if (!may_read) /* a directory need not be readable to have an index */
        result = static_disk_open(files, name, O_PATH, &opened);
    if (result < 0)
        return decide_error(found, result);
    bool is_file = S_ISREG(opened.status.st_mode) && opened.may_serve && !has_slash;
    if (is_file && may_read)
        return decide_file(files, name, &opened, old, found);
    close(opened.fd);
    if (is_file)
        return decide(found, STATIC_DENIED);
    return S_ISDIR(opened.status.st_mode) ? try_index(files, old, found) : NEXT;
}

/* Worker mode: /index.php and /index.php/info name the front controller, whatever lies on disk. */
static bool names_front(const struct static_files *files, struct slice path)
{
    size_t size = 1 + files->front.size;
    return path.size >= size && memcmp(path.data + 1, files->front.data, files->front.size) == 0 &&
           (path.size == size || path.data[size] == '/');
}

static enum step try_all(struct static_files *files, const struct static_found *old,
                         struct static_found *found)
{
    struct slice path = found->path;
    if (files->everything_to_front && files->front.size > 0 && names_front(files, path)) {
        size_t used = 1 + files->front.size;
        struct slice path_info = {path.data + used, path.size - used};
        return decide_front(files, found, path_info);
    }
    if (files->scripts && split_script(files, found) == DECIDED)
        return DECIDED;
    if (static_has_hidden(path))
        return decide(found, STATIC_DENIED);
    if (try_path(files, old, found) == DECIDED)
        return DECIDED;
    if (files->everything_to_front)
        return decide_front(files, found, SLICE(""));
    return files->scripts ? try_front(files, found) : NEXT;
}

void static_locate(struct static_files *files, struct slice raw, const struct static_found *old,
                   struct static_found *out)
{
    *out = (struct static_found){.kind = STATIC_MISSING};
    if (raw.size > HTTP_HEAD_SIZE_MAX || !static_decode(raw, files->path, &out->path))
        out->kind = STATIC_BAD;
    else if (try_all(files, old, out) == NEXT)
        out->kind = STATIC_MISSING;
}
