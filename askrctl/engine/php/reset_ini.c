/* SPDX-License-Identifier: MIT
 * ini_set() in worker mode: what a request changes is undone after it, what the boot changed stays.
 *
 * PHP keeps a table of changed directives with their values from php.ini and restores them at the
 * end of a PHP request. After the boot that table is put aside and the current values are made the
 * original ones, so the same mechanism restores to the boot's values after each request. At the end
 * of the script the real originals are put back before PHP does its own restoring.
 *
 * Order matters: the baseline is taken after the boot's output and session are closed, because
 * closing them consults the directives. */
#include <stdlib.h>

#include "askr_php.h"

struct saved_directive {
    zend_ini_entry *entry;
    zend_string *original;
    uint8_t original_modifiable;
};

static struct {
    HashTable *changed_by_boot; /* NULL: the boot changed nothing */
    struct saved_directive *saved;
    uint32_t count;
} baseline;

void reset_ini_baseline(void)
{
    zend_ini_entry *entry;
    HashTable *changed = EG(modified_ini_directives);
    baseline.changed_by_boot = changed;
    baseline.count = 0;
    if (!changed)
        return;
    baseline.saved = safe_emalloc(zend_hash_num_elements(changed), sizeof *baseline.saved, 0);
    ZEND_HASH_MAP_FOREACH_PTR(changed, entry)
    {
        baseline.saved[baseline.count++] = (struct saved_directive){
            .entry = entry,
            .original = entry->orig_value,
            .original_modifiable = entry->orig_modifiable,
        };
        entry->orig_value = NULL;
        entry->modified = 0;
    }
    ZEND_HASH_FOREACH_END();
    EG(modified_ini_directives) = NULL;
}

void reset_ini_after_request(void)
{
    zend_ini_deactivate();
}

void reset_ini_undo_baseline(void)
{
    zend_ini_deactivate();
    if (!baseline.changed_by_boot)
        return;
    for (uint32_t i = 0; i < baseline.count; i++) {
        struct saved_directive *saved = &baseline.saved[i];
        saved->entry->orig_value = saved->original;
        saved->entry->orig_modifiable = saved->original_modifiable;
        saved->entry->modified = 1;
    }
    EG(modified_ini_directives) = baseline.changed_by_boot;
    baseline.changed_by_boot = NULL;
    efree(baseline.saved);
}
