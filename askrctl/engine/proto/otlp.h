/* SPDX-License-Identifier: MIT
 * A batch of spans (span.h) in the words of OpenTelemetry: the fields `spans` of OTLP's message
 * ScopeSpans, by the semantic conventions for HTTP servers. Whoever sends them puts the resource
 * and the scope around. The batch comes from another process: every size in it is checked, and
 * texts that are no UTF-8 are made UTF-8, or a collector would refuse all of them.
 *
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/; what is conditionally required or
 * recommended of a server's span is there, but for `url.query`, which may hold what is nobody's
 * business. What is ours is beneath `askr.`. */
#ifndef ASKR_OTLP_H
#define ASKR_OTLP_H

#include "base/base.h"

/* Bytes that any batch fits into: a text may be three times as long when it is no UTF-8. */
enum { OTLP_SIZE_MAX = 262144 };

/* Bytes written into `out`, and how many spans; -EINVAL when it is no batch of ours. */
int64_t otlp_encode(struct slice batch, uint8_t out[static OTLP_SIZE_MAX], uint32_t *count);

#endif
