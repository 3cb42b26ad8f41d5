/* SPDX-License-Identifier: MIT
 * The handshake of ws_handshake.h: the fields that a request must have, each once, and the proof of
 * Sec-WebSocket-Accept that we read them. */
#include "proto/ws_handshake.h"

#include "proto/h1_bytes.h"
#include "proto/sha1.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct found {
    struct slice version, key;
    unsigned version_count, key_count, origin_count;
    bool upgrade; /* names websocket */
    const char *reason;
};

static int refuse(int status, const char **reason, const char *text)
{
    *reason = text;
    return status;
}

/* The next element of a list, without the white space around it; may be empty. False: none left. */
static bool next_element(struct slice *list, struct slice *element)
{
    if (list->data == NULL)
        return false;
    const char *at = list->data, *end = list->data + list->size;
    const char *stop = memchr(at, ',', list->size);
    *list =
        stop == NULL ? (struct slice){NULL, 0} : (struct slice){stop + 1, (size_t)(end - stop - 1)};
    stop = stop == NULL ? end : stop;
    while (at < stop && h1_is_blank(*at))
        at++;
    while (stop > at && h1_is_blank(stop[-1]))
        stop--;
    *element = (struct slice){at, (size_t)(stop - at)};
    return true;
}

static bool names_websocket(struct slice list)
{
    struct slice element;
    while (next_element(&list, &element))
        if (h1_reads(element, SLICE("websocket")))
            return true;
    return false;
}

/* Tokens, each once (RFC 6455 section 11.3.4). The reason to refuse them, or NULL. */
static const char *note_protocols(struct ws_request *request, struct slice list)
{
    struct slice element;
    while (next_element(&list, &element)) {
        const char *end = element.data + element.size;
        if (element.size == 0)
            continue;
        if (h1_skip(element.data, end, H1_TOKEN) != end)
            return "Sec-WebSocket-Protocol is not a list of names";
        for (uint32_t i = 0; i < request->protocol_count; i++)
            if (slice_equals(request->protocols[i], element))
                return "Sec-WebSocket-Protocol names one twice";
        if (request->protocol_count == WS_PROTOCOLS_MAX)
            return "Sec-WebSocket-Protocol names too many";
        request->protocols[request->protocol_count++] = element;
    }
    return NULL;
}

static void note_field(const struct http_field *field, const struct ws_deflate_wish *wish,
                       struct ws_request *request, struct found *found)
{
    const char *reason = NULL;
    if (h1_reads(field->name, SLICE("upgrade"))) {
        found->upgrade |= names_websocket(field->value);
    } else if (h1_reads(field->name, SLICE("origin"))) {
        request->origin = field->value;
        found->origin_count++;
    } else if (h1_reads(field->name, SLICE("sec-websocket-version"))) {
        found->version = field->value;
        found->version_count++;
    } else if (h1_reads(field->name, SLICE("sec-websocket-key"))) {
        found->key = field->value;
        found->key_count++;
    } else if (h1_reads(field->name, SLICE("sec-websocket-protocol"))) {
        reason = note_protocols(request, field->value);
    } else if (h1_reads(field->name, SLICE("sec-websocket-extensions"))) {
        if (!ws_deflate_negotiate(&request->deflate, wish, field->value))
            reason = "Sec-WebSocket-Extensions is malformed";
    }
    if (reason != NULL && found->reason == NULL)
        found->reason = reason;
}

/* Sixteen bytes in base64: 22 letters, of which the last one has four bits to spare. */
static bool is_key(struct slice key)
{
    if (key.size != WS_KEY_SIZE || memcmp(key.data + WS_KEY_SIZE - 2, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < WS_KEY_SIZE - 2; i++)
        if (key.data[i] == '\0' || strchr(letters, key.data[i]) == NULL)
            return false;
    return strchr("AQgw", key.data[WS_KEY_SIZE - 3]) != NULL;
}

static bool asks_for_websocket(const struct http_request *request, const struct found *found)
{
    if (request->method == HTTP_CONNECT) /* by its :protocol, which h2_head.c has judged */
        return true;
    return request->method == HTTP_GET && request->upgrade && found->upgrade;
}

int ws_judge(const struct http_request *request, const struct ws_deflate_wish *wish,
             struct ws_request *wanted, const char **reason)
{
    struct found found = {0};
    int other = request->version < 2000 ? 426 : 400; /* HTTP/2 has no Upgrade to ask for */
    *wanted = (struct ws_request){0};
    for (size_t i = 0; i < request->field_count; i++)
        note_field(&request->fields[i], wish, wanted, &found);
    if (!asks_for_websocket(request, &found))
        return refuse(other, reason, "this address speaks WebSocket");
    if (found.version_count != 1 || !slice_equals(found.version, SLICE("13")))
        return refuse(other, reason, "Sec-WebSocket-Version is not 13");
    if (http_has_body(request) && request->content_length != 0)
        return refuse(400, reason, "a WebSocket cannot begin with a body");
    if (found.reason != NULL)
        return refuse(400, reason, found.reason);
    if (found.origin_count > 1)
        return refuse(400, reason, "more than one Origin");
    if (request->method == HTTP_CONNECT)
        return 0;
    if (found.key_count != 1 || !is_key(found.key))
        return refuse(400, reason, "Sec-WebSocket-Key is not 16 bytes in base64");
    wanted->key = found.key;
    return 0;
}

void ws_accept(struct slice key, char out[static WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    char text[WS_KEY_SIZE + sizeof guid - 1];
    uint8_t digest[SHA1_SIZE + 1] = {0};
    assert(key.size == WS_KEY_SIZE);
    memcpy(text, key.data, WS_KEY_SIZE);
    memcpy(text + WS_KEY_SIZE, guid, sizeof guid - 1);
    sha1((struct slice){text, sizeof text}, digest);
    for (size_t i = 0; i < 7; i++) {
        const uint8_t *at = digest + 3 * i;
        uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (size_t j = 0; j < 4; j++)
            out[4 * i + j] = letters[bits >> (18 - 6 * j) & 63];
    }
    out[WS_ACCEPT_SIZE - 1] = '=';
}
