# SPDX-License-Identifier: MIT
"""A generation: a zygote for each site, N workers, their application processes. Started, proven
ready, watched, drained. Whatever dies is started again, with growing pauses, and never given up.

Happy path: start() → workers and zygote say READY → applications are forked and attached → ready.
Failure modes: no application can boot (failed: the supervisor decides), a worker dies or stops
(replaced), a ring does not open in a worker (all workers change to epoll together).
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from askrctl import engine
from askrctl.config import PLACES_MAX
from askrctl.model import AskrError, Backend
from askrctl.server import opcache
from askrctl.server.backend import after_failure
from askrctl.server.check import Check
from askrctl.server.crew import Crew
from askrctl.server.plan import Plan
from askrctl.server.pool import Pool
from askrctl.server.ports import Port
from askrctl.server.pulse import Pulse
from askrctl.server.slowlog import SlowEntry
from askrctl.server.tracing import Exporter
from askrctl.server.warmup import WarmUp
from askrctl.server.watchdog import Watchdog
from askrctl.server.workers import Place, Surroundings, WorkerProcess
from askrctl.server.zygote import describe_exit

log = logging.getLogger("askrctl")

STARTING_MAX_S = 15.0  # for a worker's first beat: imports on a loaded machine
HEALTHY_S = 1.0  # a process that lived this long failed by accident, not by its nature
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
READY_POLL_S = 0.02
NOT_STARTED_S = 1.0  # until a process that could not even be started is tried again


def backoff_s(failures: int) -> float:
    """At once after the first failure, then longer and longer."""
    return 0.0 if failures <= 1 else min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (failures - 2))


@dataclass(frozen=True, slots=True)
class Proof:
    """What a generation has to show before it takes over."""

    all_processes: bool  # every one serves; else one of each worker, unless they are warmed up
    tolerated: frozenset[str] = frozenset()  # sites that do not serve now, and may go on so
    check: str = ""  # a path that each worker has to answer with less than 500


class Generation:
    """Calls `on_change` whenever ready, failed or gone may have become true."""

    def __init__(
        self,
        plan: Plan,
        around: Surroundings,
        memory: memoryview,
        on_change: Callable[[], None],
        proof: Proof,
    ) -> None:
        self.plan = plan
        self.number = around.generation
        self.ready = False
        self.failed = ""  # why it cannot serve, one sentence
        self.draining = False
        self.workers: dict[int, WorkerProcess] = {}  # by index
        self._around = around
        self._memory = memory
        self._on_change = on_change
        self._proof = proof
        self._crews = [Crew(site, around.loop, self) for site in plan.each if site.php is not None]
        self._late = False  # the time to boot is over
        self._proving = False  # it is checked or warmed up
        self._idents = 0
        self._failures: dict[int, int] = {}  # of workers, by index
        slow_s = plan.config.php.slow
        self._listening = False
        self._check: Check | None = None
        self._pools: dict[int, list[Pool]] = {}  # by index of worker: one for each crew
        self._watchdog = Watchdog(around.loop, around.slowlog, slow_s, self._ask_trace)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        for crew in self._crews:
            crew.start()
        for index in range(len(self.plan.cpus)):
            self._start_worker(index)
        self._around.loop.call_later(READY_POLL_S, self._check_ready)

    def listen(self) -> None:
        """Take connections from now on: it has proven itself."""
        self._listening = True
        for worker in self.workers.values():
            worker.listen()

    def keep(self, deadline_s: float) -> None:
        """Stop accepting and finish, but stay warm: listen() is all it takes to serve again."""
        self._listening = False
        for worker in self.workers.values():
            worker.keep(deadline_s)

    def drain(self, deadline_s: float, idle_at_once: bool = False) -> None:
        """Stop accepting, finish, go; whoever is left after the deadline is killed."""
        self.draining = True
        for worker in self.workers.values():
            worker.drain(deadline_s, idle_at_once)
        self._around.loop.call_later(deadline_s + 1.0, self.kill)

    def renew_tls(self) -> None:
        """Certificates or ticket keys have changed."""
        for worker in self.workers.values():
            worker.renew_tls()

    def kill(self) -> None:
        self.draining = True
        for worker in self.workers.values():
            worker.kill()

    @property
    def gone(self) -> bool:
        return self.draining and not self.workers

    def close(self) -> None:
        """After the last worker: end the zygotes."""
        for crew in self._crews:
            crew.close()

    @property
    def exporter(self) -> Exporter | None:
        """Of its traces."""
        return self._around.exporter

    @property
    def slots(self) -> range:
        base = self._around.slot_base
        return range(base, base + len(self.plan.cpus))

    # --- workers ----------------------------------------------------------------------------------

    def _start_worker(self, index: int) -> None:
        if self.draining or index in self.workers:
            return
        self._idents += 1
        try:
            worker = WorkerProcess(self.plan, index, self._idents, self._around, self)
        except OSError as error:  # no process, memory or descriptor is left
            self._not_started(f"worker {index}", error, lambda: self._start_worker(index))
            return
        self.workers[index] = worker
        log.info("event=worker_started worker=%d pid=%d", index, worker.pid)
        self._pools[index] = [Pool(worker, crew.plan, self._fork) for crew in self._crews]
        for crew, pool in zip(self._crews, self._pools[index], strict=True):
            if crew.ready:
                pool.start()

    def _not_started(self, what: str, error: Exception, again: Callable[[], None]) -> None:
        log.error('event=not_started what="%s" detail="%s"', what, str(error).replace('"', "'"))
        self._around.loop.call_later(NOT_STARTED_S, again)

    def worker_ready(self, worker: WorkerProcess) -> None:
        log.info("event=worker_ready worker=%d pid=%d", worker.index, worker.pid)
        if self._listening:
            worker.listen()
        if self.draining:
            worker.kill()

    def worker_exited(self, worker: WorkerProcess, code: int) -> None:
        del self.workers[worker.index]
        self._around.ledger.retire(worker.slot, worker.pid)
        if self.draining:
            self._on_change()
            return
        lived = time.monotonic() - worker.born
        failures = 1 if lived > HEALTHY_S else self._failures.get(worker.index, 0) + 1
        self._failures[worker.index] = failures
        wait = backoff_s(failures)
        log.warning(
            "event=worker_exited worker=%d pid=%d status=%d restart_s=%.1f",
            worker.index,
            worker.pid,
            code,
            wait,
        )
        if not self.ready and failures > 3:
            self._fail(f"worker {worker.index} cannot start: exit status {code}")
            return
        self._around.loop.call_later(wait, lambda: self._start_worker(worker.index))

    def worker_backend_failed(self, errnum: int) -> None:
        """A worker's ring did not open. All or nothing: a mixed fleet would hide it."""
        if self.plan.choice.active is Backend.EPOLL:
            return
        choice = after_failure(self.plan.choice, errnum)
        log.warning("%s", choice.log_line())
        self.plan = replace(self.plan, choice=choice)
        for other in self.workers.values():
            other.kill()

    def watch(self) -> None:
        """Replace workers that are stopped or loop. The caller knows it was not stopped itself."""
        for worker in list(self.workers.values()):
            self._feel(worker)
        self._watchdog.look(self.workers.values(), self._memory)
        if self.draining or not any(crew.ready for crew in self._crews):
            return
        opcache.look(crew.opcache for crew in self._crews)
        for index, worker in self.workers.items():
            page = engine.read_status(self._memory, worker.slot)
            if page.pid != worker.pid or len(page.sites) < len(self.plan.each):
                continue  # it has not begun yet
            for crew, pool in zip(self._crews, self._pools[index], strict=True):
                if crew.ready:
                    pool.look(page)

    def _feel(self, worker: WorkerProcess) -> None:
        """Kill a worker that is stuck: worker_exited() replaces it."""
        silent_s = min(worker.heartbeat_age_s(self._memory), time.monotonic() - worker.born)
        if worker.ready:
            pulse = worker.pulse.look(silent_s)
        else:
            pulse = Pulse.STUCK if silent_s > STARTING_MAX_S else Pulse.FINE
        who = f"worker={worker.index} pid={worker.pid} silent_s={silent_s:.1f}"
        if pulse is Pulse.STUCK and not worker.killed:
            log.warning("event=worker_stuck %s", who)
            worker.kill()
        elif pulse.waits and not worker.waits:
            detail = "this machine has more to do than it can"
            log.warning('event=worker_waits for=%s %s detail="%s"', pulse.value, who, detail)
        worker.waits = pulse.waits

    # --- applications -----------------------------------------------------------------------------

    def zygote_ready(self, crew: Crew) -> None:
        which = self._crews.index(crew)
        for index in self.workers:
            self._pools[index][which].start()

    def zygote_failed(self, crew: Crew, sentence: str) -> None:
        if self.draining:
            return
        name = crew.plan.site_name
        if not self.ready and name not in self._proof.tolerated:
            self._fail(f'site "{name}": {sentence}' if name else sentence)
            return
        site = f" site={name}" if name else ""
        log.error('event=zygote_died%s detail="%s"', site, sentence)
        for worker in self.workers.values():
            for place in worker.places:
                if place.site == crew.plan.site_index:
                    place.forget()
        wait = backoff_s(crew.failures)
        self._around.loop.call_later(wait, lambda: self._start_zygote_again(crew))

    def _start_zygote_again(self, crew: Crew) -> None:
        if self.gone or self.draining or self.failed or crew.zygote is not None:
            return
        try:
            crew.start()
        except (AskrError, OSError) as error:
            self._not_started("zygote", error, lambda: self._start_zygote_again(crew))

    def _crew_of(self, place: Place) -> Crew | None:
        return next((crew for crew in self._crews if crew.plan.site_index == place.site), None)

    def _fork(self, worker: WorkerProcess, place: Place) -> None:
        crew = self._crew_of(place)
        if crew is None or crew.zygote is None or not crew.ready:
            return
        if place.pid or place.port is not None:
            return
        if self.workers.get(worker.index) is not worker:
            return
        place.restarting = False
        place.port = Port.make()
        fds = (place.port.memory, place.port.bell, worker.bell)
        ident = worker.ident * PLACES_MAX + place.index
        crew.zygote.fork(ident, self.plan.cpus[worker.index], fds)

    def _find(self, crew: Crew, ident: int) -> tuple[WorkerProcess, Place] | None:
        """Of this crew's places: a zygote has no say in those of another site."""
        for worker in self.workers.values():
            if worker.ident == ident // PLACES_MAX and ident % PLACES_MAX < len(worker.places):
                place = worker.places[ident % PLACES_MAX]
                return (worker, place) if place.site == crew.plan.site_index else None
        return None

    def _pool_of(self, worker: WorkerProcess, crew: Crew) -> Pool:
        return self._pools[worker.index][self._crews.index(crew)]

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
                self._fork(worker, place)
            return
        lived = time.monotonic() - place.born
        place.failures = 1 if lived > HEALTHY_S else place.failures + 1
        place.forget()
        wait = backoff_s(place.failures)
        if not self.draining:
            log.warning(
                "event=app_exited worker=%d pid=%d status=%r restart_s=%.1f",
                worker.index,
                pid,
                describe_exit(wait_status),
                wait,
            )
        place.restarting = True
        self._around.loop.call_later(wait, lambda: self._fork(worker, place))

    def app_overdue(self, worker: WorkerProcess, place: Place) -> None:
        config = self.plan.config
        self._watchdog.overdue(worker, place, config.timeouts.request + config.php.kill_grace)

    def _place_of(self, pid: object) -> tuple[WorkerProcess, Place] | None:
        every = ((worker, place) for worker in self.workers.values() for place in worker.places)
        return next((item for item in every if item[1].pid == pid != 0), None)

    def recycle_app(self, pid: int) -> bool:
        """Replace one application process. False: not now, or it is none of ours."""
        found = self._place_of(pid)
        crew = self._crew_of(found[1]) if found is not None else None
        if found is None or crew is None or self.draining or not crew.ready:
            return False
        return self._pool_of(found[0], crew).replace(found[1])

    def examine(self, pid: object, told: Callable[[SlowEntry], None]) -> bool:
        """Find out what an application process does. False: it is none of ours."""
        found = self._place_of(pid)
        return found is not None and self._watchdog.examine(*found, self._memory, told)

    def caches(self) -> dict[str, dict[str, int]]:
        """What is known of each site's OPcache, by its name; who asks has them looked at."""
        return {crew.plan.site_name: crew.opcache.want() for crew in self._crews}

    def _ask_trace(self, ident: int) -> bool:
        index = ident % PLACES_MAX
        crews = (crew for crew in self._crews if crew.plan.first_place <= index)
        return any(
            crew.trace(ident)
            for crew in crews
            if index < crew.plan.first_place + crew.plan.place_count
        )

    def app_traced(self, ident: int, pid: int, lines: list[str]) -> None:
        self._watchdog.traced(ident, pid, lines)

    def app_asked_reload(self) -> None:
        if self.ready and not self.draining:
            self._around.ask_reload()

    def app_refused(self, crew: Crew, ident: int, errnum: int) -> None:
        found = self._find(crew, ident)
        if found is None:
            return
        worker, place = found
        place.failures += 1
        place.forget()
        log.error('event=app_not_forked worker=%d detail="%s"', worker.index, os.strerror(errnum))
        wait = max(1.0, backoff_s(place.failures))
        place.restarting = True
        self._around.loop.call_later(wait, lambda: self._fork(worker, place))

    # --- readiness --------------------------------------------------------------------------------

    def _fail(self, sentence: str) -> None:
        self.failed = sentence
        self._on_change()

    def _begin_check(self) -> None:
        self._proving = True
        workers = list(self.workers.values())
        self._check = Check(self._around.loop, workers, self._proof.check, self._begin_warm_up)

    def _begin_warm_up(self, problem: str) -> None:
        self._proving = True
        config = self.plan.config
        if problem or not config.warmup or self.draining or self.failed:
            self._set_ready(problem)
            return
        workers = list(self.workers.values())
        warm_up = WarmUp(
            self._around.loop, workers, config.warmup, self._requests_of, self._set_ready
        )
        warm_up.expire(config.timeouts.warmup)

    def _requests_of(self, worker: WorkerProcess) -> dict[int, int]:
        """What its processes have finished, by pid."""
        page = engine.read_status(self._memory, worker.slot)
        return {app.pid: app.requests for app in page.apps if app.state in ("idle", "busy")}

    def _set_ready(self, problem: str) -> None:
        if self.draining or self.failed or self.ready:
            return
        if problem:
            self._fail(problem)
            return
        self.ready = True
        self._on_change()

    @property
    def zygotes(self) -> list[tuple[int, Plan]]:
        """The pid of each, and what it was started for."""
        found = [(crew.zygote, crew.plan) for crew in self._crews]
        return [(zygote.process.pid, plan) for zygote, plan in found if zygote is not None]

    @property
    def not_serving(self) -> frozenset[str]:
        """Sites that have processes, none of which serves."""
        pages = [engine.read_status(self._memory, slot) for slot in self.slots]
        return frozenset(
            crew.plan.site_name
            for crew in self._crews
            if not any(crew.serving(page) for page in pages)
        )

    def boot_time_over(self) -> None:
        """Whoever may be missing is not waited for any longer."""
        over_before = self._late or self._proving
        self._late = True
        if not over_before:
            self._check_ready()
        if self.draining or self.ready or self.failed:
            return
        if over_before or not self._proving:
            self._fail("it was not ready in time")
        else:  # it went on without them
            self._around.loop.call_later(self.plan.config.timeouts.boot, self.boot_time_over)

    def _missing(self, pages: list[engine.WorkerStatus]) -> list[Crew]:
        """Sites that are waited for; a problem of one that must serve is a failure."""
        missing = []
        for crew in self._crews:
            every = self._proof.all_processes or self.plan.config.warmup
            count = crew.plan.app_count if every else 1
            problem = crew.problem(pages)
            if all(crew.serving(page) >= count for page in pages):
                continue
            if crew.plan.site_name in self._proof.tolerated and (problem or self._late):
                continue
            if problem:
                name = crew.plan.site_name
                self._fail(f'site "{name}": {problem}' if name else problem)
            missing.append(crew)
        return missing

    def _nobody_serves(self, pages: list[engine.WorkerStatus]) -> str:
        """Sites that need not serve do not all fail."""
        if len(self._crews) < len(self.plan.each) or not self._crews:
            return ""
        if any(crew.serving(page) for crew in self._crews for page in pages):
            return ""
        first = self._crews[0]
        return f'no site serves; "{first.plan.site_name}": ' + (
            first.problem(pages) or "it was not ready in time"
        )

    def _check_ready(self) -> None:
        if self.draining or self.failed or self.ready or self._proving:
            return
        pages = [engine.read_status(self._memory, slot) for slot in self.slots]
        mine = [page for page in pages if page.generation == self.number]
        serving = len(mine) == len(pages) and all(page.state == "ready" for page in mine)
        missing = self._missing(mine) if serving else []
        if self.failed:
            return
        if serving and not missing and (problem := self._nobody_serves(mine)):
            self._fail(problem)
        elif serving and not missing and self._proof.check:
            self._begin_check()
        elif serving and not missing:
            self._begin_warm_up("")
        elif not self._late:
            self._around.loop.call_later(READY_POLL_S, self._check_ready)
