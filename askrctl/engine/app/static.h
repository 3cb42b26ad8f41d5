/* SPDX-License-Identifier: MIT
 * From a request path to what serves it: a file under the document root, a script, or nothing.
 * Files are opened beneath the root by openat2(RESOLVE_BENEATH), so `..`, encodings and (unless the
 * policy says "follow") symlinks cannot leave it. Never served: PHP source, dotfiles except
 * .well-known, editors' backup files, anything that is not a regular file.
 *
 * Resolutions and small files are cached and re-checked at most every STATIC_FRESH_NS, so a file
 * replaced on disk is seen at once by a person and costs a busy server one stat in many requests. */
#ifndef ASKR_STATIC_H
#define ASKR_STATIC_H

#include "base/http.h"

enum {
    STATIC_PATH_MAX = 4096,
    STATIC_ENTRIES_MAX = 1024,       /* cached resolutions; least recently used goes first */
    STATIC_CONTENT_SIZE_MAX = 65536, /* files up to this are kept in memory, head and body in one piece */
    STATIC_CONTENT_TOTAL_MAX = 16 << 20,
    STATIC_RANGES_MAX = 16,          /* ranges of one request; more are answered with the whole file */
};
#define STATIC_FRESH_NS (100 * NS_PER_MS)

struct static_options {
    const char *root;          /* absolute path of the document root */
    const char *index_files[4];/* tried in a directory, in order, NULL-terminated: "index.php", "index.html" */
    const char *front;         /* front controller relative to the root ("index.php"), or NULL */
    bool scripts;              /* .php files are scripts (classic mode); false: they are never served at all */
    bool everything_to_front;  /* worker mode: every path that is no file goes to `front` */
    bool follow_symlinks;
    bool precompressed;        /* serve x.br, x.zst, x.gz siblings when accepted */
};

enum static_kind {
    STATIC_FILE,
    STATIC_SCRIPT,      /* script_filename, script_name, path_info are set */
    STATIC_REDIRECT,    /* a directory without its slash: 301 to path + "/" */
    STATIC_MISSING,     /* 404 */
    STATIC_DENIED,      /* 403 */
    STATIC_BAD,         /* 400: the path has a NUL or a broken escape, or climbs above the root */
};

struct static_entry;    /* a cached file; reference-counted so that eviction cannot close it mid-send */

struct static_target {
    enum static_kind kind;
    struct static_entry *entry; /* STATIC_FILE: released with static_release() */
    struct slice path;          /* decoded, normalised; in the resolver's scratch until the next call */
    struct slice script_filename, script_name, path_info;
};

/* An answer without its status line and common fields, ready for the protocol. */
struct static_answer {
    int status;                  /* 200, 206, 304, 412, 416 */
    struct http_field fields[12];
    size_t field_count;
    int64_t content_length;      /* of the body to send; for HEAD of the body not sent */
    const char *content;         /* the whole file in memory, or NULL: send from fd */
    int fd;                      /* the entry's; do not close */
    int64_t offset;              /* where the single range, or the file, begins */
    uint32_t part_count;         /* multipart/byteranges: parts in order, then the closing delimiter */
    struct static_part {
        int64_t offset, size;
        char head[256];          /* delimiter and part fields, sent before the part's bytes */
        uint16_t head_size;
    } *parts;                    /* the resolver's scratch until the next static_answer() */
    char tail[96];               /* closing delimiter */
    uint16_t tail_size;
    char text[512];              /* where the field values live */
};

struct static_files;

int static_open(struct static_files **out, const struct static_options *, askr_error *);
void static_close(struct static_files *);
/* `path` percent-encoded. Never fails: kind says what it found. `accept_encoding` may be empty. */
void static_resolve(struct static_files *, struct slice path, struct slice accept_encoding,
                    int64_t now_ns, struct static_target *out);
/* Conditional and range handling (RFC 9110 sections 13 and 14). GET and HEAD only; the caller answers
 * other methods with 405 and Allow. */
void static_answer(struct static_files *, struct static_entry *, const struct http_request *,
                   struct static_answer *out);
/* One more reference, for a send that outlives the request. */
void static_retain(struct static_entry *);
void static_release(struct static_files *, struct static_entry *);

#endif
