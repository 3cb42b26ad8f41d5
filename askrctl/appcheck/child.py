# SPDX-License-Identifier: MIT
"""The server that is asked: `askrctl serve` with one worker and one process, on a port of its own.

Of the operator's askr.toml it takes what decides how PHP runs; whatever would replace the process
meanwhile, or meet a server that is running, is left out.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from askrctl.config import Config, PhpConfig
from askrctl.model import AskrError
from askrctl.server import control

START_MAX_S = 60.0
STOP_MAX_S = 15.0
POLL_S = 0.05
_KEPT = ("library", "php_ini", "ini", "preset", "sapi_name")


def settings_of(config: Config) -> str:
    """An askr.toml."""
    plain = PhpConfig()
    lines = ["[php]", "processes = 1", "slow = 0"]
    for item in fields(PhpConfig):
        value = getattr(config.php, item.name)
        if item.name in _KEPT and value != getattr(plain, item.name):
            lines.append(f"{item.name} = {json.dumps(value)}")
    request = config.timeouts.request
    return "\n".join([*lines, "[timeouts]", f"request = {request}", "drain = 1", ""])


class Child:
    """A context; inside of it the server serves."""

    def __init__(self, path: Path, script: Path, config: Config) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="askr-check-")
        self._folder = Path(self._temporary.name)
        self._folder.chmod(0o711)  # the application's user reports, and lists nothing
        self.report = self._folder / "report"
        self.report.touch()
        self.report.chmod(0o666)
        self._control = self._folder / "control.sock"
        settings = self._folder / "askr.toml"
        settings.write_text(settings_of(config))
        self._log = self._folder / "log"
        command = [sys.executable, "-P", "-m", "askrctl", "serve", str(path), "--workers", "1"]
        command += ["--worker-script", str(script), "--listen", "127.0.0.1:0"]
        command += ["--io-backend", "epoll", "--config", str(settings)]
        command += ["--control", str(self._control), "--inspect", str(self.report)]
        ours = {name: text for name, text in os.environ.items() if not name.startswith("ASKR_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ours
            )

    def __enter__(self) -> "Child":
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_MAX_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._temporary.cleanup()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_MAX_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AskrError(
                    f"the application cannot be served: {self.last_words()}",
                    "askrctl serve PATH --worker-script SCRIPT, until that works",
                    code=3,
                )
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        status = self.status()
        return any(app["state"] == "idle" for worker in status["workers"] for app in worker["apps"])

    def status(self) -> dict[str, Any]:
        try:
            return control.ask(self._control, "status")
        except AskrError:
            return {"workers": [], "listeners": []}

    @property
    def port(self) -> int:
        [listener] = self.status()["listeners"]
        return int(listener.rstrip("/").rpartition(":")[2])

    @property
    def pid(self) -> int:
        """Of the application process; 0 when there is none now."""
        workers = self.status()["workers"]
        return next((app["pid"] for item in workers for app in item["apps"]), 0)

    def last_words(self) -> str:
        """Of the server."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line]
        said = [line for line in lines if line.startswith("askrctl: ")] or lines
        return said[-1].removeprefix("askrctl: ") if said else "it said nothing"
