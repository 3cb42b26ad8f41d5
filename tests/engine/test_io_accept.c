/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): accepting, by io_accept() on a listener of one's own and by io_poll()
 * with accept4() on one that workers share. */
#include "io_rig_fds.h"

enum { MANY = 40 };

struct host { /* an accept that keeps what came */
    struct probe probe;
    int fds[MANY];
    int count;
};

static void keep(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    struct host *host = CONTAINER_OF(probe, struct host, probe);
    note(io, op, event);
    if (event.result >= 0 && host->count < MANY)
        host->fds[host->count++] = event.result;
}

static void close_guests(struct rig *rig, struct host *host, const int *peers)
{
    for (int i = 0; i < host->count; i++)
        link_down(rig, (struct link){host->fds[i], peers == NULL ? -1 : peers[i]});
}

/* Sockets that the engine gets are blocking and close-on-exec. */
static bool has_right_flags(struct rig *rig, int fd)
{
    return is_sim(rig) ||
           ((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void an_accept_fires_for_each_connection(struct rig *rig)
{
    struct door door = door_open(rig);
    struct host host = {0};
    struct probe in = {0};
    int peers[MANY];
    peers[0] = door_knock(rig, &door);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.count == 1);
    OK(host.count == 1 && host.probe.finals == 0, "%s: a connection from before the start is told",
       rig->name);
    for (int i = 1; i < MANY; i++)
        peers[i] = door_knock(rig, &door);
    UNTIL(rig, host.count == MANY);
    settle(rig);
    OK(host.count == MANY && host.probe.events == MANY && host.probe.finals == 0,
       "%s: one start is enough for all that come, each once", rig->name);
    OK(has_right_flags(rig, host.fds[0]) && has_right_flags(rig, host.fds[MANY - 1]),
       "%s: connections are blocking and close-on-exec", rig->name);
    struct link first = {host.fds[0], peers[0]};
    read_on(rig, &in, first.fd);
    peer_send(rig, first, "hello", 5);
    UNTIL(rig, in.bytes == 5);
    OK(in.bytes == 5, "%s: and usable", rig->name);
    stop(rig, &in);
    stop(rig, &host.probe);
    OK(host.probe.finals == 1 && host.probe.final == -ECANCELED && host.probe.inside == 0,
       "%s: an accept ends when it is cancelled", rig->name);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

static void a_cancelled_accept_may_be_started_again(struct rig *rig)
{
    struct door door = door_open(rig);
    struct host host = {0};
    int peers[2];
    accept_on(rig, &host.probe, door.fd, keep);
    settle(rig);
    stop(rig, &host.probe);
    peers[0] = door_knock(rig, &door);
    settle(rig);
    OK(host.count == 0, "%s: nothing is accepted while nobody accepts", rig->name);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.count == 1);
    peers[1] = door_knock(rig, &door);
    UNTIL(rig, host.count == 2);
    OK(host.count == 2, "%s: what knocked meanwhile is accepted after the next start", rig->name);
    stop(rig, &host.probe);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

static void a_connection_cancelled_at_the_door_is_not_lost(struct rig *rig)
{
    struct door door = door_open(rig);
    struct host host = {0};
    accept_on(rig, &host.probe, door.fd, keep);
    settle(rig);
    int peer = door_knock(rig, &door);
    stop(rig, &host.probe);
    OK(host.probe.finals == 1 && (host.probe.final == -ECANCELED || host.probe.final >= 0),
       "%s: a cancel and a connection at once end the accept once", rig->name);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.count == 1);
    OK(host.count == 1, "%s: and the connection comes, before or after", rig->name);
    stop(rig, &host.probe);
    close_guests(rig, &host, &peer);
    close_fd(rig, door.fd);
}

static void keep_one(struct io *io, struct io_op *op, struct io_event event)
{
    keep(io, op, event);
    if (event.more)
        io_cancel(io, op);
}

static void an_accept_that_cancels_itself_loses_nobody(struct rig *rig)
{
    struct door door = door_open(rig);
    struct host host = {0};
    int peers[5];
    for (int i = 0; i < 5; i++)
        peers[i] = door_knock(rig, &door);
    /* Nothing says that the listener is blocking: the backend makes it what it needs. */
    int failed = is_sim(rig) ? 0 : fcntl(door.fd, F_SETFL, O_NONBLOCK);
    assert(!failed);
    for (int starts = 0; host.count < 5 && starts < 10; starts++) {
        accept_on(rig, &host.probe, door.fd, keep_one);
        UNTIL(rig, !io_pending(&host.probe.op));
    }
    settle(rig);
    OK(host.count == 5 && host.probe.events == 5 + host.probe.finals,
       "%s: who knocks at an accept that cancels itself is the next one's", rig->name);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

/* EMFILE, in one of sim's or the kernel's ways; `room` connections still fit. */
static struct rlimit shortage(struct rig *rig, int fd, int room)
{
    if (!is_sim(rig))
        return fds_limit(room);
    if (room == 0)
        sim_error(&rig->io, fd, EMFILE);
    return (struct rlimit){0};
}

static void end_shortage(struct rig *rig, const struct rlimit *before)
{
    int failed = is_sim(rig) ? 0 : setrlimit(RLIMIT_NOFILE, before);
    assert(!failed);
}

static void a_shortage_of_fds_ends_an_accept(struct rig *rig)
{
    struct door door = door_open(rig);
    struct host host = {0};
    int peers[2];
    peers[0] = door_knock(rig, &door);
    peers[1] = door_knock(rig, &door);
    struct rlimit before = shortage(rig, door.fd, 0);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.probe.finals == 1);
    OK(host.probe.events == 1 && host.probe.final == -EMFILE,
       "%s: -EMFILE is an accept's last event", rig->name);
    settle(rig);
    OK(host.probe.events == 1 && !io_pending(&host.probe.op), "%s: and nothing follows it",
       rig->name);
    end_shortage(rig, &before);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.count == 2);
    OK(host.count == 2, "%s: whoever knocked meanwhile is accepted after the next start",
       rig->name);
    stop(rig, &host.probe);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

static void a_shortage_in_the_middle_ends_an_accept(struct rig *rig)
{
    struct door door = door_open(rig);
    struct host host = {0};
    int peers[3];
    for (int i = 0; i < 3; i++)
        peers[i] = door_knock(rig, &door);
    struct rlimit before = shortage(rig, door.fd, 2);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.count == 2);
    if (is_sim(rig))
        shortage(rig, door.fd, 0);
    UNTIL(rig, host.probe.finals == 1);
    OK(host.count == 2 && host.probe.events == 3 && host.probe.final == -EMFILE,
       "%s: two fds were left, so two connections come and then -EMFILE", rig->name);
    end_shortage(rig, &before);
    accept_on(rig, &host.probe, door.fd, keep);
    UNTIL(rig, host.count == 3);
    OK(host.count == 3, "%s: the third waited", rig->name);
    stop(rig, &host.probe);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

/* --- a listener that workers share --- */

struct worker { /* a poll, and accept4() until EAGAIN */
    struct probe probe;
    struct host *host; /* of all workers together */
    const struct door *door;
    int taken, limit;
};

static void take_some(struct io *io, struct io_op *op, struct io_event event)
{
    struct probe *probe = CONTAINER_OF(op, struct probe, op);
    struct worker *worker = CONTAINER_OF(probe, struct worker, probe);
    note(io, op, event);
    while (event.more && worker->taken < worker->limit) {
        int fd = door_take(probe->rig, worker->door);
        if (fd < 0) {
            assert(fd == -EAGAIN);
            return;
        }
        worker->host->fds[worker->host->count++] = fd;
        worker->taken++;
    }
}

static void work_on(struct rig *rig, struct worker *worker)
{
    worker->probe.rig = rig;
    STARTING(io_poll(&rig->io, &worker->probe.op, worker->door->fd, EPOLLIN, take_some));
}

/* The accept4() of a shared listener must not block. */
static struct door shared_door(struct rig *rig)
{
    struct door door = door_open(rig);
    int failed = is_sim(rig) ? 0 : fcntl(door.fd, F_SETFL, O_NONBLOCK);
    assert(!failed);
    return door;
}

static void a_poll_tells_of_connections(struct rig *rig)
{
    struct door door = shared_door(rig);
    struct host host = {0};
    struct worker worker = {.host = &host, .door = &door, .limit = MANY};
    int peers[MANY];
    peers[0] = door_knock(rig, &door);
    work_on(rig, &worker);
    UNTIL(rig, host.count == 1);
    OK(host.count == 1, "%s: a poll of a listener tells of who waits already", rig->name);
    for (int i = 1; i < MANY; i++) {
        peers[i] = door_knock(rig, &door);
        if (i % 7 == 0)
            UNTIL(rig, host.count == i + 1);
    }
    UNTIL(rig, host.count == MANY);
    OK(host.count == MANY && worker.probe.finals == 0,
       "%s: and of all who come later, without a new start", rig->name);
    stop(rig, &worker.probe);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

static void a_listener_left_alone_fires_again_for_the_next(struct rig *rig)
{
    struct door door = shared_door(rig);
    struct host host = {0};
    struct worker worker = {.host = &host, .door = &door, .limit = 0};
    int peers[3];
    work_on(rig, &worker);
    peers[0] = door_knock(rig, &door);
    UNTIL(rig, worker.probe.events > 0);
    peers[1] = door_knock(rig, &door);
    settle(rig);
    int before = worker.probe.events;
    OK(before > 0 && host.count == 0, "%s: who defers hears, and takes nobody", rig->name);
    worker.limit = MANY;
    peers[2] = door_knock(rig, &door);
    UNTIL(rig, host.count == 3);
    OK(host.count == 3, "%s: and the next knock brings those who wait, too", rig->name);
    stop(rig, &worker.probe);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

static bool second_rig(struct rig *rig, struct rig *second)
{
    static const struct rig_kind *kind;
    askr_error error;
    for (size_t i = 0; i < COUNT_OF(rig_kinds); i++)
        if (strcmp(rig_kinds[i].name, rig->name) == 0)
            kind = &rig_kinds[i];
    return rig_open(second, kind, &(struct io_options){0}, &error);
}

static void a_stopped_worker_takes_no_connection_with_it(struct rig *rig)
{
    struct rig *stopped = malloc(sizeof *stopped);
    struct host host = {0};
    int peers[10];
    assert(stopped != NULL);
    if (is_sim(rig) || !second_rig(rig, stopped)) {
        OK(true, "%s # SKIP a simulation has its listeners for itself", rig->name);
        free(stopped);
        return;
    }
    struct door door = shared_door(rig);
    struct worker one = {.host = &host, .door = &door, .limit = MANY}, other = one;
    work_on(stopped, &one);
    work_on(rig, &other);
    settle(stopped);
    settle(rig);
    for (int i = 0; i < 5; i++) {
        peers[i] = door_knock(rig, &door);
        UNTIL(rig, other.taken == i + 1);
    }
    OK(other.taken == 5, "%s: one worker hears all knocks while the other is stopped", rig->name);
    for (int i = 5; i < 10; i++) {
        peers[i] = door_knock(rig, &door);
        UNTIL(stopped, one.taken == i - 4);
    }
    OK(one.taken == 5 && host.count == 10, "%s: and the other way round", rig->name);
    stop(stopped, &one.probe);
    stop(rig, &other.probe);
    io_fini(&stopped->io);
    free(stopped);
    close_guests(rig, &host, peers);
    close_fd(rig, door.fd);
}

int main(void)
{
    static rig_test *const tests[] = {
        an_accept_fires_for_each_connection,
        a_cancelled_accept_may_be_started_again,
        a_connection_cancelled_at_the_door_is_not_lost,
        an_accept_that_cancels_itself_loses_nobody,
        a_shortage_of_fds_ends_an_accept,
        a_shortage_in_the_middle_ends_an_accept,
        a_poll_tells_of_connections,
        a_listener_left_alone_fires_again_for_the_next,
        a_stopped_worker_takes_no_connection_with_it,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    return TAP_END();
}
