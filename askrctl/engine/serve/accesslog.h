/* SPDX-License-Identifier: MIT
 * One line for each answered request, in the operator's own words, written without ever holding up
 * the loop: lines go into a bounded ring, and a thread of its own takes them to the file. When the
 * file is slower than the requests, or full, lines are dropped and counted, and requests go on.
 *
 * A template is text with $variables; docs/observability.md lists them. Values come from the peer,
 * so what could break a line, a quotation or JSON is escaped. */
#ifndef ASKR_ACCESSLOG_H
#define ASKR_ACCESSLOG_H

#include "base/base.h"

enum {
    ACCESSLOG_RING_SIZE = 1 << 19, /* 512 KiB: some 2,500 lines ahead of the disk; a power of two */
    ACCESSLOG_LINE_MAX = 8192,     /* of longer ones what the peer said is cut */
    ACCESSLOG_VALUE_MAX = 2048,    /* of one variable, before it is escaped */
    ACCESSLOG_PARTS_MAX = 96,
};

struct accesslog;
struct exchange;
struct http_request;
struct worker;

struct accesslog_facts { /* of the request; copied while it is parsed */
    struct slice method, target, host, referer, user_agent;
    uint16_t version;
};

/* `fd` is taken over. 0, or -errno with a sentence: also for a variable that is not known. */
int accesslog_open(struct worker *, int fd, askr_error *);
/* Log to another file from now on; `fd` is taken over. */
void accesslog_reopen(struct worker *, int fd);
/* Write what there is, for a while, and stop. */
void accesslog_close(struct worker *);
/* Keep what a line will need; the request is in worker->request. */
void accesslog_note(struct exchange *);
/* The exchange is complete. `how`: "done", "limited", "cut" or "left". */
void accesslog_write(struct exchange *, const char *how);
/* Every heartbeat: what was written reaches the file. */
void accesslog_beat(struct worker *);

/* serve/accesslog_template.c. */
struct accesslog_part {
    struct slice text; /* literal, when `variable` is 0 */
    uint8_t variable;
    uint16_t behind; /* bytes that are kept free for the parts that follow */
};
struct accesslog_template {
    struct accesslog_part parts[ACCESSLOG_PARTS_MAX];
    uint32_t count;
    bool json;
};
/* `text` must outlive it. */
int accesslog_compile(struct accesslog_template *, const char *text, bool json, askr_error *);
/* One line with its line break; its size. */
size_t accesslog_format(const struct accesslog_template *, struct exchange *, const char *how,
                        char line[static ACCESSLOG_LINE_MAX]);

#endif
