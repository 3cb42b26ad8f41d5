/* SPDX-License-Identifier: MIT
 * What a connection is waiting for, and for how long. */
#ifndef ASKR_CONN_TIMER_H
#define ASKR_CONN_TIMER_H

#include "serve/conn.h"

/* Look at the connection's state and set its timer to match. Cheap when nothing changed. */
void conn_timer_update(struct conn *);
timer_fire_fn conn_timer_fire;

#endif
