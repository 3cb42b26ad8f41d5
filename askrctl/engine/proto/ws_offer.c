/* SPDX-License-Identifier: MIT
 * Sec-WebSocket-Extensions (RFC 6455 section 9.1, RFC 7692 section 7.1): a client's offers, the
 * first of them that we can accept, and the answer. An offer that is well-formed but cannot be
 * accepted is declined by not being answered; a value that is not well-formed is an error. */
#include <stdio.h>

#include "proto/h1_bytes.h"
#include "proto/ws_deflate.h"

enum { PARAMETER_SIZE_MAX = 32 }; /* of a value without its quotes; a longer one means nothing */

struct reader {
    const char *at, *end;
};

struct parameter {
    struct slice name, value;
    bool has_value;
};

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && h1_is_blank(*reader->at))
        reader->at++;
}

/* This byte comes next, white space around it. */
static bool take(struct reader *reader, char byte)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != byte)
        return false;
    reader->at++;
    skip_blanks(reader);
    return true;
}

static bool take_token(struct reader *reader, struct slice *token)
{
    const char *start = reader->at;
    reader->at = h1_skip(start, reader->end, H1_TOKEN);
    *token = (struct slice){start, (size_t)(reader->at - start)};
    return token->size > 0;
}

/* What is quoted must be a token as well. */
static bool take_value(struct reader *reader, struct slice *value, char buffer[PARAMETER_SIZE_MAX])
{
    if (reader->at == reader->end || *reader->at != '"')
        return take_token(reader, value);
    size_t size = 0;
    for (reader->at++; reader->at < reader->end && *reader->at != '"'; reader->at++) {
        if (*reader->at == '\\' && ++reader->at == reader->end)
            return false;
        if (!h1_is(*reader->at, H1_TOKEN))
            return false;
        if (size < PARAMETER_SIZE_MAX)
            buffer[size++] = *reader->at;
    }
    *value = (struct slice){buffer, size};
    return reader->at++ < reader->end && size > 0;
}

/* 8 to 15, "a decimal integer without leading zeros"; else 0. */
static uint8_t bits_of(const struct parameter *parameter)
{
    int64_t bits = 0;
    for (size_t i = 0; i < parameter->value.size; i++) {
        if (!h1_is(parameter->value.data[i], H1_DIGIT) || parameter->value.size > 2)
            return 0;
        bits = bits * 10 + (parameter->value.data[i] - '0');
    }
    bool plain = parameter->value.size > 0 && parameter->value.data[0] != '0';
    return plain && bits >= WS_BITS_MIN && bits <= WS_BITS_MAX ? (uint8_t)bits : 0;
}

struct offer {
    bool declined;
    bool they_forget, we_forget; /* which parameters are there, */
    bool has_their_bits, has_our_bits;
    uint8_t their_bits, our_bits; /* ... and 0: without a value */
};

static void note_flag(struct offer *offer, bool *flag, const struct parameter *parameter)
{
    offer->declined |= *flag || parameter->has_value;
    *flag = true;
}

static void note_parameter(struct offer *offer, const struct parameter *parameter)
{
    if (h1_reads(parameter->name, SLICE("server_no_context_takeover"))) {
        note_flag(offer, &offer->we_forget, parameter);
    } else if (h1_reads(parameter->name, SLICE("client_no_context_takeover"))) {
        note_flag(offer, &offer->they_forget, parameter);
    } else if (h1_reads(parameter->name, SLICE("server_max_window_bits"))) {
        offer->our_bits = bits_of(parameter);
        offer->declined |= offer->has_our_bits || offer->our_bits == 0;
        offer->has_our_bits = true;
    } else if (h1_reads(parameter->name, SLICE("client_max_window_bits"))) {
        offer->their_bits = bits_of(parameter);
        offer->declined |=
            offer->has_their_bits || (parameter->has_value && offer->their_bits == 0);
        offer->has_their_bits = true;
    } else {
        offer->declined = true; /* RFC 7692 section 7.1: not defined for this use */
    }
}

static bool take_parameters(struct reader *reader, struct offer *offer)
{
    while (take(reader, ';')) {
        char buffer[PARAMETER_SIZE_MAX];
        struct parameter parameter = {.has_value = false};
        if (!take_token(reader, &parameter.name))
            return false;
        parameter.has_value = take(reader, '=');
        if (parameter.has_value && !take_value(reader, &parameter.value, buffer))
            return false;
        note_parameter(offer, &parameter);
    }
    return true;
}

static void accept(struct ws_deflate *deflate, const struct ws_deflate_wish *wish,
                   const struct offer *offer)
{
    uint8_t our_most = offer->has_our_bits ? offer->our_bits : WS_BITS_MAX;
    uint8_t their_most = offer->their_bits != 0 ? offer->their_bits : WS_BITS_MAX;
    bool choose = offer->has_their_bits; /* else the client does not know the parameter */
    *deflate = (struct ws_deflate){
        .agreed = true,
        .our_bits = our_most < wish->bits ? our_most : wish->bits,
        .their_bits = choose && wish->bits < their_most ? wish->bits : their_most,
        .we_forget = offer->we_forget || wish->forget,
        .they_forget = offer->they_forget || wish->forget,
        .say_our_bits = offer->has_our_bits,
    };
    deflate->say_their_bits = choose && deflate->their_bits < WS_BITS_MAX;
}

bool ws_deflate_negotiate(struct ws_deflate *deflate, const struct ws_deflate_wish *wish,
                          struct slice value)
{
    struct reader reader = {value.data, value.data + value.size};
    do {
        struct slice name;
        struct offer offer = {.declined = wish->bits == 0 || !ws_deflate_built()};
        while (take(&reader, ',')) /* RFC 9110 section 5.6.1: empty elements are to be ignored */
            continue;
        skip_blanks(&reader);
        if (reader.at == reader.end)
            return true;
        if (!take_token(&reader, &name) || !take_parameters(&reader, &offer))
            return false;
        if (h1_reads(name, SLICE("permessage-deflate")) && !offer.declined && !deflate->agreed)
            accept(deflate, wish, &offer);
    } while (take(&reader, ','));
    return reader.at == reader.end;
}

size_t ws_deflate_answer(const struct ws_deflate *deflate, char out[static WS_ANSWER_SIZE_MAX])
{
    char our_bits[32] = "", their_bits[32] = "";
    assert(deflate->agreed);
    if (deflate->say_our_bits)
        snprintf(our_bits, sizeof our_bits, "; server_max_window_bits=%u", deflate->our_bits);
    if (deflate->say_their_bits)
        snprintf(their_bits, sizeof their_bits, "; client_max_window_bits=%u", deflate->their_bits);
    int size =
        snprintf(out, WS_ANSWER_SIZE_MAX, "permessage-deflate%s%s%s%s",
                 deflate->we_forget ? "; server_no_context_takeover" : "",
                 deflate->they_forget ? "; client_no_context_takeover" : "", our_bits, their_bits);
    assert(size > 0 && size < WS_ANSWER_SIZE_MAX);
    return (size_t)size;
}
