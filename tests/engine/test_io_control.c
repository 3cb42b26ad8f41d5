/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): edges of a poll, closing and reusing an fd (rule 7), and what both
 * directions of an fd do to each other (rule 5). */
#include "io_rig_fds.h"

static void a_poll_fires_for_each_edge(struct rig *rig)
{
    int source = source_open(rig);
    struct probe poll = {0};
    poll_on(rig, &poll, source, EPOLLIN);
    settle(rig);
    OK(poll.events == 0 && io_pending(&poll.op), "%s: a poll waits while there is nothing",
       rig->name);
    for (int i = 1; i <= 5; i++) {
        int before = poll.events;
        source_ring(rig, source);
        UNTIL(rig, poll.events > before);
        settle(rig);
        OK(poll.events > before && (poll.last & EPOLLIN) != 0 && poll.finals == 0,
           "%s: edge %d fires, though nobody read after the one before", rig->name, i);
    }
    source_calm(rig, source);
    int before = poll.events;
    settle(rig);
    OK(poll.events == before, "%s: a read fires nothing", rig->name);
    source_ring(rig, source);
    UNTIL(rig, poll.events > before);
    OK(poll.events > before, "%s: and the edge after it does", rig->name);
    stop(rig, &poll);
    OK(poll.finals == 1 && poll.final == -ECANCELED && poll.inside == 0,
       "%s: until it is cancelled", rig->name);
    close_fd(rig, source);
}

static void a_poll_fires_at_the_start_for_what_is_there(struct rig *rig)
{
    int source = source_open(rig);
    struct probe poll = {0};
    source_ring(rig, source);
    for (int i = 1; i <= 3; i++) {
        int before = poll.events;
        poll_on(rig, &poll, source, EPOLLIN);
        OK(poll.events == before, "%s: a poll that starts ready does not fire inside its start",
           rig->name);
        UNTIL(rig, poll.events > before);
        OK(poll.events > before && poll.finals == i - 1,
           "%s: it fires soon, at start %d as at the first", rig->name, i);
        stop(rig, &poll);
    }
    source_calm(rig, source);
    int before = poll.events;
    poll_on(rig, &poll, source, EPOLLIN);
    settle(rig);
    OK(poll.events == before, "%s: a start after the read fires nothing", rig->name);
    stop(rig, &poll);
    close_fd(rig, source);
}

static void edges_between_a_cancel_and_a_start_are_not_lost(struct rig *rig)
{
    int source = source_open(rig);
    struct probe poll = {0};
    poll_on(rig, &poll, source, EPOLLIN);
    settle(rig);
    stop(rig, &poll);
    source_ring(rig, source);
    settle(rig);
    OK(poll.finals == 1 && poll.events == 1, "%s: an ended poll hears nothing", rig->name);
    poll_on(rig, &poll, source, EPOLLIN);
    UNTIL(rig, poll.events > 1);
    OK(poll.events > 1 && poll.last == EPOLLIN, "%s: what rang meanwhile fires its next start",
       rig->name);
    stop(rig, &poll);
    close_fd(rig, source);
}

static void a_poll_of_a_socket_hears_bytes_and_their_end(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe poll = {0};
    poll_on(rig, &poll, link.fd, EPOLLIN | EPOLLRDHUP);
    settle(rig);
    OK(poll.events == 0, "%s: a silent socket is silent, though it could be written to", rig->name);
    peer_send(rig, link, "a", 1);
    UNTIL(rig, poll.events > 0);
    OK(poll.last == EPOLLIN, "%s: bytes are an edge", rig->name);
    int before = poll.events;
    peer_send(rig, link, "b", 1);
    UNTIL(rig, poll.events > before);
    OK(poll.events > before, "%s: more bytes are another, with the first unread", rig->name);
    before = poll.events;
    peer_shutdown(rig, link);
    UNTIL(rig, (poll.last & EPOLLRDHUP) != 0);
    OK(poll.events > before && (poll.last & EPOLLRDHUP) != 0, "%s: their end is told", rig->name);
    settle(rig);
    before = poll.events;
    settle(rig);
    OK(poll.events == before, "%s: and not over and over", rig->name);
    stop(rig, &poll);
    link_down(rig, link);
}

static void a_poll_after_a_recv_hears_what_is_there(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {0}, poll = {0};
    read_on(rig, &in, link.fd);
    peer_send(rig, link, "read", 4);
    UNTIL(rig, in.bytes == 4);
    stop(rig, &in);
    peer_send(rig, link, "unread", 6);
    settle(rig);
    poll_on(rig, &poll, link.fd, EPOLLIN);
    UNTIL(rig, poll.events > 0);
    OK(poll.events > 0 && (poll.last & EPOLLIN) != 0,
       "%s: a poll of a socket that was read before fires for what it holds", rig->name);
    stop(rig, &poll);
    read_on(rig, &in, link.fd);
    UNTIL(rig, in.bytes == 10);
    OK(in.bytes == 10, "%s: and a recv after the poll reads it", rig->name);
    stop(rig, &in);
    link_down(rig, link);
}

static void a_hangup_is_told_without_being_asked_for(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe poll = {0};
    poll_on(rig, &poll, link.fd, EPOLLRDHUP);
    settle(rig);
    peer_reset(rig, &link);
    UNTIL(rig, (poll.last & EPOLLHUP) != 0);
    OK((poll.last & EPOLLHUP) != 0 && poll.finals == 0, "%s: a poll hears of a hangup", rig->name);
    settle(rig);
    int before = poll.events;
    settle(rig);
    OK(poll.events == before, "%s: once, not over and over", rig->name);
    stop(rig, &poll);
    link_down(rig, link);
}

/* --- closing --- */

static void close_and_count(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    note(io, op, event);
    if (event.more || event.result != 0)
        return;
    if (op->kind == IO_RECV)
        io_close(io, op, op->fd, close_and_count);
    else
        probe->restart = true; /* closed */
}

static void an_fd_is_closed_from_its_last_event(struct rig *rig)
{
    struct link link = link_up(rig);
    struct probe in = {.rig = rig};
    STARTING(io_recv(&rig->io, &in.op, link.fd, close_and_count));
    peer_shutdown(rig, link);
    UNTIL(rig, in.restart);
    OK(in.restart && in.finals == 2 && in.inside == 0,
       "%s: the op whose last event came may close its fd", rig->name);
    OK(is_sim(rig) ? !sim_is_open(&rig->io, link.fd) : fcntl(link.fd, F_GETFD) < 0,
       "%s: and then it is closed", rig->name);
    if (link.peer >= 0)
        close(link.peer);
}

static void a_close_of_nothing_says_so(struct rig *rig)
{
    struct probe probe = {.rig = rig};
    int fd = is_sim(rig) ? -1 : dup(0);
    if (is_sim(rig)) {
        OK(true, "%s # SKIP closing what is not open is asserted against", rig->name);
        return;
    }
    close(fd);
    STARTING(io_close(&rig->io, &probe.op, fd, note));
    OK(probe.events == 0, "%s: a failed close is no event of its start", rig->name);
    UNTIL(rig, probe.finals == 1);
    OK(probe.finals == 1 && probe.final == -EBADF, "%s: but a result", rig->name);
}

/* The number `fd`, as another file. */
static void take_number(struct rig *rig, int fd)
{
    if (is_sim(rig)) {
        int got = sim_source(&rig->io);
        assert(got == fd); /* the lowest that is free */
        return;
    }
    int source = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int got = source == fd ? source : dup3(source, fd, O_CLOEXEC);
    assert(source >= 0 && got == fd);
    if (source != fd)
        close(source);
}

static void a_reused_number_is_another_file(struct rig *rig)
{
    struct probe old = {0}, fresh = {0}, idle = {0};
    struct link link = link_up(rig);
    read_on(rig, &old, link.fd);
    settle(rig);
    stop(rig, &old);
    peer_send(rig, link, "late", 4);
    settle(rig);
    close_fd(rig, link.fd);
    take_number(rig, link.fd);
    poll_on(rig, &fresh, link.fd, EPOLLIN);
    settle(rig);
    OK(fresh.events == 0, "%s: what the former owner of a number was sent is not the next one's",
       rig->name);
    source_ring(rig, link.fd);
    UNTIL(rig, fresh.events > 0);
    OK(fresh.events > 0 && fresh.last == EPOLLIN, "%s: who hears of its own edges", rig->name);
    stop(rig, &fresh);
    link_down(rig, link);

    int source = source_open(rig);
    poll_on(rig, &idle, source, EPOLLIN);
    settle(rig);
    stop(rig, &idle);
    close_fd(rig, source);
    take_number(rig, source);
    fresh = (struct probe){0};
    source_ring(rig, source);
    poll_on(rig, &fresh, source, EPOLLIN);
    UNTIL(rig, fresh.events > 0);
    OK(fresh.events > 0, "%s: also where the former owner had heard nothing", rig->name);
    stop(rig, &fresh);
    close_fd(rig, source);
}

struct swap { /* closes another fd and takes its number, inside an event */
    struct probe trigger, fresh;
    struct io_op closing;
    struct link victim;
    bool closed, swapped;
};

static void start_fresh(struct swap *swap)
{
    struct rig *rig = swap->trigger.rig;
    take_number(rig, swap->victim.fd);
    swap->swapped = true;
    swap->fresh.rig = rig;
    io_poll(&rig->io, &swap->fresh.op, swap->victim.fd, EPOLLIN | EPOLLRDHUP, note);
}

static void on_closed(struct io *io, struct io_op *op, struct io_event event)
{
    struct swap *swap = CONTAINER_OF(op, struct swap, closing);
    (void)io;
    assert(event.result == 0);
    swap->closed = true;
    if (!swap->swapped)
        start_fresh(swap);
}

static void swap_victim(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    struct swap *swap = CONTAINER_OF(probe, struct swap, trigger);
    note(io, op, event);
    if (!event.more || event.result <= 0 || swap->trigger.events > 1)
        return;
    io_close(io, &swap->closing, swap->victim.fd, on_closed);
    /* epoll has closed it by now, so accept4() might return this number before on_closed(). */
    bool open = is_sim(probe->rig) ? sim_is_open(io, swap->victim.fd)
                                   : fcntl(swap->victim.fd, F_GETFD) >= 0;
    if (!open)
        start_fresh(swap);
}

static void a_stale_event_of_the_same_step_reaches_nobody(struct rig *rig)
{
    struct swap swap = {.trigger.rig = rig};
    struct probe victim = {0};
    int trigger = source_open(rig);
    swap.victim = link_up(rig);
    read_on(rig, &victim, swap.victim.fd);
    STARTING(io_poll(&rig->io, &swap.trigger.op, trigger, EPOLLIN, swap_victim));
    settle(rig);
    stop(rig, &victim);
    source_ring(rig, trigger); /* first, so that its event is in front of the victim's */
    peer_send(rig, swap.victim, "late", 4);
    peer_shutdown(rig, swap.victim);
    UNTIL(rig, swap.closed);
    settle(rig);
    OK(swap.swapped && victim.bytes == 0 && swap.fresh.events == 0,
       "%s: an event fetched before a close does not reach the number's next owner", rig->name);
    source_ring(rig, swap.victim.fd);
    UNTIL(rig, swap.fresh.events > 0);
    OK(swap.fresh.last == EPOLLIN, "%s: who hears of its own", rig->name);
    stop(rig, &swap.trigger);
    stop(rig, &swap.fresh);
    close_fd(rig, trigger);
    link_down(rig, swap.victim);
}

static void a_number_changes_hands_many_times(struct rig *rig)
{
    int first = -1, same = 0;
    bool right = true;
    for (int i = 0; i < 50; i++) {
        struct link link = link_up(rig);
        struct probe in = {0};
        if (first < 0)
            first = link.fd;
        same += link.fd == first;
        read_on(rig, &in, link.fd);
        peer_send(rig, link, &"abc"[i % 3], 1);
        UNTIL(rig, in.bytes == 1);
        right = right && in.bytes == 1 && in.data[0] == "abc"[i % 3];
        peer_send(rig, link, "unread", 6);
        stop(rig, &in);
        link_down(rig, link);
    }
    OK(right && same > 1, "%s: fifty connections one after another get their own bytes (%d reused)",
       rig->name, same);
}

int main(void)
{
    static rig_test *const tests[] = {
        a_poll_fires_for_each_edge,
        a_poll_fires_at_the_start_for_what_is_there,
        edges_between_a_cancel_and_a_start_are_not_lost,
        a_poll_of_a_socket_hears_bytes_and_their_end,
        a_poll_after_a_recv_hears_what_is_there,
        a_hangup_is_told_without_being_asked_for,
        an_fd_is_closed_from_its_last_event,
        a_close_of_nothing_says_so,
        a_reused_number_is_another_file,
        a_stale_event_of_the_same_step_reaches_nobody,
        a_number_changes_hands_many_times,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    return TAP_END();
}
