/* SPDX-License-Identifier: MIT
 * What the worker's end of a port remembers in its own memory, where the application cannot reach:
 * which tags are out and how far each answer is. Only port.c, port_put.c and port_next.c see it. */
#ifndef ASKR_PORT_WORKER_H
#define ASKR_PORT_WORKER_H

#include "app/port_layout.h"

enum port_phase {
    PORT_BOOTING, /* nothing said yet */
    PORT_IDLE,    /* ready, no request started */
    PORT_SERVING, /* STARTED came for `current` */
    PORT_HEADED,  /* its HEAD as well */
    PORT_ENDED,   /* its END as well */
    PORT_DEFUNCT, /* boot failed, or protocol violation: nothing more is read */
};

struct port_pending {
    uint32_t generation; /* of the slot's latest use */
    bool in_use, started;
    int64_t body_size;
};

struct port {
    struct port_shared *shared;
    int app_bell_fd;
    enum port_phase phase;
    uint32_t news; /* enum port_news: said since the last port_publish() */
    bool armed;    /* worker_sleeps was set and not yet taken back */
    bool draining;

    uint64_t queue_written;

    uint64_t written;         /* end of the frames known to be there */
    uint64_t cursor;          /* next frame, or next byte of the body being handed out */
    uint64_t consumed;        /* what may be given back: everything before the last message */
    uint64_t released;        /* what has been given back */
    uint64_t body_frame_left; /* payload bytes of a wrapped BODY frame still to hand out */
    uint64_t body_frame_padding;
    bool finish_follows; /* a FINISHED frame was reported as PORT_END; PORT_FINISHED comes next */
    struct port_frame frame; /* the one being handed out */

    uint32_t current;  /* tag being served; 0: none */
    int64_t body_left; /* of the started request, not yet in the body ring */
    uint64_t body_start, body_written, body_read;
    size_t body_room;  /* promised to the worker by port_body_room() */
    bool body_starved; /* ... and all of it was used */

    struct port_pending pending[PORT_SLOTS];
    uint8_t order[PORT_SLOTS]; /* slots in use, oldest first */
    uint32_t order_count;

    struct port_slot_head head; /* of the request being put */
    struct http_field fields[PORT_FIELDS_MAX];
    char copy[PORT_HEAD_SIZE_MAX]; /* of what must be looked at twice */
};

/* The slot of a tag that is out, or NULL. */
struct port_pending *port_find(struct port *, uint32_t tag);
void port_free_slot(struct port *, uint32_t tag);

#endif
