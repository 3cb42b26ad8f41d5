/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): an empty buffer pool delays a recv and is no error (rule 8). The pool
 * here has four buffers, so that it runs empty at once. */
#include "io_rig_fds.h"

enum { BUFS = 4, READERS = 10 };

static struct io_buf *hold(struct probe *probe)
{
    struct io_buf *buf = probe->kept;
    assert(buf != NULL);
    probe->kept = buf->next;
    return buf;
}

static char *pattern(size_t size)
{
    char *bytes = malloc(size);
    assert(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    return bytes;
}

static void a_stream_waits_for_buffers_and_goes_on(struct rig *rig)
{
    enum { SIZE = 11 * IO_BUF_SIZE + 5 };
    struct link link = link_up(rig);
    struct probe in = {.keep = true};
    char *bytes = pattern(SIZE);
    read_on(rig, &in, link.fd);
    peer_send(rig, link, bytes, SIZE);
    settle(rig);
    OK(in.bytes > 0 && in.bytes <= BUFS * IO_BUF_SIZE && rig->io.bufs_out == BUFS,
       "%s: a stream takes all the pool has and waits", rig->name);
    OK(io_pending(&in.op), "%s: without an error", rig->name);
    int64_t before = in.bytes;
    settle(rig);
    OK(in.bytes == before, "%s: and takes no more than there is", rig->name);
    io_buf_put(&rig->io, hold(&in));
    UNTIL(rig, in.bytes > before);
    OK(in.bytes > before && in.bytes <= before + IO_BUF_SIZE,
       "%s: a buffer given back between steps brings another", rig->name);
    for (int rounds = 0; in.bytes < SIZE && rounds < STEPS; rounds++) {
        give_back(&in);
        settle(rig);
    }
    OK(in.bytes == SIZE && in.sum == sum_of(bytes, SIZE, 0), "%s: all arrive in order", rig->name);
    give_back(&in);
    peer_shutdown(rig, link);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.last == 0, "%s: up to the end of the stream", rig->name);
    free(bytes);
    link_down(rig, link);
}

struct crowd {
    struct link links[READERS];
    struct probe in[READERS];
};

/* All of them read; the first `fed` are sent their letters. */
static void crowd_up(struct rig *rig, struct crowd *crowd, int fed)
{
    for (int i = 0; i < READERS; i++) {
        crowd->links[i] = link_up(rig);
        crowd->in[i].keep = true;
        read_on(rig, &crowd->in[i], crowd->links[i].fd);
    }
    settle(rig);
    for (int i = 0; i < fed; i++) {
        peer_send(rig, crowd->links[i], &"abcdefghij"[i], 1);
        settle(rig);
    }
}

static int served(const struct crowd *crowd)
{
    int count = 0;
    for (int i = 0; i < READERS; i++)
        count += crowd->in[i].bytes > 0;
    return count;
}

/* Until everybody in the crowd has been served. */
static void give_all_back(struct rig *rig, struct crowd *crowd)
{
    for (int i = 0; i < READERS; i++) {
        crowd->in[i].keep = false;
        give_back(&crowd->in[i]);
    }
    settle(rig);
}

static void crowd_down(struct rig *rig, struct crowd *crowd)
{
    for (int i = 0; i < READERS; i++) {
        give_back(&crowd->in[i]);
        stop(rig, &crowd->in[i]);
        give_back(&crowd->in[i]);
        link_down(rig, crowd->links[i]);
    }
}

static void readers_are_served_in_the_order_of_their_bytes(struct rig *rig)
{
    struct crowd crowd = {0};
    crowd_up(rig, &crowd, READERS);
    OK(served(&crowd) == BUFS && crowd.in[BUFS - 1].bytes == 1,
       "%s: as many readers are served as there are buffers, the first first", rig->name);
    bool in_order = true;
    for (int next = BUFS; next < READERS; next++) {
        give_back(&crowd.in[next - BUFS]);
        UNTIL(rig, crowd.in[next].bytes == 1);
        settle(rig);
        in_order = in_order && served(&crowd) == next + 1 && crowd.in[next].bytes == 1;
    }
    OK(in_order, "%s: each buffer that comes back serves the next in line", rig->name);
    bool right = true;
    for (int i = 0; i < READERS; i++)
        right = right && crowd.in[i].data[0] == "abcdefghij"[i] && crowd.in[i].finals <= 1;
    OK(right, "%s: with its own byte", rig->name);
    crowd_down(rig, &crowd);
}

static void many_buffers_at_once_serve_many(struct rig *rig)
{
    struct crowd crowd = {0};
    crowd_up(rig, &crowd, READERS);
    for (int i = 0; i < BUFS; i++)
        give_back(&crowd.in[i]);
    UNTIL(rig, served(&crowd) == 2 * BUFS);
    settle(rig);
    OK(served(&crowd) == 2 * BUFS, "%s: four buffers given back serve four", rig->name);
    crowd_down(rig, &crowd);
}

static void who_waits_for_a_buffer_may_be_cancelled(struct rig *rig)
{
    struct crowd crowd = {0};
    crowd_up(rig, &crowd, READERS);
    struct probe *starved = &crowd.in[BUFS], *last = &crowd.in[READERS - 1];
    stop(rig, starved);
    stop(rig, last);
    OK(starved->events == 1 && starved->final == -ECANCELED && starved->inside == 0 &&
           last->final == -ECANCELED,
       "%s: a recv without a buffer may be cancelled", rig->name);
    give_back(&crowd.in[0]);
    UNTIL(rig, crowd.in[BUFS + 1].bytes == 1);
    OK(crowd.in[BUFS + 1].bytes == 1 && starved->bytes == 0,
       "%s: the buffer that comes back serves the one behind it", rig->name);
    read_on(rig, starved, crowd.links[BUFS].fd);
    settle(rig);
    OK(starved->bytes == 0 && io_pending(&starved->op), "%s: a new start waits, too", rig->name);
    give_all_back(rig, &crowd);
    UNTIL(rig, starved->bytes == 1);
    OK(starved->bytes == 1 && starved->data[0] == "abcdefghij"[BUFS],
       "%s: and brings the byte that waited", rig->name);
    crowd_down(rig, &crowd);
}

static void a_cancel_and_the_lack_of_a_buffer_end_a_recv_once(struct rig *rig)
{
    struct crowd crowd = {0};
    crowd_up(rig, &crowd, READERS);
    struct link link = link_up(rig);
    struct probe in = {0};
    read_on(rig, &in, link.fd);
    settle(rig);
    peer_send(rig, link, "x", 1);
    stop(rig, &in); /* the kernel may have found no buffer by now, and nobody knows yet */
    OK(in.events == 1 && in.final == -ECANCELED, "%s: a cancel wins over an empty pool", rig->name);
    peer_shutdown(rig, link);
    read_on(rig, &in, link.fd);
    settle(rig);
    OK(in.bytes == 0, "%s: the end of a stream does not overtake bytes that wait", rig->name);
    give_all_back(rig, &crowd);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.bytes == 1 && in.last == 0, "%s: both come when there is a buffer", rig->name);
    crowd_down(rig, &crowd);
    link_down(rig, link);
}

static void cancel_other(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    note(io, op, event);
    if (event.more)
        io_cancel(io, probe->user);
}

/* The lack of a buffer is known to the kernel and not yet to the backend when the cancel comes: the
 * recv has waited since there were buffers. */
static void a_cancel_meets_the_lack_of_a_buffer_in_one_step(struct rig *rig)
{
    for (int bytes_first = 0; bytes_first < 2; bytes_first++) {
        struct crowd crowd = {0};
        struct probe *in = &crowd.in[READERS - 1], poll = {.rig = rig, .user = &in->op};
        int source = source_open(rig);
        crowd_up(rig, &crowd, BUFS);
        STARTING(io_poll(&rig->io, &poll.op, source, EPOLLIN, cancel_other));
        settle(rig);
        if (bytes_first)
            peer_send(rig, crowd.links[READERS - 1], "x", 1);
        source_ring(rig, source);
        if (!bytes_first)
            peer_send(rig, crowd.links[READERS - 1], "x", 1);
        UNTIL(rig, in->finals == 1);
        OK(in->events == 1 && in->final == -ECANCELED,
           "%s: a cancel and the lack of a buffer in one step end a recv once", rig->name);
        stop(rig, &poll);
        close_fd(rig, source);
        crowd_down(rig, &crowd);
    }
}

static void an_ended_stream_needs_no_buffer_for_long(struct rig *rig)
{
    struct crowd crowd = {0};
    crowd_up(rig, &crowd, READERS);
    struct link quiet = link_up(rig);
    struct probe in = {0};
    read_on(rig, &in, quiet.fd);
    settle(rig);
    peer_reset(rig, &quiet);
    settle(rig);
    give_all_back(rig, &crowd);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.finals == 1 && in.final == -ECONNRESET, "%s: a reset is told in spite of an empty pool",
       rig->name);
    crowd_down(rig, &crowd);
    link_down(rig, quiet);
}

static void a_send_needs_no_buffer(struct rig *rig)
{
    struct crowd crowd = {0};
    struct probe out = {0};
    struct iovec slice = {"answer", 6};
    crowd_up(rig, &crowd, READERS);
    send_on(rig, &out, crowd.links[READERS - 1].fd, (struct io_slices){&slice, 1});
    UNTIL(rig, out.finals == 1);
    OK(out.final == 6, "%s: a starved connection may be sent an answer", rig->name);
    crowd_down(rig, &crowd);
}

/* Buffers go round and round: none is lost and none handed out twice. */
static void the_pool_lasts(struct rig *rig)
{
    struct crowd crowd = {0};
    crowd_up(rig, &crowd, READERS);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < READERS; i++) {
            peer_send(rig, crowd.links[i], &"abcdefghij"[i], 1);
            if ((i + round) % 3 == 0)
                give_back(&crowd.in[(i + round) % READERS]);
        }
        step(rig);
    }
    for (int i = 0; i < READERS; i++)
        crowd.in[i].keep = false;
    bool all = false;
    for (int rounds = 0; rounds < STEPS && !all; rounds++) {
        all = true;
        for (int i = 0; i < READERS; i++) {
            give_back(&crowd.in[i]);
            all = all && crowd.in[i].bytes == 21;
        }
        step(rig);
    }
    bool right = all;
    for (int i = 0; i < READERS; i++)
        for (int at = 0; at < 21; at++)
            right = right && crowd.in[i].data[at] == "abcdefghij"[i];
    OK(right && rig->io.bufs_out == 0, "%s: two hundred bytes later everybody has their own",
       rig->name);
    crowd_down(rig, &crowd);
}

int main(void)
{
    static rig_test *const tests[] = {
        a_stream_waits_for_buffers_and_goes_on,
        readers_are_served_in_the_order_of_their_bytes,
        many_buffers_at_once_serve_many,
        who_waits_for_a_buffer_may_be_cancelled,
        a_cancel_and_the_lack_of_a_buffer_end_a_recv_once,
        a_cancel_meets_the_lack_of_a_buffer_in_one_step,
        an_ended_stream_needs_no_buffer_for_long,
        a_send_needs_no_buffer,
        the_pool_lasts,
    };
    RIG_RUN_ALL(tests, (&(struct io_options){.buf_count = BUFS}));
    return TAP_END();
}
