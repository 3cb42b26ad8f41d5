/* SPDX-License-Identifier: MIT
 * The table of byte classes, computed by the compiler from the grammar, so that it can be read and
 * checked against the RFCs. */
#include "proto/h1_bytes.h"

#define IS_DIGIT(byte) ((byte) >= '0' && (byte) <= '9')
#define IS_ALPHA(byte) (((byte) | 0x20) >= 'a' && ((byte) | 0x20) <= 'z')
#define IS_HEX(byte) (IS_DIGIT(byte) || (((byte) | 0x20) >= 'a' && ((byte) | 0x20) <= 'f'))
#define IS_VISIBLE(byte) ((byte) > 0x20 && (byte) != 0x7f)

#define IS_TOKEN(byte)                                                                      \
    (IS_DIGIT(byte) || IS_ALPHA(byte) || (byte) == '!' || (byte) == '#' || (byte) == '$' || \
     (byte) == '%' || (byte) == '&' || (byte) == '\'' || (byte) == '*' || (byte) == '+' ||  \
     (byte) == '-' || (byte) == '.' || (byte) == '^' || (byte) == '_' || (byte) == '`' ||   \
     (byte) == '|' || (byte) == '~')
#define IS_VALUE(byte) (IS_VISIBLE(byte) || (byte) == ' ' || (byte) == '\t')
#define IS_TARGET(byte) (IS_VISIBLE(byte) && (byte) != '#')
#define IS_HOST(byte)                                                                       \
    (IS_DIGIT(byte) || IS_ALPHA(byte) || (byte) == '-' || (byte) == '.' || (byte) == '_' || \
     (byte) == '~' || (byte) == '!' || (byte) == '$' || (byte) == '&' || (byte) == '\'' ||  \
     (byte) == '(' || (byte) == ')' || (byte) == '*' || (byte) == '+' || (byte) == ';' ||   \
     (byte) == '=')

#define CLASSES(byte)                                                    \
    ((IS_TOKEN(byte) ? H1_TOKEN : 0) | (IS_VALUE(byte) ? H1_VALUE : 0) | \
     (IS_TARGET(byte) ? H1_TARGET : 0) | (IS_HOST(byte) ? H1_HOST : 0) | \
     (IS_DIGIT(byte) ? H1_DIGIT : 0) | (IS_HEX(byte) ? H1_HEX : 0))
#define FOUR(byte) CLASSES(byte), CLASSES((byte) + 1), CLASSES((byte) + 2), CLASSES((byte) + 3)
#define SIXTEEN(byte) FOUR(byte), FOUR((byte) + 4), FOUR((byte) + 8), FOUR((byte) + 12)

const uint8_t h1_classes[256] = {
    SIXTEEN(0x00), SIXTEEN(0x10), SIXTEEN(0x20), SIXTEEN(0x30), SIXTEEN(0x40), SIXTEEN(0x50),
    SIXTEEN(0x60), SIXTEEN(0x70), SIXTEEN(0x80), SIXTEEN(0x90), SIXTEEN(0xa0), SIXTEEN(0xb0),
    SIXTEEN(0xc0), SIXTEEN(0xd0), SIXTEEN(0xe0), SIXTEEN(0xf0),
};
