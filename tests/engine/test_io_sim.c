/* SPDX-License-Identifier: MIT
 * What only the simulated kernel can do (sim.h): fail any op on demand, keep its own time, cut
 * every transfer, and do the same thing twice. Tests and fuzzers of the layers above stand on this.
 */
#include "io_rig_fds.h"

static int32_t do_nothing(struct io_op *op)
{
    (void)op;
    return 0;
}

static void begin(struct rig *rig, struct probe *probe, enum io_kind kind, int fd)
{
    static const struct iovec slice = {"bytes", 5};
    static int file = -1;
    struct io_op *op = &probe->op;
    if (file < 0) {
        char name[] = "/tmp/askr-io-XXXXXX";
        file = mkstemp(name);
        unlink(name);
        ssize_t written = write(file, "bytes", 5);
        assert(written == 5);
    }
    probe->rig = rig;
    switch (kind) {
    case IO_ACCEPT:
        STARTING(io_accept(&rig->io, op, fd, note));
        break;
    case IO_RECV:
        STARTING(io_recv(&rig->io, op, fd, note));
        break;
    case IO_POLL:
        STARTING(io_poll(&rig->io, op, fd, EPOLLIN, note));
        break;
    case IO_SEND:
        STARTING(io_send(&rig->io, op, fd, (struct io_slices){&slice, 1}, note));
        break;
    case IO_SENDFILE:
        STARTING(io_sendfile(&rig->io, op, fd, (struct io_range){file, 0, 5}, note));
        break;
    case IO_CLOSE:
        STARTING(io_close(&rig->io, op, fd, note));
        break;
    case IO_WORK:
        STARTING(io_work(&rig->io, op, do_nothing, note));
        break;
    case IO_KINDS:
        assert(false);
    }
}

static int fd_for(struct rig *rig, enum io_kind kind)
{
    if (kind == IO_ACCEPT)
        return sim_listener(&rig->io);
    return kind == IO_POLL ? sim_source(&rig->io) : sim_socket(&rig->io);
}

static void the_nth_op_of_a_kind_fails(struct rig *rig)
{
    static const char *const names[IO_KINDS] = {"accept",   "recv",  "poll", "send",
                                                "sendfile", "close", "work"};
    for (enum io_kind kind = IO_ACCEPT; kind < IO_KINDS; kind++) {
        bool right = true;
        for (uint32_t nth = 1; nth <= 3; nth++) {
            sim_fail(&rig->io, kind, nth, ENOBUFS);
            for (uint32_t i = 1; i <= 4; i++) {
                struct probe probe = {0};
                int fd = fd_for(rig, kind);
                begin(rig, &probe, kind, fd);
                settle(rig);
                bool failed = probe.finals == 1 && probe.final == -ENOBUFS && probe.events == 1;
                right = right && failed == (i == nth) && probe.inside == 0;
                stop(rig, &probe);
                if (kind != IO_CLOSE)
                    close_fd(rig, fd);
                right = right && !sim_is_open(&rig->io, fd);
            }
        }
        OK(right, "%s: the nth %s fails when told to, and no other", rig->name, names[kind]);
    }
}

static void a_failed_op_did_nothing(struct rig *rig)
{
    int fd = sim_socket(&rig->io);
    struct probe in = {0}, out = {0};
    sim_feed(&rig->io, fd, "kept", 4);
    sim_fail(&rig->io, IO_RECV, 1, ENOMEM);
    sim_fail(&rig->io, IO_SEND, 1, ENOMEM);
    begin(rig, &in, IO_RECV, fd);
    begin(rig, &out, IO_SEND, fd);
    settle(rig);
    OK(in.final == -ENOMEM && in.bytes == 0 && out.final == -ENOMEM &&
           sim_waiting(&rig->io, fd) == 0,
       "%s: an op that failed moved no bytes", rig->name);
    begin(rig, &in, IO_RECV, fd);
    begin(rig, &out, IO_SEND, fd);
    settle(rig);
    OK(in.bytes == 4 && out.final == 5 && sim_waiting(&rig->io, fd) == 5,
       "%s: and the next one does", rig->name);
    stop(rig, &in);
    close_fd(rig, fd);
}

static void a_cancel_and_a_fault_end_an_op_once(struct rig *rig)
{
    int fd = sim_socket(&rig->io);
    struct probe in = {0};
    sim_fail(&rig->io, IO_RECV, 1, ENOMEM);
    begin(rig, &in, IO_RECV, fd);
    stop(rig, &in);
    OK(in.events == 1 && in.final == -ENOMEM, "%s: the fault was first", rig->name);
    begin(rig, &in, IO_RECV, fd);
    settle(rig);
    sim_error(&rig->io, fd, ETIMEDOUT);
    settle(rig);
    OK(in.finals == 2 && in.final == -ETIMEDOUT, "%s: an error hits an op that waits", rig->name);
    close_fd(rig, fd);
}

static void time_moves_when_nothing_happens(struct rig *rig)
{
    struct io *io = &rig->io;
    struct probe in = {0}, out = {0};
    struct iovec slice = {"bytes", 5};
    int fd = sim_socket(io);
    int64_t start_ns = io->now_ns;
    OK(start_ns == NS_PER_S, "%s: time begins at one second", rig->name);
    OK(io_step(io, start_ns + 7) == 0 && io->now_ns == start_ns + 7,
       "%s: a step without events takes as long as it may", rig->name);
    OK(io_step(io, start_ns) == 0 && io_step(io, NEVER) == 0 && io->now_ns == start_ns + 7,
       "%s: one that may not wait, or for ever, takes no time", rig->name);
    read_on(rig, &in, fd);
    sim_feed(io, fd, "x", 1);
    OK(io_step(io, start_ns + 1000) == 1 && io->now_ns == start_ns + 7,
       "%s: an event takes no time", rig->name);
    sim_slice(io, 2);
    sim_room(io, fd, 4);
    send_on(rig, &out, fd, (struct io_slices){&slice, 1});
    OK(io_step(io, start_ns + 1000) == 0 && io_step(io, start_ns + 1000) == 0 &&
           sim_waiting(io, fd) == 4 && io->now_ns == start_ns + 7,
       "%s: nor do bytes on their way", rig->name);
    OK(io_step(io, start_ns + 1000) == 0 && io->now_ns == start_ns + 1000 && io_pending(&out.op),
       "%s: a send without room lets it pass", rig->name);
    sim_slice(io, 0);
    char sink[8];
    sim_take(io, fd, sink, 4);
    UNTIL(rig, out.finals == 1);
    OK(out.final == 5, "%s: until there is room", rig->name);
    stop(rig, &in);
    close_fd(rig, fd);
}

static void transfers_are_cut_to_slices(struct rig *rig)
{
    struct io *io = &rig->io;
    struct probe in = {0}, out = {0};
    struct iovec slices[] = {{"ab", 2}, {"", 0}, {"cdefg", 5}};
    int fd = sim_socket(io);
    char taken[8] = "";
    sim_slice(io, 3);
    read_on(rig, &in, fd);
    sim_feed(io, fd, "0123456789", 10);
    send_on(rig, &out, fd, (struct io_slices){slices, COUNT_OF(slices)});
    UNTIL(rig, in.bytes == 10 && out.finals == 1);
    OK(in.events == 4 && memcmp(in.data, "0123456789", 10) == 0,
       "%s: ten bytes in slices of three are four events", rig->name);
    OK(out.events == 1 && out.final == 7 && sim_take(io, fd, taken, 8) == 7 &&
           memcmp(taken, "abcdefg", 7) == 0,
       "%s: a send is whole, however it is cut", rig->name);
    stop(rig, &in);
    close_fd(rig, fd);
}

static void what_was_sent_outlives_a_close(struct rig *rig)
{
    struct probe out = {0};
    struct iovec slice = {"last words", 10};
    char taken[16] = "";
    int fd = sim_socket(&rig->io);
    send_on(rig, &out, fd, (struct io_slices){&slice, 1});
    settle(rig);
    close_fd(rig, fd);
    OK(sim_take(&rig->io, fd, taken, 10) == 10 && memcmp(taken, "last words", 10) == 0,
       "%s: the peer of a closed socket may still take what it was sent", rig->name);
    int next = sim_socket(&rig->io);
    OK(next == fd && sim_waiting(&rig->io, next) == 0, "%s: until the number is used again",
       rig->name);
    close_fd(rig, next);
}

/* A log of everything two equal histories do. */
static unsigned long history(void)
{
    struct rig rig;
    struct probe in[5] = {0}, out[5] = {0};
    struct iovec slice = {"0123456789", 10};
    int fds[5];
    unsigned long log = 0;
    bool opened = rig_open(&rig, &rig_kinds[3], &(struct io_options){.buf_count = 2},
                           &(askr_error){.errnum = 0});
    assert(opened && is_sim(&rig));
    sim_slice(&rig.io, 3);
    for (int i = 0; i < 5; i++) {
        fds[i] = sim_socket(&rig.io);
        in[i].keep = i % 2 == 0;
        read_on(&rig, &in[i], fds[i]);
    }
    for (int turn = 0; turn < 40; turn++) {
        int i = turn * 7 % 5;
        sim_feed(&rig.io, fds[i], "abcd", 4);
        if (!io_pending(&out[i].op))
            send_on(&rig, &out[i], fds[i], (struct io_slices){&slice, 1});
        if (turn % 3 == 0)
            give_back(&in[turn % 5]);
        log = log * 31 + (unsigned long)io_step(&rig.io, rig.io.now_ns + 10);
        log = log * 31 + in[i].sum + (unsigned long)(out[i].finals + rig.io.now_ns % 1000);
    }
    for (int i = 0; i < 5; i++) {
        in[i].keep = false;
        give_back(&in[i]);
        stop(&rig, &in[i]);
        give_back(&in[i]);
        UNTIL(&rig, !io_pending(&out[i].op));
        close_fd(&rig, fds[i]);
    }
    io_fini(&rig.io);
    return log;
}

int main(void)
{
    static rig_test *const tests[] = {
        the_nth_op_of_a_kind_fails,          a_failed_op_did_nothing,
        a_cancel_and_a_fault_end_an_op_once, time_moves_when_nothing_happens,
        transfers_are_cut_to_slices,         what_was_sent_outlives_a_close,
    };
    rig_run(&rig_kinds[3], tests, COUNT_OF(tests), &(struct io_options){0});
    rig_run(&rig_kinds[4], tests, COUNT_OF(tests), &(struct io_options){0});
    unsigned long first = history();
    OK(first != 0 && first == history(), "sim: the same calls give the same events");
    return TAP_END();
}
