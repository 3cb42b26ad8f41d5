/* SPDX-License-Identifier: MIT
 * Loading application modules such as askr_php.so.
 *
 * The interpreter's library is loaded first and for all to see (RTLD_GLOBAL): the module and the
 * interpreter's own extensions have undefined symbols that only it defines, and name no library.
 * RTLD_NOW, so that a module built for another version fails here and not in a request. */
#include "app/module_load.h"

#include <dlfcn.h>
#include <errno.h>

static void *load(const char *path, int flags, askr_error *error)
{
    void *library = dlopen(path, RTLD_NOW | flags);
    if (library == NULL)
        askr_fail(error, ENOENT, "%s", dlerror()); /* it names the file and what is missing */
    return library;
}

int module_load(const struct askr_module **out, const char *preload, const char *path,
                askr_error *error)
{
    if (preload != NULL && load(preload, RTLD_GLOBAL, error) == NULL)
        return -error->errnum;
    void *library = load(path, RTLD_LOCAL, error);
    if (library == NULL)
        return -error->errnum;
    const struct askr_module *module = dlsym(library, "askr_module");
    if (module == NULL)
        return askr_fail(error, ENOEXEC, "%s is not an application module: it has no askr_module",
                         path);
    if (module->abi != ASKR_MODULE_ABI)
        return askr_fail(error, ENOEXEC,
                         "%s was built for module ABI %u and this askrctl has %u: build it again",
                         path, module->abi, (unsigned)ASKR_MODULE_ABI);
    *out = module;
    return 0;
}
