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
    CONTROL_DRAIN = 2,  /* stop accepting, finish, exit 0; value = deadline in ms */
    CONTROL_APP_FAILED =
        3,           /* place could not be started; the text is in no message: see boot_error */
    CONTROL_TLS = 4, /* fd: a sealed memfd with certificates and ticket keys for new connections */
    /* worker → supervisor */
    CONTROL_READY = 16, /* listening; value = enum askr_io_id */
    CONTROL_APP_KILL =
        17, /* place, pid: broken, or past its request timeout: kill and replace it */
    CONTROL_APP_DEAD = 18,       /* place, pid: its pidfd said so */
    CONTROL_BACKEND_FAILED = 19, /* value = errno: no ring in this worker; nothing was served */
    CONTROL_TLS_REFUSED = 20,    /* value = errno: what CONTROL_TLS brought; the old one is kept */
};

struct control_message {
    uint32_t kind;
    uint32_t place;
    int32_t pid;
    uint32_t value;
};

#endif
