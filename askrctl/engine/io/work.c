/* SPDX-License-Identifier: MIT
 * The thread for what may block (rule 9 of io.h), for backends with a kernel.
 *
 * It is started with the first work, and a worker that never has any never has it. Ops go over in a
 * queue and come back in another, both under one lock; an eventfd, which the backend polls as any
 * other, says that some came back. Between the two an op is the thread's.
 *
 * Failure modes: no thread or no fd can be had (a limit of processes): then each work runs inside
 * the loop, which is what everybody does without such a thread, and the next one tries again. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/backend.h"

enum { STACK_SIZE = 128 << 10 }; /* a work makes system calls, and little else */

struct io_works {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct io_queue todo, done;
    int64_t user_ns, system_ns; /* CPU time of the thread */
    bool stop;
    int fd;
    struct io_op poll_op; /* not among io->inflight: it is nobody's */
};

static int64_t ns_of(struct timeval time)
{
    return (int64_t)time.tv_sec * NS_PER_S + (int64_t)time.tv_usec * NS_PER_US;
}

static void tell(int fd)
{
    ssize_t size;
    do
        size = write(fd, &(uint64_t){1}, sizeof(uint64_t));
    while (size < 0 && errno == EINTR);
}

/* One work, with the lock held before and after. */
static void run_one(struct io_works *works)
{
    struct io_op *op = io_queue_pop(&works->todo);
    struct rusage usage;
    pthread_mutex_unlock(&works->lock);
    op->result = op->arg.work(op);
    getrusage(RUSAGE_THREAD, &usage);
    pthread_mutex_lock(&works->lock);
    works->user_ns = ns_of(usage.ru_utime);
    works->system_ns = ns_of(usage.ru_stime);
    bool first = works->done.first == NULL;
    io_queue_push(&works->done, op);
    if (first)
        tell(works->fd);
}

static void *serve(void *user)
{
    struct io_works *works = user;
    pthread_mutex_lock(&works->lock);
    while (!works->stop) {
        if (works->todo.first == NULL)
            pthread_cond_wait(&works->more, &works->lock);
        else
            run_one(works);
    }
    pthread_mutex_unlock(&works->lock);
    return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct io_works *works)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&works->thread, &attributes, serve, works);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        pthread_setname_np(works->thread, "askr-files");
    return error;
}

static void on_some_done(struct io *io, struct io_op *op, struct io_event event)
{
    struct io_works *works = CONTAINER_OF(op, struct io_works, poll_op);
    uint64_t times;
    if (!event.more && works->stop)
        return;
    if (!event.more) /* out of memory for a moment, at most: what is there fires the next one */
        io_poll(io, op, works->fd, EPOLLIN, on_some_done);
    while (read(works->fd, &times, sizeof times) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&works->lock);
    for (struct io_op *done; (done = io_queue_pop(&works->done)) != NULL;)
        io_ready(io, done, done->result);
    pthread_mutex_unlock(&works->lock);
}

struct io_works *io_works_open(struct io *io)
{
    struct io_works *works = calloc(1, sizeof *works);
    if (works == NULL)
        return NULL;
    io_queue_init(&works->todo);
    io_queue_init(&works->done);
    pthread_mutex_init(&works->lock, NULL);
    pthread_cond_init(&works->more, NULL);
    works->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (works->fd < 0)
        goto out_free;
    if (start_thread(works) != 0)
        goto out_fd;
    io_poll(io, &works->poll_op, works->fd, EPOLLIN, on_some_done);
    io->inflight--;
    return works;

out_fd:
    close(works->fd);
out_free:
    free(works);
    return NULL;
}

void io_works_close(struct io *io)
{
    struct io_works *works = io->works;
    pthread_mutex_lock(&works->lock);
    assert(works->todo.first == NULL && works->done.first == NULL);
    works->stop = true;
    pthread_cond_signal(&works->more);
    pthread_mutex_unlock(&works->lock);
    pthread_join(works->thread, NULL);
    io->inflight++;
    io_cancel(io, &works->poll_op);
    while (io_pending(&works->poll_op) && io_step(io, NEVER) >= 0)
        ;
    close(works->fd);
    free(works);
    io->works = NULL;
}

void io_works_add(struct io *io, struct io_op *op)
{
    if (io->works == NULL)
        io->works = io_works_open(io);
    struct io_works *works = io->works;
    if (works == NULL) {
        io_ready(io, op, op->arg.work(op));
        return;
    }
    pthread_mutex_lock(&works->lock);
    io_queue_push(&works->todo, op);
    pthread_cond_signal(&works->more);
    pthread_mutex_unlock(&works->lock);
}

void io_work_cpu(const struct io *io, int64_t *user_ns, int64_t *system_ns)
{
    struct io_works *works = io->works;
    *user_ns = *system_ns = 0;
    if (works == NULL)
        return;
    pthread_mutex_lock(&works->lock);
    *user_ns = works->user_ns;
    *system_ns = works->system_ns;
    pthread_mutex_unlock(&works->lock);
}
