# SPDX-License-Identifier: MIT
"""Warms a coming generation up: each [[warmup]] request is answered by its processes before the
first client is.

Happy path: each worker, in parallel, is asked each request in turn, as many times at once as it has
processes; what its status page says tells whether all of them took part, and those that did not get
another round. A process that answers within microseconds leaves the others nothing to do, so the
rounds are few, and how many were reached is logged.

Failure modes: a wrong status, no answer, too slow: the generation is refused with that reason,
unless the request says that it is not required; then it is logged.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from askrctl.config import Warmup
from askrctl.server.asked import Asked, request_text
from askrctl.server.loop import Loop
from askrctl.server.workers import WorkerProcess

log = logging.getLogger("askrctl")

ROUNDS_MAX = 4  # of one request to one worker

Counts = Callable[[WorkerProcess], Mapping[int, int]]  # finished requests, by pid


@dataclass(slots=True)
class _Turn:
    """What one worker is at."""

    worker: WorkerProcess
    number: int = 0  # of the request
    round: int = 0
    before: Mapping[int, int] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    reached: set[int] = field(default_factory=set)  # pids, by any request


class WarmUp:
    """Calls `on_done` once: "" when it is warm, else why it may not take over."""

    def __init__(
        self,
        loop: Loop,
        workers: Sequence[WorkerProcess],
        requests: Sequence[Warmup],
        counts: Counts,
        on_done: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._requests = requests
        self._counts = counts
        self._on_done = on_done
        self._began = time.monotonic()
        self._sent = 0
        self._over = False
        self._turns = [_Turn(worker) for worker in workers]
        self._left = len(self._turns)
        if not self._turns:
            on_done("no worker could be warmed up")
        for turn in self._turns:
            self._ask(turn)

    def expire(self, seconds: float) -> None:
        """Give up after so many seconds from now."""
        self._loop.call_later(seconds, lambda: self._too_late(seconds))

    def _ask(self, turn: _Turn) -> None:
        if self._over:
            return
        if turn.number == len(self._requests):
            self._left -= 1
            if not self._left:
                self._finish("")
            return
        request = self._requests[turn.number]
        text = request_text(
            request.method, request.path, request.host, "askrctl-warmup", request.headers
        )
        turn.before, turn.statuses = self._counts(turn.worker), []
        count = max(1, len(turn.before))
        self._sent += count

        def hear(status: int) -> None:
            turn.statuses.append(status)
            if len(turn.statuses) == count:
                self._settle(turn, request)

        turn.asked = [Asked(self._loop, turn.worker, text, hear, whole=True) for _ in range(count)]

    def _settle(self, turn: _Turn, request: Warmup) -> None:
        problem = _problem(turn, request)
        if problem and request.required:
            self._finish(problem)
            return
        if problem:
            _note(problem)
        after = self._counts(turn.worker)
        reached = {pid for pid, count in turn.before.items() if after.get(pid, 0) > count}
        turn.reached |= reached
        turn.round += 1
        # A file is served without any process.
        again = reached and len(reached) < len(turn.before) and not problem
        if not again or turn.round == ROUNDS_MAX:
            turn.number, turn.round = turn.number + 1, 0
        self._ask(turn)

    def _too_late(self, seconds: float) -> None:
        if self._over:
            return
        turn = next(turn for turn in self._turns if turn.number < len(self._requests))
        request = self._requests[turn.number]
        problem = (
            f"the warm-up was not done after {seconds:g} s: worker {turn.worker.index} was at "
            f"{request.method} {request.path}"
        )
        left = (item for turn in self._turns for item in self._requests[turn.number :])
        if any(item.required for item in left):
            self._finish(problem)
            return
        _note(problem)
        self._finish("")

    def _finish(self, problem: str) -> None:
        self._over = True
        for turn in self._turns:
            for asked in turn.asked:
                asked.close()
        if not problem:
            log.info(
                "event=warmed_up requests=%d processes=%d of=%d seconds=%.2f",
                self._sent,
                sum(len(turn.reached) for turn in self._turns),
                sum(len(self._counts(turn.worker)) for turn in self._turns),
                time.monotonic() - self._began,
            )
        self._on_done(problem)


def _problem(turn: _Turn, request: Warmup) -> str:
    """What is wrong with the answers; "" when nothing is."""
    what = f"warm-up: {request.method} {request.path}"
    if request.host != "localhost":
        what += f" of {request.host}"
    for status in turn.statuses:
        if not status:
            return f"{what} was not answered by worker {turn.worker.index}"
        if request.status and status not in request.status:
            wanted = " or ".join(map(str, request.status))
            return f"{what} was answered with {status}, not {wanted}"
        if not request.status and status >= 500:
            return f"{what} was answered with {status}"
    return ""


def _note(problem: str) -> None:
    log.warning('event=warmup_failed detail="%s"', problem)
