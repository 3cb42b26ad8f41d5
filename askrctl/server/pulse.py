# SPDX-License-Identifier: MIT
"""Is a worker that gives no sign of life stuck, or does it wait for the machine?

A machine with far more to do than it has processors for, or whose disk has a full queue of writes
(large uploads), keeps a healthy worker waiting for longer than a beat may be late. To kill it then
costs its connections, and the one in its place would wait for the same thing.

Source: proc(5), the state in /proc/PID/stat; kernel, Documentation/scheduler/sched-stats.rst, time
on a processor in /proc/PID/schedstat. The time waited that stands beside it tells only of waits
that are over.
"""

import enum
import time
from dataclasses import dataclass
from pathlib import Path

SILENT_S = 0.3  # three beats missed: what happens from here on is watched
SILENT_MAX_S = 1.2  # a worker beats every 0.1 s
WAITING_MAX_S = 30.0  # then it is replaced, whatever it waits for
# One that beats needs far less of a processor for it; one that had so much in silence loops.
RAN_MAX_S = 0.5


class Pulse(enum.Enum):
    """What a look at a worker says."""

    FINE = "fine"
    WAITS_FOR_CPU = "cpu"
    WAITS_FOR_DISK = "disk"
    STUCK = "stuck"

    @property
    def waits(self) -> bool:
        return self in (Pulse.WAITS_FOR_CPU, Pulse.WAITS_FOR_DISK)


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    state: str  # R: it runs, or waits for a processor; D: it waits for a disk
    ran_s: float


def _look_at(pid: int) -> _Look | None:
    """None when it is gone, or the kernel does not count."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        ran_ns = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return _Look(time.monotonic(), state, ran_ns / 1e9)


class PulseWatch:
    """Of the main thread of one process, which is the one that beats."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._first: _Look | None = None  # of this silence

    def look(self, silent_s: float) -> Pulse:
        """`silent_s`: since its last beat. To be called several times in SILENT_MAX_S."""
        if silent_s < SILENT_S:
            self._first = None
            return Pulse.FINE
        now = _look_at(self._pid)
        if self._first is None:
            self._first = now
        if silent_s <= SILENT_MAX_S:
            return Pulse.FINE
        if silent_s > WAITING_MAX_S or now is None or self._first is None:
            return Pulse.STUCK
        if now.at_s - self._first.at_s < SILENT_S:
            return Pulse.FINE  # whoever looks was late itself
        if now.state == "D":
            return Pulse.WAITS_FOR_DISK
        loops = now.ran_s - self._first.ran_s > RAN_MAX_S
        return Pulse.WAITS_FOR_CPU if now.state == "R" and not loops else Pulse.STUCK
