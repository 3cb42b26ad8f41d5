# SPDX-License-Identifier: MIT
"""The processes of one worker for one site: how many there are, and who has served enough.

There is one place more than processes, so that a replacement is ready before the old process is
told to go; it goes when it has finished what it was given, between two requests. More processes are
started while requests wait in the queue, one at a time, and leave again after idling.

Invariant: at most one process is coming or being replaced at a time, and nothing here kills: a
process that is told to leave and does not is the caller's to kill.
"""

import logging
import random
import time
from collections.abc import Callable

from askrctl.engine import AppStatus, WorkerStatus
from askrctl.server import recycle
from askrctl.server.plan import Plan
from askrctl.server.workers import Place, WorkerProcess

log = logging.getLogger("askrctl")

SAMPLE_PERIOD_S = 1.0
SERVING = ("idle", "busy")

Fork = Callable[[WorkerProcess, Place], None]


class Pool:
    """Looked at every 0.2 s."""

    def __init__(self, worker: WorkerProcess, plan: Plan, fork: Fork) -> None:
        self.size = plan.app_count  # how many there should be
        self.worker = worker
        self._site = plan.site_index
        self._label = f" site={plan.site_name}" if plan.site is not None else ""
        self._places = [place for place in worker.places if place.site == plan.site_index]
        self._config = plan.config.php
        self._max = plan.app_count_max
        self._limits = recycle.limits_of(self._config)
        self._chance = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._fork = fork
        self._sampled = time.monotonic()

    # --- what there is ----------------------------------------------------------------------------

    def _staying(self) -> list[Place]:
        """Those that serve or boot, without the one that is to take another's place."""
        return [
            place
            for place in self._places
            if place.is_taken and not place.leaving and not place.replaces_pid
        ]

    def _vacant(self) -> Place | None:
        return next((place for place in self._places if not place.is_taken), None)

    def _coming(self) -> Place | None:
        return next((place for place in self._places if place.replaces_pid), None)

    # --- what happens to it -----------------------------------------------------------------------

    def start_first(self) -> None:
        """One, to see whether it boots."""
        self._fork(self.worker, self._places[0])

    def start(self) -> None:
        """Those that are not there yet; all at once."""
        for place in self._places:
            place.restarting = False
        for place in self._places[: self.size]:
            self._fork(self.worker, place)

    def born(self, place: Place) -> None:
        """Its process has just been forked."""
        place.limits = recycle.with_jitter(self._limits, self._chance)
        place.samples.clear()
        place.requests_before = None
        place.active = time.monotonic()

    def look(self, page: WorkerStatus) -> None:
        """Take in what the worker's page says, then do at most one thing."""
        now = time.monotonic()
        states = {app.place: app for app in page.apps}
        for place in self._places:
            self._note(place, states.get(place.index), now)
        if now - self._sampled >= SAMPLE_PERIOD_S:
            self._sampled = now
            self._sample()
        coming = self._coming()
        if coming is not None:
            self._settle(coming, states.get(coming.index))
        elif not self._resize(page, states, now):
            self._recycle(states, now)

    @staticmethod
    def _note(place: Place, app: AppStatus | None, now: float) -> None:
        if app is None or not place.pid or app.pid != place.pid:
            return
        if place.requests_before is None:
            # Not what is counted now: it may have served some before we look for the first time.
            place.requests_before = place.requests_seen
        place.requests_seen = app.requests
        requests = app.requests - place.requests_before
        if requests != place.requests or app.state != "idle":
            place.active = now
        place.requests = requests

    def _sample(self) -> None:
        if not self._limits.of_memory:
            return
        for place in self._staying():
            sample = recycle.measure(place.pid, place.requests, self._limits) if place.pid else None
            if sample is not None:
                place.samples.append(sample)

    # --- replacing --------------------------------------------------------------------------------

    def _recycle(self, states: dict[int, AppStatus], now: float) -> None:
        for place in self._staying():
            limits = place.limits
            if limits is None or not _serves(place, states.get(place.index)):
                continue
            why = recycle.reason(limits, place.requests, now - place.born, tuple(place.samples))
            if why is not None:
                self._replace(place, why)
                return

    def replace(self, place: Place) -> bool:
        """Because somebody asks for it. False: another one is being replaced, or this one is."""
        if place not in self._staying() or self._coming() is not None:
            return False
        self._replace(place, recycle.Reason("asked", "asked"))
        return True

    def _replace(self, place: Place, why: recycle.Reason) -> None:
        self.worker.around.ledger.note("application_restarts", why.kind)
        log.info(
            'event=app_recycled worker=%d%s pid=%d reason="%s"',
            self.worker.index,
            self._label,
            place.pid,
            why.text,
        )
        vacant = self._vacant()
        if vacant is None:  # 64 processes: there is no room for a replacement beside it
            self.worker.retire(place)
            return
        vacant.replaces, vacant.replaces_pid = place.index, place.pid
        self._fork(self.worker, vacant)

    def _settle(self, coming: Place, app: AppStatus | None) -> None:
        """The old one goes once the new one serves. If it has died meanwhile it was started again,
        and there is one too many, which _resize() finds."""
        if not _serves(coming, app):
            return
        old = self.worker.places[coming.replaces]
        if old.pid == coming.replaces_pid:
            self.worker.retire(old)
        coming.replaces_pid = 0

    # --- growing and shrinking --------------------------------------------------------------------

    def _resize(self, page: WorkerStatus, states: dict[int, AppStatus], now: float) -> bool:
        staying = self._staying()
        all_serve = all(_serves(place, states.get(place.index)) for place in staying)
        waited_s = page.sites[self._site].queue_wait_ns / 1e9
        if len(staying) < self.size:
            return self._add()
        if len(staying) > self.size:
            return self._remove(staying, states)
        if all_serve and self.size < self._max and waited_s >= self._config.grow_after:
            self._change(self.size + 1, f"a request waited {waited_s:.2f} s")
            return self._add()
        if self.size > self._config.processes and self._idle(staying, now) is not None:
            self._change(self.size - 1, f"idle for {self._config.idle_ttl:.0f} s")
            return self._remove(staying, states)
        return False

    def _change(self, size: int, why: str) -> None:
        self.size = size
        log.info(
            'event=pool_resized worker=%d%s processes=%d reason="%s"',
            self.worker.index,
            self._label,
            size,
            why,
        )

    def _idle(self, staying: list[Place], now: float) -> Place | None:
        ttl = self._config.idle_ttl
        return next((place for place in staying if now - place.active >= ttl), None)

    def _add(self) -> bool:
        vacant = self._vacant()
        if vacant is not None:
            self._fork(self.worker, vacant)
        return vacant is not None

    def _remove(self, staying: list[Place], states: dict[int, AppStatus]) -> bool:
        """The one that has been idle longest: work goes to the first places first."""
        serving = [place for place in staying if _serves(place, states.get(place.index))]
        if not serving:
            return False
        self.worker.retire(min(serving, key=lambda place: place.active))
        return True


def _serves(place: Place, app: AppStatus | None) -> bool:
    return app is not None and app.pid == place.pid != 0 and app.state in SERVING
