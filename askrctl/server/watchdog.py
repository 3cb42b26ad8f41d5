# SPDX-License-Identifier: MIT
"""Looks at requests that take long, and ends processes that do not end them.

A request past `php.slow` is noted once in the slow log. One past `timeouts.request` has been
answered with 504 by its worker and stopped from inside; when that did not help within
`php.kill_grace` the worker gives the process up and says so: it is examined, then killed with what
it had started and still waits for. Examining never delays a kill by more than KILL_WAIT_S.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from askrctl import engine
from askrctl.config import PLACES_MAX
from askrctl.server.forensics import Forensics, collect, descendants
from askrctl.server.loop import Loop
from askrctl.server.slowlog import SlowEntry, SlowLog, now_text
from askrctl.server.workers import Place, WorkerProcess
from askrctl.server.zygote import pid_of

EXAMINED_MAX = 4  # at one look: when all requests become slow at once, the others are noted later
# For the zygote's word on the frames. It takes a millisecond, on a machine that is overloaded more.
KILL_WAIT_S = 0.3
NOTE_WAIT_S = 5.0  # of what goes on

Ask = Callable[[int], bool]  # for the trace of an application's id; False: nobody to ask
Told = Callable[[SlowEntry], None]


@dataclass(frozen=True, slots=True)
class _Case:
    """One process under examination, waiting for its trace."""

    event: str
    told: Told
    worker: WorkerProcess
    place: Place
    pid: int
    seconds: float
    forensics: Forensics


class Watchdog:
    """Of one generation."""

    def __init__(self, loop: Loop, slowlog: SlowLog, slow_s: float, ask: Ask) -> None:
        self._loop = loop
        self._slowlog = slowlog
        self._slow_s = slow_s
        self._ask = ask
        self._cases: dict[int, _Case] = {}  # by application id
        self._noted: dict[int, int] = {}  # application id → start of the request noted last

    def look(self, workers: Iterable[WorkerProcess], memory: memoryview) -> None:
        """Note what has become slow since the last look."""
        if self._slow_s == 0:
            return
        now_ns = time.monotonic_ns()
        examined = 0
        for worker in workers:
            for index, pid, since_ns in engine.running_requests(memory, worker.slot):
                if index >= len(worker.places) or worker.places[index].pid != pid:
                    continue
                ident = worker.ident * PLACES_MAX + index
                seconds = (now_ns - since_ns) / 1e9
                if seconds < self._slow_s or self._noted.get(ident) == since_ns:
                    continue
                if examined < EXAMINED_MAX:
                    examined += 1
                    self._noted[ident] = since_ns
                    self._open("slow", worker, worker.places[index], seconds)

    def overdue(self, worker: WorkerProcess, place: Place, seconds: float) -> None:
        """Examine and kill."""
        self._open("killed", worker, place, seconds)

    def examine(self, worker: WorkerProcess, place: Place, memory: memoryview, told: Told) -> bool:
        """Because somebody asks for it; the process goes on. False: it is being examined."""
        if worker.ident * PLACES_MAX + place.index in self._cases:
            return False
        running = engine.running_requests(memory, worker.slot)
        since_ns = next((since for _, pid, since in running if pid == place.pid), 0)
        seconds = (time.monotonic_ns() - since_ns) / 1e9 if since_ns else 0.0
        self._open("asked", worker, place, seconds, told)
        return True

    def _open(
        self,
        event: str,
        worker: WorkerProcess,
        place: Place,
        seconds: float,
        told: Told | None = None,
    ) -> None:
        ident = worker.ident * PLACES_MAX + place.index
        if ident in self._cases:
            self._close(ident, [])
        told = told or self._slowlog.add
        case = _Case(event, told, worker, place, place.pid, seconds, collect(place.pid))
        self._cases[ident] = case
        if self._ask(ident):
            wait_s = KILL_WAIT_S if event == "killed" else NOTE_WAIT_S
            self._loop.call_later(wait_s, lambda: self._give_up(ident, case))
        else:
            self._close(ident, [])

    def _give_up(self, ident: int, case: _Case) -> None:
        if self._cases.get(ident) is case:
            self._close(ident, [])

    def traced(self, ident: int, pid: int, lines: list[str]) -> None:
        """The zygote's answer; its first line is the request."""
        case = self._cases.get(ident)
        if case is not None:
            self._close(ident, lines if pid == case.pid else [])

    def _close(self, ident: int, lines: list[str]) -> None:
        case = self._cases.pop(ident)
        if case.event == "killed" and case.place.pid == case.pid:
            if pid_of(case.place.pidfd) == case.pid:  # else the number may be somebody else's
                _kill_waited_for(case.pid)
            case.place.kill()
        case.told(
            SlowEntry(
                time=now_text(),
                event=case.event,
                generation=case.worker.around.generation,
                worker=case.worker.index,
                pid=case.pid,
                seconds=round(case.seconds, 3),
                request=lines[0] if lines else "",
                trace=tuple(lines[1:]),
                forensics=case.forensics,
                site=case.worker.plan.each[case.place.site].site_name,
            )
        )


def _kill_waited_for(pid: int) -> None:
    """What the process runs by exec() would outlive it, unseen. By pidfd, so that a number used
    again meanwhile is nobody else's death: it counts only if it is a descendant still."""
    fds = {}
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            fds[child] = os.pidfd_open(child)
    still = set(descendants(pid))
    for child, fd in fds.items():
        if child in still:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)
