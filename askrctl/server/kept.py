# SPDX-License-Identifier: MIT
"""The generation before the current one, kept warm for a while: it takes no connections, and one
message to each of its workers makes it serve again.

Its workers and processes are watched and replaced as those of any generation.
"""

import time
from dataclasses import dataclass, field

from askrctl import engine
from askrctl.server.generation import Generation
from askrctl.server.metrics import Memory
from askrctl.server.reloads import shortfall
from askrctl.server.report import KeptReport


@dataclass(slots=True)
class Kept:
    generation: Generation
    seconds: float
    _began: float = field(default_factory=time.monotonic)
    _memory: Memory = field(default_factory=Memory)

    def _pages(self, memory: memoryview) -> list[engine.WorkerStatus]:
        return [engine.read_status(memory, slot) for slot in self.generation.slots]

    def is_quiet(self, memory: memoryview) -> bool:
        """Nobody is served by it any more."""
        return not any(page.connections or page.inflight for page in self._pages(memory))

    def why_not(self, memory: memoryview) -> str:
        """Why it could not serve again now; "" when it could."""
        return shortfall(self.generation, memory, None, state="kept")

    def report(self, memory: memoryview) -> KeptReport:
        pages = self._pages(memory)
        pids = [page.pid for page in pages]
        pids += [app.pid for page in pages for app in page.apps if app.state in ("idle", "busy")]
        pids += [pid for pid, _ in self.generation.applications.zygotes]
        sizes = self._memory.of(pids)
        left = self.seconds - (time.monotonic() - self._began)
        return KeptReport(
            generation=self.generation.number,
            release=str(self.generation.plan.application.path),
            seconds_left=round(max(0.0, left), 1),
            workers=len(pages),
            processes=sum(page.serving_apps for page in pages),
            connections=sum(page.connections for page in pages),
            memory_bytes=sum(pss for _, pss in sizes.values()),
        )
