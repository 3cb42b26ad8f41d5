/* SPDX-License-Identifier: MIT
 * What an application wants to say behind the body of its answer. One block of memory, so that an
 * answer that waits for a slow client can keep it when its exchange is gone. */
#ifndef ASKR_TRAILERS_H
#define ASKR_TRAILERS_H

#include "app/port.h"
#include "base/http.h"

enum {
    TRAILERS_MAX = 32,
    TRAILERS_SIZE_MAX = 4096, /* as H1_TRAILER_SIZE_MAX for what clients send */
};

struct exchange;

struct trailers {
    size_t count;
    struct http_field fields[TRAILERS_MAX];
    char text[TRAILERS_SIZE_MAX];
};

/* The first of an exchange are kept; those that must not stand there are left out. */
void answer_trailers(struct exchange *, const struct port_message *);

#endif
