/* SPDX-License-Identifier: MIT
 * What supervisor and worker say to each other over a SOCK_SEQPACKET pair. One message is one
 * datagram of exactly sizeof(struct control_message); fds travel as SCM_RIGHTS with it. Python
 * packs it as struct "=IIiI" (askrctl/server/wire.py). An unknown kind or a wrong size is ignored
 * and counted. End of file means the supervisor is gone: the worker drains and exits. */
#ifndef ASKR_CONTROL_H
#define ASKR_CONTROL_H

#include <stdint.h>

enum control_kind {
    /* supervisor → worker */
    CONTROL_ATTACH = 1, /* place = application place, pid; fds: port memfd, app bell, pidfd */
    CONTROL_DRAIN = 2,  /* stop accepting, finish, exit 0; value = deadline in ms; place = 1: idle
                           connections are not used once more */
    CONTROL_APP_FAILED =
        3,           /* place could not be started; the text is in no message: see boot_error */
    CONTROL_TLS = 4, /* fd: a sealed memfd with certificates and ticket keys for new connections */
    CONTROL_RETIRE = 5, /* place, pid: give it nothing more; it exits when it has finished */
    CONTROL_LISTEN = 6, /* take connections from the listeners, if it does not yet or any more */
    CONTROL_ADOPT =
        7,           /* fd: serve this connected socket, as one that came from the machine itself */
    CONTROL_LOG = 8, /* fd: the access log from now on */
    CONTROL_RECORD = 9, /* fd: record requests there (record.h); place: bytes kept of each body,
                           value: records a second, pid: of so many requests one. Without: stop */
    CONTROL_KEEP = 10, /* as CONTROL_DRAIN, but stay, with the applications, until CONTROL_LISTEN */
    /* worker → supervisor */
    CONTROL_READY = 16,          /* listening; value = enum askr_io_id */
    CONTROL_APP_KILL = 17,       /* place, pid: kill and replace it; value = enum control_kill */
    CONTROL_APP_DEAD = 18,       /* place, pid: its pidfd said so */
    CONTROL_BACKEND_FAILED = 19, /* value = errno: no ring in this worker; nothing was served */
    CONTROL_TLS_REFUSED = 20,    /* value = errno: what CONTROL_TLS brought; the old one is kept */
    CONTROL_SENDFILE = 21,       /* value = enum sendfile_problem; behind it, what was named */
};

enum control_kill {
    CONTROL_KILL_BROKEN = 0,  /* it broke the protocol of its port, or the port cannot be used */
    CONTROL_KILL_OVERDUE = 1, /* its request did not end in time, nor when it was told to */
};

enum { CONTROL_TEXT_MAX = 1024 };

struct control_message {
    uint32_t kind;
    uint32_t place;
    int32_t pid;
    uint32_t value;
};

#endif
