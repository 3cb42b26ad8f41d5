/* SPDX-License-Identifier: MIT
 * The WebSocket reader's frame (ws.h): heads of frames (RFC 6455 section 5.2), control frames
 * (section 5.5), and what ends a connection. A refusal is for ever. */
#include "proto/ws_parts.h"

enum { FIN = 0x80, RSV1 = 0x40, RSV_OTHERS = 0x30, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };

void ws_init(struct ws *ws, const struct ws_limits *limits, struct ws_inflater *inflater)
{
    *ws = (struct ws){.limits = limits, .inflater = inflater, .budget = WS_BUDGET_MAX};
}

void ws_tick(struct ws *ws, int64_t now_ns)
{
    int64_t step_ns = NS_PER_S / WS_BUDGET_PER_S, passed_ns = now_ns - ws->budget_ns;
    if (ws->budget_ns == 0 || passed_ns >= step_ns * WS_BUDGET_MAX) {
        ws->budget = WS_BUDGET_MAX;
        ws->budget_ns = now_ns;
    } else if (passed_ns >= step_ns) {
        uint32_t budget = ws->budget + (uint32_t)(passed_ns / step_ns);
        ws->budget = budget < WS_BUDGET_MAX ? budget : WS_BUDGET_MAX;
        ws->budget_ns = now_ns - passed_ns % step_ns;
    }
}

int ws_refuse(struct ws *ws, enum ws_code code, const char *text)
{
    ws->state = WS_FAILED;
    ws->error_code = (uint16_t)code;
    ws->error_text = text;
    return WS_ERROR;
}

/* --- heads ------------------------------------------------------------------------------------ */

static size_t size_of_head(uint8_t second)
{
    uint8_t length = second & LENGTH;
    return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4;
}

/* The first two bytes, for a frame of a message. The reason to refuse it, or NULL. */
static const char *judge_data(const struct ws *ws, uint8_t first, uint8_t opcode)
{
    if (opcode == WS_CONTINUATION && ws->kind == 0)
        return "a continuation of nothing";
    if (opcode != WS_CONTINUATION && ws->kind != 0)
        return "a new message inside another";
    if ((first & RSV1) != 0 && opcode == WS_CONTINUATION) /* RFC 7692 section 6.1 */
        return "a continuation that is marked as compressed";
    if ((first & RSV1) != 0 && ws->inflater == NULL)
        return "a reserved bit is set";
    return NULL;
}

static const char *judge_control(uint8_t first, uint8_t second)
{
    if ((first & FIN) == 0)
        return "a control frame in fragments";
    if ((second & LENGTH) > WS_CONTROL_SIZE_MAX)
        return "a control frame of more than 125 bytes";
    return (first & RSV1) != 0 ? "a control frame that is marked as compressed" : NULL;
}

static const char *judge_start(const struct ws *ws)
{
    uint8_t first = ws->head[0], second = ws->head[1], opcode = first & OPCODE;
    if ((first & RSV_OTHERS) != 0)
        return "a reserved bit is set";
    if ((second & MASKED) == 0)
        return "a frame without a mask";
    if (opcode <= WS_BINARY)
        return judge_data(ws, first, opcode);
    if (opcode >= WS_OP_CLOSE && opcode <= WS_OP_PONG)
        return judge_control(first, second);
    return "an opcode that does not exist";
}

static uint64_t length_of(const uint8_t *head)
{
    uint8_t length = head[1] & LENGTH;
    size_t size = length == 126 ? 2 : length == 127 ? 8 : 0;
    uint64_t number = size == 0 ? length : 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | head[2 + i];
    return number;
}

/* RFC 6455 section 5.2: "the minimal number of bytes MUST be used". */
static bool is_minimal(const uint8_t *head, uint64_t length)
{
    uint8_t said = head[1] & LENGTH;
    return said < 126 || (said == 126 && length >= 126) ||
           (said == 127 && length > UINT16_MAX && length <= INT64_MAX);
}

static int charge(struct ws *ws)
{
    if (ws->budget == 0)
        return ws_refuse(ws, WS_POLICY, "control frames and empty fragments come too often");
    ws->budget--;
    return WS_GO_ON;
}

static int begin_payload(struct ws *ws)
{
    uint8_t first = ws->head[0], opcode = first & OPCODE;
    ws->final = (first & FIN) != 0;
    if (opcode != WS_CONTINUATION) {
        ws->kind = opcode;
        ws->compressed = (first & RSV1) != 0;
        ws->packed = false;
        ws->message_size = 0;
        ws->utf8 = (struct utf8){0};
    }
    if (ws->frame_left > ws->limits->frame_size_max)
        return ws_refuse(ws, WS_TOO_BIG, "the frame is too large");
    if (!ws->compressed && ws->frame_left > ws->limits->message_size_max - ws->message_size)
        return ws_refuse(ws, WS_TOO_BIG, "the message is too large");
    ws->state = WS_AT_PAYLOAD;
    return ws->frame_left == 0 && !ws->final ? charge(ws) : WS_GO_ON;
}

static int begin_frame(struct ws *ws)
{
    size_t size = size_of_head(ws->head[1]);
    uint8_t opcode = ws->head[0] & OPCODE;
    ws->frame_left = length_of(ws->head);
    if (!is_minimal(ws->head, ws->frame_left))
        return ws_refuse(ws, WS_PROTOCOL_ERROR, "a length in more bytes than it needs");
    memcpy(ws->mask, ws->head + size - 4, 4);
    ws->head_size = 0;
    if (opcode <= WS_BINARY)
        return begin_payload(ws);
    ws->control_size = 0;
    ws->state = WS_AT_CONTROL;
    return opcode == WS_OP_CLOSE ? WS_GO_ON : charge(ws);
}

/* More of the head, up to `size` bytes of it. False: not all of that has come. */
static bool gather(struct ws *ws, struct slice *input, size_t size)
{
    while (ws->head_size < size && input->size > 0) {
        ws->head[ws->head_size++] = (uint8_t)*input->data++;
        input->size--;
    }
    return ws->head_size >= size;
}

/* Its first two bytes are judged as soon as they are there. */
static int take_head(struct ws *ws, struct slice *input)
{
    bool is_new = ws->head_size < 2;
    if (!gather(ws, input, 2))
        return WS_NEED_DATA;
    if (is_new) {
        const char *reason = judge_start(ws);
        if (reason != NULL)
            return ws_refuse(ws, WS_PROTOCOL_ERROR, reason);
    }
    return gather(ws, input, size_of_head(ws->head[1])) ? begin_frame(ws) : WS_NEED_DATA;
}

/* --- control frames --------------------------------------------------------------------------- */

/* Those that a Close may carry: RFC 6455 section 7.4, and what IANA has registered since. */
static bool is_code(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int hear_close(struct ws *ws, struct ws_news *news)
{
    struct utf8 utf8 = {0};
    const uint8_t *payload = (const uint8_t *)ws->control;
    ws->kind = 0;
    if (ws->control_size == 1)
        return ws_refuse(ws, WS_PROTOCOL_ERROR, "half a code in a Close");
    if (ws->control_size > 0) {
        news->code = (uint16_t)(payload[0] << 8 | payload[1]);
        news->bytes = (struct slice){ws->control + 2, ws->control_size - 2u};
        if (!is_code(news->code))
            return ws_refuse(ws, WS_PROTOCOL_ERROR, "a code that no Close may have");
        if (!utf8_go_on(&utf8, news->bytes) || !utf8_is_whole(&utf8))
            return ws_refuse(ws, WS_NOT_CONSISTENT, "a reason that is not UTF-8");
    }
    ws->state = WS_CLOSED;
    return WS_CLOSE;
}

static int take_control(struct ws *ws, struct slice *input, struct ws_news *news)
{
    size_t size = size_min(input->size, (size_t)ws->frame_left);
    ws_unmask(ws->control + ws->control_size, input->data, size, ws->mask);
    *input = (struct slice){input->data + size, input->size - size};
    ws->control_size = (uint8_t)(ws->control_size + size);
    ws->frame_left -= size;
    if (ws->frame_left > 0)
        return WS_NEED_DATA;
    ws->state = WS_AT_HEAD;
    uint8_t opcode = ws->head[0] & OPCODE;
    if (opcode == WS_OP_CLOSE)
        return hear_close(ws, news);
    news->bytes = (struct slice){ws->control, ws->control_size};
    return opcode == WS_OP_PING ? WS_PING : WS_PONG;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int step(struct ws *ws, struct slice *input, struct ws_room room, struct ws_news *news)
{
    switch ((enum ws_state)ws->state) {
    case WS_AT_HEAD:
        return take_head(ws, input);
    case WS_AT_PAYLOAD:
        return ws_take_payload(ws, input, room, news);
    case WS_AT_TAIL:
        return ws_take_tail(ws, room, news);
    case WS_AT_CONTROL:
        return take_control(ws, input, news);
    case WS_CLOSED:
        *input = (struct slice){input->data + input->size, 0};
        return WS_NEED_DATA;
    case WS_FAILED:
        news->code = ws->error_code;
        return WS_ERROR;
    }
    return WS_ERROR;
}

enum ws_event ws_next(struct ws *ws, struct slice *input, struct ws_room room, struct ws_news *news)
{
    int event;
    *news = (struct ws_news){.code = WS_NO_CODE};
    do
        event = step(ws, input, room, news);
    while (event == WS_GO_ON);
    if (event == WS_ERROR)
        *news = (struct ws_news){.code = ws->error_code};
    return (enum ws_event)event;
}
