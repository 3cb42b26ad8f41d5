/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): bytes there and back. Rules 1 to 5, on every backend. */
#include "io_rig.h"

enum { LARGE = 3 << 20 };

static char *pattern(size_t size)
{
    char *bytes = malloc(size);
    assert(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 31 + i / 253);
    return bytes;
}

static void bytes_go_both_ways(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0}, out = {0};
    struct iovec answer = {"there", 5};
    char got[8] = "";
    read_on(rig, &in, link.fd);
    OK(io_pending(&in.op) && !io_pending(&out.op), "%s: a started op is pending", rig->name);
    peer_send(rig, link, "here", 4);
    UNTIL(rig, in.bytes == 4);
    OK(in.bytes == 4 && memcmp(in.data, "here", 4) == 0, "%s: a recv brings bytes", rig->name);
    send_on(rig, &out, link.fd, (struct io_slices){&answer, 1});
    UNTIL(rig, out.finals == 1);
    OK(out.finals == 1 && out.events == 1 && out.final == 5, "%s: a send ends once with its size",
       rig->name);
    OK(peer_take(rig, link, got, sizeof got) == 5 && memcmp(got, "there", 5) == 0,
       "%s: and the peer has it", rig->name);
    stop(rig, &in);
    OK(in.inside == 0 && out.inside == 0, "%s: no callback ran inside a start or a cancel",
       rig->name);
    link_down(rig, link);
}

/* Take until `size` bytes came or the send has ended; returns how many, with their sum. */
static size_t take_all(struct rig *rig, struct link link, size_t size, unsigned long *sum)
{
    static char sink[1 << 16];
    size_t total = 0;
    *sum = 0;
    for (int idle = 0; total < size && idle < STEPS;) {
        size_t got = peer_take(rig, link, sink, sizeof sink);
        *sum += sum_of(sink, got, (int64_t)total);
        total += got;
        idle = got == 0 ? idle + 1 : 0;
        io_step(&rig->io, rig->io.now_ns + NS_PER_MS);
    }
    return total;
}

static void a_large_send_waits_for_room_and_goes_on(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe out = {0};
    unsigned long sum;
    char *bytes = pattern(LARGE);
    struct iovec slices[] = {
        {bytes, 1}, {NULL, 0}, {bytes + 1, LARGE / 2}, {bytes + 1 + LARGE / 2, LARGE / 2 - 1}};
    send_on(rig, &out, link.fd, (struct io_slices){slices, COUNT_OF(slices)});
    settle(rig);
    OK(out.events == 0, "%s: a send larger than the socket's buffer is not done at once",
       rig->name);
    size_t total = take_all(rig, link, LARGE, &sum);
    UNTIL(rig, out.finals == 1);
    OK(out.events == 1 && out.final == LARGE, "%s: it ends once, with all of it", rig->name);
    OK(total == LARGE && sum == sum_of(bytes, LARGE, 0), "%s: in order and unharmed", rig->name);
    free(bytes);
    link_down(rig, link);
}

static void a_flood_arrives_in_many_events(struct rig *rig)
{
    enum { SIZE = 40 * IO_BUF_SIZE + 17 };
    struct link link = link_up(rig);
    struct probe in = {0};
    char *bytes = pattern(SIZE);
    size_t given = 0;
    read_on(rig, &in, link.fd);
    while (given < SIZE) {
        size_t size = size_min(SIZE - given, 10000);
        peer_send(rig, link, bytes + given, size);
        given += size;
        if (given % 30000 == 0)
            step(rig);
    }
    peer_shutdown(rig, link);
    UNTIL(rig, in.final == 0 && in.finals > 0 && !io_pending(&in.op));
    OK(in.bytes == SIZE && in.sum == sum_of(bytes, SIZE, 0), "%s: a flood arrives in order",
       rig->name);
    OK(in.events > SIZE / IO_BUF_SIZE, "%s: in events of a buffer at most", rig->name);
    OK(rig->one_shot || in.finals == 1, "%s: one start is enough for a stream", rig->name);
    OK(in.last == 0, "%s: its end is a result of 0, after the last byte", rig->name);
    free(bytes);
    link_down(rig, link);
}

static void drops_arrive_one_by_one(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0};
    read_on(rig, &in, link.fd);
    for (int i = 0; i < 5; i++) {
        peer_send(rig, link, &"abcde"[i], 1);
        UNTIL(rig, in.bytes == i + 1);
    }
    OK(in.bytes == 5 && in.events == 5 && memcmp(in.data, "abcde", 5) == 0,
       "%s: five bytes apart are five events", rig->name);
    peer_send(rig, link, "f", 1);
    peer_shutdown(rig, link);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.bytes == 6 && in.last == 0, "%s: a byte right before the end is not lost", rig->name);
    link_down(rig, link);
}

static void what_came_before_the_start_is_read(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0};
    peer_send(rig, link, "early", 5);
    peer_shutdown(rig, link);
    read_on(rig, &in, link.fd);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.bytes == 5 && in.last == 0, "%s: bytes and end from before the start are told",
       rig->name);
    read_on(rig, &in, link.fd);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.bytes == 5 && in.last == 0, "%s: an ended stream ends again", rig->name);
    link_down(rig, link);
}

static void a_reset_ends_both_directions(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0}, out = {0};
    char *bytes = pattern(LARGE);
    struct iovec slice = {bytes, LARGE};
    read_on(rig, &in, link.fd);
    send_on(rig, &out, link.fd, (struct io_slices){&slice, 1});
    settle(rig);
    peer_reset(rig, &link);
    UNTIL(rig, !io_pending(&in.op) && !io_pending(&out.op));
    bool recv_failed = in.final == -ECONNRESET || in.final == 0;
    /* Linux tells a socket's error once. io_uring may spend it on a send that had begun, and the
     * next attempt then says EPIPE: nobody can count on seeing ECONNRESET itself. */
    bool send_failed = out.final == -ECONNRESET || out.final == -EPIPE;
    OK(recv_failed && send_failed, "%s: a reset ends a recv and a waiting send", rig->name);
    OK(in.finals == 1 && out.finals == 1, "%s: once each", rig->name);
    send_on(rig, &out, link.fd, (struct io_slices){&slice, 1});
    UNTIL(rig, out.finals == 2);
    OK(out.finals == 2 && out.final == -EPIPE, "%s: later sends say -EPIPE and raise no signal",
       rig->name);
    free(bytes);
    link_down(rig, link);
}

static void directions_do_not_disturb_each_other(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0}, out = {0};
    unsigned long sum;
    char *bytes = pattern(LARGE);
    struct iovec slice = {bytes, LARGE};
    read_on(rig, &in, link.fd);
    send_on(rig, &out, link.fd, (struct io_slices){&slice, 1});
    settle(rig);
    peer_send(rig, link, "ping", 4);
    UNTIL(rig, in.bytes == 4);
    OK(in.bytes == 4 && out.events == 0, "%s: a recv goes on under a waiting send", rig->name);
    size_t total = take_all(rig, link, LARGE, &sum);
    UNTIL(rig, out.finals == 1);
    OK(total == LARGE && out.final == LARGE, "%s: and the send goes on when there is room",
       rig->name);
    peer_send(rig, link, "pong", 4);
    UNTIL(rig, in.bytes == 8);
    OK(in.bytes == 8, "%s: under the same recv as before", rig->name);
    stop(rig, &in);
    free(bytes);
    link_down(rig, link);
}

struct chain {
    struct io_op op;
    struct iovec iov;
    int left, depth, deepest;
};

static void send_next(struct io *io, struct io_op *op, struct io_event event)
{
    struct chain *chain = CONTAINER_OF(op, struct chain, op);
    assert(event.result == 1);
    chain->depth++;
    if (chain->depth > chain->deepest)
        chain->deepest = chain->depth;
    if (--chain->left > 0)
        io_send(io, op, op->fd, (struct io_slices){&chain->iov, 1}, send_next);
    chain->depth--;
}

static void sends_follow_one_another_from_their_callback(struct rig *rig)
{
    struct link link = link_up(rig);
    struct chain chain = {.iov = {"x", 1}, .left = 100};
    unsigned long sum;
    io_send(&rig->io, &chain.op, link.fd, (struct io_slices){&chain.iov, 1}, send_next);
    UNTIL(rig, chain.left == 0);
    size_t total = take_all(rig, link, 100, &sum);
    OK(chain.left == 0 && total == 100, "%s: an op may be started again in its own callback",
       rig->name);
    OK(chain.deepest == 1, "%s: which does not run inside itself", rig->name);
    link_down(rig, link);
}

static void sends_without_end_do_not_starve_a_neighbour(struct rig *rig)
{
    static char sink[1 << 16];
    struct link busy = link_up(rig), quiet = link_up(rig);
    struct chain chain = {.iov = {"x", 1}, .left = 1 << 20};
    struct probe little = {0};
    read_on(rig, &little, quiet.fd);
    settle(rig);
    peer_send(rig, quiet, "me", 2);
    io_send(&rig->io, &chain.op, busy.fd, (struct io_slices){&chain.iov, 1}, send_next);
    for (int steps = 0; steps < 20 && little.bytes == 0; steps++) {
        step(rig);
        peer_take(rig, busy, sink, sizeof sink);
    }
    OK(little.bytes == 2, "%s: sends that always go out at once do not starve a recv", rig->name);
    chain.left = 1;
    UNTIL(rig, chain.left == 0);
    stop(rig, &little);
    link_down(rig, busy);
    link_down(rig, quiet);
}

static void a_flood_does_not_starve_a_neighbour(struct rig *rig)
{
    struct link flood = link_up(rig), quiet = link_up(rig);
    struct probe much = {0}, little = {0};
    char *bytes = pattern(1 << 16);
    read_on(rig, &much, flood.fd);
    read_on(rig, &little, quiet.fd);
    settle(rig);
    peer_send(rig, flood, bytes, 1 << 16);
    peer_send(rig, quiet, "me", 2);
    UNTIL(rig, little.bytes == 2);
    bool fair = rig->io.backend != &io_epoll || much.bytes < 1 << 16;
    OK(little.bytes == 2 && fair, "%s: a neighbour is heard before a flood is over", rig->name);
    UNTIL(rig, much.bytes == 1 << 16);
    OK(much.bytes == 1 << 16, "%s: the flood's rest needs no further edge", rig->name);
    stop(rig, &much);
    stop(rig, &little);
    free(bytes);
    link_down(rig, flood);
    link_down(rig, quiet);
}

int main(void)
{
    static rig_test *const tests[] = {
        bytes_go_both_ways,
        a_large_send_waits_for_room_and_goes_on,
        a_flood_arrives_in_many_events,
        drops_arrive_one_by_one,
        what_came_before_the_start_is_read,
        a_reset_ends_both_directions,
        directions_do_not_disturb_each_other,
        sends_follow_one_another_from_their_callback,
        sends_without_end_do_not_starve_a_neighbour,
        a_flood_does_not_starve_a_neighbour,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    return TAP_END();
}
