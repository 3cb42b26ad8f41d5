/* SPDX-License-Identifier: MIT
 * The simulated kernel: sockets, listeners and pollable things in memory, for tests and fuzzers.
 *
 * One end of every simulated fd is driven by io ops, the other by the functions below: the test
 * plays the peer. Nothing happens by itself and nothing is random; a step tries the waiting ops in
 * the order of their fds, so the same calls give the same events. Real files may be given to
 * io_sendfile(). The clock is io->now_ns: it stands still while there are events, and a step
 * without any moves it to its deadline instead of sleeping.
 *
 *     int fd = sim_socket(&io);
 *     io_recv(&io, &op, fd, done);
 *     sim_feed(&io, fd, "GET / HTTP/1.1\r\n", 16);
 *     io_step(&io, 0);                              -> done(16 bytes)
 *     size_t size = sim_take(&io, fd, answer, sizeof answer);
 *
 * Failure modes are asked for: sim_fail() makes the Nth op of a kind fail, sim_slice() cuts every
 * transfer into pieces, sim_room() is a peer that does not read. */
#ifndef ASKR_IO_SIM_H
#define ASKR_IO_SIM_H

#include "io/io.h"

enum {
    SIM_FD_FIRST = 1 << 16, /* above what a test opens: a system call on one gives EBADF */
    SIM_FDS_MAX = 4096,
    SIM_ROOM = 64 * 1024, /* what a peer lets itself be sent before it reads */
};

int sim_socket(struct io *);   /* a connected one */
int sim_listener(struct io *); /* for io_accept() */
int sim_source(struct io *);   /* for io_poll() */

/* The peer of a socket. */
void sim_feed(struct io *, int fd, const void *bytes, size_t size);
/* What was sent, in order; also after a close, until the number is used again. */
size_t sim_take(struct io *, int fd, void *bytes, size_t size);
size_t sim_waiting(struct io *, int fd); /* bytes sim_take() would find */
void sim_shutdown(struct io *, int fd);  /* end of its stream */
void sim_reset(struct io *, int fd);     /* a TCP reset: what was on its way either way is lost */

/* A new connection; the fd that io_accept() will report. */
int sim_connect(struct io *, int listener);
/* What accept4(2) is to somebody who polls a listener: a new fd, or -EAGAIN. */
int sim_accept(struct io *, int listener);
/* An edge on a source: fires a poll of one of these events. They stay true until sim_calm(). */
void sim_fire(struct io *, int fd, uint32_t events);
void sim_calm(struct io *, int fd);
bool sim_is_open(struct io *, int fd);

/* At most this many bytes in one recv, and in one round of a send; 0: as many as there are. */
void sim_slice(struct io *, uint32_t size);
void sim_room(struct io *, int fd, size_t room);
/* A recv ends with every buffer, as on kernels without multishot recv. */
void sim_one_shot(struct io *);
/* Works stay where they are, as if a disk held them, until they are let go. */
void sim_hold_works(struct io *, bool hold);
/* The recv, accept or send that waits on the fd, or comes next, ends with -errnum. */
void sim_error(struct io *, int fd, int errnum);
/* The nth op of this kind to start from now on (1: the next) ends with -errnum and does nothing; a
 * close closes nevertheless, as it does in Linux, and a work is done. One fault of each kind at a
 * time. */
void sim_fail(struct io *, enum io_kind kind, uint32_t nth, int errnum);

#endif
