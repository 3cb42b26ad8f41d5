# SPDX-License-Identifier: MIT
"""The application processes of a generation: forked, attached to their workers, started again.

Each site has a crew, whose zygote forks them, and each worker a pool for each crew. Of each crew
one process boots first, of worker 0, and the others when it serves: what keeps it from booting
would keep them all, and each would say so. Whatever dies is started again, with growing pauses.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from askrctl import engine
from askrctl.config import PLACES_MAX
from askrctl.model import AskrError
from askrctl.server import opcache
from askrctl.server.crew import Crew
from askrctl.server.plan import Plan
from askrctl.server.pool import Pool
from askrctl.server.ports import Port
from askrctl.server.slowlog import SlowEntry
from askrctl.server.watchdog import Watchdog
from askrctl.server.workers import Place, Surroundings, WorkerProcess
from askrctl.server.zygote import describe_exit

log = logging.getLogger("askrctl")

HEALTHY_S = 1.0  # a process that lived this long failed by accident, not by its nature
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
BOOT_PAUSE_S = 0.5  # in which the worker tells why a process did not boot; only then once more
FIRST_POLL_S = 0.02
FIRST_WORKER = 0  # it has the first process of each site


def backoff_s(failures: int) -> float:
    """At once after the first failure, then longer and longer."""
    return 0.0 if failures <= 1 else min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (failures - 2))


class Owner(Protocol):
    """The generation that they are of."""

    plan: Plan
    ready: bool
    failed: str
    draining: bool
    workers: dict[int, WorkerProcess]  # by index

    @property
    def gone(self) -> bool: ...
    @property
    def slots(self) -> range: ...
    def pages(self) -> list[engine.WorkerStatus]: ...
    def fail(self, sentence: str) -> None: ...
    def tolerates(self, site: str) -> bool: ...
    def not_started(self, what: str, error: Exception, again: Callable[[], None]) -> None: ...


class Applications:
    """Hears the zygotes (CrewListener)."""

    def __init__(self, owner: Owner, around: Surroundings, memory: memoryview) -> None:
        plan = owner.plan
        self.crews = [Crew(site, around.loop, self) for site in plan.each if site.php is not None]
        self._owner = owner
        self._around = around
        self._memory = memory
        self._pools: dict[int, list[Pool]] = {}  # by index of worker: one for each crew
        self._watchdog = Watchdog(
            around.loop, around.slowlog, plan.config.php.slow, self._ask_trace
        )

    def start(self) -> None:
        for crew in self.crews:
            crew.start()

    def worker_started(self, worker: WorkerProcess) -> None:
        """It has places, and nobody in them."""
        pools = [Pool(worker, crew.plan, self._fork) for crew in self.crews]
        self._pools[worker.index] = pools
        for crew, pool in zip(self.crews, pools, strict=True):
            self._start_processes(crew, pool)

    def look(self) -> None:
        """Again and again: at requests that take long, and at what the pools need."""
        workers = self._owner.workers
        self._watchdog.look(workers.values(), self._memory)
        if self._owner.draining or not any(crew.ready for crew in self.crews):
            return
        opcache.look(crew.opcache for crew in self.crews)
        for index, worker in workers.items():
            page = engine.read_status(self._memory, worker.slot)
            if page.pid == worker.pid and len(page.sites) >= len(self._owner.plan.each):
                self._look_at_pools(self._pools[index], page)

    def _look_at_pools(self, pools: Iterable[Pool], page: engine.WorkerStatus) -> None:
        for crew, pool in zip(self.crews, pools, strict=True):
            if crew.ready and crew.served:
                pool.look(page)

    def close(self) -> None:
        """After the last worker: end the zygotes."""
        for crew in self.crews:
            crew.close()

    # --- zygotes ----------------------------------------------------------------------------------

    def zygote_ready(self, crew: Crew) -> None:
        self._start_everywhere(crew)
        if not crew.served:
            self._look_at_first(crew)

    def _start_everywhere(self, crew: Crew) -> None:
        which = self.crews.index(crew)
        for index in self._owner.workers:
            self._start_processes(crew, self._pools[index][which])

    def _start_processes(self, crew: Crew, pool: Pool) -> None:
        """All of them, or the first one."""
        if not crew.ready:
            return
        if crew.served:
            pool.start()
        elif pool.worker.index == FIRST_WORKER:
            pool.start_first()

    def _look_at_first(self, crew: Crew) -> None:
        """Until it serves."""
        if self._owner.gone or crew.served or not crew.ready:
            return
        if any(crew.serving(page) for page in self._owner.pages()):
            crew.first_serves()
            self._start_everywhere(crew)
        else:
            self._around.loop.call_later(FIRST_POLL_S, lambda: self._look_at_first(crew))

    def zygote_failed(self, crew: Crew, sentence: str) -> None:
        if self._owner.draining:
            return
        name = crew.plan.site_name
        if not self._owner.ready and not self._owner.tolerates(name):
            self._owner.fail(f'site "{name}": {sentence}' if name else sentence)
            return
        site = f" site={name}" if name else ""
        log.error('event=zygote_died%s detail="%s"', site, sentence)
        for worker in self._owner.workers.values():
            for place in worker.places:
                if place.site == crew.plan.site_index:
                    if place.pid:
                        self._around.ledger.note("application_restarts", "zygote")
                    place.forget()
        wait = backoff_s(crew.failures)
        self._around.loop.call_later(wait, lambda: self._start_zygote_again(crew))

    def _start_zygote_again(self, crew: Crew) -> None:
        owner = self._owner
        if owner.gone or owner.draining or owner.failed or crew.zygote is not None:
            return
        try:
            crew.start()
        except (AskrError, OSError) as error:
            self._owner.not_started("zygote", error, lambda: self._start_zygote_again(crew))

    # --- processes --------------------------------------------------------------------------------

    def _crew_of(self, place: Place) -> Crew | None:
        return next((crew for crew in self.crews if crew.plan.site_index == place.site), None)

    def _fork(self, worker: WorkerProcess, place: Place) -> None:
        crew = self._crew_of(place)
        if self._owner.failed or crew is None or crew.zygote is None or not crew.ready:
            return
        if place.pid or place.port is not None:
            return
        if self._owner.workers.get(worker.index) is not worker:
            return
        place.restarting = False
        place.port = Port.make()
        fds = (place.port.memory, place.port.bell, worker.bell)
        ident = worker.ident * PLACES_MAX + place.index
        crew.zygote.fork(ident, self._owner.plan.cpus[worker.index], fds)

    def _find(self, crew: Crew, ident: int) -> tuple[WorkerProcess, Place] | None:
        """Of this crew's places: a zygote has no say in those of another site."""
        for worker in self._owner.workers.values():
            if worker.ident == ident // PLACES_MAX and ident % PLACES_MAX < len(worker.places):
                place = worker.places[ident % PLACES_MAX]
                return (worker, place) if place.site == crew.plan.site_index else None
        return None

    def _pool_of(self, worker: WorkerProcess, crew: Crew) -> Pool:
        return self._pools[worker.index][self.crews.index(crew)]

    def app_forked(self, crew: Crew, ident: int, pid: int, pidfd: int) -> None:
        found = self._find(crew, ident)
        if found is None or found[1].port is None:  # its worker has died meanwhile
            stray = Place(0, pid, pidfd)
            stray.kill()
            stray.forget()
            return
        worker, place = found
        place.pid, place.pidfd, place.born = pid, pidfd, time.monotonic()
        self._pool_of(worker, crew).born(place)
        worker.attach(place)
        worker.recycle_next()

    def app_exited(self, crew: Crew, ident: int, pid: int, wait_status: int) -> None:
        found = self._find(crew, ident)
        if found is None or found[1].pid != pid:
            return
        worker, place = found
        if place.leaving:
            place.failures = 0
            place.forget()
            if worker.is_recycled(pid):
                self._around.ledger.note("application_restarts", "asked")
                self._fork(worker, place)
        else:
            self._died(crew, worker, place, describe_exit(wait_status))

    def _died(self, crew: Crew, worker: WorkerProcess, place: Place, how: str) -> None:
        """It was not told to go."""
        pid, lived = place.pid, time.monotonic() - place.born
        place.failures = 1 if lived > HEALTHY_S else place.failures + 1
        reason = place.killed_for or "died"
        place.forget()
        wait = backoff_s(place.failures)
        crew.process_died(how)
        if not crew.served:
            wait = max(wait, BOOT_PAUSE_S)
        if not self._owner.draining:
            self._around.ledger.note("application_restarts", reason)
            log.warning(
                "event=app_exited worker=%d pid=%d status=%r restart_s=%.1f",
                worker.index,
                pid,
                how,
                wait,
            )
        self._restart_later(worker, place, wait)

    def _restart_later(self, worker: WorkerProcess, place: Place, wait_s: float) -> None:
        """A worker that is not ready yet has not heard what the last process said."""
        place.restarting = True

        def restart() -> None:
            if worker.ready or self._owner.workers.get(worker.index) is not worker:
                self._fork(worker, place)
            else:
                self._restart_later(worker, place, FIRST_POLL_S)

        self._around.loop.call_later(wait_s, restart)

    def app_refused(self, crew: Crew, ident: int, errnum: int) -> None:
        found = self._find(crew, ident)
        if found is None:
            return
        worker, place = found
        place.failures += 1
        place.forget()
        log.error('event=app_not_forked worker=%d detail="%s"', worker.index, os.strerror(errnum))
        self._restart_later(worker, place, max(1.0, backoff_s(place.failures)))

    # --- what is asked of them --------------------------------------------------------------------

    def overdue(self, worker: WorkerProcess, place: Place) -> None:
        config = self._owner.plan.config
        place.killed_for = "timeout"
        self._watchdog.overdue(worker, place, config.timeouts.request + config.php.kill_grace)

    def _place_of(self, pid: object) -> tuple[WorkerProcess, Place] | None:
        every = (
            (worker, place) for worker in self._owner.workers.values() for place in worker.places
        )
        return next((item for item in every if item[1].pid == pid != 0), None)

    def recycle_app(self, pid: int) -> bool:
        """Replace one application process. False: not now, or it is none of ours."""
        found = self._place_of(pid)
        crew = self._crew_of(found[1]) if found is not None else None
        if found is None or crew is None or self._owner.draining or not crew.ready:
            return False
        return self._pool_of(found[0], crew).replace(found[1])

    def examine(self, pid: object, told: Callable[[SlowEntry], None]) -> bool:
        """Find out what an application process does. False: it is none of ours."""
        found = self._place_of(pid)
        return found is not None and self._watchdog.examine(*found, self._memory, told)

    def caches(self) -> dict[str, dict[str, int]]:
        """What is known of each site's OPcache, by its name; who asks has them looked at."""
        return {crew.plan.site_name: crew.opcache.want() for crew in self.crews}

    def _ask_trace(self, ident: int) -> bool:
        index = ident % PLACES_MAX
        crews = (crew for crew in self.crews if crew.plan.first_place <= index)
        return any(
            crew.trace(ident)
            for crew in crews
            if index < crew.plan.first_place + crew.plan.place_count
        )

    def app_traced(self, ident: int, pid: int, lines: list[str]) -> None:
        self._watchdog.traced(ident, pid, lines)

    def app_asked_reload(self) -> None:
        if self._owner.ready and not self._owner.draining:
            self._around.ask_reload()

    @property
    def zygotes(self) -> list[tuple[int, Plan]]:
        """The pid of each, and what it was started for."""
        found = [(crew.zygote, crew.plan) for crew in self.crews]
        return [(zygote.process.pid, plan) for zygote, plan in found if zygote is not None]

    @property
    def not_serving(self) -> frozenset[str]:
        """Sites that have processes, none of which serves."""
        pages = [engine.read_status(self._memory, slot) for slot in self._owner.slots]
        return frozenset(
            crew.plan.site_name
            for crew in self.crews
            if not any(crew.serving(page) for page in pages)
        )
