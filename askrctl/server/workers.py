# SPDX-License-Identifier: MIT
"""One worker process and the places for its application processes, as the supervisor sees them."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from askrctl import engine, signals
from askrctl.server import sendfile, wire
from askrctl.server.accesslog import AccessLog
from askrctl.server.ledger import Ledger
from askrctl.server.loop import Loop
from askrctl.server.plan import Plan, without_secrets, worker_settings
from askrctl.server.ports import Port, make_bell
from askrctl.server.pulse import PulseWatch
from askrctl.server.recording import Recording
from askrctl.server.recycle import Limits, Sample
from askrctl.server.slowlog import SlowLog
from askrctl.server.tls_store import TlsKeeper
from askrctl.server.tracing import Exporter

log = logging.getLogger("askrctl")

SAMPLES_MAX = 30  # of memory, a second apart


class WorkerListener(Protocol):
    """Who hears of a worker."""

    def worker_ready(self, worker: "WorkerProcess") -> None: ...
    def worker_backend_failed(self, errnum: int) -> None: ...
    def worker_exited(self, worker: "WorkerProcess", code: int) -> None: ...
    def app_overdue(self, worker: "WorkerProcess", place: "Place") -> None: ...


@dataclass(slots=True)
class Place:
    """Room for one application process."""

    index: int
    site: int = 0  # whose processes it has
    pid: int = 0
    pidfd: int = -1
    port: Port | None = None  # between the request for a process and its attachment
    born: float = 0.0
    failures: int = 0  # in a row, each soon after the start
    restarting: bool = False  # its process died; another is started after a pause
    leaving: bool = False  # it was told to go
    killed_for: str = ""  # one of ledger.EVENTS, when it is to be killed
    replaces: int = 0  # the place whose process goes when this one is ready, with its pid; 0: none
    replaces_pid: int = 0
    requests: int = 0  # finished by this process
    requests_before: int | None = None  # what the place had counted before it
    requests_seen: int = 0  # what the place has counted, by all its processes
    active: float = 0.0  # when it was last seen to have work
    limits: Limits | None = None
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    @property
    def is_taken(self) -> bool:
        """There is a process, or one was asked for, or will be after a pause."""
        return self.pid != 0 or self.port is not None or self.restarting

    def kill(self) -> None:
        """SIGKILL, by pidfd: never to somebody who got the pid afterwards."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def forget(self) -> None:
        """The process is gone."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
        if self.port is not None:
            self.port.close()
        self.pid, self.pidfd, self.port = 0, -1, None
        self.leaving, self.replaces_pid, self.requests = False, 0, 0
        self.killed_for = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every worker of a generation inherits."""

    loop: Loop
    listeners: tuple[int, ...]
    listener_flags: tuple[int, ...]
    https_port: int
    tls: TlsKeeper | None
    status_fd: int
    rate_fd: int
    generation: int
    slot_base: int
    slowlog: SlowLog
    ask_reload: Callable[[], None]
    ledger: Ledger
    access_log: AccessLog
    recording: Recording
    exporter: Exporter | None  # of traces


@dataclass(slots=True)
class WorkerProcess:
    """An exec'd `python -m askrctl.server.worker`."""

    plan: Plan
    index: int
    ident: int  # never used twice; application ids are ident * PLACES_MAX + place
    around: Surroundings
    listener: WorkerListener
    bell: int = field(default_factory=make_bell)
    ready: bool = False
    draining: bool = False
    killed: bool = False
    killed_for: str = ""  # one of ledger.EVENTS
    waits: bool = False  # for a processor or a disk, and gives no sign of life: it was told
    born: float = field(default_factory=time.monotonic)
    places: list[Place] = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)
    pulse: PulseWatch = field(init=False)
    _to_recycle: list[int] = field(default_factory=list)  # pids
    _pidfd: int = field(init=False)
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        sites = [site.site_index for site in self.plan.each for _ in range(site.place_count)]
        self.places = [Place(index, site) for index, site in enumerate(sites)]
        self._socket, theirs = wire.pair()
        try:
            with theirs:
                self.process = self._spawn(theirs.fileno())
        except OSError:
            os.close(self.bell)
            self._socket.close()
            raise
        self.pulse = PulseWatch(self.process.pid)
        self._pidfd = os.pidfd_open(self.process.pid)
        self.around.loop.add(self._socket.fileno(), self._on_message)
        self.around.loop.add(self._pidfd, self._on_exit)

    @property
    def slot(self) -> int:
        return self.around.slot_base + self.index

    @property
    def pid(self) -> int:
        return self.process.pid

    def _spawn(self, control_fd: int) -> subprocess.Popen[bytes]:
        around = self.around
        tls_fd = around.tls.fd if around.tls is not None else -1
        trace_fd = around.exporter.sender.fileno() if around.exporter is not None else 0
        settings = worker_settings(
            self.plan,
            self.index,
            generation=around.generation,
            listeners=list(around.listeners),
            listener_count=len(around.listeners),
            listener_flags=list(around.listener_flags),
            https_port=around.https_port,
            tls_fd=tls_fd,
            bell_fd=self.bell,
            control_fd=control_fd,
            status_fd=around.status_fd,
            status_slot=self.slot,
            rate_fd=around.rate_fd,
            log_fd=around.access_log.fd,
            trace_fd=trace_fd,
        )
        maybe = (around.access_log.fd, around.rate_fd, trace_fd or -1, tls_fd)
        # -P: a folder of the application's must not shadow a module (python(1)).
        with signals.held():
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "askrctl.server.worker", json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                env=without_secrets(os.environ),
                pass_fds=[
                    control_fd,
                    self.bell,
                    around.status_fd,
                    *around.listeners,
                    *(fd for fd in maybe if fd >= 0),
                ],
            )

    def attach(self, place: Place) -> None:
        """Hand the forked process's port over; our copies of its fds are closed."""
        assert place.port is not None
        fds = (place.port.memory, place.port.bell, place.pidfd)
        wire.send(self._socket, wire.Message(wire.Control.ATTACH, place.index, place.pid, fds=fds))
        place.port.close()
        place.port = None

    def renew_tls(self) -> None:
        """New connections are to use what the keeper has now."""
        if self.around.tls is not None:
            wire.send(self._socket, wire.Message(wire.Control.TLS, fds=(self.around.tls.fd,)))

    def listen(self) -> None:
        """Take connections from now on."""
        wire.send(self._socket, wire.Message(wire.Control.LISTEN))

    def adopt(self, end: socket.socket) -> bool:
        """Serve this connection, which nobody else can reach."""
        return wire.send(self._socket, wire.Message(wire.Control.ADOPT, fds=(end.fileno(),)))

    def retire(self, place: Place) -> None:
        """The process finishes what it was given and exits; whoever does not is killed."""
        place.leaving = True
        pid = place.pid
        wire.send(self._socket, wire.Message(wire.Control.RETIRE, place.index, pid))

        def insist() -> None:
            if place.pid == pid:
                log.warning("event=app_did_not_leave worker=%d pid=%d", self.index, pid)
                place.kill()

        times = self.plan.config.timeouts
        self.around.loop.call_later(max(times.drain, times.request) + 1.0, insist)

    def recycle(self) -> None:
        """Replace the application processes, one after the other."""
        if not self._to_recycle:
            self._to_recycle = [place.pid for place in self.places if place.pid]
            self.recycle_next()

    def is_recycled(self, pid: int) -> bool:
        """Was this process asked to leave so that another can take its place?"""
        return pid in self._to_recycle

    def recycle_next(self) -> None:
        """The process before it has a successor, which is about to be ready."""
        while self._to_recycle:
            pid = self._to_recycle[0]
            place = next((place for place in self.places if place.pid == pid), None)
            if place is not None:
                self.retire(place)
                return
            self._to_recycle.pop(0)

    def change_log(self, fd: int) -> None:
        """Write the access log there from now on."""
        wire.send(self._socket, wire.Message(wire.Control.LOG, fds=(fd,)))

    def record(self) -> None:
        """Send samples of the traffic to the recording that runs, or to none."""
        recording = self.around.recording
        if not recording.is_on:
            wire.send(self._socket, wire.Message(wire.Control.RECORD))
            return
        amount = recording.amount
        rate = -(-amount.rate // len(self.plan.cpus))
        message = wire.Message(
            wire.Control.RECORD, amount.body_max, amount.one_in, rate, fds=(recording.fd,)
        )
        wire.send(self._socket, message)

    def drain(self, deadline_s: float, idle_at_once: bool = False) -> None:
        """Finish what is there and exit. Idle connections are used once more, or closed at once."""
        self.draining = True
        value = max(1, round(deadline_s * 1000))
        message = wire.Message(wire.Control.DRAIN, place=int(idle_at_once), value=value)
        wire.send(self._socket, message)

    def keep(self, deadline_s: float) -> None:
        """Finish what is there and stay, with the application processes, until listen()."""
        value = max(1, round(deadline_s * 1000))
        wire.send(self._socket, wire.Message(wire.Control.KEEP, value=value))

    def kill(self, reason: str = "") -> None:
        """SIGKILL; worker_exited() follows."""
        self.killed = True
        self.killed_for = self.killed_for or reason
        self.process.kill()

    def _on_message(self) -> None:
        try:
            while (message := wire.receive(self._socket)) is not None:
                self._hear(message)
        except EOFError:
            self.around.loop.remove(self._socket.fileno())

    def _hear(self, message: wire.Message) -> None:
        if message.kind == wire.Control.READY:
            self.ready = True
            if self.around.recording.is_on:
                self.record()
            self.listener.worker_ready(self)
        elif message.kind == wire.Control.BACKEND_FAILED:
            self.listener.worker_backend_failed(message.value)
        elif message.kind == wire.Control.TLS_REFUSED:
            reason = os.strerror(message.value)
            log.error('event=tls_not_renewed worker=%d detail="%s"', self.index, reason)
        elif message.kind == wire.Control.SENDFILE:
            sendfile.report(self.index, message.value, message.text)
        elif message.kind == wire.Control.APP_KILL and message.place < len(self.places):
            place = self.places[message.place]
            if place.pid != message.pid:
                return
            log.warning("event=app_killed worker=%d pid=%d", self.index, place.pid)
            if message.value == wire.Kill.OVERDUE:
                self.listener.app_overdue(self, place)
            else:
                place.killed_for = "broken"
                place.kill()

    def _on_exit(self) -> None:
        code = self.process.wait()
        self.close()
        self.listener.worker_exited(self, code)

    def close(self) -> None:
        """Let go of everything of a worker that has exited, its application processes included."""
        loop = self.around.loop
        loop.remove(self._pidfd)
        loop.remove(self._socket.fileno())
        os.close(self._pidfd)
        self._socket.close()
        os.close(self.bell)
        for place in self.places:
            place.kill()
            place.forget()

    def heartbeat_age_s(self, memory: memoryview) -> float:
        """Seconds since the worker's last sign of life."""
        return time.monotonic() - engine.heartbeat_ns(memory, self.slot) / 1e9
