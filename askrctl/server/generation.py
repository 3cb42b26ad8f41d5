# SPDX-License-Identifier: MIT
"""A generation: N workers and their applications. Started, proven ready, watched, drained. A worker
that dies is started again, with growing pauses, and never given up.

Happy path: start() → workers and zygote say READY → applications are forked and attached → ready.
Failure modes: no application can boot (failed: the supervisor decides), a worker dies or stops
(replaced), a ring does not open in a worker (all workers change to epoll together).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from askrctl import engine
from askrctl.model import Backend
from askrctl.server.applications import HEALTHY_S, Applications, backoff_s
from askrctl.server.backend import after_failure
from askrctl.server.check import Check
from askrctl.server.crew import Crew
from askrctl.server.plan import Plan
from askrctl.server.pulse import Pulse
from askrctl.server.tracing import Exporter
from askrctl.server.warmup import WarmUp
from askrctl.server.workers import Place, Surroundings, WorkerProcess

log = logging.getLogger("askrctl")

STARTING_MAX_S = 15.0  # for a worker's first beat: imports on a loaded machine
READY_POLL_S = 0.02
NOT_STARTED_S = 1.0  # until a process that could not even be started is tried again


@dataclass(frozen=True, slots=True)
class Proof:
    """What a generation has to show before it takes over."""

    all_processes: bool  # every one serves; else one of each worker, unless they are warmed up
    # Another one serves until then: all processes that boot without a fault are waited for, so that
    # there are as many after the change as before.
    replaces: bool = False
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
        self._late = False  # the time to boot is over
        self._proving = False  # it is checked or warmed up
        self._idents = 0
        self._failures: dict[int, int] = {}  # of workers, by index
        self._listening = False
        self._check: Check | None = None
        self.applications = Applications(self, around, memory)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        self.applications.start()
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
        self.applications.close()

    def pages(self) -> list[engine.WorkerStatus]:
        """Of workers of this generation: a slot may still have that of the one before."""
        pages = [engine.read_status(self._memory, slot) for slot in self.slots]
        return [page for page in pages if page.generation == self.number]

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
            self.not_started(f"worker {index}", error, lambda: self._start_worker(index))
            return
        self.workers[index] = worker
        log.info("event=worker_started worker=%d pid=%d", index, worker.pid)
        self.applications.worker_started(worker)

    def not_started(self, what: str, error: Exception, again: Callable[[], None]) -> None:
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
        self._around.ledger.retire(worker.slot, worker.pid, worker.index)
        if self.draining:
            self._on_change()
            return
        reason = worker.killed_for or ("asked" if worker.draining else "died")
        self._around.ledger.note("worker_restarts", reason)
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
            self.fail(f"worker {worker.index} cannot start: exit status {code}")
            return
        self._around.loop.call_later(wait, lambda: self._start_worker(worker.index))

    def app_overdue(self, worker: WorkerProcess, place: Place) -> None:
        self.applications.overdue(worker, place)

    def worker_backend_failed(self, errnum: int) -> None:
        """A worker's ring did not open. All or nothing: a mixed fleet would hide it."""
        if self.plan.choice.active is Backend.EPOLL:
            return
        choice = after_failure(self.plan.choice, errnum)
        log.warning("%s", choice.log_line())
        self.plan = replace(self.plan, choice=choice)
        for other in self.workers.values():
            other.kill("backend")

    def watch(self) -> None:
        """Replace workers that are stopped or loop. The caller knows it was not stopped itself."""
        for worker in list(self.workers.values()):
            self._feel(worker)
        self.applications.look()

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
            worker.kill("stuck")
        elif pulse.waits and not worker.waits:
            detail = "this machine has more to do than it can"
            log.warning('event=worker_waits for=%s %s detail="%s"', pulse.value, who, detail)
        worker.waits = pulse.waits

    # --- readiness --------------------------------------------------------------------------------

    def fail(self, sentence: str) -> None:
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
            self.fail(problem)
            return
        self.ready = True
        self._on_change()

    def boot_time_over(self) -> None:
        """Whoever may be missing is not waited for any longer."""
        over_before = self._late or self._proving
        self._late = True
        if not over_before:
            self._check_ready()
        if self.draining or self.ready or self.failed:
            return
        if over_before or not self._proving:
            self.fail(self._not_in_time)
        else:  # it went on without them
            self._around.loop.call_later(self.plan.config.timeouts.boot, self.boot_time_over)

    def _missing(self, pages: list[engine.WorkerStatus]) -> list[Crew]:
        """Sites that are waited for; a problem of one that must serve is a failure."""
        missing = []
        for crew in self.applications.crews:
            count = crew.plan.app_count if self._waits_for_all(crew) else 1
            problem = crew.problem(pages)
            if crew.served and all(crew.serving(page) >= count for page in pages):
                continue
            if self.tolerates(crew.plan.site_name) and (problem or self._late):
                continue
            if problem:
                name = crew.plan.site_name
                self.fail(f'site "{name}": {problem}' if name else problem)
            missing.append(crew)
        return missing

    def tolerates(self, site: str) -> bool:
        """It may go on not serving."""
        return site in self._proof.tolerated

    def _waits_for_all(self, crew: Crew) -> bool:
        if self._proof.all_processes or self.plan.config.warmup:
            return True
        return self._proof.replaces and not crew.deaths and not self._late

    def _nobody_serves(self, pages: list[engine.WorkerStatus]) -> str:
        """Sites that need not serve do not all fail."""
        if len(self.applications.crews) < len(self.plan.each) or not self.applications.crews:
            return ""
        if any(crew.serving(page) for crew in self.applications.crews for page in pages):
            return ""
        first = self.applications.crews[0]
        return f'no site serves; "{first.plan.site_name}": ' + (
            first.problem(pages) or self._not_in_time
        )

    @property
    def _not_in_time(self) -> str:
        return f"it was not ready within {self.plan.config.timeouts.boot:g} s (timeouts.boot)"

    def _check_ready(self) -> None:
        if self.draining or self.failed or self.ready or self._proving:
            return
        mine = self.pages()
        serving = len(mine) == len(self.slots) and all(page.state == "ready" for page in mine)
        missing = self._missing(mine) if serving else []
        if self.failed:
            return
        if serving and not missing and (problem := self._nobody_serves(mine)):
            self.fail(problem)
        elif serving and not missing and self._proof.check:
            self._begin_check()
        elif serving and not missing:
            self._begin_warm_up("")
        elif not self._late:
            self._around.loop.call_later(READY_POLL_S, self._check_ready)
