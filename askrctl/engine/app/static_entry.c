/* SPDX-License-Identifier: MIT
 * One file as it is sent: its size, validators and fields, and its content or a descriptor.
 *
 * The ETag is a strong one (RFC 9110 section 8.8.1). Of a file in memory it is a hash of the bytes,
 * so two hosts that serve the same release agree, and a build that sets every time stamp to the
 * same second does no harm. Of a larger one it is size, inode and both time stamps: a weak one
 * until these can be trusted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "app/static_parts.h"

/* A file that was written to less than this before it was read may be written to again without its
 * time stamps changing: they are as coarse as the kernel's tick, or 2 s on FAT. */
#define SETTLE_NS (2 * NS_PER_S)

static int64_t time_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * NS_PER_S + time.tv_nsec;
}

static struct static_identity identity_of(const struct stat *status)
{
    return (struct static_identity){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .modified_ns = time_ns(status->st_mtim),
        .changed_ns = time_ns(status->st_ctim),
    };
}

static bool same_identity(const struct static_identity *a, const struct static_identity *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

static bool read_content(struct static_entry *entry, int fd)
{
    int64_t used = 0;
    while (used < entry->size) {
        ssize_t size = pread(fd, entry->content + used, (size_t)(entry->size - used), used);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return false;
        if (size == 0) { /* it has shrunk: what is there is all of it */
            entry->size = used;
            entry->settled = false;
        }
        used += size;
    }
    return true;
}

static void set_etag(struct static_entry *entry, enum static_encoding encoding)
{
    const struct static_identity *identity = &entry->identity;
    const int64_t stamps[] = {identity->modified_ns, identity->changed_ns, (int64_t)identity->inode,
                              entry->size};
    uint64_t hash = entry->in_memory ? hash_bytes(0, entry->content, (size_t)entry->size)
                                     : hash_bytes(0, (const char *)stamps, sizeof stamps);
    struct slice coding = static_codings[encoding].name;
    int size = snprintf(entry->etag_text, sizeof entry->etag_text, "W/\"%016llx-%llx%s%s\"",
                        (unsigned long long)hash, (unsigned long long)entry->size,
                        coding.size > 0 ? "-" : "", coding.data);
    assert(size > 2 && (size_t)size < sizeof entry->etag_text);
    entry->tag = (struct slice){entry->etag_text + 2, (size_t)size - 2};
    entry->weak = !entry->in_memory && !entry->settled;
    entry->etag = entry->weak ? (struct slice){entry->etag_text, (size_t)size} : entry->tag;
}

/* A time of 0 or 1 is what reproducible builds give every file: it validates nothing. A time in the
 * future must not be said (RFC 9110 section 8.8.2.1). */
static void set_date(struct static_entry *entry, const struct stat *status)
{
    int64_t now = (int64_t)time(NULL), modified = status->st_mtim.tv_sec;
    if (modified <= 1)
        return;
    entry->modified = modified < now ? modified : now;
    static_date_write(entry->modified, entry->date_text);
    entry->date = (struct slice){entry->date_text, STATIC_DATE_SIZE};
}

static void add_field(struct static_entry *entry, struct slice name, struct slice value)
{
    assert(entry->field_count < COUNT_OF(entry->fields));
    entry->fields[entry->field_count++] = (struct http_field){name, value};
}

static void set_fields(struct static_entry *entry, enum static_encoding encoding)
{
    add_field(entry, SLICE("Content-Type"), entry->type);
    add_field(entry, SLICE("ETag"), entry->etag);
    if (entry->date.size > 0)
        add_field(entry, SLICE("Last-Modified"), entry->date);
    add_field(entry, SLICE("Accept-Ranges"), SLICE("bytes"));
    if (encoding != STATIC_PLAIN)
        add_field(entry, SLICE("Content-Encoding"), static_codings[encoding].name);
}

static struct static_entry *entry_new(const struct stat *status, struct slice type)
{
    bool in_memory = status->st_size <= STATIC_CONTENT_SIZE_MAX;
    struct static_entry *entry = malloc(sizeof *entry + (in_memory ? (size_t)status->st_size : 0));
    if (entry == NULL && in_memory) {
        in_memory = false;
        entry = malloc(sizeof *entry);
    }
    if (entry == NULL)
        return NULL;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *entry = (struct static_entry){
        .references = 1,
        .fd = -1,
        .in_memory = in_memory,
        .settled = time_ns(status->st_ctim) < time_ns(now) - SETTLE_NS,
        .size = status->st_size,
        .identity = identity_of(status),
        .type = type,
    };
    return entry;
}

/* The content is in memory, or the descriptor is kept. */
static bool fill(struct static_files *files, struct static_entry *entry, int fd)
{
    if (!entry->in_memory) {
        entry->fd = fd;
        files->fd_count++;
        return true;
    }
    size_t size = (size_t)entry->size;
    bool done = read_content(entry, fd);
    close(fd);
    if (done)
        files->content_total += size;
    return done;
}

struct static_entry *static_entry_load(struct static_files *files, struct static_opened *opened,
                                       struct slice type, enum static_encoding encoding,
                                       struct static_entry *old)
{
    struct static_identity identity = identity_of(&opened->status);
    if (old != NULL && old->settled && same_identity(&identity, &old->identity)) {
        close(opened->fd);
        static_retain(old);
        return old;
    }
    struct static_entry *entry = entry_new(&opened->status, type);
    if (entry == NULL) {
        close(opened->fd);
        return NULL;
    }
    if (!fill(files, entry, opened->fd)) {
        free(entry);
        return NULL;
    }
    entry->files = files;
    set_etag(entry, encoding);
    set_date(entry, &opened->status);
    set_fields(entry, encoding);
    return entry;
}

struct static_entry *static_entry_make(const struct static_entry *plain,
                                       enum static_encoding encoding, struct slice content)
{
    struct static_entry *entry = malloc(sizeof *entry + content.size);
    if (entry == NULL)
        return NULL;
    *entry = (struct static_entry){
        .files = plain->files,
        .references = 1,
        .fd = -1,
        .in_memory = true,
        .settled = true,
        .vary = true,
        .made = true,
        .size = (int64_t)content.size,
        .modified = plain->modified,
        .identity = {.size = (int64_t)content.size}, /* no file has this one */
        .type = plain->type,
    };
    memcpy(entry->content, content.data, content.size);
    memcpy(entry->date_text, plain->date_text, sizeof entry->date_text);
    entry->date = (struct slice){entry->date_text, plain->date.size};
    plain->files->content_total += content.size;
    set_etag(entry, encoding);
    set_fields(entry, encoding);
    return entry;
}

void static_retain(struct static_entry *entry)
{
    assert(entry->references > 0);
    entry->references++;
}

void static_release(struct static_entry *entry)
{
    struct static_files *files = entry->files;
    assert(entry->references > 0);
    if (--entry->references > 0)
        return;
    if (entry->in_memory) {
        assert(files->content_total >= (size_t)entry->identity.size);
        files->content_total -= (size_t)entry->identity.size;
    } else {
        close(entry->fd);
        files->fd_count--;
    }
    free(entry);
}
