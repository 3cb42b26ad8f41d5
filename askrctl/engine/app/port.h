/* SPDX-License-Identifier: MIT
 * The worker's end of a port: how requests reach one application process and answers come back,
 * through shared memory and two eventfds. app/port_layout.h has the layout, port_app.c the other
 * end.
 *
 * The application is untrusted. Every offset, size and state read from shared memory is read once,
 * checked, and compared with what this end remembers in its own memory; anything else is
 * PORT_BROKEN and costs that process its life, never the worker. The memory is a sealed memfd, so
 * it cannot be truncated under us.
 *
 * Happy path: PORT_READY; port_put() some requests, port_publish() once per loop turn (rings the
 * doorbell if the process sleeps); then per request PORT_STARTED, PORT_HEAD, PORT_BODY*, PORT_END,
 * PORT_FINISHED (the script may go on after PORT_END until PORT_FINISHED; the slot is busy so
 * long). Failure: pidfd says the process is dead → the worker walks port_outstanding(): started
 * ones get 502, the others go back to the queue. */
#ifndef ASKR_PORT_H
#define ASKR_PORT_H

#include "base/http.h"

enum {
    PORT_SLOTS = 16,                  /* requests ahead of an application; one bell for a batch */
    PORT_SLOT_SIZE = 65536,           /* request head as CGI strings, and an inline body */
    PORT_INLINE_BODY_MAX = 8192,      /* larger bodies go through the body ring */
    PORT_BODY_RING_SIZE = 262144,     /* request body on its way in; a power of two */
    PORT_RESPONSE_RING_SIZE = 262144, /* answers on their way out; a power of two */
    PORT_VARIABLES_MAX = 12,          /* besides the request's fields: of its TLS connection */
    PORT_FIELDS_MAX = 128,            /* response fields of one head */
    PORT_BOOT_ERROR_MAX = 512,
};

struct port; /* opaque; malloc'ed by port_open() */

/* What the worker hands over. Strings are copied into the slot with a NUL behind each. */
struct port_request {
    const struct http_request *http;
    struct slice path; /* decoded, normalised */
    struct slice script_filename, script_name, path_info, document_root;
    struct slice remote_address, server_address;
    uint16_t remote_port, server_port;
    bool https;
    const struct http_field *variables; /* CGI variables of ours, such as SSL_CLIENT_VERIFY */
    size_t variable_count;              /* <= PORT_VARIABLES_MAX */
    struct slice body; /* the whole body if body.size == body_size <= PORT_INLINE_BODY_MAX */
    int64_t body_size; /* exact; > PORT_INLINE_BODY_MAX: fed by port_body_write() once started */
};

enum port_event {
    PORT_NONE,
    PORT_READY,       /* the process can serve */
    PORT_BOOT_FAILED, /* message.text says why; the process will exit */
    PORT_STARTED,     /* message.tag is being served; revoke is no longer possible */
    PORT_INTERIM,     /* message.status, fields */
    PORT_HEAD,        /* message.status, fields */
    PORT_TRAILERS,    /* message.fields: to be sent behind the body, some of which may follow */
    PORT_BODY,        /* message.text: body bytes */
    PORT_FLUSH,       /* send what there is; stream from now on */
    PORT_END,         /* the client has its whole answer (message.failed: it was cut off) */
    PORT_FINISHED,    /* the slot is free again; comes after PORT_END */
    PORT_BROKEN,      /* protocol violation: kill the process; message.text says what. Said once */
};

struct port_message {
    uint32_t tag; /* what port_put() returned */
    int status;
    bool failed;
    int64_t time_ns; /* STARTED, END, FINISHED: when, CLOCK_MONOTONIC, as the application says */
    int64_t cpu_ns;  /* END, FINISHED: CPU time since its last END or FINISHED, as it says; >= 0 */
    struct slice text;
    /* The port's own array and bytes, valid until the next port_next(). What the bytes are is the
     * protocol's to check, as it composes the head. */
    struct http_field *fields;
    size_t field_count;
};

/* Maps `memfd` (port_shm_size() bytes, F_SEAL_SHRINK|F_SEAL_GROW set, else -EINVAL). Takes neither
 * fd's ownership: the caller closes them after port_close(). 0 or -errno. */
int port_open(struct port **out, int memfd, int app_bell_fd, askr_error *);
void port_close(struct port *);
size_t port_shm_size(void);

/* Free slots; 0 before PORT_READY and after port_drain(). */
uint32_t port_room(const struct port *);
/* 0 and a tag, -EAGAIN without a free slot, -E2BIG when the strings do not fit a slot (431). */
int port_put(struct port *, const struct port_request *, uint32_t *tag);
/* Take back a request that was not started. True: it is ours again and the slot is free. */
bool port_revoke(struct port *, uint32_t tag);
/* The client left: the application's calls on it will say -ECONNABORTED. FINISHED still comes. */
void port_abort(struct port *, uint32_t tag);
/* Room in the body ring for the started request; bytes of its body, in order. */
size_t port_body_room(struct port *);
void port_body_write(struct port *, struct slice bytes);
/* take() will say -ESHUTDOWN once what was handed over has been served. */
void port_drain(struct port *);

/* Next message; slices in it point into shared memory and are valid until the next call: read each
 * byte once, or copy first. PORT_NONE also gives the space of what was read back. */
enum port_event port_next(struct port *, struct port_message *out);
/* Make what was put, aborted, written or freed visible, and ring if the application sleeps. Cheap
 * when there is nothing to say; call once per loop turn. */
void port_publish(struct port *);
/* Before the worker sleeps: ask to be rung. False: there are messages, or there is room again for a
 * request body that had filled it: do not sleep. */
bool port_arm(struct port *);

/* Tags handed over and not FINISHED, oldest first; returns how many (<= PORT_SLOTS). started[i]
 * says whether PORT_STARTED was seen, or may have been on its way: read after the process's death.
 */
uint32_t port_outstanding(const struct port *, uint32_t tags[static PORT_SLOTS],
                          bool started[static PORT_SLOTS]);

#endif
