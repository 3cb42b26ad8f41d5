/* SPDX-License-Identifier: MIT
 * What apps.c and dispatch.c know of each other: the queues on one side, the places on the other.
 */
#ifndef ASKR_DISPATCH_H
#define ASKR_DISPATCH_H

#include "serve/apps.h"
#include "serve/control.h"
#include "serve/site.h"

/* apps.c */
struct handed *app_handed(struct app *, uint32_t tag);
void app_release(struct app *, struct handed *);
/* An answer with this status is about to be known: to which route does its exchange belong? */
void app_route(struct app *, const struct handed *, int status);
uint32_t app_drain(struct app *, int64_t now_ns);
/* The process is gone, or is given up: settle its requests and free the place. */
void app_lost(struct app *, int status, const char *detail);
/* Ask the supervisor to kill it, and give it up. */
void app_kill(struct app *, enum control_kill, int status, const char *detail);

/* dispatch.c */
void queue_push_first(struct exchange *);
/* No application of the site can boot: nobody will ever serve these. */
void queue_fail_all(struct site *);

#endif
