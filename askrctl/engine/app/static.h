/* SPDX-License-Identifier: MIT
 * From a request path to what serves it: a file under the document root, a script, or nothing.
 * Files are opened beneath the root by openat2(), so that neither `..` nor an encoding leads out of
 * it, and a symlink only as far as enum askr_symlinks says. Never served: PHP source, dotfiles
 * except /.well-known/, editors' backup files, anything that is no regular file.
 *
 * Resolutions and small files are cached and re-checked at most every STATIC_FRESH_NS, so a file
 * replaced on disk is seen at once by a person and costs a busy server one look in many requests.
 */
#ifndef ASKR_STATIC_H
#define ASKR_STATIC_H

#include "base/accept_encoding.h"
#include "base/http.h"

enum {
    STATIC_PATH_MAX = 4096,          /* of a file; PATH_MAX, so nothing longer can be opened */
    STATIC_KEY_SIZE_MAX = 512,       /* longer request paths are resolved, but not remembered */
    STATIC_ENTRIES_MAX = 1024,       /* cached resolutions; least recently used goes first */
    STATIC_FDS_MAX = 256,            /* larger files that the cache holds open */
    STATIC_CONTENT_SIZE_MAX = 65536, /* files up to this size are kept in memory */
    STATIC_CONTENT_TOTAL_MAX = 16 << 20,
    STATIC_RANGES_MAX = 16, /* of one request; more are answered with the whole file */
    STATIC_INDEX_FILES_MAX = 4,
    STATIC_NO_SCRIPTS_MAX = 8,
    STATIC_ENCODE_AFTER = 2, /* requests for a file while it is cached: a crawler makes no work */
    STATIC_ENCODE_GAIN = 10, /* a tenth must be saved, or the file stays as it is */
};
#define STATIC_FRESH_NS (100 * NS_PER_MS)
#define STATIC_SIBLINGS_FRESH_NS \
    NS_PER_S /* of precompressed siblings, while the file is the same */

/* How texts in memory are compressed: whoever opens the files knows that, and what it costs. */
struct static_encoder {
    void *user;
    /* Is a file of this type and size worth it? */
    bool (*is_text)(void *user, struct slice type, int64_t size);
    /* What the client takes; ENCODING_NONE: the file as it is. */
    enum encoding (*choose)(void *user, const struct http_request *);
    /* Bytes written; 0: there is no room for all of it; -EAGAIN: not now. */
    int64_t (*encode)(void *user, enum encoding, struct slice content, char *out, size_t size);
};

struct static_options {
    const char *root; /* absolute path of the document root; it may be a symlink */
    /* Tried in a directory, in this order; NULL ends the list before its fourth. */
    const char *index_files[STATIC_INDEX_FILES_MAX];
    const char *front; /* front controller relative to the root ("index.php"), or NULL */
    bool scripts;      /* .php files are scripts (classic mode); false: no path leads to one */
    /* But none beneath these: "/uploads", without a slash at its end. NULL ends the list. */
    const char *no_scripts[STATIC_NO_SCRIPTS_MAX + 1];
    /* Worker mode: every path that is no file goes to `front`, which then is a mere name. */
    bool everything_to_front;
    enum askr_symlinks symlinks;
    const char *application;              /* absolute path; needed by ASKR_SYMLINKS_APPLICATION */
    bool precompressed;                   /* serve x.br, x.zst, x.gz siblings when accepted */
    const struct static_encoder *encoder; /* kept; NULL: files are sent as they are */
};

enum static_kind {
    STATIC_FILE,
    STATIC_SCRIPT,   /* script_filename, script_name, path_info are set */
    STATIC_REDIRECT, /* a directory without its slash: 301 to path + "/" */
    STATIC_MISSING,  /* 404 */
    STATIC_DENIED,   /* 403 */
    STATIC_BAD,      /* 400: the path has a NUL or a broken escape, or climbs above the root */
    STATIC_FAILED,   /* 503: no descriptor or memory for it just now, or the disk failed */
};

struct static_entry; /* a cached file; counted, so that eviction cannot close it in mid-send */

/* Its slices live until the next static_resolve(). */
struct static_target {
    enum static_kind kind;
    struct static_entry *entry; /* STATIC_FILE: released with static_release() */
    struct slice path;          /* decoded, normalised; empty with STATIC_BAD */
    struct slice script_filename, script_name, path_info;
};

struct static_part {
    int64_t offset, size;
    char head[256]; /* delimiter and part fields, sent before the part's bytes */
    uint16_t head_size;
};

/* An answer without its status line and common fields, ready for the protocol. What it points to
 * lives until the next static_answer(), or until the entry is released. */
struct static_answer {
    int status; /* 200, 206, 304, 412, 416 */
    struct http_field fields[12];
    size_t field_count;
    int64_t content_length; /* of the body to send, for HEAD of the body not sent; -1 with 304 */
    const char *content;    /* the whole file in memory, or NULL: send from fd */
    int fd;              /* the entry's, do not close; -1 when there is nothing to send from it */
    int64_t offset;      /* where the single range, or the file, begins */
    uint32_t part_count; /* multipart/byteranges: parts in order, then the closing delimiter */
    struct static_part *parts;
    char tail[96]; /* closing delimiter */
    uint16_t tail_size;
    char text[256]; /* where values live that are this answer's alone */
};

struct static_files;

int static_open(struct static_files **out, const struct static_options *, askr_error *);
/* Every entry must have been released. NULL is nothing to do. */
void static_close(struct static_files *);
/* Of the request counts what it asks for, and which codings it accepts. Never fails: kind says what
 * it found. */
void static_resolve(struct static_files *, const struct http_request *, int64_t now_ns,
                    struct static_target *out);
/* Conditional and range handling (RFC 9110 sections 13 and 14). GET and HEAD only; the caller
 * answers other methods with 405 and Allow. */
void static_answer(struct static_files *, struct static_entry *, const struct http_request *,
                   struct static_answer *out);
/* One more reference, for a send that outlives the request. */
void static_retain(struct static_entry *);
void static_release(struct static_entry *);

#endif
