/* SPDX-License-Identifier: MIT
 * A module from another time: only its ABI number may be looked at. */
#include "askr/module.h"

__attribute__((visibility("default"))) const struct askr_module askr_module = {
    .abi = ASKR_MODULE_ABI + 1,
    .name = "old",
};
