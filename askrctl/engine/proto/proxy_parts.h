/* SPDX-License-Identifier: MIT
 * What the two files of proxy.h share. */
#ifndef ASKR_PROXY_PARTS_H
#define ASKR_PROXY_PARTS_H

#include "proto/proxy.h"

#define PROXY_V1_START "PROXY "
#define PROXY_V2_START "\r\n\r\n\0\r\nQUIT\n"

enum { PROXY_V1_START_SIZE = 6, PROXY_V2_START_SIZE = 12 };

/* The input begins with all of PROXY_V2_START; `head` is empty. */
enum proxy_event proxy_read_v2(struct slice *input, struct proxy_head *head);

#endif
