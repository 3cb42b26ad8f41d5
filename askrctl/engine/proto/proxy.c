/* SPDX-License-Identifier: MIT
 * The text form of proxy.h, and the choice between the two; the binary one is in proxy_v2.c. */
#include "proto/proxy.h"

#include <arpa/inet.h>

#include "proto/proxy_parts.h"

static bool begins(struct slice input, const char *start, size_t size)
{
    return memcmp(input.data, start, size_min(input.size, size)) == 0;
}

/* The next word and the one space behind it. */
static bool take_word(struct slice *line, struct slice *word)
{
    const char *space = memchr(line->data, ' ', line->size);
    if (space == NULL)
        return false;
    *word = (struct slice){line->data, (size_t)(space - line->data)};
    *line = (struct slice){space + 1, line->size - word->size - 1};
    return true;
}

/* inet_pton() takes neither leading zeros nor fewer than four numbers. */
static bool read_address(struct slice word, int family, struct proxy_end *end)
{
    char text[INET6_ADDRSTRLEN];
    if (word.size >= sizeof text || memchr(word.data, '\0', word.size) != NULL)
        return false;
    memcpy(text, word.data, word.size);
    text[word.size] = '\0';
    return inet_pton(family, text, end->bytes) == 1;
}

/* 0 to 65535 without leading zeros. */
static bool read_port(struct slice word, struct proxy_end *end)
{
    uint32_t port = 0;
    if (word.size == 0 || word.size > 5 || (word.size > 1 && word.data[0] == '0'))
        return false;
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        port = 10 * port + (uint32_t)(word.data[i] - '0');
    }
    end->port = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* What stands between "PROXY " and the line end. */
static bool read_line(struct slice line, struct proxy_head *head)
{
    struct slice word, source, target, port;
    if (line.size >= 7 && memcmp(line.data, "UNKNOWN", 7) == 0)
        return line.size == 7 || line.data[7] == ' '; /* what follows is to be ignored */
    if (!take_word(&line, &word))
        return false;
    bool inet = slice_equals(word, SLICE("TCP4"));
    if (!inet && !slice_equals(word, SLICE("TCP6")))
        return false;
    int family = inet ? AF_INET : AF_INET6;
    head->family = inet ? PROXY_INET : PROXY_INET6;
    return take_word(&line, &source) && take_word(&line, &target) && take_word(&line, &port) &&
           read_address(source, family, &head->source) &&
           read_address(target, family, &head->target) && read_port(port, &head->source) &&
           read_port(line, &head->target);
}

static enum proxy_event read_v1(struct slice *input, struct proxy_head *head)
{
    size_t most = size_min(input->size, PROXY_V1_SIZE_MAX);
    const char *end = memchr(input->data, '\n', most);
    if (end == NULL)
        return most < PROXY_V1_SIZE_MAX ? PROXY_NEED_DATA : PROXY_ERROR;
    size_t size = (size_t)(end - input->data);
    struct slice line = {input->data + PROXY_V1_START_SIZE, size - PROXY_V1_START_SIZE};
    head->version = 1;
    if (line.size == 0 || line.data[--line.size] != '\r' ||
        memchr(line.data, '\r', line.size) != NULL || !read_line(line, head))
        return PROXY_ERROR;
    *input = (struct slice){end + 1, input->size - size - 1};
    return PROXY_DONE;
}

enum proxy_event proxy_read(struct slice *input, struct proxy_head *head)
{
    *head = (struct proxy_head){0};
    if (input->size == 0)
        return PROXY_NEED_DATA;
    if (begins(*input, PROXY_V2_START, PROXY_V2_START_SIZE))
        return input->size < PROXY_V2_START_SIZE ? PROXY_NEED_DATA : proxy_read_v2(input, head);
    if (begins(*input, PROXY_V1_START, PROXY_V1_START_SIZE))
        return input->size < PROXY_V1_START_SIZE ? PROXY_NEED_DATA : read_v1(input, head);
    return PROXY_ERROR;
}
