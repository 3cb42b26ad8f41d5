# SPDX-License-Identifier: MIT
"""What a generation has for one site: the zygote that forks its processes, and whether it serves.

A zygote runs as its site's user and says which process is for which place: it is believed only of
places of its own site.
"""

import logging
import time
from typing import Protocol

from askrctl import engine
from askrctl.server.loop import Loop
from askrctl.server.opcache import Opcache
from askrctl.server.plan import Plan
from askrctl.server.zygote import ZygoteProcess

log = logging.getLogger("askrctl")

HEALTHY_S = 1.0  # a zygote that lived this long failed by accident, not by its nature
SERVING = ("idle", "busy")
BOOT_DEATHS_MAX = 3  # of the first process, without a word; then it is no accident


class CrewListener(Protocol):
    """Who hears what the zygotes say; `crew` is the one that said it."""

    def zygote_ready(self, crew: "Crew") -> None: ...
    def zygote_failed(self, crew: "Crew", sentence: str) -> None: ...
    def app_forked(self, crew: "Crew", ident: int, pid: int, pidfd: int) -> None: ...
    def app_exited(self, crew: "Crew", ident: int, pid: int, wait_status: int) -> None: ...
    def app_refused(self, crew: "Crew", ident: int, errnum: int) -> None: ...
    def app_traced(self, ident: int, pid: int, lines: list[str]) -> None: ...
    def app_asked_reload(self) -> None: ...


class Crew:
    """Hears its zygote (ZygoteListener)."""

    def __init__(self, plan: Plan, loop: Loop, listener: CrewListener) -> None:
        self.plan = plan
        self.zygote: ZygoteProcess | None = None
        self.ready = False
        self.served = False  # one of its processes has; until then no other is started
        self.deaths = 0  # of processes that were not told to go
        self.failures = 0  # of the zygote in a row, each soon after the start
        self.failed = ""  # why its zygote could not start, or did not stay
        self.opcache = Opcache(self._ask_caches)
        self._loop = loop
        self._listener = listener
        self._born = 0.0

    def start(self) -> None:
        self._born = time.monotonic()
        self.zygote = ZygoteProcess(self.plan, self._loop, self)

    def trace(self, ident: int) -> bool:
        return self.zygote is not None and self.zygote.trace(ident)

    def _ask_caches(self) -> bool:
        return self.zygote is not None and self.ready and self.zygote.ask_caches()

    def close(self) -> None:
        if self.zygote is not None:
            self.zygote.close()
            self.zygote.wait(2.0)

    # --- what it says -----------------------------------------------------------------------------

    def zygote_ready(self) -> None:
        self.ready, self.failed = True, ""
        self._listener.zygote_ready(self)

    def zygote_failed(self, sentence: str) -> None:
        lived = time.monotonic() - self._born > HEALTHY_S
        self.zygote, self.ready, self.failed = None, False, sentence
        self.failures = 1 if lived else self.failures + 1
        self._listener.zygote_failed(self, sentence)

    def app_forked(self, ident: int, pid: int, pidfd: int) -> None:
        self._listener.app_forked(self, ident, pid, pidfd)

    def app_exited(self, ident: int, pid: int, wait_status: int) -> None:
        self._listener.app_exited(self, ident, pid, wait_status)

    def app_refused(self, ident: int, errnum: int) -> None:
        self._listener.app_refused(self, ident, errnum)

    def app_traced(self, ident: int, pid: int, lines: list[str]) -> None:
        self._listener.app_traced(ident, pid, lines)

    def app_asked_reload(self) -> None:
        self._listener.app_asked_reload()

    def caches_told(self, text: str) -> None:
        self.opcache.told(text)

    # --- its first process ------------------------------------------------------------------------

    def first_serves(self) -> None:
        self.served, self.failed = True, ""

    def process_died(self, how: str) -> None:
        """One that could say why it does not boot has told its worker; a crash says nothing."""
        self.deaths += 1
        if not self.served and self.deaths >= BOOT_DEATHS_MAX:
            self.failed = f"PHP processes end with {how} before they serve"

    # --- does it serve? ---------------------------------------------------------------------------

    def _apps(self, page: engine.WorkerStatus) -> list[engine.AppStatus]:
        first = self.plan.first_place
        return [app for app in page.apps if first <= app.place < first + self.plan.place_count]

    def serving(self, page: engine.WorkerStatus) -> int:
        """Its processes of one worker that serve."""
        return sum(app.state in SERVING for app in self._apps(page))

    def problem(self, pages: list[engine.WorkerStatus]) -> str:
        """Why it cannot serve; "" when it does, or may yet."""
        if any(self.serving(page) for page in pages):
            return ""
        index = self.plan.site_index
        errors = [page.sites[index].boot_error for page in pages if len(page.sites) > index]
        return next(filter(None, errors), "") or self.failed
