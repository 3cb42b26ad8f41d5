/* SPDX-License-Identifier: MIT
 * Finding an application module and starting it: dlopen, ABI check, start(). Used by the zygote. */
#ifndef ASKR_MODULE_LOAD_H
#define ASKR_MODULE_LOAD_H

#include "askr/module.h"
#include "base/base.h"

/* `preload` (or NULL) is the library the module's own symbols come from, such as libphp. The
 * library is never closed again: interpreters do not survive it. 0 or -errno with a sentence. */
int module_load(const struct askr_module **out, const char *preload, const char *path,
                askr_error *);

#endif
