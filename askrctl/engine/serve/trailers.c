/* SPDX-License-Identifier: MIT
 * Trailers, from an application's word to what will be sent of it. Its end of the port has asked
 * whether the client wants any; but that is the application's process, so nothing here relies on
 * it: a client that did not ask knows how to skip them (RFC 9112 section 7.1.2). */
#include "serve/trailers.h"

#include <stdlib.h>

#include "proto/h1.h"
#include "serve/exchange.h"

static struct slice keep(char **at, struct slice text)
{
    struct slice kept = {*at, text.size};
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return kept;
}

void answer_trailers(struct exchange *exchange, const struct port_message *message)
{
    if (exchange->trailers != NULL)
        return;
    struct trailers *trailers = malloc(sizeof *trailers);
    if (trailers == NULL)
        return; /* the answer is whole without them */
    char *at = trailers->text;
    trailers->count = 0;
    for (size_t i = 0; i < message->field_count && trailers->count < TRAILERS_MAX; i++) {
        const struct http_field *field = &message->fields[i];
        size_t room = (size_t)(trailers->text + TRAILERS_SIZE_MAX - at);
        if (!h1_may_trail(field) || field->name.size + field->value.size > room)
            continue;
        struct http_field *kept = &trailers->fields[trailers->count++];
        kept->name = keep(&at, field->name);
        kept->value = keep(&at, field->value);
    }
    if (trailers->count == 0) {
        free(trailers);
        return;
    }
    exchange->trailers = trailers;
}
