/* SPDX-License-Identifier: MIT
 * What the files of app/static*.c share, and nobody else sees.
 *
 * A request path is looked up in the cache of routes (static_cache.c). When it is not there, or has
 * not been looked at for STATIC_FRESH_NS, static_locate.c decodes it (static_path.c), opens what it
 * names (static_disk.c) and loads it (static_entry.c) into a new route, taking over the entries of
 * the old one whose files have not changed. */
#ifndef ASKR_STATIC_PARTS_H
#define ASKR_STATIC_PARTS_H

#include <sys/stat.h>

#include "app/static.h"
#include "base/hash.h"

enum {
    STATIC_BUCKETS = 2048, /* a power of two, twice STATIC_ENTRIES_MAX */
    STATIC_DATE_SIZE = 29, /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    STATIC_ETAG_MAX = 48,
    STATIC_INDEX_NAME_MAX = 255,
};

enum static_encoding { STATIC_PLAIN, STATIC_BROTLI, STATIC_ZSTD, STATIC_GZIP, STATIC_ENCODINGS };

/* Two files with the same one have, for all the kernel tells, the same content. */
struct static_identity {
    uint64_t device, inode;
    int64_t size, modified_ns, changed_ns;
};

struct static_entry {
    struct static_files *files; /* whose limits it counts for */
    uint32_t references;
    int fd; /* -1: in_memory */
    bool in_memory;
    bool settled;  /* written to long before it was read: the same identity is the same content */
    bool vary;     /* it has siblings, so the answer depends on Accept-Encoding */
    bool is_text;  /* ... or may have some that are made */
    bool made;     /* it is such a one */
    uint8_t asked; /* for one that is not there, up to STATIC_ENCODE_AFTER */
    uint8_t not_worth; /* a bit for each enum static_encoding that saved too little */
    int64_t size;
    int64_t modified; /* what Last-Modified says, in seconds; 0: it says nothing */
    struct static_identity identity;
    struct slice type, date;
    struct slice etag; /* as it is sent: with W/ when it is weak */
    struct slice tag;  /* its opaque part, with the quotes */
    bool weak;
    struct http_field fields[5]; /* those every answer with a body has */
    size_t field_count;
    char etag_text[STATIC_ETAG_MAX];
    char date_text[STATIC_DATE_SIZE + 1];
    char content[];
};

/* What a path leads to; the slices point into scratch, or into the route that holds it. */
struct static_found {
    enum static_kind kind;
    struct static_entry *entries[STATIC_ENCODINGS]; /* one reference each; NULL: no such sibling */
    int64_t siblings_ns;                            /* when they were last looked for */
    struct slice path, script_filename, script_name, path_info;
};

struct static_route {
    struct static_route *next; /* in its bucket */
    struct static_route *newer, *older;
    uint64_t hash;
    int64_t checked_ns;
    struct static_found found;
    struct slice key;
    char text[];
};

struct static_files {
    int root_fd;
    int application_fd; /* -1: symlinks lead nowhere that it would have to be known for */
    enum askr_symlinks symlinks;
    bool has_openat2;
    bool scripts, everything_to_front, precompressed;
    const struct static_encoder *encoder;
    bool front_is_there; /* as of front_checked_ns */
    int64_t front_checked_ns;
    int64_t now_ns;
    uint64_t seed; /* of the hash of keys, and of boundaries: not to be guessed by clients */
    uint64_t boundary_count;

    struct static_route *buckets[STATIC_BUCKETS];
    struct static_route *newest, *oldest;
    const struct static_route *busy; /* in use: not to be dropped for its descriptor */
    uint32_t route_count;
    uint32_t fd_count;    /* open files of all entries, cached or not */
    size_t content_total; /* bytes in memory of all entries, cached or not */

    struct slice root;  /* without a slash at its end; "" is the file system's root */
    struct slice front; /* "index.php", or empty */
    struct slice index_files[STATIC_INDEX_FILES_MAX];
    size_t index_count;
    struct slice no_scripts[STATIC_NO_SCRIPTS_MAX]; /* relative to the root */
    size_t no_scripts_count;
    struct static_found found;         /* of a route that is not remembered */
    char path[HTTP_HEAD_SIZE_MAX + 1]; /* decoded */
    char name[STATIC_PATH_MAX];        /* of the file that is being opened, relative to the root */
    char script[STATIC_PATH_MAX];      /* root and script name */
    struct static_part parts[STATIC_RANGES_MAX];
    /* The texts of static_options. */
    char options[(STATIC_INDEX_FILES_MAX + STATIC_NO_SCRIPTS_MAX + 2) * STATIC_PATH_MAX];
};

/* static_path.c: request paths and file names as bytes. */

/* Decode and normalise `raw` into `out` (raw.size + 1 bytes): one slash at the start and between
 * segments, no "." and "..", a NUL at the end. False when it has a NUL or a broken escape, or
 * climbs above the root. */
bool static_decode(struct slice raw, char *out, struct slice *path);
/* A dot hides it, but for ".well-known" at the root. */
bool static_is_hidden(struct slice segment, bool at_root);
bool static_has_hidden(struct slice path);
/* May a file of this name be sent? Not PHP source, hidden, or an editor's backup. */
bool static_may_serve(struct slice name);
/* Is it run as a script? Exactly ".php", and more than that. */
bool static_may_run(struct slice name);
/* What is behind the last slash. */
struct slice static_base_name(struct slice path);

/* static_disk.c: the file system beneath the root. */

struct static_opened {
    int fd;
    struct stat status;
    bool may_serve, may_run; /* by its name, and by that of what a symlink leads to */
};

/* Is openat2() there, and not refused by a sandbox? */
bool static_disk_probe(int root_fd);
/* `name` is relative, normalised and terminated; "" is the root. `flags`: O_RDONLY or O_PATH.
 * 0 or -errno: -ELOOP and -EXDEV for a symlink that the policy refuses. */
int static_disk_open(struct static_files *, struct slice name, int flags, struct static_opened *);

/* static_entry.c: one file. */

/* Takes over opened->fd. Returns `old` (retained) when its file has not changed; NULL when memory
 * is out or the file cannot be read. */
struct static_entry *static_entry_load(struct static_files *, struct static_opened *,
                                       struct slice type, enum static_encoding,
                                       struct static_entry *old);

/* Another form of `plain`; NULL when memory is out. */
struct static_entry *static_entry_make(const struct static_entry *plain, enum static_encoding,
                                       struct slice content);

/* static_file.c: a file and its siblings. `name` is in files->name; takes over opened->fd. 0, or
 * -EIO when there is no entry of the file. */
int static_file_load(struct static_files *, struct slice name, struct static_opened *,
                     const struct static_found *old, struct static_found *found);
void static_found_release(struct static_found *);

/* static_made.c: siblings that are made. Those of `old` stay while the file has not changed. */
void static_made_keep(const struct static_found *old, struct static_found *found);
/* What the client gets of a file that varies. `remembered`: something may be made of it. */
struct static_entry *static_made_choose(struct static_files *, const struct http_request *,
                                        struct static_found *, bool remembered);

/* static_locate.c: paths to files and scripts. */
void static_locate(struct static_files *, struct slice raw, const struct static_found *old,
                   struct static_found *out);

/* static_cache.c: routes that are remembered. */
struct static_route *static_cache_find(struct static_files *, struct slice key, uint64_t hash);
/* Remember `found` (taking over its entries) in place of `old`, which may be NULL. NULL when it
 * cannot be remembered: then `found` is still the caller's, and `old` is forgotten. */
struct static_route *static_cache_put(struct static_files *, struct slice key, uint64_t hash,
                                      struct static_route *old, struct static_found *found);
void static_cache_drop(struct static_files *, struct static_route *);
/* Make room for one more open file. False when the cache holds none. */
bool static_cache_close_one(struct static_files *);

/* static_encoding.c: precompressed siblings. */
struct static_coding {
    struct slice name, suffix;
};
extern const struct static_coding static_codings[STATIC_ENCODINGS];
/* The best of `there` (STATIC_PLAIN is always there) that the client takes. */
enum static_encoding static_encoding_of(enum encoding);
enum static_encoding static_choose(const struct http_request *,
                                   struct static_entry *const there[STATIC_ENCODINGS]);

/* static_type.c */
struct slice static_type_of(struct slice name);

/* static_date.c: HTTP dates (RFC 9110 section 5.6.7), seconds since 1970. */
void static_date_write(int64_t seconds, char out[static STATIC_DATE_SIZE + 1]);
bool static_date_read(struct slice text, int64_t *seconds);

/* static_condition.c: preconditions (RFC 9110 section 13). */

/* What a request says about conditions and ranges, found in one pass over its fields. */
struct static_wishes {
    bool has_match, match;           /* If-Match, and whether it names the entry */
    bool has_none_match, none_match; /* If-None-Match: none_match: none names the entry */
    struct slice modified_since, unmodified_since, if_range, range;
    uint8_t modified_since_count, unmodified_since_count, if_range_count, range_count;
};
void static_wishes_read(const struct static_entry *, const struct http_request *,
                        struct static_wishes *out);
/* 0: go on; 304; 412. */
int static_condition(const struct static_entry *, const struct static_wishes *);
/* May Range be answered, as far as If-Range is concerned? */
bool static_range_holds(const struct static_entry *, const struct static_wishes *);

/* static_range.c: byte ranges (RFC 9110 section 14). */
struct static_range {
    int64_t offset, size;
};
/* How many ranges are to be sent: 0: all of it, the field is not valid or not worth it; -1: none of
 * them can be satisfied. */
int static_ranges_read(struct slice field, int64_t size,
                       struct static_range out[static STATIC_RANGES_MAX]);

#endif
