/* SPDX-License-Identifier: MIT
 * For `askrctl check app` alone: what a request left behind in a worker script's process.
 *
 * After each request the state that lasts is digested, piece by piece, and pieces that differ from
 * the last time are written as one JSON object on a line to the file that the setting "inspect"
 * names. Never in production: it walks everything the application holds.
 *
 * Who a request was from is told by its field "X-Askr-Check: NUMBER USER". Two things mark a piece
 * as a user's: the word "askruser" and the user's letter, and long values of that user's cookies.
 */
#ifndef INSPECT_H
#define INSPECT_H

#include "askr_php.h"

enum { INSPECT_KIND_SIZE = 96, INSPECT_PATH_SIZE = 256 };

struct inspected {
    uint64_t digest;
    uint32_t users;               /* bit n: something of user 'A' + n is in it */
    char kind[INSPECT_KIND_SIZE]; /* "int 5", "array(3)" */
    char path[INSPECT_PATH_SIZE]; /* where in it the first such thing is */
};

/* inspect_value.c */
void inspect_values_begin(void); /* an object that several pieces share belongs to the first */
void inspect_value(const zval *value, struct inspected *out);
void inspect_text(const char *data, size_t size, struct inspected *out);
void inspect_remember(uint32_t user, struct askr_text cookie);

/* inspect_state.c: calls inspect_note() for each piece. */
void inspect_lasting(void);               /* what stays from one request to the next */
void inspect_put_back(zend_long buffers); /* what the server puts back after a request */
void inspect_superglobals(uint32_t own);  /* what a request finds of other users */

/* inspect.c */
void inspect_note(const char *category, const char *name, const struct inspected *found);

#endif
