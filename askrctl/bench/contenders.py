# SPDX-License-Identifier: MIT
"""A server under measurement: the processes that it is, and the URL that they answer.

All of a comparison run at once, on the same cores, each from a folder of its own. They are stopped
by their pids, and what they started goes with them: each is the leader of a session.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from askrctl import signals
from askrctl.bench import answers, proc
from askrctl.bench.answers import Answer
from askrctl.bench.generators import pinned
from askrctl.model import AskrError, Backend

START_S = 60.0
STOP_S = 15.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Site:
    """What is served: the words of `askrctl serve`, and what peers have to know of it."""

    path: Path
    root: Path  # the document root
    front: str = ""  # script that answers for what is no file, relative to root
    php: bool = False
    worker_script: Path | None = None
    config: Path | None = None  # an askr.toml
    processes: int = 4  # PHP processes of each server
    connections: int = 64  # that will be kept alive


@dataclass(slots=True)
class Contender:
    """`control` is an askrctl's control socket; peers have none. `backend` likewise. With
    `by_status` it has started when it says so there, whatever it answers to the URL.
    """

    name: str
    commands: list[list[str]]
    url: str
    folder: Path
    backend: Backend | None = None
    control: Path | None = None
    by_status: bool = False
    host: str = ""  # value of the Host field; "": that of the URL
    ignored: tuple[re.Pattern[bytes], ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    mode: str = ""  # of a peer: static, classic, or worker when it keeps the application booted
    refusal: str = ""  # how it answered last, if that was no answer of an application

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in self.running]

    def start(self, cores: Sequence[int]) -> None:
        """Start, and return when it answers; AskrError with its last words when it does not."""
        self.launch(cores)
        self.wait_ready()

    def launch(self, cores: Sequence[int]) -> None:
        """Start, and do not wait: others may be started meanwhile."""
        with self.log.open("wb") as output:
            for command in self.commands:
                with signals.after():
                    self.running.append(
                        subprocess.Popen(
                            pinned(command, cores),
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=output,
                            env={**os.environ, **self.environment},
                            start_new_session=True,
                        )
                    )

    def wait_ready(self) -> None:
        """Until it answers; AskrError with its last words when it does not."""
        deadline = time.monotonic() + START_S
        while not self._answers():
            ended = [process for process in self.running if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                what = "does not start" if ended or not self.refusal else self.refusal
                raise AskrError(f"{self.name} {what}: {self.last_words()}", code=3)
            time.sleep(POLL_S)

    def ask(self) -> Answer:
        return answers.without(answers.fetch(self.url, self.host), self.ignored)

    def _answers(self) -> bool:
        if self.by_status:
            workers = (self.status() or {}).get("workers", ())
            return bool(workers) and all(worker["state"] == "ready" for worker in workers)
        try:
            status = self.ask().status
        except AskrError:
            return False
        refuses = status in (502, 503, 504)
        self.refusal = f"answers with {status}, for {START_S:g} s" if refuses else ""
        return not refuses

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"

    def status(self) -> dict[str, Any] | None:
        """What `askrctl status --json` says; None for a peer, or one that does not answer."""
        if self.control is None:
            return None
        command = [*askrctl_command(), "status", "--json", "--control", str(self.control)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        try:
            status = json.loads(done.stdout)
        except ValueError:
            return None
        return status if isinstance(status, dict) else None

    def stop(self) -> None:
        """End it and everything it started."""
        stop([self])


def stop(contenders: Sequence[Contender]) -> None:
    """End them and everything they started, all at the same time.

    An interrupt while they end does not leave them: they are killed, and it goes on its way.
    """
    processes = [process for one in contenders for process in one.running]
    roots = [process.pid for process in processes]
    pids = [one.pid for one in proc.tree(roots)] if roots else []
    try:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        if any(process.poll() is None for process in processes):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.wait()
        for one in contenders:
            one.running.clear()


def askrctl_command() -> list[str]:
    """This askrctl, whatever PATH says."""
    return [sys.executable, "-P", "-m", "askrctl"]  # -P: not what lies in this folder


def askrctl(site: Site, mode: str, backend: Backend, target: str, folder: Path) -> Contender:
    """`askrctl serve` in a mode (static, classic, worker) on a backend."""
    own = Path(tempfile.mkdtemp(prefix=f"{mode}-{backend}-", dir=folder))
    port = answers.free_port()
    control = own / "control.sock"
    command = [*askrctl_command(), "serve", str(site.path), "--listen", f"127.0.0.1:{port}"]
    command += ["--io-backend", str(backend), "--control", str(control)]
    command += ["--config", str(site.config)] if site.config else []
    command += ["--processes", str(site.processes)] if site.php else []
    if mode == "worker":
        command += ["--worker-script", str(site.worker_script)]
    url = f"http://127.0.0.1:{port}{target}"
    return Contender(f"askrctl {mode}, {backend}", [command], url, own, backend, control)
