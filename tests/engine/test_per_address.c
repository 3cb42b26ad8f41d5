/* SPDX-License-Identifier: MIT
 * The table that counts connections by address, against one that is too simple to be wrong. */
#include <stdlib.h>

#include "serve/conn.h"
#include "serve/worker.h"
#include "tap.h"

enum { ADDRESSES = 100, PEOPLE = 3, ROUNDS = 200000 };

static struct askr_worker_config config = {.connections_max = 64,
                                           .connections_per_address = PEOPLE};
static struct askr_worker_status status;
static struct worker worker = {.config = &config, .status = &status};

static struct address inet(uint32_t number)
{
    struct address address = {.family = AF_INET, .port = 80};
    memcpy(address.bytes, &number, sizeof number);
    return address;
}

static struct address inet6(uint8_t subnet, uint8_t host)
{
    return (struct address){.family = AF_INET6, .bytes = {0x20, 1, [7] = subnet, [15] = host}};
}

static bool enter(struct conn *conn, struct address peer)
{
    *conn = (struct conn){.worker = &worker, .peer = peer};
    bool admitted = per_address_admits(&worker, &peer);
    if (admitted)
        per_address_enter(conn);
    return admitted;
}

static void counts_stay_right_while_addresses_come_and_go(void)
{
    static struct conn conns[ADDRESSES][PEOPLE];
    static int held[ADDRESSES];
    bool right = true;
    srandom(1);
    for (int round = 0; round < ROUNDS && right; round++) {
        size_t who = (size_t)random() % ADDRESSES;
        struct conn more;
        if (random() % 2 == 0 && held[who] > 0) {
            per_address_leave(&conns[who][--held[who]]);
        } else if (held[who] < PEOPLE) {
            right = enter(&conns[who][held[who]++], inet((uint32_t)who));
        } else {
            right = !enter(&more, inet((uint32_t)who));
        }
    }
    OK(right, "nobody is refused too early or too late");
    for (size_t who = 0; who < ADDRESSES; who++)
        while (held[who] > 0)
            per_address_leave(&conns[who][--held[who]]);
    OK(worker.per_address.used == 0, "and in the end the table is empty");
    for (uint32_t i = 0; i < worker.per_address.capacity; i++)
        right &= worker.per_address.counts[i].count == 0;
    OK(right, "every place of it");
}

static void a_subnet_of_ipv6_is_one_client(void)
{
    struct conn conns[PEOPLE + 1];
    for (uint8_t i = 0; i < PEOPLE; i++)
        OK(enter(&conns[i], inet6(1, i)), "address %d of a /64", i);
    OK(!enter(&conns[PEOPLE], inet6(1, 99)), "one more of the /64 is refused");
    OK(enter(&conns[PEOPLE], inet6(2, 99)), "its neighbour is not");
    for (size_t i = 0; i <= PEOPLE; i++)
        per_address_leave(&conns[i]);
}

static void some_are_not_counted(void)
{
    struct conn conns[2 * PEOPLE];
    worker.trust.count = 1;
    worker.trust.networks[0] =
        (struct trusted_network){.family = AF_INET, .prefix = 8, .bytes = {10}};
    for (size_t i = 0; i < COUNT_OF(conns); i++)
        OK(enter(&conns[i], inet(10)) && !conns[i].counted, "a trusted proxy");
    for (size_t i = 0; i < COUNT_OF(conns); i++)
        OK(enter(&conns[i], (struct address){.family = AF_UNIX}), "a unix socket");
    OK(worker.per_address.used == 0, "take no place");
}

int main(void)
{
    askr_error error;
    uint64_t refused = status.address_refused;
    OK(per_address_open(&worker, &error) == 0, "the table is made");
    counts_stay_right_while_addresses_come_and_go();
    OK(status.address_refused > refused, "refusals are counted");
    a_subnet_of_ipv6_is_one_client();
    some_are_not_counted();
    per_address_close(&worker);
    config.connections_per_address = 0;
    OK(per_address_open(&worker, &error) == 0 && worker.per_address.counts == NULL,
       "without a limit there is no table");
    return TAP_END();
}
