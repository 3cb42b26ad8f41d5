/* SPDX-License-Identifier: MIT
 * The request in hand: taken from the port, bound to PHP's globals, given back complete.
 *
 * Invariant: what request_take() took, request_complete() finishes, exactly once, whatever the
 * script did; and no global of PHP points into the exchange after that. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "askr_php.h"

static bool limit_reached(void)
{
    return php.settings.max_requests && php.served >= php.settings.max_requests;
}

static void request_start(struct askr_exchange *exchange)
{
    struct php_request *request = &php.request;
    assert(!request->exchange);
    memset(request, 0, offsetof(struct php_request, gather));
    request->exchange = exchange;
    request->head = php.host->request(exchange);
    php.served++;
    measure_begin();
}

enum request_taken request_take(void)
{
    if (limit_reached())
        return REQUEST_NO_MORE;
    struct askr_exchange *exchange;
    int taken;
    do
        taken = php.host->take(php.port, &exchange, -1);
    while (taken == 0 || taken == -EINTR);
    if (taken < 0)
        return taken == -ESHUTDOWN ? REQUEST_NO_MORE : REQUEST_PORT_BROKEN;
    request_start(exchange);
    return REQUEST_TAKEN;
}

static char *text_or_null(struct askr_text text)
{
    return text.size ? (char *)text.data : NULL;
}

/* PHP does not write through these pointers, it only never learnt const. */
void request_bind(struct php_request *request)
{
    const struct askr_request *head = request->head;
    sapi_request_info *info = &SG(request_info);
    SG(server_context) = request;
    SG(sapi_headers).http_response_code = 200; /* php_error_cb turns exactly 200 into 500 */
    info->request_method = head->method.data;
    info->query_string = (char *)head->query.data;
    info->request_uri = (char *)head->target.data;
    info->path_translated = (char *)head->script_filename.data;
    info->content_type = text_or_null(head->content_type);
    info->content_length = head->content_length;
    info->proto_num = head->protocol;
    php_handle_auth_data(text_or_null(head->authorization));
}

void request_unbind(void)
{
    SG(server_context) = NULL;
    memset(&SG(request_info), 0, sizeof SG(request_info));
}

/* A script that fell over before its head went out gets the host's 500 page. One that had begun to
 * answer is ended as every PHP server ends it: what it printed is the answer. */
static enum askr_outcome settle(struct php_request *request, enum askr_outcome outcome)
{
    if (php.is_copy)
        _exit(EG(exit_status));
    assert(request->exchange);
    output_drain(request);
    return request->failed || !request->head_sent ? ASKR_FAILED : outcome;
}

/* The client has its answer, and the process is still busy with the request. */
void request_answered(void)
{
    struct php_request *request = &php.request;
    php.host->answered(request->exchange, settle(request, ASKR_DONE));
    request->ended = true;
}

void request_complete(enum askr_outcome outcome)
{
    struct php_request *request = &php.request;
    outcome = settle(request, outcome);
    struct askr_exchange *exchange = request->exchange;
    request->exchange = NULL;
    request->head = NULL;
    php.host->finish(exchange, outcome);
}
