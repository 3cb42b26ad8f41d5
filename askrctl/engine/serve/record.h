/* SPDX-License-Identifier: MIT
 * `askrctl record`: samples of the traffic for somebody who wants to ask the same again later. Each
 * is one datagram on a socket that the recorder gave us through the supervisor: a record_head, then
 * method, target, authority, the request's fields, what is kept of its body, the answer's fields
 * (without those a protocol adds: Date, framing), what is kept of its body. A field is two 32-bit
 * sizes, its name and its value. askrctl/traffic/datagram.py reads them.
 *
 * Nothing waits: a recorder that does not keep up loses records, which are counted; one that is
 * gone ends the recording. Requests that no exchange was begun for, because they could not be read,
 * are not recorded. Without a recording it costs one look at a pointer for each request. */
#ifndef ASKR_RECORD_H
#define ASKR_RECORD_H

#include "base/base.h"

enum {
    RECORD_MAGIC = 0x52534b41, /* "AKSR" in memory; version 1 */
    RECORD_BODY_MAX = 65536,   /* that can be kept of one body */
    RECORD_ANSWER_HEAD_MAX = 16384,
    RECORD_SIZE_MAX = 196608, /* below the 208 KiB that a socket's buffer has by default */
    RECORDS_OPEN_MAX = 256,   /* being made at a time: 64 MiB at the very most */
    RECORD_RATE_MAX = 10000,  /* records of a worker in a second */
};

struct answer_head;
struct control_message;
struct exchange;
struct file_range;
struct worker;

struct record_head {
    uint32_t magic;
    uint32_t pid, worker;   /* who says it */
    uint32_t lost, skipped; /* by it, since the recording began: as in askr_worker_status */
    uint32_t method_size, target_size, authority_size;
    uint32_t request_kept, answer_kept;           /* bytes of the bodies that follow */
    uint64_t request_body_size, answer_body_size; /* ... and how many they had */
    int64_t time_ns, duration_ns;                 /* CLOCK_REALTIME of its end; how long it took */
    uint16_t version, status;                     /* status 0: the client left before it had one */
    uint16_t request_fields, answer_fields;
    uint8_t outcome, secure; /* outcome: 'd'one, 'c'ut, 'l'eft */
    uint8_t unused[6];
};
_Static_assert(sizeof(struct record_head) == 88, "datagram.py reads it");

/* From now on; the fd is taken over. `message` says how much: control.h. */
void record_open(struct worker *, int fd, const struct control_message *message);
/* No more. Records that are being made are sent nowhere. */
void record_close(struct worker *);

/* A request has begun; it is in worker->request. */
void record_begin(struct exchange *);
/* The rest for exchanges with a record only. */
void record_request_body(struct exchange *, struct slice bytes);
/* The answer begins, or another one in its place; what was held back of its body belongs to it. */
void record_answer(struct exchange *, const struct answer_head *);
void record_answer_body(struct exchange *, struct slice bytes);
void record_answer_file(struct exchange *, const struct file_range *);
/* It is complete, or will never be: `how` as for the access log. Sends the record and frees it. */
void record_end(struct exchange *, const char *how);

#endif
