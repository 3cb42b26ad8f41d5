/* SPDX-License-Identifier: MIT
 * Host names of certificates, and which host a client means (SNI, RFC 6066 section 3; names and
 * wildcards, RFC 6125 section 6.4). Names are kept in lower case and sorted; a wildcard stands for
 * exactly one label, the first. */
#include <ctype.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "proto/tls_parts.h"

/* Lower case, no dot at the end; 0 for what is no host name. */
static size_t normalise(const char *name, size_t size, char out[static TLS_NAME_SIZE_MAX + 1])
{
    if (size > 0 && name[size - 1] == '.')
        size--;
    if (size > TLS_NAME_SIZE_MAX)
        return 0;
    for (size_t i = 0; i < size; i++) {
        if (name[i] <= ' ' || name[i] == 127)
            return 0;
        out[i] = (char)tolower((unsigned char)name[i]);
    }
    out[size] = '\0';
    return size;
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

struct name_list {
    char **texts;
    int count;
    size_t size;
};

static void add_name(struct name_list *list, const ASN1_STRING *text)
{
    char name[TLS_NAME_SIZE_MAX + 1];
    size_t size = normalise((const char *)ASN1_STRING_get0_data(text),
                            (size_t)ASN1_STRING_length(text), name);
    char *copy = size == 0 ? NULL : malloc(size + 1);
    if (copy == NULL)
        return;
    memcpy(copy, name, size + 1);
    list->texts[list->count++] = copy;
    list->size += size + 1;
}

/* The subject's common name, for a certificate that has no alternative names. */
static void add_common_name(struct name_list *list, X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (index >= 0)
        add_name(list, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
}

char *tls_names_of(X509 *certificate, size_t *size)
{
    GENERAL_NAMES *found = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = found == NULL ? 0 : sk_GENERAL_NAME_num(found);
    struct name_list list = {.texts = calloc((size_t)count + 1, sizeof *list.texts)};
    char *names = NULL;
    *size = 0;
    if (list.texts == NULL)
        goto out;
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(found, i);
        if (name->type == GEN_DNS)
            add_name(&list, name->d.dNSName);
    }
    if (list.count == 0)
        add_common_name(&list, certificate);
    qsort(list.texts, (size_t)list.count, sizeof *list.texts, compare_texts);
    names = list.size > 0 ? malloc(list.size) : NULL;
    for (int i = 0; i < list.count; i++) {
        size_t text_size = strlen(list.texts[i]) + 1;
        if (names != NULL)
            memcpy(names + *size, list.texts[i], text_size);
        *size += names != NULL ? text_size : 0;
        free(list.texts[i]);
    }
    free(list.texts);
out:
    GENERAL_NAMES_free(found);
    return names;
}

/* By name, then by host: the one that was configured first counts. */
static int compare_names(const void *a, const void *b)
{
    const struct tls_name *left = a, *right = b;
    int order = strcmp(left->text, right->text);
    return order != 0 ? order : (left->host > right->host) - (left->host < right->host);
}

int tls_names_sort(struct tls_context *context)
{
    size_t count = 0;
    for (uint32_t host = 0; host < context->host_count; host++)
        for (size_t at = 0; at < context->host_names_size[host]; at++)
            count += context->host_names[host][at] == '\0';
    context->names = calloc(count + 1, sizeof *context->names);
    if (context->names == NULL)
        return -ENOMEM;
    for (uint32_t host = 0; host < context->host_count; host++) {
        const char *text = context->host_names[host];
        const char *end = text + context->host_names_size[host];
        for (; text < end; text += strlen(text) + 1)
            context->names[context->name_count++] = (struct tls_name){text, host};
    }
    qsort(context->names, context->name_count, sizeof *context->names, compare_names);
    return 0;
}

/* The first of the names that is not before `text`. */
static int find_exactly(const struct tls_context *context, const char *text)
{
    uint32_t low = 0, high = context->name_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(context->names[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool there = low < context->name_count && strcmp(context->names[low].text, text) == 0;
    return there ? (int)context->names[low].host : -1;
}

int tls_names_find(const struct tls_context *context, const char *name)
{
    char text[TLS_NAME_SIZE_MAX + 1];
    size_t size = normalise(name, strlen(name), text);
    if (size == 0)
        return -1;
    int host = find_exactly(context, text);
    char *dot = memchr(text, '.', size);
    if (host >= 0 || dot == NULL || dot == text)
        return host;
    dot[-1] = '*';
    return find_exactly(context, dot - 1);
}
