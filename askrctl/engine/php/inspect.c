/* SPDX-License-Identifier: MIT
 * The report of `askrctl check app`: when the state is looked at, and the lines (inspect.h).
 *
 * Four times: when the script has booted ("boot", which also begins anew after a fatal error), when
 * a request begins ("begin"), when its callback has returned ("end"), and when the server has put
 * back what it puts back ("after"). A line has what differs from the time before, but for "end",
 * which is compared and not remembered. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "inspect.h"
#include <ext/json/php_json.h>
#include <zend_smart_str.h>

struct remembered {
    uint64_t digest;
    uint32_t users;
};

static struct {
    int fd;
    bool ready;        /* `known` is there */
    bool keep, report; /* remember what is noted; write what differs */
    HashTable known;   /* "category\nname" → struct remembered */
    zval changes;
    zend_long number;
    uint32_t user;
    int buffers; /* when the request began */
} report = {.fd = -1};

static void free_remembered(zval *entry)
{
    free(Z_PTR_P(entry));
}

static void list_change(const char *category, const char *name, const struct inspected *found)
{
    zval change;
    char users[27] = "";
    for (uint32_t i = 0, size = 0; i < 26; i++)
        if (found->users & 1u << i)
            users[size++] = (char)('A' + i);
    array_init(&change);
    add_assoc_string(&change, "category", (char *)category);
    add_assoc_string(&change, "name", (char *)name);
    /* As text: a number of JSON has not enough digits for all of its readers. */
    add_assoc_str(&change, "digest",
                  zend_strpprintf(0, "%016llx", (unsigned long long)found->digest));
    add_assoc_string(&change, "kind", (char *)found->kind);
    add_assoc_string(&change, "users", users);
    add_assoc_string(&change, "path", (char *)found->path);
    add_next_index_zval(&report.changes, &change);
}

void inspect_note(const char *category, const char *name, const struct inspected *found)
{
    char key[1024];
    struct remembered now = {found->digest, found->users};
    int size = snprintf(key, sizeof key, "%s\n%s", category, name);
    size_t used = (size_t)size < sizeof key ? (size_t)size : sizeof key - 1;
    const struct remembered *before = zend_hash_str_find_ptr(&report.known, key, used);
    if (before && before->digest == now.digest && before->users == now.users)
        return;
    if (report.report)
        list_change(category, name, found);
    if (report.keep)
        zend_hash_str_update_mem(&report.known, key, used, &now, sizeof now);
}

static void write_line(const char *phase, size_t memory)
{
    zval line;
    smart_str text = {0};
    array_init(&line);
    add_assoc_string(&line, "phase", (char *)phase);
    add_assoc_long(&line, "number", report.number);
    add_assoc_long(&line, "pid", getpid());
    add_assoc_long(&line, "memory", (zend_long)memory);
    add_assoc_zval(&line, "changes", &report.changes);
    php_json_encode(&text, &line, PHP_JSON_INVALID_UTF8_SUBSTITUTE | PHP_JSON_UNESCAPED_SLASHES);
    smart_str_appendc(&text, '\n');
    smart_str_0(&text);
    /* Lines of one process; a short write shows as a line that is no JSON. */
    (void)!write(report.fd, ZSTR_VAL(text.s), ZSTR_LEN(text.s));
    smart_str_free(&text);
    zval_ptr_dtor(&line);
}

static void begin(bool keep, bool write)
{
    report.keep = keep;
    report.report = write;
    array_init(&report.changes);
}

/* "X-Askr-Check: 17 B" */
static void read_number(const struct askr_request *head)
{
    report.number = 0;
    report.user = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        const struct askr_field *field = &head->fields[i];
        if (field->name.size != 12 || strncasecmp(field->name.data, "X-Askr-Check", 12) != 0)
            continue;
        char *rest;
        report.number = (zend_long)strtol(field->value.data, &rest, 10);
        if (rest[0] == ' ' && rest[1] >= 'A' && rest[1] <= 'Z')
            report.user = (uint32_t)(rest[1] - 'A');
    }
}

/* A forked copy of a script would report as its parent. */
static bool is_wanted(void)
{
    return php.settings.inspect && !php.is_copy;
}

void inspect_boot(void)
{
    if (!is_wanted())
        return;
    if (report.fd < 0)
        report.fd = open(php.settings.inspect, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (report.fd < 0)
        log_lines(ASKR_ERROR, "the report of askrctl check app cannot be opened");
    if (report.ready)
        zend_hash_destroy(&report.known);
    zend_hash_init(&report.known, 1024, NULL, free_remembered, true);
    report.ready = true;
    report.number = 0;
    begin(true, false);
    inspect_lasting();
    inspect_put_back(0);
    write_line("boot", zend_memory_usage(false));
}

void inspect_begin(void)
{
    if (!is_wanted())
        return;
    read_number(php.request.head);
    inspect_remember(report.user, php.request.head->cookie);
    report.buffers = php_output_get_level();
    begin(false, true);
    inspect_superglobals(report.user);
    write_line("begin", zend_memory_usage(false));
}

void inspect_end(void)
{
    if (!is_wanted())
        return;
    begin(false, true);
    int more = php_output_get_level() - report.buffers; /* less: it has sent what was in them */
    inspect_put_back(more > 0 ? more : 0);
    write_line("end", zend_memory_usage(false));
}

void inspect_after(void)
{
    if (!is_wanted())
        return;
    zend_gc_collect_cycles();
    size_t memory = zend_memory_usage(false);
    begin(true, true);
    inspect_lasting();
    inspect_put_back(0);
    write_line("after", memory);
}
