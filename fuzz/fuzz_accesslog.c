/* SPDX-License-Identifier: MIT
 * Invariant: whatever a client says, its request is one line of the access log, in printable ASCII
 * and with all the parts that were asked for: a JSON object that can be read, or the fields of the
 * combined format in their places, status and user agent among them.
 *
 * Lines of the input are method, target, host, Referer, User-Agent and the request's id; the byte
 * in front of them chooses the format. */
#include <netinet/in.h>
#include <stdlib.h>

#include "serve/accesslog.h"
#include "serve/conn.h"
#include "serve/exchange.h"
#include "serve/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Those of askrctl/server/accesslog.py, the first one shortened. */
static const char json[] = "{\"target\":\"$target\",\"method\":\"$method\",\"host\":\"$host\","
                           "\"status\":$status,\"referer\":\"$referer\",\"agent\":"
                           "\"$user_agent\",\"id\":\"$request_id\",\"total_s\":$total}";
static const char combined[] = "$remote_addr - - [$time_local] \"$request\" $status $bytes "
                               "\"$referer\" \"$user_agent\"";

/* On in every build, as in fuzz_h1.c. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static struct slice take_line(struct slice *rest)
{
    const char *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
    struct slice line = {rest->data, size};
    size_t used = end == NULL ? size : size + 1;
    *rest = (struct slice){rest->data + used, rest->size - used};
    line.size = size_min(line.size, ACCESSLOG_VALUE_MAX);
    return line;
}

static bool take(struct slice *text, const char *word)
{
    size_t size = strlen(word);
    if (text->size < size || memcmp(text->data, word, size) != 0)
        return false;
    *text = (struct slice){text->data + size, text->size - size};
    return true;
}

/* A value and the quotation mark behind it; every backslash begins a whole escape. */
static void take_value(struct slice *text, char kind, size_t digits)
{
    while (!take(text, "\"")) {
        must(text->size > 0);
        bool escaped = text->data[0] == '\\';
        must(!escaped || (text->size > 1 + digits && text->data[1] == kind));
        for (size_t i = 0; escaped && i < digits; i++)
            must(memchr("0123456789abcdefABCDEF", text->data[2 + i], 22) != NULL);
        size_t used = escaped ? 2 + digits : 1;
        *text = (struct slice){text->data + used, text->size - used};
    }
}

static void check_json(struct slice text)
{
    must(take(&text, "{\"target\":\""));
    take_value(&text, 'u', 4);
    must(take(&text, ",\"method\":\""));
    take_value(&text, 'u', 4);
    must(take(&text, ",\"host\":\""));
    take_value(&text, 'u', 4);
    must(take(&text, ",\"status\":200,\"referer\":\""));
    take_value(&text, 'u', 4);
    must(take(&text, ",\"agent\":\""));
    take_value(&text, 'u', 4);
    must(take(&text, ",\"id\":\""));
    take_value(&text, 'u', 4);
    must(take(&text, ",\"total_s\":0.000000}\n") && text.size == 0);
}

static void check_combined(struct slice text)
{
    const char *bracket = memchr(text.data, ']', text.size);
    must(bracket != NULL && take(&text, "127.0.0.1 - - ["));
    text = (struct slice){bracket, text.size - (size_t)(bracket - text.data)};
    must(take(&text, "] \""));
    take_value(&text, 'x', 2);
    must(take(&text, " 200 7 \""));
    take_value(&text, 'x', 2);
    must(take(&text, " \""));
    take_value(&text, 'x', 2);
    must(take(&text, "\n") && text.size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct askr_worker_config config = {.index = 0};
    static struct worker worker = {.config = &config};
    static struct accesslog_template template;
    struct conn conn = {.worker = &worker, .peer = {.family = AF_INET, .bytes = {127, 0, 0, 1}}};
    struct slice rest = {(const char *)data, size};
    askr_error error;
    if (size == 0)
        return 0;
    bool is_json = (data[0] & 1) != 0;
    must(accesslog_compile(&template, is_json ? json : combined, is_json, &error) == 0);
    rest = (struct slice){rest.data + 1, rest.size - 1};
    struct accesslog_facts facts = {.version = 1001};
    facts.method = take_line(&rest);
    facts.target = take_line(&rest);
    facts.host = take_line(&rest);
    facts.referer = take_line(&rest);
    facts.user_agent = take_line(&rest);
    static struct exchange exchange;
    exchange = (struct exchange){.conn = &conn, .facts = &facts, .status = 200, .said = 7};
    exchange.request_id = take_line(&rest);
    exchange.request_id.size = size_min(exchange.request_id.size, REQUEST_ID_SIZE);
    char line[ACCESSLOG_LINE_MAX];
    struct slice text = {line, accesslog_format(&template, &exchange, "done", line)};
    must(text.size <= sizeof line);
    for (size_t i = 0; i + 1 < text.size; i++)
        must(text.data[i] >= 0x20 && text.data[i] < 0x7f);
    if (is_json)
        check_json(text);
    else
        check_combined(text);
    return 0;
}
