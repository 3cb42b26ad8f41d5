/* SPDX-License-Identifier: MIT
 * One [[redirect]] of rules.h: is it for a request, and where does it lead? */
#ifndef ASKR_REDIRECT_H
#define ASKR_REDIRECT_H

#include "base/base.h"

struct exchange;

/* Answer with this redirect if it is for the request. A redirect to what was asked for is none. */
bool redirect_try(struct exchange *, const struct askr_redirect *);

#endif
