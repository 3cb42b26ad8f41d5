/* SPDX-License-Identifier: MIT
 * The simulated kernel of sim.h as an I/O backend.
 *
 * Ops wait in their fd's entry, a reader and a writer; each step tries all of them once, in the
 * order of fds. Memory that cannot be had ends the test process: a simulation has nobody to tell.
 */
#include "io/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/backend.h"

enum { SIM_PARKED = IO_STATE_OWN };

/* The clock of a new simulation: not 0, so that "long ago" can be said. */
#define SIM_START_NS NS_PER_S

enum sim_kind { SIM_CLOSED, SIM_SOCKET, SIM_LISTENER, SIM_SOURCE };

struct sim_bytes { /* on their way; those before `taken` have arrived */
    char *data;
    size_t size, taken, capacity;
};

struct sim_fd {
    enum sim_kind kind;
    struct io_op *reader, *writer;
    struct sim_bytes in, out;
    size_t room;
    int error;          /* to be reported once, like SO_ERROR */
    bool ended, broken; /* the peer's stream has ended; there is no peer any more */
    uint32_t edges;     /* of a poll, not yet reported */
    uint32_t level;     /* of a source: what is true until sim_calm() */
    int *queue;         /* of a listener */
    size_t queue_count;
};

struct sim {
    struct sim_fd *fds[SIM_FDS_MAX];
    int used;
    uint32_t slice;
    bool one_shot;
    bool moved; /* did this step carry bytes? */
    bool works_held;
    struct io_queue works; /* run by the next step */
    struct {
        uint32_t countdown; /* 0: none */
        int errnum;
    } faults[IO_KINDS];
};

static struct sim_fd *fd_of(struct io *io, int fd)
{
    struct sim *sim = io->priv;
    assert(io->backend == &io_sim && fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + sim->used);
    return sim->fds[fd - SIM_FD_FIRST];
}

/* --- bytes --- */

static size_t bytes_left(const struct sim_bytes *bytes)
{
    return bytes->size - bytes->taken;
}

static void bytes_add(struct sim_bytes *bytes, const void *data, size_t size)
{
    if (bytes->taken == bytes->size)
        bytes->taken = bytes->size = 0;
    if (bytes->size + size > bytes->capacity) {
        size_t capacity = 2 * (bytes->size + size);
        char *grown = realloc(bytes->data, capacity);
        assert(grown != NULL);
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static size_t bytes_take(struct sim_bytes *bytes, void *data, size_t size)
{
    size = size_min(size, bytes_left(bytes));
    if (size > 0)
        memcpy(data, bytes->data + bytes->taken, size);
    bytes->taken += size;
    return size;
}

/* --- the test's side --- */

static int new_fd(struct io *io, enum sim_kind kind)
{
    struct sim *sim = io->priv;
    assert(io->backend == &io_sim);
    int index = 0;
    while (index < sim->used && sim->fds[index]->kind != SIM_CLOSED)
        index++; /* the lowest free number, as in Linux: what was closed is reused */
    assert(index < SIM_FDS_MAX);
    if (index == sim->used) {
        sim->fds[index] = calloc(1, sizeof *sim->fds[index]);
        assert(sim->fds[index] != NULL);
        sim->used++;
    }
    free(sim->fds[index]->out.data);
    *sim->fds[index] = (struct sim_fd){.kind = kind, .room = SIM_ROOM};
    return SIM_FD_FIRST + index;
}

int sim_socket(struct io *io)
{
    return new_fd(io, SIM_SOCKET);
}

int sim_listener(struct io *io)
{
    return new_fd(io, SIM_LISTENER);
}

int sim_source(struct io *io)
{
    return new_fd(io, SIM_SOURCE);
}

void sim_feed(struct io *io, int fd, const void *bytes, size_t size)
{
    struct sim_fd *socket = fd_of(io, fd);
    assert(socket->kind == SIM_SOCKET && !socket->ended);
    bytes_add(&socket->in, bytes, size);
    socket->edges |= EPOLLIN;
}

size_t sim_take(struct io *io, int fd, void *bytes, size_t size)
{
    struct sim_fd *socket = fd_of(io, fd);
    socket->edges |= EPOLLOUT;
    return bytes_take(&socket->out, bytes, size);
}

size_t sim_waiting(struct io *io, int fd)
{
    return bytes_left(&fd_of(io, fd)->out);
}

void sim_shutdown(struct io *io, int fd)
{
    struct sim_fd *socket = fd_of(io, fd);
    socket->ended = true;
    socket->edges |= EPOLLIN | EPOLLRDHUP;
}

void sim_reset(struct io *io, int fd)
{
    struct sim_fd *socket = fd_of(io, fd);
    socket->ended = socket->broken = true;
    socket->error = ECONNRESET;
    socket->edges |= EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP;
    socket->in.taken = socket->in.size;
    socket->out.taken = socket->out.size;
}

int sim_connect(struct io *io, int listener)
{
    struct sim_fd *from = fd_of(io, listener);
    assert(from->kind == SIM_LISTENER);
    int *queue = realloc(from->queue, (from->queue_count + 1) * sizeof *queue);
    assert(queue != NULL);
    int fd = sim_socket(io);
    queue[from->queue_count++] = fd;
    from->queue = queue;
    from->edges |= EPOLLIN;
    return fd;
}

int sim_accept(struct io *io, int listener)
{
    struct sim_fd *from = fd_of(io, listener);
    assert(from->kind == SIM_LISTENER);
    if (from->queue_count == 0)
        return -EAGAIN;
    int fd = from->queue[0];
    memmove(from->queue, from->queue + 1, --from->queue_count * sizeof *from->queue);
    return fd;
}

void sim_error(struct io *io, int fd, int errnum)
{
    assert(errnum > 0);
    fd_of(io, fd)->error = errnum;
}

void sim_fire(struct io *io, int fd, uint32_t events)
{
    struct sim_fd *source = fd_of(io, fd);
    assert(source->kind == SIM_SOURCE);
    source->edges |= events;
    source->level |= events;
}

void sim_calm(struct io *io, int fd)
{
    fd_of(io, fd)->level = 0;
}

bool sim_is_open(struct io *io, int fd)
{
    return fd_of(io, fd)->kind != SIM_CLOSED;
}

void sim_slice(struct io *io, uint32_t size)
{
    struct sim *sim = io->priv;
    sim->slice = size;
}

void sim_one_shot(struct io *io)
{
    struct sim *sim = io->priv;
    sim->one_shot = true;
}

void sim_hold_works(struct io *io, bool hold)
{
    struct sim *sim = io->priv;
    sim->works_held = hold;
}

void sim_room(struct io *io, int fd, size_t room)
{
    fd_of(io, fd)->room = room;
}

void sim_fail(struct io *io, enum io_kind kind, uint32_t nth, int errnum)
{
    struct sim *sim = io->priv;
    assert(nth > 0 && errnum > 0);
    sim->faults[kind].countdown = nth;
    sim->faults[kind].errnum = errnum;
}

/* --- the backend's side --- */

static int sim_open(struct io *io, const struct io_options *options, askr_error *error)
{
    (void)options;
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return askr_fail(error, ENOMEM, "no memory for a simulation");
    io_queue_init(&sim->works);
    io->priv = sim;
    io->now_ns = SIM_START_NS;
    return 0;
}

/* What was sent stays, for the peer to take. */
static void shut(struct sim_fd *fd)
{
    struct sim_bytes out = fd->out;
    free(fd->in.data);
    free(fd->queue);
    *fd = (struct sim_fd){.kind = SIM_CLOSED, .out = out};
}

static void sim_end(struct io *io)
{
    struct sim *sim = io->priv;
    for (int i = 0; i < sim->used; i++) {
        shut(sim->fds[i]);
        free(sim->fds[i]->out.data);
        free(sim->fds[i]);
    }
    free(sim);
}

/* What poll(2) would say now. */
static uint32_t level_of(const struct sim_fd *fd)
{
    uint32_t level = fd->level;
    if (bytes_left(&fd->in) > 0 || fd->ended || fd->queue_count > 0)
        level |= EPOLLIN;
    if (fd->ended)
        level |= EPOLLRDHUP;
    if (fd->broken)
        level |= EPOLLERR | EPOLLHUP;
    if (fd->kind == SIM_SOCKET && bytes_left(&fd->out) < fd->room)
        level |= EPOLLOUT;
    return level;
}

/* 0, or what a fault says that this op ends with. */
static int fault(struct sim *sim, const struct io_op *op)
{
    if (sim->faults[op->kind].countdown == 0 || --sim->faults[op->kind].countdown > 0)
        return 0;
    return -sim->faults[op->kind].errnum;
}

static void sim_submit(struct io *io, struct io_op *op)
{
    struct sim *sim = io->priv;
    int result = fault(sim, op);
    if (op->kind == IO_WORK) {
        op->result = result;
        io_queue_push(&sim->works, op);
        return;
    }
    struct sim_fd *fd = fd_of(io, op->fd);
    assert(fd->kind != SIM_CLOSED);
    if (op->kind == IO_CLOSE) {
        assert(fd->reader == NULL && fd->writer == NULL);
        shut(fd);
        io_ready(io, op, result);
        return;
    }
    if (result < 0) {
        io_ready(io, op, result);
        return;
    }
    if (op->kind == IO_POLL)
        fd->edges = level_of(fd);
    op->state = SIM_PARKED;
    *(io_direction(op) == IO_READER ? &fd->reader : &fd->writer) = op;
}

static void leave(struct io *io, struct io_op *op)
{
    struct sim_fd *fd = fd_of(io, op->fd);
    *(io_direction(op) == IO_READER ? &fd->reader : &fd->writer) = NULL;
}

static void sim_cancel(struct io *io, struct io_op *op)
{
    leave(io, op);
    io_ready(io, op, -ECANCELED);
}

static void finish(struct io *io, struct io_op *op, int32_t result)
{
    leave(io, op);
    io_ready(io, op, result);
}

static size_t cut(const struct io *io, size_t size)
{
    const struct sim *sim = io->priv;
    return sim->slice != 0 ? size_min(size, sim->slice) : size;
}

static int take_error(struct sim_fd *fd)
{
    int error = fd->error;
    fd->error = 0;
    return error;
}

static void try_recv(struct io *io, struct sim_fd *fd, struct io_op *op)
{
    const struct sim *sim = io->priv;
    if (fd->error != 0) {
        finish(io, op, -take_error(fd));
    } else if (bytes_left(&fd->in) > 0) {
        struct io_buf *buf = io_buf_get(io);
        if (buf == NULL)
            return;
        buf->size = (uint32_t)bytes_take(&fd->in, buf->data, cut(io, IO_BUF_SIZE));
        bool more = !sim->one_shot;
        if (!more)
            leave(io, op);
        io_report(io, op,
                  (struct io_event){.result = (int32_t)buf->size, .more = more, .buf = buf});
    } else if (fd->ended) {
        finish(io, op, 0);
    }
}

static void try_accept(struct io *io, struct sim_fd *fd, struct io_op *op)
{
    if (fd->error != 0) {
        finish(io, op, -take_error(fd));
        return;
    }
    int accepted = sim_accept(io, op->fd);
    if (accepted >= 0)
        io_report(io, op, (struct io_event){.result = accepted, .more = true});
}

static void try_poll(struct io *io, struct sim_fd *fd, struct io_op *op)
{
    uint32_t events = fd->edges & (op->arg.events | EPOLLERR | EPOLLHUP);
    fd->edges &= ~events;
    if (events != 0)
        io_report(io, op, (struct io_event){.result = (int32_t)events, .more = true});
}

/* What an op sends. */
static void carry(struct io *io, struct sim_fd *fd, const void *bytes, size_t size)
{
    struct sim *sim = io->priv;
    bytes_add(&fd->out, bytes, size);
    sim->moved = true;
}

static size_t room_of(const struct io *io, const struct sim_fd *fd)
{
    size_t waiting = bytes_left(&fd->out);
    return waiting < fd->room ? cut(io, fd->room - waiting) : 0;
}

static void try_send(struct io *io, struct sim_fd *fd, struct io_op *op)
{
    struct slice rest = io_send_rest(op);
    size_t size = size_min(rest.size, room_of(io, fd));
    if (size == 0 && rest.size > 0)
        return;
    carry(io, fd, rest.data, size);
    if (io_send_advance(op, (int32_t)size))
        finish(io, op, op->sent);
}

static void try_sendfile(struct io *io, struct sim_fd *fd, struct io_op *op)
{
    char chunk[IO_BUF_SIZE];
    size_t size = size_min(room_of(io, fd), size_min((size_t)op->arg.file.left, sizeof chunk));
    if (size == 0)
        return;
    ssize_t got = pread(op->arg.file.file, chunk, size, op->arg.file.offset);
    if (got <= 0) {
        finish(io, op, got < 0 ? -errno : op->sent);
        return;
    }
    carry(io, fd, chunk, (size_t)got);
    op->sent += (int32_t)got;
    op->arg.file.offset += got;
    op->arg.file.left -= (int32_t)got;
    if (op->arg.file.left == 0)
        finish(io, op, op->sent);
}

static void try_reader(struct io *io, struct sim_fd *fd)
{
    struct io_op *op = fd->reader;
    if (op == NULL)
        return;
    if (op->kind == IO_RECV)
        try_recv(io, fd, op);
    else if (op->kind == IO_ACCEPT)
        try_accept(io, fd, op);
    else
        try_poll(io, fd, op);
}

static void try_writer(struct io *io, struct sim_fd *fd)
{
    struct io_op *op = fd->writer;
    if (op == NULL)
        return;
    if (fd->broken || fd->error != 0) {
        int error = take_error(fd);
        finish(io, op, error != 0 ? -error : -EPIPE);
    } else if (op->kind == IO_SEND) {
        try_send(io, fd, op);
    } else {
        try_sendfile(io, fd, op);
    }
}

static int sim_step(struct io *io, int64_t deadline_ns)
{
    struct sim *sim = io->priv;
    sim->moved = false;
    for (int i = 0; i < sim->used; i++) {
        try_writer(io, sim->fds[i]);
        try_reader(io, sim->fds[i]);
    }
    for (uint32_t count = sim->works_held ? 0 : sim->works.count; count > 0; count--) {
        struct io_op *op = io_queue_pop(&sim->works);
        int32_t result = op->arg.work(op);
        io_ready(io, op, op->result < 0 ? op->result : result);
    }
    io_run_ready(io);
    if (io->events == 0 && !sim->moved && deadline_ns != NEVER && deadline_ns > io->now_ns)
        io->now_ns = deadline_ns;
    return 0;
}

const struct io_backend io_sim = {
    .name = "sim",
    .open = sim_open,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .step = sim_step,
    .close = sim_end,
};
