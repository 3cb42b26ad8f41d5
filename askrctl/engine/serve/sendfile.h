/* SPDX-License-Identifier: MIT
 * Files that an application has us send: X-Sendfile with a path, X-Accel-Redirect with a URI that
 * stands for one. Only files of the folders that askr.toml names, opened as static files are
 * (app/static.h), and the fields never reach the client.
 *
 * Happy path: sendfile_note() keeps what the application's head says, its body is dropped, and
 * sendfile_answer() says the rest of the head and the file. Failure modes: the file is not there
 * (404), may not be sent (500), or cannot be opened just now (503); the log says which. */
#ifndef ASKR_SENDFILE_H
#define ASKR_SENDFILE_H

#include "base/base.h"

enum { SENDFILE_ROOTS_MAX = 64 };

struct exchange;
struct http_field;
struct site;
struct worker;

struct sendfile { /* what an answer said */
    struct slice name;
    bool internal; /* a URI, by X-Accel-Redirect */
};

/* Why a file was not sent; told to the supervisor with CONTROL_SENDFILE. */
enum sendfile_problem {
    SENDFILE_NONE = 0,
    SENDFILE_OFF = 1,     /* the site sends none: what the application wrote is sent instead */
    SENDFILE_OUTSIDE = 2, /* of all folders */
    SENDFILE_DENIED = 3,  /* hidden, by a symlink that leads out, or not readable */
    SENDFILE_MISSING = 4,
    SENDFILE_FAILED = 5, /* no descriptor or memory just now */
};

int sendfile_open(struct site *, askr_error *);
void sendfile_close(struct site *);
/* One of the two fields? Then it is kept for sendfile_answer(), and must not be sent. 0, 1 or
 * -ENOMEM. */
int sendfile_note(struct exchange *, const struct http_field *);
/* The application's answer is complete, and named a file. */
void sendfile_answer(struct exchange *);
/* Tell the application in worker->request what it may ask for: X-Sendfile-Type and
 * X-Accel-Mapping, as nginx and Apache are set up to. A client's own are left out. */
void sendfile_offer(const struct exchange *);

#endif
