/* SPDX-License-Identifier: MIT
 * What supervisor and zygote say to each other, over a SOCK_SEQPACKET pair: datagrams of one
 * struct zygote_message (Python: "=IIiI"), ZYGOTE_FAILED followed by a sentence.
 *
 * The zygote (the executable askr-zygote) loads an application module once, runs its start(), and
 * then forks an application process for each ZYGOTE_FORK, so that all of them share OPcache memory
 * and start-up costs one fork. It is the parent of them: it reaps, and reports. End of file: it
 * kills its processes and exits. */
#ifndef ASKR_ZYGOTE_H
#define ASKR_ZYGOTE_H

#include <signal.h>
#include <stdint.h>

#define ZYGOTE_NO_CPU UINT32_MAX
/* From an application process to its zygote: ask for a reload. Not one of those that people send;
 * clear of deadline.c's. */
#define ZYGOTE_SIGRELOAD (SIGRTMIN + 4)

enum zygote_kind {
    /* supervisor → zygote */
    ZYGOTE_FORK = 1,   /* id = the supervisor's; value = cpu to pin to, or ZYGOTE_NO_CPU;
                          fds: port memfd, app bell, worker bell */
    ZYGOTE_TRACE = 2,  /* id: what is it doing? */
    ZYGOTE_CACHES = 3, /* how are the caches that all of them share? One question at a time */
    /* zygote → supervisor */
    ZYGOTE_READY = 16,   /* start() succeeded */
    ZYGOTE_FAILED = 17,  /* it did not: a sentence follows the message; the zygote exits with 1 */
    ZYGOTE_FORKED = 18,  /* id, pid; fd: pidfd (taken before anything could reap it) */
    ZYGOTE_EXITED = 19,  /* id, pid, value = wait status */
    ZYGOTE_REFUSED = 20, /* id: fork failed; value = errno */
    ZYGOTE_RELOAD = 22,  /* an application asks for a new generation */
    ZYGOTE_CACHED = 23,  /* JSON behind the message; sent by a process that was forked for it */
    ZYGOTE_TRACED = 21   /* id, pid; value = errno or 0 and lines of text behind the message */
};

struct zygote_message {
    uint32_t kind;
    uint32_t id;
    int32_t pid;
    uint32_t value;
};

#endif
