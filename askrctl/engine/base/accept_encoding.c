/* SPDX-License-Identifier: MIT
 * The reader of Accept-Encoding (accept_encoding.h). Allocates nothing, and looks at each byte of a
 * value once. */
#include "base/accept_encoding.h"

const struct slice encoding_names[ENCODINGS] = {
    [ENCODING_NONE] = {"", 0},
    [ENCODING_BROTLI] = {"br", 2},
    [ENCODING_ZSTD] = {"zstd", 4},
    [ENCODING_GZIP] = {"gzip", 4},
};

void accept_encoding_init(struct accept_encoding *accept)
{
    for (enum encoding i = 0; i < ENCODINGS; i++)
        accept->weights[i] = -1;
    accept->others = -1;
}

/* What is before the next `mark`; *rest goes on behind it. */
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
    *name = slice_cut(&element, ';');
    while (element.size > 0) {
        struct slice parameter = slice_cut(&element, ';');
        if (parameter.size >= 2 && (parameter.data[0] | 0x20) == 'q' && parameter.data[1] == '=')
            weight = weight_of((struct slice){parameter.data + 2, parameter.size - 2});
    }
    return weight;
}

static enum encoding encoding_of(struct slice name)
{
    if (slice_reads(name, SLICE("x-gzip"))) /* RFC 9110 section 8.4.1.3 */
        return ENCODING_GZIP;
    for (enum encoding i = ENCODING_BROTLI; i < ENCODINGS; i++)
        if (slice_reads(name, encoding_names[i]))
            return i;
    return ENCODING_NONE;
}

void accept_encoding_read(struct accept_encoding *accept, struct slice value)
{
    while (value.size > 0) {
        struct slice name;
        int16_t weight = (int16_t)read_element(slice_cut(&value, ','), &name);
        enum encoding encoding = encoding_of(name);
        if (encoding != ENCODING_NONE || slice_reads(name, SLICE("identity")))
            accept->weights[encoding] = weight;
        else if (slice_reads(name, SLICE("*")))
            accept->others = weight;
    }
}

void accept_encoding_of(const struct http_request *request, struct accept_encoding *accept)
{
    accept_encoding_init(accept);
    for (uint16_t i = 0; i < request->field_count; i++)
        if (slice_reads(request->fields[i].name, SLICE("accept-encoding")))
            accept_encoding_read(accept, request->fields[i].value);
}

int accept_encoding_weight(const struct accept_encoding *accept, enum encoding encoding)
{
    int weight = accept->weights[encoding] >= 0 ? accept->weights[encoding] : accept->others;
    if (encoding == ENCODING_NONE && weight < 0)
        return 1000;
    return weight > 0 ? weight : 0;
}

bool accept_encoding_better(const struct accept_encoding *accept, enum encoding encoding,
                            enum encoding best)
{
    int weight = accept_encoding_weight(accept, encoding);
    if (best != ENCODING_NONE)
        return weight > accept_encoding_weight(accept, best);
    /* Not named, a plain answer is no more than what is left. */
    return weight > 0 && weight >= accept->weights[ENCODING_NONE];
}
