/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): cancelling every kind of op in every state (rule 6), and that it
 * disturbs neither the other direction nor the next op. */
#include "io_rig_fds.h"

enum { LARGE = 3 << 20 };

/* What an op of each kind needs to wait for something that does not come. */
struct stage {
    enum io_kind kind;
    const char *name;
    struct probe probe;
    struct link link;
    int fd, file;
    char *bytes;
    struct iovec slice;
};

static const struct stage stages[] = {
    {.kind = IO_ACCEPT, .name = "accept"},     {.kind = IO_RECV, .name = "recv"},
    {.kind = IO_POLL, .name = "poll"},         {.kind = IO_SEND, .name = "send"},
    {.kind = IO_SENDFILE, .name = "sendfile"},
};

static int file_of(const char *bytes, size_t size)
{
    char name[] = "/tmp/askr-io-XXXXXX";
    int fd = mkstemp(name);
    assert(fd >= 0);
    unlink(name);
    ssize_t written = write(fd, bytes, size);
    assert(written == (ssize_t)size);
    return fd;
}

static void stage_up(struct rig *rig, struct stage *stage)
{
    stage->link = (struct link){-1, -1};
    stage->file = -1;
    stage->bytes = calloc(1, LARGE);
    assert(stage->bytes != NULL);
    for (size_t i = 0; i < LARGE; i++)
        stage->bytes[i] = (char)(i % 251);
    stage->slice = (struct iovec){stage->bytes, LARGE};
    if (stage->kind == IO_ACCEPT) {
        stage->fd = door_open(rig).fd;
    } else if (stage->kind == IO_POLL) {
        stage->fd = source_open(rig);
    } else {
        stage->link = link_up(rig);
        stage->fd = stage->link.fd;
    }
    if (stage->kind == IO_SENDFILE)
        stage->file = file_of(stage->bytes, LARGE);
}

static void stage_down(struct rig *rig, struct stage *stage)
{
    close_fd(rig, stage->fd);
    if (stage->link.peer >= 0)
        close(stage->link.peer);
    if (stage->file >= 0)
        close(stage->file);
    free(stage->bytes);
}

static void begin(struct rig *rig, struct stage *stage)
{
    struct io_op *op = &stage->probe.op;
    stage->probe.rig = rig;
    switch (stage->kind) {
    case IO_ACCEPT:
        STARTING(io_accept(&rig->io, op, stage->fd, note));
        break;
    case IO_RECV:
        STARTING(io_recv(&rig->io, op, stage->fd, note));
        break;
    case IO_POLL:
        STARTING(io_poll(&rig->io, op, stage->fd, EPOLLIN, note));
        break;
    case IO_SEND:
        STARTING(io_send(&rig->io, op, stage->fd, (struct io_slices){&stage->slice, 1}, note));
        break;
    case IO_SENDFILE:
        STARTING(io_sendfile(&rig->io, op, stage->fd,
                             (struct io_range){.file = stage->file, .size = LARGE}, note));
        break;
    case IO_CLOSE:
    case IO_WORK: /* test_io_work.c */
    case IO_KINDS:
        assert(false);
    }
}

static void every_kind_is_cancelled_in_every_state(struct rig *rig)
{
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        struct stage stage = stages[i];
        const struct probe *probe = &stage.probe;
        stage_up(rig, &stage);
        STARTING(io_cancel(&rig->io, &stage.probe.op));
        settle(rig);
        OK(probe->events == 0, "%s: a cancel of a %s that never began does nothing", rig->name,
           stage.name);
        begin(rig, &stage);
        stop(rig, &stage.probe);
        OK(probe->events == 1 && probe->final == -ECANCELED,
           "%s: a %s cancelled before a step ends once, with -ECANCELED", rig->name, stage.name);
        begin(rig, &stage);
        settle(rig);
        STARTING(io_cancel(&rig->io, &stage.probe.op));
        STARTING(io_cancel(&rig->io, &stage.probe.op));
        UNTIL(rig, probe->finals == 2);
        OK(probe->events == 2 && probe->final == -ECANCELED,
           "%s: a waiting %s cancelled twice ends once", rig->name, stage.name);
        STARTING(io_cancel(&rig->io, &stage.probe.op));
        settle(rig);
        OK(probe->events == 2 && probe->inside == 0, "%s: a cancel of an ended %s does nothing",
           rig->name, stage.name);
        stage_down(rig, &stage);
    }
}

/* A cancel in one step, its final event, and again: each answer belongs to its own life of the op.
 */
static void a_cancel_does_not_hit_the_next_life_of_its_op(struct rig *rig)
{
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        struct stage stage = stages[i];
        stage_up(rig, &stage);
        int lives = 20;
        for (int life = 1; life <= lives; life++) {
            begin(rig, &stage);
            if (life % 3 == 0)
                step(rig);
            STARTING(io_cancel(&rig->io, &stage.probe.op));
            UNTIL(rig, !io_pending(&stage.probe.op));
        }
        begin(rig, &stage);
        settle(rig);
        OK(stage.probe.finals == lives && io_pending(&stage.probe.op),
           "%s: a %s cancelled and begun twenty times waits the last time", rig->name, stage.name);
        stop(rig, &stage.probe);
        stage_down(rig, &stage);
    }
}

static void a_close_is_not_cancelled(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe probe = {.rig = rig};
    STARTING(io_close(&rig->io, &probe.op, link.fd, note));
    STARTING(io_cancel(&rig->io, &probe.op));
    UNTIL(rig, probe.finals == 1);
    OK(probe.events == 1 && probe.final == 0, "%s: a close is done, cancelled or not", rig->name);
    if (link.peer >= 0)
        close(link.peer);
}

static void bytes_queued_before_a_cancel_are_not_lost(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0};
    char bytes[26];
    for (int i = 0; i < 26; i++) {
        bytes[i] = (char)('a' + i);
        read_on(rig, &in, link.fd);
        if (i % 3 == 0)
            settle(rig);
        peer_send(rig, link, &bytes[i], 1);
        if (i % 3 == 1)
            step(rig);
        stop(rig, &in);
    }
    OK(in.finals >= 26 && !io_pending(&in.op), "%s: each recv ended", rig->name);
    peer_shutdown(rig, link);
    read_on(rig, &in, link.fd);
    UNTIL(rig, !io_pending(&in.op));
    OK(in.bytes == 26 && memcmp(in.data, bytes, 26) == 0,
       "%s: a byte that crosses a cancel comes before its final event or to the next recv",
       rig->name);
    link_down(rig, link);
}

static void a_cancelled_send_has_sent_a_beginning(struct rig *rig)
{
    for (size_t i = 3; i < COUNT_OF(stages); i++) {
        struct stage stage = stages[i];
        static char sink[1 << 16];
        stage_up(rig, &stage);
        begin(rig, &stage);
        settle(rig);
        stop(rig, &stage.probe);
        size_t total = 0;
        bool right = true;
        for (int idle = 0; idle < 3;) {
            size_t got = peer_take(rig, stage.link, sink, sizeof sink);
            right = right && memcmp(sink, stage.bytes + total, got) == 0;
            total += got;
            idle = got == 0 ? idle + 1 : 0;
            settle(rig);
        }
        OK(right && total > 0 && total < LARGE,
           "%s: of a %s cancelled halfway the peer has a beginning", rig->name, stage.name);
        OK(stage.probe.events == 1, "%s: and nothing follows it", rig->name);
        stage_down(rig, &stage);
    }
}

/* --- the other direction --- */

static void a_cancelled_reader_leaves_the_writer(struct rig *rig)
{
    for (enum io_kind kind = IO_RECV; kind <= IO_POLL; kind++) {
        struct stage stage = stages[IO_SEND];
        struct probe reader = {0};
        static char sink[1 << 16];
        assert(stage.kind == IO_SEND);
        stage_up(rig, &stage);
        if (kind == IO_RECV)
            read_on(rig, &reader, stage.fd);
        else
            poll_on(rig, &reader, stage.fd, EPOLLIN);
        begin(rig, &stage);
        settle(rig);
        stop(rig, &reader);
        OK(reader.final == -ECANCELED && stage.probe.events == 0,
           "%s: a cancelled %s leaves a waiting send alone", rig->name, stages[kind].name);
        size_t total = 0, idle = 0;
        while (total < LARGE && idle < STEPS) {
            size_t got = peer_take(rig, stage.link, sink, sizeof sink);
            total += got;
            idle = got == 0 ? idle + 1 : 0;
            settle(rig);
        }
        UNTIL(rig, stage.probe.finals == 1);
        OK(total == LARGE && stage.probe.final == LARGE, "%s: which goes on to its end", rig->name);
        peer_send(rig, stage.link, "on", 2);
        reader = (struct probe){0};
        read_on(rig, &reader, stage.fd);
        UNTIL(rig, reader.bytes == 2);
        OK(reader.bytes == 2, "%s: and reading goes on, too", rig->name);
        stop(rig, &reader);
        stage_down(rig, &stage);
    }
}

static void a_cancelled_writer_leaves_the_reader(struct rig *rig)
{
    for (size_t i = 3; i < COUNT_OF(stages); i++) {
        struct stage stage = stages[i];
        struct probe in = {0};
        stage_up(rig, &stage);
        read_on(rig, &in, stage.fd);
        begin(rig, &stage);
        settle(rig);
        peer_send(rig, stage.link, "a", 1);
        stop(rig, &stage.probe);
        peer_send(rig, stage.link, "b", 1);
        UNTIL(rig, in.bytes == 2);
        OK(stage.probe.final == -ECANCELED && in.bytes == 2,
           "%s: a cancelled %s leaves a recv alone", rig->name, stage.name);
        stop(rig, &in);
        stage_down(rig, &stage);
    }
}

/* --- from inside events --- */

static void cancel_self(struct io *io, struct io_op *op, struct io_event event)
{
    note(io, op, event);
    if (event.more)
        io_cancel(io, op);
}

static void an_op_may_cancel_itself_in_its_event(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {.rig = rig}, poll = {.rig = rig}, host = {0};
    struct door door = door_open(rig);
    int source = source_open(rig);
    STARTING(io_poll(&rig->io, &poll.op, source, EPOLLIN, cancel_self));
    STARTING(io_recv(&rig->io, &in.op, link.fd, cancel_self));
    accept_on(rig, &host, door.fd, cancel_self);
    settle(rig);
    source_ring(rig, source);
    peer_send(rig, link, "x", 1);
    int peer = door_knock(rig, &door);
    UNTIL(rig, poll.finals + in.finals + host.finals == 3);
    OK(poll.events >= 2 && poll.finals == 1 && poll.final == -ECANCELED,
       "%s: a poll may cancel itself in its event", rig->name);
    OK(in.bytes == 1 && in.finals == 1, "%s: so may a recv", rig->name);
    OK(host.events == 2 && host.final == -ECANCELED && host.inside == 0, "%s: so may an accept",
       rig->name);
    peer_send(rig, link, "yz", 2);
    source_ring(rig, source);
    settle(rig);
    OK(poll.finals == 1 && in.bytes == 1, "%s: and hears nothing after that", rig->name);
    if (peer >= 0)
        close(peer);
    close_fd(rig, host.first);
    close_fd(rig, door.fd);
    close_fd(rig, source);
    link_down(rig, link);
}

static void a_recv_that_cancels_itself_leaves_the_rest(struct rig *rig)
{
    enum { SIZE = 6 * IO_BUF_SIZE + 100 };
    struct link link = link_up(rig);
    struct probe in = {.rig = rig};
    static char bytes[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i % 253);
    peer_send(rig, link, bytes, SIZE);
    for (int starts = 0; in.bytes < SIZE && starts < 50; starts++) {
        STARTING(io_recv(&rig->io, &in.op, link.fd, cancel_self));
        UNTIL(rig, !io_pending(&in.op));
    }
    OK(in.bytes == SIZE && in.sum == sum_of(bytes, SIZE, 0) && in.finals > 0,
       "%s: what a recv leaves when it cancels itself is the next one's, without another edge",
       rig->name);
    link_down(rig, link);
}

static void cancel_other(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    note(io, op, event);
    if (event.more)
        io_cancel(io, probe->user);
}

static void an_event_may_cancel_an_op_whose_own_is_due(struct rig *rig)
{
    struct probe in = {.rig = rig}, poll = {.rig = rig, .user = &in.op};
    struct link link = link_up(rig);
    int source = source_open(rig);
    STARTING(io_poll(&rig->io, &poll.op, source, EPOLLIN, cancel_other));
    STARTING(io_recv(&rig->io, &in.op, link.fd, note));
    settle(rig);
    source_ring(rig, source);
    peer_send(rig, link, "both at once", 12);
    UNTIL(rig, !io_pending(&in.op));
    OK(poll.events > 0 && !io_pending(&in.op) && in.finals == 1,
       "%s: an event may cancel an op whose own event is next in line", rig->name);
    read_on(rig, &in, link.fd);
    UNTIL(rig, in.bytes == 12);
    OK(in.bytes == 12 && memcmp(in.data, "both at once", 12) == 0,
       "%s: and its bytes are still there", rig->name);
    stop(rig, &poll);
    stop(rig, &in);
    close_fd(rig, source);
    link_down(rig, link);
}

int main(void)
{
    static rig_test *const tests[] = {
        every_kind_is_cancelled_in_every_state,
        a_cancel_does_not_hit_the_next_life_of_its_op,
        a_close_is_not_cancelled,
        bytes_queued_before_a_cancel_are_not_lost,
        a_cancelled_send_has_sent_a_beginning,
        a_cancelled_reader_leaves_the_writer,
        a_cancelled_writer_leaves_the_reader,
        an_op_may_cancel_itself_in_its_event,
        a_recv_that_cancels_itself_leaves_the_rest,
        an_event_may_cancel_an_op_whose_own_is_due,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    return TAP_END();
}
