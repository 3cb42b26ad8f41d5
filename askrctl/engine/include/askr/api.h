/* SPDX-License-Identifier: MIT
 * The engine's public surface for C callers: guards and includes around api.cdef.h. */
#ifndef ASKR_API_H
#define ASKR_API_H

#include <stddef.h>
#include <stdint.h>

#include "askr/api.cdef.h"

#endif
