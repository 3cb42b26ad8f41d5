/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h) under crowds: more ops at once than a ring has submission entries, more
 * completions than it has room for, and a kernel that takes no entries for a while. Nothing may be
 * lost (rules 2 and 3). */
#include "io_rig_fds.h"

enum {
    RING = 64,                     /* submission entries; four times as many completions */
    CROWD = IO_RING_ENTRIES + 100, /* more than any ring here has entries */
    LINKS = 300,                   /* more than RING has room for completions */
    REFUSED = RING + 30,
};

struct crowd {
    int fds[CROWD];
    struct probe probes[CROWD];
};

static struct crowd *crowd_up(struct rig *rig)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    bool allowed = fds_allow(2 * CROWD);
    assert(crowd != NULL && allowed);
    for (int i = 0; i < CROWD; i++) {
        crowd->fds[i] = source_open(rig);
        crowd->probes[i].rig = rig;
    }
    return crowd;
}

static int heard(const struct crowd *crowd)
{
    int count = 0;
    for (int i = 0; i < CROWD; i++)
        count += crowd->probes[i].events > 0;
    return count;
}

static bool all_ended_once(const struct crowd *crowd, int32_t result)
{
    bool right = true;
    for (int i = 0; i < CROWD; i++)
        right = right && crowd->probes[i].finals == 1 && crowd->probes[i].final == result &&
                crowd->probes[i].inside == 0;
    return right;
}

static void cancel_all(struct rig *rig, struct crowd *crowd)
{
    for (int i = 0; i < CROWD; i++)
        STARTING(io_cancel(&rig->io, &crowd->probes[i].op));
    UNTIL(rig, rig->io.inflight == 0);
}

static void close_all(struct rig *rig, struct crowd *crowd)
{
    memset(crowd->probes, 0, sizeof crowd->probes);
    for (int i = 0; i < CROWD; i++)
        STARTING(io_close(&rig->io, &crowd->probes[i].op, crowd->fds[i], note));
    UNTIL(rig, rig->io.inflight == 0);
    OK(all_ended_once(crowd, 0), "%s: a crowd of closes at once are done, once each", rig->name);
    free(crowd);
}

static void a_crowd_starts_at_once(struct rig *rig)
{
    struct crowd *crowd = crowd_up(rig);
    for (int i = 0; i < CROWD; i++) {
        source_ring(rig, crowd->fds[i]);
        poll_on(rig, &crowd->probes[i], crowd->fds[i], EPOLLIN);
    }
    OK(heard(crowd) == 0, "%s: a crowd that starts at once hears nothing inside the starts",
       rig->name);
    UNTIL(rig, heard(crowd) == CROWD);
    OK(heard(crowd) == CROWD, "%s: and everybody is heard", rig->name);
    cancel_all(rig, crowd);
    OK(all_ended_once(crowd, -ECANCELED), "%s: cancels of a crowd at once end each once",
       rig->name);
    close_all(rig, crowd);
}

static void a_crowd_rings_at_once(struct rig *rig)
{
    struct crowd *crowd = crowd_up(rig);
    for (int i = 0; i < CROWD; i++)
        poll_on(rig, &crowd->probes[i], crowd->fds[i], EPOLLIN);
    settle(rig);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < CROWD; i++) {
            crowd->probes[i].events = 0;
            source_ring(rig, crowd->fds[i]);
        }
        UNTIL(rig, heard(crowd) == CROWD);
        OK(heard(crowd) == CROWD, "%s: everybody is heard when all ring at once, round %d",
           rig->name, round);
    }
    cancel_all(rig, crowd);
    OK(all_ended_once(crowd, -ECANCELED), "%s: and ends once", rig->name);
    close_all(rig, crowd);
}

static void a_crowd_of_cancels_meets_a_crowd_of_events(struct rig *rig)
{
    struct crowd *crowd = crowd_up(rig);
    for (int i = 0; i < CROWD; i++)
        poll_on(rig, &crowd->probes[i], crowd->fds[i], EPOLLIN);
    settle(rig);
    for (int i = 0; i < CROWD; i++)
        source_ring(rig, crowd->fds[i]);
    cancel_all(rig, crowd);
    OK(all_ended_once(crowd, -ECANCELED), "%s: cancels that meet their events end each op once",
       rig->name);
    close_all(rig, crowd);
}

static int served(const struct probe *in, const struct probe *out, int round)
{
    int count = 0;
    for (int i = 0; i < LINKS; i++)
        count += in[i].bytes == 3 * round && out[i].finals == round;
    return count;
}

/* Bytes to everybody, and a send by everybody, before a step. */
static void a_crowd_of_connections_talks_at_once(struct rig *rig)
{
    static struct link links[LINKS];
    static struct probe in[LINKS], out[LINKS];
    struct iovec slice = {"answer", 6};
    char bytes[64];
    bool allowed = fds_allow(2 * CROWD);
    assert(allowed);
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    for (int i = 0; i < LINKS; i++) {
        links[i] = link_up(rig);
        read_on(rig, &in[i], links[i].fd);
    }
    settle(rig);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < LINKS; i++) {
            peer_send(rig, links[i], "ask", 3);
            send_on(rig, &out[i], links[i].fd, (struct io_slices){&slice, 1});
        }
        UNTIL(rig, served(in, out, round) == LINKS);
        OK(served(in, out, round) == LINKS, "%s: a crowd hears and is heard at once, round %d",
           rig->name, round);
    }
    bool right = true;
    for (int i = 0; i < LINKS; i++) {
        right = right && in[i].inside + out[i].inside == 0 && out[i].final == 6 &&
                memcmp(in[i].data, "askaskask", 9) == 0 &&
                peer_take(rig, links[i], bytes, sizeof bytes) == 18;
        stop(rig, &in[i]);
        link_down(rig, links[i]);
    }
    OK(right, "%s: nobody missed a word", rig->name);
}

/* Sends fill the room for completions before the kernel looks at what rings: it ends multishot ops
 * then, and they have to be armed again. */
static void a_crowd_rings_when_there_is_no_room(struct rig *rig)
{
    static struct link links[LINKS];
    static struct probe out[LINKS];
    struct iovec slice = {"answer", 6};
    struct crowd *crowd = crowd_up(rig);
    memset(out, 0, sizeof out);
    for (int i = 0; i < CROWD; i++)
        poll_on(rig, &crowd->probes[i], crowd->fds[i], EPOLLIN);
    for (int i = 0; i < LINKS; i++)
        links[i] = link_up(rig);
    settle(rig);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < CROWD; i++) {
            crowd->probes[i].events = 0;
            source_ring(rig, crowd->fds[i]);
        }
        for (int i = 0; i < LINKS; i++)
            send_on(rig, &out[i], links[i].fd, (struct io_slices){&slice, 1});
        UNTIL(rig, heard(crowd) == CROWD && rig->io.inflight == CROWD);
        OK(heard(crowd) == CROWD && rig->io.inflight == CROWD,
           "%s: everybody is heard when there was no room for completions, round %d", rig->name,
           round);
    }
    for (int i = 0; i < LINKS; i++)
        link_down(rig, links[i]);
    cancel_all(rig, crowd);
    OK(all_ended_once(crowd, -ECANCELED), "%s: and ends once", rig->name);
    close_all(rig, crowd);
}

#ifdef ASKR_HAVE_LIBURING
static void a_kernel_that_takes_nothing_loses_nothing(struct rig *rig)
{
    static struct probe probes[REFUSED];
    int fds[REFUSED], cancelled = 0, right = 0;
    if (rig->io.backend != &io_uring_backend) {
        OK(true, "%s # SKIP only a ring can be refused", rig->name);
        return;
    }
    memset(probes, 0, sizeof probes);
    uring_refuse(&rig->io, true);
    for (int i = 0; i < REFUSED; i++) {
        fds[i] = source_open(rig);
        source_ring(rig, fds[i]);
        poll_on(rig, &probes[i], fds[i], EPOLLIN);
    }
    /* Some are in the queue, which is full, so that their cancels find no room; the others wait. */
    for (int i = 0; i < REFUSED; i += 3, cancelled++) {
        STARTING(io_cancel(&rig->io, &probes[i].op));
        STARTING(io_cancel(&rig->io, &probes[i].op));
    }
    OK(rig->io.inflight == REFUSED, "%s: ops that the kernel refuses are pending", rig->name);
    uring_refuse(&rig->io, false);
    UNTIL(rig, rig->io.inflight == (uint32_t)(REFUSED - cancelled));
    settle(rig);
    for (int i = 0; i < REFUSED; i++)
        right += i % 3 == 0 ? probes[i].finals == 1 && probes[i].final == -ECANCELED
                            : probes[i].events > 0 && probes[i].finals == 0;
    OK(right == REFUSED, "%s: those cancelled end, and the others are heard", rig->name);
    for (int i = 0; i < REFUSED; i++) {
        STARTING(io_cancel(&rig->io, &probes[i].op));
        UNTIL(rig, !io_pending(&probes[i].op));
        close_fd(rig, fds[i]);
    }
}

/* A cancel that found no room must not hit what its op became: it may end by itself before. */
static void a_cancel_that_waits_ends_with_its_op(struct rig *rig)
{
    static struct probe probes[RING];
    struct probe in = {0};
    int fds[RING];
    if (rig->io.backend != &io_uring_backend) {
        OK(true, "%s # SKIP only a ring can be refused", rig->name);
        return;
    }
    memset(probes, 0, sizeof probes);
    struct link link = link_up(rig);
    in.rig = rig;
    STARTING(io_recv(&rig->io, &in.op, link.fd, note));
    settle(rig);
    peer_shutdown(rig, link);
    uring_refuse(&rig->io, true);
    for (int i = 0; i < RING; i++) {
        fds[i] = source_open(rig);
        poll_on(rig, &probes[i], fds[i], EPOLLIN);
    }
    STARTING(io_cancel(&rig->io, &in.op));
    UNTIL(rig, in.finals == 1);
    OK(in.finals == 1 && (in.final == 0 || in.final == -ECANCELED),
       "%s: an op may end while its cancel waits for room", rig->name);
    uring_refuse(&rig->io, false);
    for (int i = 0; i < RING; i++) {
        stop(rig, &probes[i]);
        close_fd(rig, fds[i]);
    }
    link_down(rig, link);
    struct link next = link_up(rig);
    read_on(rig, &in, next.fd);
    settle(rig);
    OK(in.finals == 1 && io_pending(&in.op), "%s: and its next life is not cancelled", rig->name);
    stop(rig, &in);
    link_down(rig, next);
}
#endif

int main(void)
{
    static rig_test *const tests[] = {
        a_crowd_starts_at_once,
        a_crowd_rings_at_once,
        a_crowd_of_cancels_meets_a_crowd_of_events,
        a_crowd_of_connections_talks_at_once,
        a_crowd_rings_when_there_is_no_room,
#ifdef ASKR_HAVE_LIBURING
        a_kernel_that_takes_nothing_loses_nothing,
        a_cancel_that_waits_ends_with_its_op,
#endif
    };
    RIG_RUN_ALL(tests, (&(struct io_options){.ring_entries = RING}));
    static rig_test *const full_size[] = {a_crowd_starts_at_once, a_crowd_rings_at_once};
    RIG_RUN_ALL(full_size, &(struct io_options){0});
    return TAP_END();
}
