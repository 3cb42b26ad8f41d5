# SPDX-License-Identifier: MIT
"""Traces, the supervisor's part: an exporter process for as long as an endpoint is configured.

Workers get the writing end of a socket, the exporter the reading one. An exporter that ends is
started again, with growing pauses; meanwhile the socket fills and workers count what they lose. A
reload with other settings starts another one beside it, and the old one ends with its generation.
"""

import json
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from askrctl import signals
from askrctl.config import TraceConfig
from askrctl.model import Credentials
from askrctl.server import otlp
from askrctl.server.exporter import COUNTERS, FLUSH_S, read_page
from askrctl.server.loop import Loop
from askrctl.server.plan import without_secrets

log = logging.getLogger("askrctl")

PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 30.0
_SO_SNDBUFFORCE = 32  # socket(7); the module has no name for it
HEALTHY_S = 10.0  # it lived so long: the next failure is a first one
_BUFFER_SIZE = 4 << 20  # some 8000 spans: what comes while the exporter waits for a processor


def widen(sender: socket.socket) -> None:
    """As root whatever net.core.wmem_max says; else what that allows."""
    try:
        sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_SIZE)
    except PermissionError:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_SIZE)


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes an exporter another one."""

    endpoint: str
    service_name: str
    headers: tuple[str, ...] = field(repr=False)
    credentials: Credentials | None


@dataclass(slots=True, eq=False)
class Exporter:
    """One process after the other, for one endpoint."""

    loop: Loop
    settings: Settings
    sender: socket.socket = field(init=False)
    _receiver: socket.socket = field(init=False)
    _page_fd: int = field(init=False)
    _page: mmap.mmap = field(init=False)
    _before: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    _process: subprocess.Popen[bytes] | None = None
    _pidfd: int = -1
    _born: float = 0.0
    _failures: int = 0
    _closed: bool = False

    def __post_init__(self) -> None:
        self.sender, self._receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        widen(self.sender)
        self._page_fd = os.memfd_create("askr-exporter")
        os.ftruncate(self._page_fd, mmap.PAGESIZE)
        self._page = mmap.mmap(self._page_fd, mmap.PAGESIZE)
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def counts(self) -> tuple[dict[str, int], str]:
        """What became of spans since the start, and why the last ones were not taken."""
        now, error = read_page(self._page)
        return {name: self._before[name] + now[name] for name in COUNTERS}, error

    def _start(self) -> None:
        wanted = asdict(self.settings)
        wanted["headers"] = dict(item.split("=", 1) for item in self.settings.headers)
        fds = {"fd": self._receiver.fileno(), "page_fd": self._page_fd}
        self._born = time.monotonic()
        try:
            with signals.held():
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "askrctl.server.exporter"],
                    stdin=subprocess.PIPE,
                    env=without_secrets(os.environ),
                    pass_fds=list(fds.values()),
                )
        except OSError as error:  # no process, memory or descriptor is left
            log.error('event=exporter_not_started detail="%s"', error.strerror)
            self._start_later()
            return
        self._pidfd = os.pidfd_open(self._process.pid)
        self.loop.add(self._pidfd, self._ended)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(json.dumps(wanted | fds).encode())

    def _start_later(self) -> None:
        pause = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self.loop.call_later(pause, lambda: None if self._closed else self._start())

    def _ended(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        self._forget_process()
        self._before, _ = self.counts()
        self._page[:] = bytes(mmap.PAGESIZE)
        if self._closed:
            return
        if time.monotonic() - self._born > HEALTHY_S:
            self._failures = 0
        log.error("event=exporter_ended status=%d", code)
        self._start_later()

    def _forget_process(self) -> None:
        self.loop.remove(self._pidfd)
        os.close(self._pidfd)
        self._process, self._pidfd = None, -1

    def close(self) -> None:
        """It ends by itself when the workers that have its socket are gone."""
        self._closed = True
        self.sender.close()
        self._receiver.close()

    def finish(self, deadline: float) -> None:
        """After close(): wait for it, no longer than that."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, deadline - time.monotonic()))
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
            self._forget_process()

    def release(self) -> None:
        """Its counters are not asked for any more."""
        self._page.close()
        os.close(self._page_fd)


class Tracing:
    """The exporters that there are. Each generation has the one of its own configuration, or none:
    a reload that fails leaves the old generation with what it had."""

    def __init__(self, loop: Loop) -> None:
        self.shown: Exporter | None = None  # of the generation that serves
        self._loop = loop
        self._used: list[Exporter] = []
        self._ending: list[Exporter] = []  # they send what they have
        self._gone = dict.fromkeys(COUNTERS, 0)  # what those counted that have ended

    def exporter(self, config: TraceConfig, credentials: Credentials | None) -> Exporter | None:
        """For a configuration: the one that there is, or a new one."""
        wanted = _settings(config, credentials)
        if wanted is None:
            return None
        found = next((item for item in self._used if item.settings == wanted), None)
        if found is None:
            found = Exporter(self._loop, wanted)
            self._used.append(found)
            log.info("event=traces_on endpoint=%s", wanted.endpoint)
        return found

    def keep(self, used: Iterable[Exporter | None]) -> None:
        """Let go of those that no generation has any more."""
        kept = list(used)
        if self.shown not in kept:
            self.shown = None
        for exporter in [item for item in self._used if item not in kept]:
            exporter.close()
            self._used.remove(exporter)
            self._ending.append(exporter)
        for exporter in [item for item in self._ending if item.pid == 0]:
            self._gone = _sum(self._gone, exporter.counts()[0])
            self._ending.remove(exporter)
            exporter.release()

    @property
    def pids(self) -> list[int]:
        """Of exporters that run."""
        return [item.pid for item in (*self._ending, *self._used) if item.pid]

    def report(self) -> dict[str, Any]:
        """For `askrctl status`: counters are of all exporters that there were."""
        totals = self._gone
        for exporter in (*self._ending, *self._used):
            totals = _sum(totals, exporter.counts()[0])
        shown = self.shown
        return {
            "endpoint": shown.settings.endpoint if shown is not None else "",
            "exporter_pid": shown.pid if shown is not None else 0,
            **totals,
            "error": shown.counts()[1] if shown is not None else "",
        }

    def close(self) -> None:
        """The last workers are gone: a short time for what is left."""
        deadline = time.monotonic() + FLUSH_S + 1.0
        self.shown = None
        for exporter in self._used:
            exporter.close()
        for exporter in (*self._ending, *self._used):
            exporter.finish(deadline)
            exporter.release()


def _settings(config: TraceConfig, credentials: Credentials | None) -> Settings | None:
    if not config.endpoint:
        return None
    if not otlp.is_installed():
        what = "traces need OpenTelemetry's exporter, which is not installed"
        log.error('event=traces_off detail="%s" fix="pip install \'askrctl[trace]\'"', what)
        return None
    return Settings(config.endpoint, config.service_name, config.headers, credentials)


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one[name] + other[name] for name in COUNTERS}
