# SPDX-License-Identifier: MIT
"""Starts a real `askrctl serve` as a child process, and looks at it only as an operator could.

Every server gets a control socket and a temporary folder of its own, so tests never meet each
other's. The readiness signal is `askrctl status --json` naming every worker ready, not a pause.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from system.client import Address, Connection, Deadline, Fields, Response, Secure, ask

import askrctl
from askrctl.model import AskrError
from askrctl.server import control

ROOT = Path(__file__).parents[2]
APPS = ROOT / "tests/apps"
COMMAND = str(Path(sys.executable).parent / "askrctl")
POLL_S = 0.01
STOP_S = 15.0


OTHERS_MAY_READ = "a checkout where other users may read"


def others_may_run() -> bool:
    """May another user start what is tested? Not in a checkout in root's home, say."""
    package = Path(askrctl.__file__).resolve()
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in package.parents)


def with_small_disk(folder: Path, kib: int, require: Callable[[bool, str], None]) -> list[str]:
    """A wrapper that gives a command a disk of that size there, in a mount namespace of its own."""
    folder.mkdir()
    script = f'mount -t tmpfs -o size={kib}k tmpfs "$0" && exec "$@"'
    flags = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    wrapper = ["unshare", *flags, "sh", "-c", script, str(folder)]
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True)
    require(tried.returncode == 0, f"a mount namespace ({tried.stderr.strip()})")
    return wrapper


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Poll until the condition gives something true, and return that."""
    deadline = Deadline(what, seconds)
    while not (found := condition()):
        time.sleep(min(POLL_S, deadline.left()))
    return found


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """One askrctl command, to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options
    )


def children(pid: int) -> list[int]:
    """Direct children, from every thread of the process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:
        pids += children(parent)
    return pids


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@dataclass(slots=True)
class Server:
    """One running server. `config` is askr.toml, `options` flags of `askrctl serve`."""

    path: Path
    folder: Path
    options: Sequence[str | Path] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    wrapper: Sequence[str | Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    listen: Sequence[str] = ("127.0.0.1:0",)
    secure: bool = False  # speak TLS, with a certificate of its own making
    keep_fds: Sequence[int] = ()
    port: int = 0  # what the kernel chose; known when the server is ready
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def address(self) -> Address:
        return Secure("127.0.0.1", self.port) if self.secure else ("127.0.0.1", self.port)

    @property
    def protocol(self) -> str:
        """What `ask` speaks."""
        return "HTTP/1.1"

    @property
    def control(self) -> Path:
        return self.folder / "control.sock"

    @property
    def log(self) -> str:
        """What it said on stderr."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def output(self) -> str:
        """What it said on stdout: the greeting."""
        return (self.folder / "output").read_text(errors="replace")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "askr.toml").write_text(toml(self.config))
        command = [*self.wrapper, COMMAND, "serve", self.path]
        command += [f"--listen={address}" for address in self.listen]
        command += ["--tls-self-signed"] if self.secure else []
        command += ["--config", self.folder / "askr.toml", "--control", self.control, *self.options]
        with (self.folder / "log").open("wb") as log, (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env={**os.environ, **self.environment},
                pass_fds=self.keep_fds,
                start_new_session=True,
            )

    def wait_ready(self, state: str = "ready") -> None:
        wait_until("the server is ready", lambda: self.is_ready(state))
        for listener in self.status()["listeners"]:
            if listener.startswith(("http://", "https://")):
                self.port = self.port or int(listener.rstrip("/").rpartition(":")[2])

    def is_ready(self, state: str) -> bool:
        assert self.process.poll() is None, f"the server ended by itself:\n{self.log}"
        status = self.try_status()
        if status is None or any(worker["state"] != state for worker in status["workers"]):
            return False
        return state != "ready" or self.output != ""  # it greets when all is said in the log

    def try_status(self) -> dict[str, Any] | None:
        """What `askrctl status --json` prints, without a process for each look."""
        try:
            status = control.ask(self.control, "status")
        except AskrError:
            return None
        return status if status["workers"] else None

    def status(self) -> dict[str, Any]:
        status = self.try_status()
        assert status is not None, self.log
        return status

    def workers(self) -> list[int]:
        return [worker["pid"] for worker in self.status()["workers"]]

    def applications(self) -> list[int]:
        """Pids of application processes that can serve."""
        return [
            app["pid"]
            for worker in self.status()["workers"]
            for app in worker["apps"]
            if app["pid"] and app["state"] in ("idle", "busy")
        ]

    def wait_applications(self, count: int) -> list[int]:
        def enough() -> list[int]:
            pids = self.applications()
            return pids if len(pids) == count else []

        found: list[int] = wait_until(f"{count} application processes serve", enough)
        return found

    def ask(
        self, method: str, target: str, fields: Fields = (), body: bytes | None = None
    ) -> Response:
        return ask(self.address, method, target, fields, body)

    def get(self, target: str) -> Response:
        return self.ask("GET", target)

    def connect(self) -> Connection:
        return Connection(self.address)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_log(self, text: str) -> None:
        wait_until(f"the log says {text!r}", lambda: text in self.log)

    def wait_end(self, seconds: float = STOP_S) -> int:
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it, unless it has ended, and insist that nothing it started is left."""
        if self.process.poll() is not None:
            return
        pids = tree(self.process.pid)
        self.signal(signal.SIGTERM)
        try:
            self.wait_end()
        finally:
            left = [pid for pid in pids if alive(pid)]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self.process.wait(STOP_S)
        assert not left, f"left running: {left}\n{self.log}"


def toml_value(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(items) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value)


def toml(tables: Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]) -> str:
    """Enough TOML for a configuration: tables, and lists of them, of whatever JSON knows."""
    lines = []
    for name, content in tables.items():
        for values in [content] if isinstance(content, Mapping) else content:
            lines.append(f"[{name}]" if isinstance(content, Mapping) else f"[[{name}]]")
            lines += [f"{key} = {toml_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
