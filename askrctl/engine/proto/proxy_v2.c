/* SPDX-License-Identifier: MIT
 * The binary form of proxy.h: a prefix of 16 bytes, addresses, then type-length-value records
 * (TLVs) up to the announced length. LOCAL and UNSPEC heads are skipped whole, as section 2.2 asks.
 */
#include "proto/proxy_parts.h"

enum {
    VERSION_AT = 12, /* with the command */
    FAMILY_AT = 13,  /* with the transport */
    LENGTH_AT = 14,
    COMMAND_LOCAL = 0x20,
    COMMAND_PROXY = 0x21,
    TLV_PREFIX_SIZE = 3,
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    SSL_PREFIX_SIZE = 5, /* client, verify */
    SSL_CLIENT = 0x01,   /* PP2_CLIENT_SSL */
    CRC_SIZE = 4,
};

/* Addresses of each kind of connection, in bytes; -1: there is no such kind. */
static int addresses_size(uint8_t kind)
{
    switch (kind) {
    case 0x00: /* UNSPEC */
        return 0;
    case 0x11: /* TCP and UDP over IPv4 */
    case 0x12:
        return 12;
    case 0x21: /* … and IPv6 */
    case 0x22:
        return 36;
    case 0x31: /* unix sockets */
    case 0x32:
        return 216;
    default:
        return -1;
    }
}

static uint32_t number_at(const char *bytes, size_t size)
{
    uint32_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | (uint8_t)bytes[i];
    return number;
}

static void read_addresses(const char *at, size_t size, struct proxy_head *head)
{
    memcpy(head->source.bytes, at, size);
    memcpy(head->target.bytes, at + size, size);
    head->source.port = (uint16_t)number_at(at + 2 * size, 2);
    head->target.port = (uint16_t)number_at(at + 2 * size + 2, 2);
}

uint32_t proxy_crc32c(uint32_t crc, struct slice bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= (uint8_t)bytes.data[i];
        for (int bit = 0; bit < 8; bit++) /* once a connection, some 100 bytes: no table */
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

/* The checksum is made over all of the head, with zeros in its own place. */
static bool is_checksum(struct slice whole, const char *at)
{
    static const char zeros[CRC_SIZE];
    size_t before = (size_t)(at - whole.data);
    uint32_t crc = proxy_crc32c(0, (struct slice){whole.data, before});
    crc = proxy_crc32c(crc, (struct slice){zeros, CRC_SIZE});
    crc = proxy_crc32c(crc, (struct slice){at + CRC_SIZE, whole.size - before - CRC_SIZE});
    return crc == number_at(at, CRC_SIZE);
}

static bool read_tlv(struct slice whole, uint8_t type, struct slice value, struct proxy_head *head)
{
    if (type == TLV_CRC32C)
        return value.size == CRC_SIZE && is_checksum(whole, value.data);
    if (type == TLV_SSL) {
        if (value.size < SSL_PREFIX_SIZE)
            return false;
        head->secure = (value.data[0] & SSL_CLIENT) != 0;
    }
    return true;
}

/* Those from `at` to the end of the head. */
static bool read_tlvs(struct slice whole, size_t at, struct proxy_head *head)
{
    bool seen[256] = {0};
    for (int count = 0; at < whole.size; count++) {
        if (count == PROXY_TLVS_MAX || whole.size - at < TLV_PREFIX_SIZE)
            return false;
        uint8_t type = (uint8_t)whole.data[at];
        size_t size = number_at(whole.data + at + 1, 2);
        at += TLV_PREFIX_SIZE;
        if (size > whole.size - at)
            return false;
        bool again = seen[type] && (type == TLV_CRC32C || type == TLV_SSL);
        seen[type] = true;
        if (again || !read_tlv(whole, type, (struct slice){whole.data + at, size}, head))
            return false;
        at += size;
    }
    return true;
}

static bool read_proxied(struct slice whole, struct proxy_head *head)
{
    uint8_t kind = (uint8_t)whole.data[FAMILY_AT];
    int size = addresses_size(kind);
    if (size < 0 || whole.size - PROXY_V2_PREFIX_SIZE < (size_t)size)
        return false;
    if (kind == 0x00)
        return true;
    const char *addresses = whole.data + PROXY_V2_PREFIX_SIZE;
    if (kind == 0x11 || kind == 0x21) {
        head->family = kind == 0x11 ? PROXY_INET : PROXY_INET6;
        read_addresses(addresses, kind == 0x11 ? 4 : 16, head);
    }
    return read_tlvs(whole, PROXY_V2_PREFIX_SIZE + (size_t)size, head);
}

enum proxy_event proxy_read_v2(struct slice *input, struct proxy_head *head)
{
    if (input->size < PROXY_V2_PREFIX_SIZE)
        return PROXY_NEED_DATA;
    uint8_t command = (uint8_t)input->data[VERSION_AT];
    size_t size = PROXY_V2_PREFIX_SIZE + number_at(input->data + LENGTH_AT, 2);
    if ((command != COMMAND_LOCAL && command != COMMAND_PROXY) || size > PROXY_V2_SIZE_MAX)
        return PROXY_ERROR;
    if (input->size < size)
        return PROXY_NEED_DATA;
    struct slice whole = {input->data, size};
    head->version = 2;
    if (command == COMMAND_PROXY && !read_proxied(whole, head))
        return PROXY_ERROR;
    *input = (struct slice){input->data + size, input->size - size};
    return PROXY_DONE;
}
