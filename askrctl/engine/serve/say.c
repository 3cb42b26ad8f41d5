/* SPDX-License-Identifier: MIT
 * An answer in the terms of protocol.h, with the one rule that all protocols share: a body is as
 * long as its head said. */
#include <errno.h>

#include "serve/exchange.h"
#include "serve/protocol.h"
#include "serve/record.h"
#include "serve/rules.h"
#include "serve/worker.h"

int say_head(struct exchange *exchange, const struct answer_head *head)
{
    struct answer_head edited;
    assert(!exchange->head_sent);
    if (UNLIKELY(exchange->header_rules != 0) &&
        (head = rules_edit(exchange, head, &edited)) == NULL)
        return -E2BIG;
    size_t held_size = exchange->held_size;
    if (UNLIKELY(exchange->record != NULL))
        record_answer(exchange, head);
    int result = exchange->conn->protocol->head(exchange, head);
    if (result < 0)
        return result;
    exchange->status = head->status;
    exchange->head_sent = true;
    if (ASKR_METRICS && exchange->times.first_ns == 0)
        exchange->times.first_ns = exchange->conn->worker->io.now_ns;
    exchange->length_left = exchange->sized ? head->content_length - (int64_t)held_size : 0;
    assert(exchange->length_left >= 0);
    exchange->said = exchange->bare ? 0 : (int64_t)held_size;
    return 0;
}

int say_body(struct exchange *exchange, struct slice bytes)
{
    assert(exchange->head_sent);
    if (exchange->sized) {
        /* More than was announced would be read as the next answer. */
        bytes.size = size_min(bytes.size, (size_t)exchange->length_left);
        exchange->length_left -= (int64_t)bytes.size;
    }
    if (exchange->bare || bytes.size == 0)
        return 0;
    exchange->said += (int64_t)bytes.size;
    if (UNLIKELY(exchange->record != NULL))
        record_answer_body(exchange, bytes);
    return exchange->conn->protocol->body(exchange, bytes);
}

int say_file(struct exchange *exchange, const struct file_range *range)
{
    assert(exchange->head_sent && exchange->sized && range->size <= exchange->length_left);
    if (range->size == 0)
        return 0;
    exchange->length_left -= range->size;
    exchange->said += range->size;
    if (UNLIKELY(exchange->record != NULL))
        record_answer_file(exchange, range);
    return exchange->conn->protocol->file(exchange, range);
}

void say_end(struct exchange *exchange)
{
    const struct protocol *protocol = exchange->conn->protocol;
    if (exchange->upgraded)
        return; /* what follows the head is no body, and does not end with the answer */
    if (exchange->sized && exchange->length_left > 0)
        exchange->cut = true;
    if (!exchange->cut && protocol->end(exchange) < 0)
        exchange->cut = true;
    if (exchange->cut)
        protocol->cut(exchange);
}
