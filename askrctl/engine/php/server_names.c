/* SPDX-License-Identifier: MIT
 * Request field names as $_SERVER keys: "Accept-Language" is HTTP_ACCEPT_LANGUAGE.
 *
 * The usual names are made once, before the fork, as interned strings that know their hash: a
 * look-up by the client's spelling replaces copying, folding and allocating. HTTP/1 clients write
 * "Accept-Language", HTTP/2 ones "accept-language": both are there. Others are made anew. */
#include <string.h>

#include "askr_php.h"

enum {
    FIELD_NAME_MAX = 256, /* longer ones do not reach $_SERVER; the longest registered has 44 */
};

/* clang-format off */
static const char *const usual_names[] = {
    "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization",
    "Cache-Control", "Connection", "Cookie", "Date", "Dnt", "Expect", "Forwarded", "From",
    "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
    "Keep-Alive", "Origin", "Pragma", "Priority", "Range", "Referer", "Sec-Ch-Ua",
    "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
    "Sec-Fetch-Site", "Sec-Fetch-User", "Te", "Upgrade", "Upgrade-Insecure-Requests",
    "User-Agent", "Via", "X-Csrf-Token", "X-Forwarded-For", "X-Forwarded-Host",
    "X-Forwarded-Port", "X-Forwarded-Proto", "X-Inertia", "X-Livewire", "X-Real-Ip",
    "X-Request-Id", "X-Requested-With", "X-Xsrf-Token",
};
/* clang-format on */

/* Client's spelling → interned zend_string. Filled before the fork, only read afterwards. */
static HashTable known_names;

static char fold(char letter)
{
    if (letter >= 'a' && letter <= 'z')
        return (char)(letter - 'a' + 'A');
    return letter == '-' ? '_' : letter;
}

static size_t fold_name(const char *name, size_t size, char *out)
{
    memcpy(out, "HTTP_", 5);
    for (size_t i = 0; i < size; i++)
        out[5 + i] = fold(name[i]);
    return 5 + size;
}

static void remember(const char *spelling, size_t size)
{
    char folded[FIELD_NAME_MAX + 5];
    size_t folded_size = fold_name(spelling, size, folded);
    zend_string *key = zend_string_init_interned(folded, folded_size, true);
    zend_string_hash_val(key);
    zend_hash_str_update_ptr(&known_names, spelling, size, key);
}

void server_names_intern(void)
{
    char lower[FIELD_NAME_MAX];
    zend_hash_init(&known_names, 128, NULL, NULL, true);
    for (size_t i = 0; i < sizeof usual_names / sizeof *usual_names; i++) {
        size_t size = strlen(usual_names[i]);
        zend_str_tolower_copy(lower, usual_names[i], size);
        remember(usual_names[i], size);
        remember(lower, size);
    }
}

/* Owned by the caller; NULL: not for $_SERVER. */
zend_string *server_name_new(struct askr_text field_name)
{
    char folded[FIELD_NAME_MAX + 5];
    zend_string *known = zend_hash_str_find_ptr(&known_names, field_name.data, field_name.size);
    if (known)
        return known;
    if (field_name.size == 0 || field_name.size > FIELD_NAME_MAX)
        return NULL;
    size_t size = fold_name(field_name.data, field_name.size, folded);
    return zend_string_init(folded, size, false);
}
