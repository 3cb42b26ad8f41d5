/* SPDX-License-Identifier: MIT
 * ini_set() in worker mode: what a request changes is undone after it, what the boot changed stays.
 *
 * PHP keeps a table of changed directives with their values from php.ini and restores them at the
 * end of a PHP request. After the boot that table is put aside and the current values are made the
 * original ones, so the same mechanism restores to the boot's values after each request. At the end
 * of the script the real originals are put back before PHP does its own restoring.
 *
 * One directive is kept: session.save_path. Frameworks set it once, when they first build the
 * service that stores sessions (Symfony's native_file handler): taken back, one visitor's session
 * would be in two folders. It is the application's place for all of them, not a visitor's own.
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
    struct saved_directive kept; /* .entry: NULL unless a request set it and the boot had not */
} baseline;

static const char kept_name[] = "session.save_path";

void reset_ini_baseline(void)
{
    zend_ini_entry *entry;
    HashTable *changed = EG(modified_ini_directives);
    baseline.changed_by_boot = changed;
    baseline.count = 0;
    baseline.kept.entry = NULL;
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

static bool changed_by_boot(const zend_ini_entry *entry)
{
    return baseline.changed_by_boot && zend_hash_exists(baseline.changed_by_boot, entry->name);
}

/* What the request has made of it becomes what the next one starts from. */
static void keep_directive(void)
{
    HashTable *changed = EG(modified_ini_directives);
    zend_ini_entry *entry =
        changed ? zend_hash_str_find_ptr(changed, kept_name, sizeof kept_name - 1) : NULL;
    if (!entry)
        return;
    if (baseline.kept.entry || changed_by_boot(entry))
        zend_string_release(entry->orig_value);
    else
        baseline.kept = (struct saved_directive){entry, entry->orig_value, entry->orig_modifiable};
    entry->orig_value = NULL;
    entry->modified = 0;
    zend_hash_del(changed, entry->name);
}

void reset_ini_after_request(void)
{
    keep_directive();
    zend_ini_deactivate();
}

static void give_back(const struct saved_directive *saved)
{
    saved->entry->orig_value = saved->original;
    saved->entry->orig_modifiable = saved->original_modifiable;
    saved->entry->modified = 1;
}

static void give_back_kept(void)
{
    if (!baseline.kept.entry)
        return;
    if (!baseline.changed_by_boot) {
        ALLOC_HASHTABLE(baseline.changed_by_boot);
        zend_hash_init(baseline.changed_by_boot, 8, NULL, NULL, false);
    }
    give_back(&baseline.kept);
    zend_hash_add_ptr(baseline.changed_by_boot, baseline.kept.entry->name, baseline.kept.entry);
    baseline.kept.entry = NULL;
}

void reset_ini_undo_baseline(void)
{
    reset_ini_after_request();
    for (uint32_t i = 0; i < baseline.count; i++)
        give_back(&baseline.saved[i]);
    if (baseline.count > 0)
        efree(baseline.saved);
    give_back_kept();
    EG(modified_ini_directives) = baseline.changed_by_boot;
    baseline.changed_by_boot = NULL;
    baseline.count = 0;
}
