/* SPDX-License-Identifier: MIT
 * Which precompressed sibling a client takes (RFC 9110 section 12.5.3). */
#include <strings.h>

#include "app/static_parts.h"

const struct static_coding static_codings[STATIC_ENCODINGS] = {
    [STATIC_PLAIN] = {{"", 0}, {"", 0}},
    [STATIC_BROTLI] = {{"br", 2}, {".br", 3}},
    [STATIC_ZSTD] = {{"zstd", 4}, {".zst", 4}},
    [STATIC_GZIP] = {{"gzip", 4}, {".gz", 3}},
};

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* What is before the next `mark`; *rest goes on behind it. */
static struct slice cut(struct slice *rest, char mark)
{
    const char *at = memchr(rest->data, mark, rest->size);
    size_t size = at == NULL ? rest->size : (size_t)(at - rest->data);
    struct slice part = {rest->data, size};
    size_t used = at == NULL ? size : size + 1;
    rest->data += used;
    rest->size -= used;
    return trimmed(part);
}

static bool reads(struct slice text, struct slice word)
{
    return text.size == word.size && strncasecmp(text.data, word.data, word.size) == 0;
}

/* Thousandths: "0.5" is 500. What is not valid counts as 0: a coding that is not certain is not
 * sent. */
static int weight_of(struct slice text)
{
    if (text.size == 0 || text.size > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.size > 1 && text.data[1] != '.'))
        return 0;
    int weight = (text.data[0] - '0') * 1000, unit = 100;
    for (size_t i = 2; i < text.size; i++, unit /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return 0;
        weight += (text.data[i] - '0') * unit;
    }
    return weight <= 1000 ? weight : 0;
}

/* The weight of one element, and its name. */
static int read_element(struct slice element, struct slice *name)
{
    int weight = 1000;
    *name = cut(&element, ';');
    while (element.size > 0) {
        struct slice parameter = cut(&element, ';');
        if (parameter.size >= 2 && (parameter.data[0] | 0x20) == 'q' && parameter.data[1] == '=')
            weight = weight_of((struct slice){parameter.data + 2, parameter.size - 2});
    }
    return weight;
}

static enum static_encoding encoding_of(struct slice name)
{
    if (reads(name, SLICE("x-gzip"))) /* RFC 9110 section 8.4.1.3 */
        return STATIC_GZIP;
    for (enum static_encoding i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++)
        if (reads(name, static_codings[i].name))
            return i;
    return STATIC_PLAIN;
}

enum static_encoding static_choose(struct slice accept_encoding,
                                   struct static_entry *const there[STATIC_ENCODINGS])
{
    int weights[STATIC_ENCODINGS] = {-1, -1, -1, -1}, others = 0, plain = -1;
    while (accept_encoding.size > 0) {
        struct slice name;
        int weight = read_element(cut(&accept_encoding, ','), &name);
        enum static_encoding encoding = encoding_of(name);
        if (encoding != STATIC_PLAIN)
            weights[encoding] = weight;
        else if (reads(name, SLICE("identity")))
            plain = weight;
        else if (reads(name, SLICE("*")))
            others = weight;
    }
    enum static_encoding best = STATIC_PLAIN;
    int best_weight = plain > 0 ? plain : 0; /* not named: whatever is accepted is better */
    for (enum static_encoding i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++) {
        int weight = weights[i] >= 0 ? weights[i] : others;
        bool is_better = weight > best_weight || (weight == best_weight && best == STATIC_PLAIN);
        if (there[i] != NULL && weight > 0 && is_better) {
            best = i;
            best_weight = weight;
        }
    }
    return best;
}
