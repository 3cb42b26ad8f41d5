# SPDX-License-Identifier: MIT
"""Log lines for what workers refuse or lose: the first at once, the rest together, now and then.

Under attack there are thousands a second, and a line for each would be the second attack. A file
of the access log that is full loses every line.
"""

import logging
import time
from collections.abc import Callable, Iterable

from askrctl import engine

log = logging.getLogger("askrctl")

PERIOD_S = 10.0  # between two lines of a kind
# Counter of a worker's page, and what an operator may want to look at.
_KINDS = {
    "rate_limited": "docs/limits.md, [[limits.rate]]",
    "address_refused": "docs/limits.md, limits.connections_per_address",
    "evicted": "docs/limits.md, limits.connections",
    "log_dropped": "the file of log.access: it is full, or too slow",
    "spans_lost": "docs/observability.md, Traces",
}
_NAMES = tuple(_KINDS)

Clock = Callable[[], float]


class Bursts:
    """`memory` is the status memory; a worker is a pair of its slot and its pid."""

    def __init__(self, memory: memoryview, clock: Clock = time.monotonic) -> None:
        self._memory = memory
        self._clock = clock
        self._seen: dict[tuple[int, int], tuple[int, ...]] = {}
        self._waiting = dict.fromkeys(_NAMES, 0)
        self._told = dict.fromkeys(_NAMES, float("-inf"))

    def look(self, workers: Iterable[tuple[int, int]]) -> None:
        """Again and again; more often than PERIOD_S."""
        seen = {}
        for slot, pid in workers:
            page_pid, *counts = engine.counters(self._memory, slot, ("pid", *_NAMES))
            if page_pid == pid:  # else it has not begun yet, and this is its predecessor's
                seen[slot, pid] = tuple(counts)
        for worker, now in seen.items():
            before = self._seen.get(worker, (0,) * len(_NAMES))
            for name, count, old in zip(_NAMES, now, before, strict=True):
                self._waiting[name] += count - old
        self._seen = seen
        self._tell()

    def _tell(self) -> None:
        now = self._clock()
        for name, count in self._waiting.items():
            if count and now - self._told[name] >= PERIOD_S:
                log.warning('event=%s count=%d see="%s"', name, count, _KINDS[name])
                self._waiting[name], self._told[name] = 0, now
