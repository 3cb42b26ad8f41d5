/* SPDX-License-Identifier: MIT
 * The seam between an exchange and the protocol of its connection. conn.c feeds the protocol with
 * bytes and asks what the connection waits for; the protocol begins exchanges; respond.c and
 * answer.c say their answers through the say_* functions. Neither side of the seam knows whether
 * answers come one after the other (speak_h1.c) or take turns.
 *
 * An answer is: any number of interim heads, one head, body, then an end or a cut. What the head
 * says of framing and of the connection is the protocol's; so is where bytes wait until they are
 * sent. Nothing is sent from here: conn_dirty() has the connection flushed once, at the end of the
 * turn, and `fill` may then still choose what goes first. */
#ifndef ASKR_PROTOCOL_H
#define ASKR_PROTOCOL_H

#include "base/http.h"
#include "serve/chain.h"
#include "serve/conn.h"

enum { ANSWER_HEAD_SIZE_MAX = 15360 }; /* an answer's head must fit one piece */

struct exchange;
struct websocket;

struct answer_head {
    int status;
    int64_t content_length; /* -1: not known */
    const struct http_field *fields;
    size_t field_count;
};

struct protocol {
    const char *name;

    /* Take what can be taken of the input. What is left is offered again, with more behind it. */
    void (*receive)(struct conn *, struct slice *input);
    /* Would receive() take anything now? No holds the peer back. */
    bool (*may_receive)(const struct conn *);
    /* Is a request being received or answered that nobody needs once the peer is gone? */
    bool (*busy)(const struct conn *);
    /* Nothing is being sent: what for, then? */
    enum conn_wait (*waits_for)(const struct conn *);
    /* It did not come in time: the timer's verdict on an idle peer, a head or a body. */
    void (*timed_out)(struct conn *, enum conn_wait);
    /* The worker drains: tell the peer, once. `grace_over`: idle connections end now. */
    void (*drain)(struct conn *, bool grace_over);
    /* The connection ends: abandon its exchanges, free what is the protocol's. */
    void (*abandon)(struct conn *);
    /* Move what may be sent now to the connection's output. NULL: it is there already. */
    void (*fill)(struct conn *);

    /* Put the request, which was accepted once, into worker->request again. */
    void (*recall)(struct exchange *);
    /* More of the request's body is stored: let more come. */
    void (*stored)(struct exchange *);
    /* The client waits to be told to send its body: 100. */
    int (*go_on)(struct exchange *);
    int (*interim)(struct exchange *, const struct answer_head *);
    /* The head, and the pieces that the exchange has held back. Sets `bare` and `sized`. 0,
     * -ENOMEM, -E2BIG, or -EINVAL when a field is not valid: then nothing has been said. */
    int (*head)(struct exchange *, const struct answer_head *);
    /* Part of the body, not empty. */
    int (*body)(struct exchange *, struct slice bytes);
    int (*file)(struct exchange *, const struct file_range *);
    /* The body is complete. < 0: it could not be ended, so it is cut. */
    int (*end)(struct exchange *);
    /* It ends early, and the client must be able to tell. */
    void (*cut)(struct exchange *);
    /* Once the head was said: may more body be taken from the application? */
    bool (*has_room)(const struct exchange *);
    /* From now on what carried the exchange of this owner carries the WebSocket. */
    void (*carry)(struct conn *, struct exchange **owner, struct websocket *);
};

extern const struct protocol protocol_h1;
extern const struct protocol protocol_ws; /* speak_ws.c */

/* serve/say.c: an answer, whatever the protocol. Bytes past an announced length are dropped. */
int say_head(struct exchange *, const struct answer_head *);
int say_body(struct exchange *, struct slice bytes);
int say_file(struct exchange *, const struct file_range *);
/* The answer ends here, early if exchange->cut says so. */
void say_end(struct exchange *);

#endif
