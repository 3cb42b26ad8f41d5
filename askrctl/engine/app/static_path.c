/* SPDX-License-Identifier: MIT
 * Request paths and file names as bytes: decoding, normalising, and which names are never served.
 * Touches no file. Everything behind it sees decoded, normalised paths only, so that there is no
 * second spelling of a path for a rule to miss. */
#include <strings.h>

#include "app/static_parts.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Undo the percent-encoding. -1 for a broken escape and for NUL, else the size. */
static int64_t decode(struct slice raw, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < raw.size; i++) {
        char c = raw.data[i];
        if (c == '%') {
            int high = i + 2 < raw.size ? hex_digit(raw.data[i + 1]) : -1;
            int low = i + 2 < raw.size ? hex_digit(raw.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return -1;
        out[used++] = c;
    }
    return (int64_t)used;
}

static bool is_dots(const char *segment, size_t size, size_t dots)
{
    return size == dots && memcmp(segment, "..", dots) == 0;
}

/* In place: never longer than before. -1 when it climbs above the root, else the size. */
static int64_t fold(char *text, size_t size)
{
    size_t used = 0;
    bool slash = false;
    for (size_t at = 0; at < size;) {
        const char *segment = text + at + 1; /* text[at] is a slash */
        const char *end = memchr(segment, '/', size - at - 1);
        size_t length = end == NULL ? size - at - 1 : (size_t)(end - segment);
        at += 1 + length;
        slash = length == 0 || is_dots(segment, length, 1) || is_dots(segment, length, 2);
        if (is_dots(segment, length, 2)) {
            if (used == 0)
                return -1;
            while (text[--used] != '/')
                continue;
        } else if (!slash) {
            text[used++] = '/';
            memmove(text + used, segment, length);
            used += length;
        }
    }
    if (slash)
        text[used++] = '/';
    return (int64_t)used;
}

bool static_decode(struct slice raw, char *out, struct slice *path)
{
    if (raw.size == 0 || raw.data[0] != '/')
        return false;
    int64_t size = decode(raw, out);
    if (size > 0)
        size = fold(out, (size_t)size);
    if (size < 0)
        return false;
    out[size] = '\0';
    *path = (struct slice){out, (size_t)size};
    return true;
}

bool static_is_hidden(struct slice segment, bool at_root)
{
    if (segment.size == 0 || segment.data[0] != '.')
        return false;
    return !(at_root && slice_equals(segment, SLICE(".well-known"))); /* RFC 8615 section 3 */
}

bool static_has_hidden(struct slice path)
{
    for (size_t i = 0; i + 1 < path.size; i++) {
        if (path.data[i] != '/' || path.data[i + 1] != '.')
            continue;
        const char *segment = path.data + i + 1;
        const char *end = memchr(segment, '/', path.size - i - 1);
        size_t size = end == NULL ? path.size - i - 1 : (size_t)(end - segment);
        if (static_is_hidden((struct slice){segment, size}, i == 0))
            return true;
    }
    return false;
}

static bool ends_with(struct slice name, struct slice suffix)
{
    return name.size >= suffix.size &&
           strncasecmp(name.data + name.size - suffix.size, suffix.data, suffix.size) == 0;
}

/* ".php" anywhere: beside index.php also .php5, .phps, .php~, .php.bak, .php.txt, .php_old, which
 * are source that somebody moved out of the way. */
static bool names_php(struct slice name)
{
    for (size_t i = 0; i + 4 <= name.size; i++)
        if (name.data[i] == '.' && strncasecmp(name.data + i, ".php", 4) == 0)
            return true;
    return false;
}

bool static_may_serve(struct slice name)
{
    static const struct slice never[] = {
        {".phtml", 6}, {".pht", 4},  {".phar", 5}, {".inc", 4},                 /* source */
        {"~", 1},      {"#", 1},     {".bak", 4},  {".backup", 7}, {".old", 4}, /* backups */
        {".orig", 5},  {".save", 5}, {".swp", 4},  {".swo", 4},    {".swn", 4},
    };
    if (name.size == 0 || name.data[0] == '.' || name.data[0] == '#' || names_php(name))
        return false;
    for (size_t i = 0; i < COUNT_OF(never); i++)
        if (ends_with(name, never[i]))
            return false;
    return true;
}

bool static_may_run(struct slice name)
{
    return name.size > 4 && name.data[0] != '.' &&
           memcmp(name.data + name.size - 4, ".php", 4) == 0;
}

struct slice static_base_name(struct slice path)
{
    const char *slash = memrchr(path.data, '/', path.size);
    if (slash == NULL)
        return path;
    size_t before = (size_t)(slash + 1 - path.data);
    return (struct slice){slash + 1, path.size - before};
}
