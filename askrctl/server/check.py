# SPDX-License-Identifier: MIT
"""Asks each worker of a coming generation for one path, before anybody else can reach it.

Answers below 500 pass: a redirect or a login page proves that the application runs.
"""

from collections.abc import Callable, Sequence

from askrctl.server.asked import Asked, request_text
from askrctl.server.loop import Loop
from askrctl.server.workers import WorkerProcess


class Check:
    """Calls `on_done` once: "" when all have passed, else what is wrong."""

    def __init__(
        self,
        loop: Loop,
        workers: Sequence[WorkerProcess],
        path: str,
        on_done: Callable[[str], None],
    ) -> None:
        self._path = path
        self._on_done = on_done
        self._waiting: dict[int, Asked] = {}  # by index of worker
        host = workers[0].plan.check_host if workers else ""
        text = request_text("GET", path, host, "askrctl-check")
        for worker in workers:
            self._waiting[worker.index] = Asked(loop, worker, text, self._hearer(worker.index))
        if not self._waiting:
            on_done("no worker could be asked")

    def _hearer(self, index: int) -> Callable[[int], None]:
        return lambda status: self._hear(index, status)

    def _hear(self, index: int, status: int) -> None:
        del self._waiting[index]
        if not status:
            self._finish(f"worker {index} did not answer GET {self._path}")
        elif status >= 500:
            self._finish(f"GET {self._path} was answered with {status}")
        elif not self._waiting:
            self._finish("")

    def _finish(self, problem: str) -> None:
        for asked in self._waiting.values():
            asked.close()
        self._waiting.clear()
        self._on_done(problem)
