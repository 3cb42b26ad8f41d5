# SPDX-License-Identifier: MIT
"""The supervisor: holds the listeners, runs generations, answers the control socket.

A reload starts a new generation beside the old one and lets the old one drain only when the new one
has proven that it serves; one that cannot is discarded, and the old one serves on.
"""

import logging
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from askrctl import engine, signals
from askrctl.config import Address, Config, blamed
from askrctl.model import AskrError, BackendChoice
from askrctl.server import notify, sockets
from askrctl.server.accesslog import AccessLog
from askrctl.server.admin import AdminServer
from askrctl.server.admin_api import AdminApi
from askrctl.server.bursts import Bursts
from askrctl.server.commands import Commands
from askrctl.server.control import ControlServer
from askrctl.server.generation import Generation, Proof
from askrctl.server.kept import Kept
from askrctl.server.ledger import Ledger, Sums
from askrctl.server.loop import Loop
from askrctl.server.orders import Orders
from askrctl.server.plan import Plan
from askrctl.server.ports import RateMemory, make_status_memory
from askrctl.server.recording import Recording
from askrctl.server.reloads import Ticket, Tickets, tell_of_restarts
from askrctl.server.report import Around, Report, make_report
from askrctl.server.slowlog import SlowLog
from askrctl.server.tls_store import TlsKeeper
from askrctl.server.tracing import Tracing
from askrctl.server.watch import Watch
from askrctl.server.workers import Surroundings, WorkerProcess

log = logging.getLogger("askrctl")

WATCH_PERIOD_S = 0.2
SWITCH_POLL_S = 0.001  # until a rollback is known to have taken over
ASKED_PERIOD_S = 5.0  # between two reloads that applications ask for
STALL_S = 0.5  # a later tick means that we were stopped ourselves: workers get a fresh chance

_FLAGS = {"": 0, "tls": engine.LISTENER_TLS, "redirect": engine.LISTENER_REDIRECT}


def _flags_of(address: Address) -> int:
    return _FLAGS[address.role] | (engine.LISTENER_PROXY if address.proxy else 0)


Replan = Callable[[], Plan]


class Supervisor:
    """One server. run() returns the exit status."""

    def __init__(
        self,
        plan: Plan,
        replan: Replan,
        listeners: list[tuple[Any, Address]],
        control: ControlServer,
        path: Path,
        on_ready: Callable[["Supervisor"], None],
    ) -> None:
        self.plan = plan
        self.addresses = [address for _, address in listeners]
        self.started = self.since = time.time()  # the server; the generation that serves
        self.control = control
        self._replan = replan
        self.path = path  # as it was given, symlinks and all
        self.tickets = Tickets()
        self._watched: Watch | None = None
        self._asked = False
        self._asked_last = time.monotonic() - ASKED_PERIOD_S
        self._on_ready = on_ready
        self._listeners = [listener for listener, _ in listeners]
        self.tls = TlsKeeper(plan.tls) if plan.tls is not None else None
        self._loop = Loop()
        self._status_fd = make_status_memory()
        self._map = mmap.mmap(self._status_fd, engine.STATUS_SIZE, prot=mmap.PROT_READ)
        self.memory = memoryview(self._map)
        slowlog = plan.config.php.slowlog
        self.slowlog = SlowLog(Path(slowlog) if slowlog else None)
        self._ledger = Ledger(self.memory)
        self._commands = Commands(self, Orders(self, self._status_fd))
        self._access_log = AccessLog()
        self.tracing = Tracing(self._loop)
        self.recording = Recording(self._loop, self._tell_recording)
        self._rates = RateMemory()
        self._bursts = Bursts(self.memory)
        self._current: Generation | None = None
        self._next: Generation | None = None
        self._old: list[Generation] = []
        self._kept: Kept | None = None
        self._number = 0
        self._reload_again = False
        self._refused = ""  # why the last reload did not begin
        self._stopping = False
        self._exit_code = 0
        self.failure: AskrError | None = None
        self.admin: AdminServer | None = None
        self.started_once = False
        self._last_watch = time.monotonic()

    # --- life -------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop."""
        self._loop.on_signal(signal.SIGTERM, self.stop)
        self._loop.on_signal(signal.SIGINT, self.stop)
        self._loop.on_signal(signal.SIGHUP, self.reload)
        self._loop.on_signal(signal.SIGUSR1, self.reopen_log)
        self._loop.on_signal(signal.SIGUSR2, _explain_signals)
        signals.let_through()
        self.control.open(self._loop, self._commands.answer)
        if self.admin is not None:
            self.admin.open(self._loop, AdminApi(self))
        self._loop.call_later(WATCH_PERIOD_S, self._watch)
        try:
            self._begin(self.plan)
            self._loop.run()
        finally:
            self._clean_up()
        if self.failure is not None:
            raise self.failure
        return self._exit_code

    def _begin(self, plan: Plan) -> None:
        with blamed(plan.origins):
            self._access_log.use(plan.config.log.access)
        self._rates.use(plan.config.limits)
        self._number += 1
        base = self._free_slots(len(plan.cpus))
        fds = tuple(listener.fileno() for listener in self._listeners)
        around = Surroundings(
            loop=self._loop,
            listeners=fds,
            listener_flags=tuple(_flags_of(address) for address in self.addresses),
            https_port=next((item.port for item in self.addresses if item.role == "tls"), 443),
            tls=self.tls,
            status_fd=self._status_fd,
            rate_fd=self._rates.fd,
            generation=self._number,
            slot_base=base,
            slowlog=self.slowlog,
            ask_reload=self._reload_asked,
            ledger=self._ledger,
            access_log=self._access_log,
            recording=self.recording,
            exporter=self.tracing.exporter(plan.config.trace, plan.credentials),
        )
        waiting = self.tickets.waiting
        check = next((item.check for item in waiting), "") or plan.config.server.check
        names = frozenset(site.site_name for site in plan.sites)
        # A site that is broken keeps nobody from deploying another; one that serves must go on.
        tolerated = (
            names if self._current is None else names & self._current.applications.not_serving
        )
        replaces = self._current is not None
        proof = Proof(bool(waiting), replaces, tolerated, check)
        self._next = Generation(plan, around, self.memory, self._changed, proof)
        self.tickets.begin(self._number)
        self._loop.call_later(plan.config.timeouts.boot, self._give_up(self._next))
        log.info("event=generation_started generation=%d", self._number)
        self._next.start()

    def _free_slots(self, count: int) -> int:
        """The first run of status pages that no live generation uses."""
        used = sorted((item.slots.start, item.slots.stop) for item in self._alive())
        base = 0
        for start, stop in used:
            if start - base >= count:
                break
            base = stop
        if base + count > engine.WORKERS_MAX:
            what = "too many generations are draining or kept"
            raise AskrError(what, "askrctl status, and askrctl reload when there are fewer")
        return base

    def _alive(self) -> list[Generation]:
        return [item for _, item in self.generations()]

    def generations(self) -> list[tuple[str, Generation]]:
        """With what they do; the one that serves is the first."""
        kept = self._kept.generation if self._kept is not None else None
        named = [("serving", self._current), ("starting", self._next), ("kept", kept)]
        named += [("draining", item) for item in self._old]
        return [(state, item) for state, item in named if item is not None]

    def _give_up(self, generation: Generation) -> Callable[[], None]:
        def check() -> None:
            if generation is self._next and not generation.ready:
                generation.boot_time_over()

        return check

    def _changed(self) -> None:
        coming = self._next
        if coming is not None and coming.failed:
            self._discard(coming)
        elif coming is not None and coming.ready and not self._stopping:
            self._promote(coming)
        self._old = [item for item in self._old if not self._finished(item)]
        self.tracing.keep(item.exporter for item in self._alive())
        if self._stopping and not self._old and self._current is None and self._next is None:
            self._loop.stop()

    def _finished(self, generation: Generation) -> bool:
        if not generation.gone:
            return False
        generation.close()
        log.info("event=generation_gone generation=%d", generation.number)
        return True

    def _discard(self, coming: Generation) -> None:
        log.error('event=generation_failed generation=%d detail="%s"', coming.number, coming.failed)
        self.tickets.fail(coming.number, coming.failed)
        self._next = None
        self._old.append(coming)
        coming.kill()
        if self._current is None:
            self.failure = AskrError(coming.failed, self._what_to_type(coming.plan))
            self._stopping = True
            return
        self._ledger.note("reloads", "failed")
        notify.ready()
        self._reload_if_asked()

    def _what_to_type(self, plan: Plan) -> str:
        """After a first generation that does not start."""
        if plan.mode != "worker":
            return "askrctl doctor"
        classic = "the same without a worker script serves in classic mode"
        return f"askrctl serve {self.path} again, when that is mended; {classic}"

    def _promote(self, coming: Generation) -> None:
        before, self._current, self._next = self._current, coming, None
        self.started_once = True
        self.since = time.time()
        self.plan = coming.plan
        self.tracing.shown = coming.exporter
        coming.listen()
        log.info("event=generation_ready generation=%d", coming.number)
        notify.ready()
        if before is None:
            log.log(*_backend_line(coming.plan.choice))
            self._on_ready(self)
        else:
            self._ledger.note("reloads", "done")
            self._let_go(before, coming.plan.config.server.keep_previous)
        self._follow_files(coming.plan)
        self._reload_if_asked()

    def _let_go(self, before: Generation, keep_s: float) -> None:
        """Of the generation that served until now."""
        drain_s = before.plan.config.timeouts.drain
        if self._kept is not None:
            self._retire(self._kept)
        # Who watches his files wants to see them, not the last answer of an old process.
        if self._watched is not None or not keep_s:
            self._old.append(before)
            before.drain(drain_s, self._watched is not None)
            return
        kept = self._kept = Kept(before, keep_s)
        before.keep(drain_s)
        log.info("event=generation_kept generation=%d seconds=%g", before.number, keep_s)
        self._loop.call_later(keep_s, lambda: self._retire(kept))

    def _retire(self, kept: Kept) -> None:
        """Its time is over, or a newer one is kept."""
        if kept is self._kept:
            self._kept = None
            self._old.append(kept.generation)
            kept.generation.drain(kept.generation.plan.config.timeouts.drain)

    def _reload_if_asked(self) -> None:
        """While the generation was coming, which has now taken over or failed."""
        if self._reload_again:
            self._reload_again = False
            self._loop.call_later(0, self.reload)

    def _reload_asked(self) -> None:
        """By an application: opcache_reset(). One that asks all the time is heard now and then."""
        if self._asked:
            return
        self._asked = True
        wait = max(0.0, self._asked_last + ASKED_PERIOD_S - time.monotonic())

        def obey() -> None:
            self._asked, self._asked_last = False, time.monotonic()
            log.info("event=reload_asked by=application")
            self.reload()

        self._loop.call_later(wait, obey)

    def _follow_files(self, plan: Plan) -> None:
        config = plan.config.server
        if config.watch == "off":
            return
        if self._watched is None:
            poll = config.watch == "poll"
            self._watched = Watch(self._loop, config.watch_ignore, self._files_changed, poll)
        self._watched.follow(plan.application.path)

    def _files_changed(self) -> None:
        log.info("event=files_changed")
        self.reload()

    def reload(self) -> None:
        """A new generation from the configuration as it is now."""
        self._refused = ""
        if self._stopping:
            return
        if self._next is not None:
            self._reload_again = True
            return
        notify.reloading()
        try:
            with signals.held():  # the probe of io_uring is a process as well
                plan = self._replan()
            tell_of_restarts(self.plan.config, plan.config)
            self._replace_tls(plan)
            self._begin(plan)
        except AskrError as error:
            self._refuse(error.message, error.hint)
        except OSError as error:  # PATH is gone, no process or descriptor is left, …
            self._refuse(str(error), "askrctl reload, when it is mended")

    def _refuse(self, detail: str, fix: str) -> None:
        """A reload that did not begin, or not wholly; the generation there is serves on."""
        if self._next is not None:
            self._next.failed = detail
            self._changed()
            return
        log.error('event=reload_refused detail="%s" fix="%s"', detail.replace('"', "'"), fix)
        self._refused = detail
        self._ledger.note("reloads", "refused")
        self.tickets.fail(0, detail)
        notify.ready()

    def _replace_tls(self, plan: Plan) -> None:
        """The listeners stay what they are, so a reload can change certificates and no more."""
        if (plan.tls is None) != (self.tls is None):
            state = "without" if self.tls is None else "with"
            hint = "stop and start the server"
            raise AskrError(f"the listeners were opened {state} TLS and stay so", hint)
        if self.tls is not None and plan.tls is not None:
            self.tls.install(plan.tls)

    def reopen_log(self) -> None:
        """After logrotate(8) has moved the file away."""
        try:
            self._access_log.open()
        except AskrError as error:
            log.error('event=log_not_reopened detail="%s" fix="%s"', error.message, error.hint)
            return
        for generation in self._alive():
            for worker in generation.workers.values():
                if self._access_log.fd >= 0:
                    worker.change_log(self._access_log.fd)
        log.info("event=log_reopened")

    def _tell_recording(self) -> None:
        for generation in self._alive():
            for worker in generation.workers.values():
                worker.record()

    def stop(self) -> None:
        """Drain and end; asked a second time, end now."""
        notify.stopping()
        if self._stopping:
            for generation in self._alive():
                generation.kill()
            return
        self._stopping = True
        log.info("event=stopping")
        if self._kept is not None:
            self._retire(self._kept)
        for serving in (self._current, self._next):
            if serving is not None:
                serving.drain(serving.plan.config.timeouts.drain)
                self._old.append(serving)
        self._current = self._next = None
        for listener in self._listeners:
            listener.close()
        self._loop.call_later(0, self._changed)

    def _clean_up(self) -> None:
        if self._watched is not None:
            self._watched.close()
        for generation in self._alive():
            generation.kill()
            for worker in generation.workers.values():
                worker.process.wait()
            generation.close()
        if self.tls is not None:
            self.tls.close()
        self.control.close()
        if self.admin is not None:
            self.admin.close()
        self._access_log.close()
        self.recording.close()
        self.tracing.close()
        self._rates.close()
        for address in self.addresses:
            sockets.remove(address)

    def _watch(self) -> None:
        self._loop.call_later(WATCH_PERIOD_S, self._watch)
        now = time.monotonic()
        stalled = now - self._last_watch > WATCH_PERIOD_S + STALL_S
        self._last_watch = now
        notify.watchdog()
        if self.tls is not None and self.tls.poll():
            for generation in self._alive():
                generation.renew_tls()
        self._bursts.look((item.slot, item.pid) for item in self._workers())
        if not stalled:
            for generation in self._alive():
                generation.watch()

    # --- control ----------------------------------------------------------------------------------

    def sums(self) -> Sums:
        """Counters since the start, of workers that are gone as well."""
        workers = self._workers()
        return self._ledger.sums((worker.slot, worker.pid, worker.index) for worker in workers)

    def _workers(self) -> list[WorkerProcess]:
        return [worker for item in self._alive() for worker in item.workers.values()]

    def report(self, sums: Sums | None = None) -> Report:
        """Everything `askrctl status` shows; `sums` of who has them already."""
        shown = self._current or self._next or (self._old[-1] if self._old else None)
        pages = (
            [] if shown is None else [engine.read_status(self.memory, slot) for slot in shown.slots]
        )
        plan = self.plan if shown is None else shown.plan
        number = self._number if shown is None else shown.number
        caches = {} if shown is None else shown.applications.caches()
        kept = self._kept.report(self.memory) if self._kept is not None else None
        around = Around(number, caches, kept, sums or self.sums())
        return make_report(self, plan, pages, around)

    def processes(self) -> Iterator[tuple[str, int]]:
        """(role, pid) of all there are, those of older generations and of the next one as well."""
        yield "supervisor", os.getpid()
        for generation in self._alive():
            for worker in generation.workers.values():
                yield "worker", worker.pid
                yield from (("application", place.pid) for place in worker.places if place.pid)
            yield from (("zygote", pid) for pid, _ in generation.applications.zygotes)
        yield from (("exporter", pid) for pid in self.tracing.pids)

    @property
    def draining_count(self) -> int:
        return len(self._old)

    @property
    def config(self) -> Config:
        return self.plan.config

    def not_ready(self) -> str:
        """Why requests would not be served now; "" when they would."""
        if self._stopping:
            return "the server is stopping"
        if self._current is None:
            return "no generation is ready"
        pages = [engine.read_status(self.memory, slot) for slot in self._current.slots]
        pages = [page for page in pages if page.state == "ready"]
        if not pages:
            return "no worker is ready"
        if self.plan.php is None:
            return ""
        alive = any(app.state in ("idle", "busy") for page in pages for app in page.apps)
        return "" if alive else "no application process is ready"

    def request_reload(self) -> int:
        """Soon; the number of the generation that runs now."""
        self._loop.call_later(0, self.reload)
        return self._number

    def _serving(self, index: int) -> WorkerProcess | None:
        worker = None if self._current is None else self._current.workers.get(index)
        return worker if worker is not None and worker.ready and not worker.draining else None

    def drain_worker(self, index: int) -> bool:
        """False when it is not serving."""
        worker = self._serving(index)
        if worker is not None:
            log.info("event=worker_drains worker=%d pid=%d", index, worker.pid)
            worker.drain(self.plan.config.timeouts.drain)
        return worker is not None

    def recycle_worker(self, index: int) -> bool:
        """False when it is not serving."""
        worker = self._serving(index)
        if worker is not None:
            log.info("event=worker_recycles worker=%d pid=%d", index, worker.pid)
            worker.recycle()
        return worker is not None

    def request_stop(self) -> None:
        """Soon: who asks gets his answer first."""
        self._loop.call_later(0, self.stop)

    def reload_now(self) -> str:
        """Why no generation was begun by it, or ""."""
        self.reload()
        return self._refused if self._next is None else ""

    @property
    def current(self) -> Generation | None:
        """The generation that serves."""
        return self._current

    @property
    def number(self) -> int:
        """Of the newest generation."""
        return self._number

    def is_settled(self) -> bool:
        """Nobody is served by an older generation any more."""
        return not self._old and (self._kept is None or self._kept.is_quiet(self.memory))

    # --- rollback ---------------------------------------------------------------------------------

    def request_rollback(self) -> str:
        """Why not, or ""."""
        begun = self.roll_back()
        return begun if isinstance(begun, str) else ""

    def roll_back(self) -> Ticket | str:
        """Serve by the generation that is kept, now; or why not."""
        kept, bad = self._kept, self._current
        if kept is None or bad is None or self._stopping:
            return "no previous generation is kept: see keep_previous in docs/deploy.md"
        why = kept.why_not(self.memory)
        if why:
            return f"generation {kept.generation.number} could not serve: {why}"
        if self._next is not None:
            self._reload_again = False
            self._next.failed = "a rollback came first"
            self._changed()
        return self._switch_back(kept.generation, bad)

    def _switch_back(self, good: Generation, bad: Generation) -> Ticket:
        began = time.monotonic()
        log.warning("event=rollback generation=%d from=%d", good.number, bad.number)
        self._ledger.note("reloads", "rolled_back")
        self.since = time.time()
        good.listen()
        bad.drain(bad.plan.config.timeouts.drain)
        self._old.append(bad)
        self._current, self._kept, self.plan = good, None, good.plan
        self.tickets.undo_after(good.number)
        ticket = self.tickets.add(generation=good.number, rolled_back_from=bad.number)

        def look() -> None:
            pages = [engine.read_status(self.memory, slot) for slot in good.slots]
            if all(page.state == "ready" for page in pages):
                ticket.switched_ms = round((time.monotonic() - began) * 1000, 1)
                log.info(
                    "event=rolled_back generation=%d milliseconds=%.1f",
                    good.number,
                    ticket.switched_ms,
                )
            elif good is self._current and not self._stopping:
                self._loop.call_later(SWITCH_POLL_S, look)

        look()
        return ticket


def _explain_signals() -> None:
    """Of those that other servers know."""
    pid = os.getpid()
    fix = f"kill -HUP {pid} reloads, kill -USR1 {pid} opens the access log again"
    log.warning('event=signal_passed_over signal=SIGUSR2 fix="%s"', fix)


def _backend_line(choice: BackendChoice) -> tuple[int, str]:
    fell_back = choice.requested == "io_uring" and choice.active == "epoll"
    return (logging.WARNING if fell_back else logging.INFO, choice.log_line())
