/* SPDX-License-Identifier: MIT
 * A file with its precompressed siblings: x.br, x.zst and x.gz beside x, each an entry of its own.
 * One that cannot be used for whatever reason is as good as absent: the file itself is there. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "app/static_parts.h"

/* A sibling that is older than the file was made from another. To the second: tools that copy a
 * time stamp lose its fractions. */
static bool is_usable(const struct static_opened *sibling, const struct static_entry *plain)
{
    return S_ISREG(sibling->status.st_mode) && sibling->may_serve && sibling->status.st_size > 0 &&
           sibling->status.st_mtim.tv_sec >= plain->identity.modified_ns / NS_PER_S;
}

static struct static_entry *load_sibling(struct static_files *files, struct slice name,
                                         const struct static_entry *plain,
                                         enum static_encoding encoding, struct static_entry *old)
{
    struct static_opened opened;
    if (static_disk_open(files, name, O_RDONLY, &opened) < 0)
        return NULL;
    if (!is_usable(&opened, plain)) {
        close(opened.fd);
        return NULL;
    }
    return static_entry_load(files, &opened, plain->type, encoding, old);
}

static void set_vary(struct static_found *found)
{
    bool vary = found->entries[STATIC_PLAIN]->is_text;
    for (size_t i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++)
        vary |= found->entries[i] != NULL;
    for (size_t i = 0; i < STATIC_ENCODINGS; i++)
        if (found->entries[i] != NULL)
            found->entries[i]->vary = vary;
}

/* Three looks that mostly find nothing cost more than the file's own, so as long as that has not
 * changed they are made less often. */
static bool keep_siblings(const struct static_files *files, const struct static_found *old,
                          struct static_found *found)
{
    if (old == NULL || old->entries[STATIC_PLAIN] != found->entries[STATIC_PLAIN] ||
        files->now_ns - old->siblings_ns >= STATIC_SIBLINGS_FRESH_NS)
        return false;
    for (size_t i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++) {
        found->entries[i] = old->entries[i];
        if (found->entries[i] != NULL)
            static_retain(found->entries[i]);
    }
    found->siblings_ns = old->siblings_ns;
    return true;
}

static void load_siblings(struct static_files *files, struct slice name,
                          const struct static_found *old, struct static_found *found)
{
    const struct static_entry *plain = found->entries[STATIC_PLAIN];
    if (keep_siblings(files, old, found))
        return;
    for (enum static_encoding i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++) {
        struct slice suffix = static_codings[i].suffix;
        struct slice sibling = {files->name, name.size + suffix.size};
        if (sibling.size >= sizeof files->name)
            continue;
        memcpy(files->name + name.size, suffix.data, suffix.size);
        files->name[sibling.size] = '\0';
        found->entries[i] =
            load_sibling(files, sibling, plain, i, old != NULL ? old->entries[i] : NULL);
    }
    found->siblings_ns = files->now_ns;
}

static bool is_text(const struct static_files *files, const struct static_entry *entry)
{
    const struct static_encoder *encoder = files->encoder;
    return encoder != NULL && entry->in_memory &&
           encoder->is_text(encoder->user, entry->type, entry->size);
}

int static_file_load(struct static_files *files, struct slice name, struct static_opened *opened,
                     const struct static_found *old, struct static_found *found)
{
    struct slice type = static_type_of(static_base_name(name));
    struct static_entry *before = old != NULL ? old->entries[STATIC_PLAIN] : NULL;
    found->entries[STATIC_PLAIN] = static_entry_load(files, opened, type, STATIC_PLAIN, before);
    if (found->entries[STATIC_PLAIN] == NULL)
        return -EIO;
    found->entries[STATIC_PLAIN]->is_text = is_text(files, found->entries[STATIC_PLAIN]);
    if (files->precompressed)
        load_siblings(files, name, old, found);
    if (old != NULL)
        static_made_keep(old, found);
    set_vary(found);
    return 0;
}

void static_found_release(struct static_found *found)
{
    for (size_t i = 0; i < STATIC_ENCODINGS; i++) {
        if (found->entries[i] != NULL)
            static_release(found->entries[i]);
        found->entries[i] = NULL;
    }
}
