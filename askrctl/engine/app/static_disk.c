/* SPDX-License-Identifier: MIT
 * Opening files beneath the root, and nothing else.
 *
 * A path is first opened as one that has no symlink at all: then its name says what it is. When it
 * has one it is opened again as far as the policy goes, and /proc tells what the descriptor really
 * is: out of the root or not, PHP source or not. What cannot be told is refused. Since a descriptor
 * is judged and not a name, renaming things meanwhile gains nothing.
 *
 * openat2() is Linux 5.6, and sandboxes of that time refuse it with EPERM. Without it the first
 * step is a walk from directory to directory with O_NOFOLLOW, and the judgement alone keeps
 * symlinks beneath the root. (It is the milder judge of absolute ones that lead there.) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<linux/openat2.h>) && defined(SYS_openat2)
#include <linux/openat2.h>
#define HAS_OPENAT2 1
#else
#define HAS_OPENAT2 0
#endif

#include "app/static_parts.h"

enum {
    OPEN_FLAGS = O_CLOEXEC | O_NOCTTY | O_NONBLOCK, /* a FIFO must not stop the worker */
    OPEN_RETRIES_MAX = 16, /* RESOLVE_BENEATH gives up with EAGAIN when something was renamed */
};

static int open2(int root_fd, const char *name, int flags, uint64_t resolve)
{
#if HAS_OPENAT2
    struct open_how how = {.flags = (uint32_t)flags, .resolve = resolve};
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, root_fd, name, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != EINTR && (errno != EAGAIN || tries >= OPEN_RETRIES_MAX))
            return -errno;
    }
#else
    (void)root_fd, (void)name, (void)flags, (void)resolve;
    return -ENOSYS;
#endif
}

bool static_disk_probe(int root_fd)
{
#if HAS_OPENAT2
    int fd = open2(root_fd, ".", O_PATH | O_CLOEXEC, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
#else
    (void)root_fd;
    return false;
#endif
}

static int open_at(int dir_fd, const char *name, int flags)
{
    for (;;) {
        int fd = openat(dir_fd, name, flags);
        if (fd >= 0 || errno != EINTR)
            return fd >= 0 ? fd : -errno;
    }
}

static bool is_symlink(int dir_fd, const char *name)
{
    struct stat status;
    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

/* The last name of a walk. O_PATH does not fail on a symlink, it opens the symlink. */
static int open_last(int dir_fd, const char *name, int flags)
{
    if ((flags & O_PATH) != 0 && is_symlink(dir_fd, name))
        return -ELOOP;
    return open_at(dir_fd, name, flags | O_NOFOLLOW);
}

/* What RESOLVE_NO_SYMLINKS does. `path` has neither "." nor ".." nor an empty segment. */
static int walk(int root_fd, struct slice path, int flags)
{
    int dir_fd = root_fd;
    char segment[256]; /* NAME_MAX and a NUL */
    for (;;) {
        const char *slash = memchr(path.data, '/', path.size);
        size_t size = slash == NULL ? path.size : (size_t)(slash - path.data);
        int fd = -ENAMETOOLONG;
        if (size < sizeof segment) {
            memcpy(segment, path.data, size);
            segment[size] = '\0';
            fd = slash == NULL
                     ? open_last(dir_fd, segment, flags)
                     : open_at(dir_fd, segment, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (fd == -ENOTDIR && is_symlink(dir_fd, segment))
                fd = -ELOOP;
        }
        if (dir_fd != root_fd)
            close(dir_fd);
        if (fd < 0 || slash == NULL)
            return fd;
        dir_fd = fd;
        path.size -= size + 1;
        path.data = slash + 1;
    }
}

/* Without symlinks. */
static int open_plain(const struct static_files *files, struct slice name, int flags)
{
#if HAS_OPENAT2
    if (files->has_openat2)
        return open2(files->root_fd, name.size > 0 ? name.data : ".", flags,
                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
#endif
    if (name.size == 0)
        return open_at(files->root_fd, ".", flags);
    return walk(files->root_fd, name, flags);
}

/* With symlinks. RESOLVE_BENEATH is exact but refuses absolute ones, which is what `artisan
 * storage:link` makes; everywhere else the judgement that follows keeps them where they may lead.
 */
static int open_linked(const struct static_files *files, struct slice name, int flags)
{
#if HAS_OPENAT2
    bool beneath = files->symlinks == ASKR_SYMLINKS_BENEATH;
    if (files->has_openat2)
        return open2(files->root_fd, name.data, flags,
                     RESOLVE_NO_MAGICLINKS | (beneath ? RESOLVE_BENEATH : 0));
#endif
    return open_at(files->root_fd, name.data, flags);
}

/* The path the kernel has for a descriptor. */
static bool path_of(int fd, char *out, size_t size, struct slice *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, size);
    if (length <= 0 || (size_t)length >= size || out[0] != '/')
        return false;
    *path = (struct slice){out, (size_t)length};
    return true;
}

/* What is behind `folder_fd` in `path`, which begins with a slash or is empty. False: it does not
 * lie beneath it. */
static bool is_beneath(int folder_fd, struct slice path, struct slice *inside)
{
    char text[STATIC_PATH_MAX];
    struct slice folder;
    if (!path_of(folder_fd, text, sizeof text, &folder))
        return false;
    if (folder.size == 1)
        folder.size = 0; /* "/" */
    if (path.size < folder.size || memcmp(path.data, folder.data, folder.size) != 0 ||
        (path.size > folder.size && path.data[folder.size] != '/'))
        return false;
    *inside = (struct slice){path.data + folder.size, path.size - folder.size};
    return true;
}

/* Does `name` lie where visitors may put files? */
static bool runs_nothing(const struct static_files *files, struct slice name)
{
    for (size_t i = 0; i < files->no_scripts_count; i++) {
        struct slice folder = files->no_scripts[i];
        if (name.size > folder.size && name.data[folder.size] == '/' &&
            memcmp(name.data, folder.data, folder.size) == 0)
            return true;
    }
    return false;
}

/* A symlink was on the way to opened->fd: judge what it is by its own path. */
static int judge(const struct static_files *files, struct static_opened *opened)
{
    char text[STATIC_PATH_MAX];
    struct slice path, inside;
    if (!path_of(opened->fd, text, sizeof text, &path))
        return -EXDEV;
    struct slice name = static_base_name(path);
    opened->may_serve = opened->may_serve && static_may_serve(name);
    opened->may_run = opened->may_run && static_may_run(name);
    if (is_beneath(files->root_fd, path, &inside)) {
        if (inside.size > 0 &&
            runs_nothing(files, (struct slice){inside.data + 1, inside.size - 1}))
            opened->may_run = false;
        return static_has_hidden(inside) ? -EXDEV : 0;
    }
    if (files->symlinks == ASKR_SYMLINKS_APPLICATION &&
        is_beneath(files->application_fd, path, &inside)) {
        opened->may_run = false; /* what was uploaded into linked storage is no script */
        return static_has_hidden(inside) ? -EXDEV : 0;
    }
    return files->symlinks == ASKR_SYMLINKS_FOLLOW ? 0 : -EXDEV;
}

int static_disk_open(struct static_files *files, struct slice name, int flags,
                     struct static_opened *opened)
{
    struct slice base = static_base_name(name);
    assert(name.data[name.size] == '\0' && (name.size == 0 || name.data[0] != '/'));
    flags |= (flags & O_PATH) != 0 ? O_CLOEXEC : OPEN_FLAGS;
    opened->may_serve = static_may_serve(base);
    opened->may_run = static_may_run(base) && !runs_nothing(files, name);
    bool is_linked = false;
    do {
        opened->fd = open_plain(files, name, flags);
        is_linked = opened->fd == -ELOOP && name.size > 0 && files->symlinks != ASKR_SYMLINKS_NEVER;
        if (is_linked)
            opened->fd = open_linked(files, name, flags);
    } while ((opened->fd == -EMFILE || opened->fd == -ENFILE) && static_cache_close_one(files));
    if (opened->fd < 0)
        return opened->fd;
    int result = is_linked ? judge(files, opened) : 0;
    if (result == 0 && fstat(opened->fd, &opened->status) < 0)
        result = -errno;
    if (result < 0)
        close(opened->fd);
    return result;
}
