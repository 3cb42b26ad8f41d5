# SPDX-License-Identifier: MIT
"""Feeds requests to askr_php.so through its fake host (php_driver.c), collects what it did.

Knows the driver's two formats, nothing of PHP. One call of `serve` is one process of PHP.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("ASKR_PHP_BUILD", ROOT / "build/no-liburing"))  # by conftest.py
SCRIPTS = Path(__file__).resolve().parent / "php"
DRIVER = BUILD / "tests/engine/php_driver"
MODULE = BUILD / "askrctl/engine/php/askr_php.so"
RUN_TIMEOUT_S = 120


def find_libphp() -> Path | None:
    named = os.environ.get("ASKR_LIBPHP")
    found = [Path(named)] if named else sorted(Path("/usr/lib").glob("libphp[0-9].[0-9].so"))
    return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker would hand over. `query` goes to the target as well."""

    script: str = "classic.php"
    query: str = ""
    method: str = "GET"
    fields: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    content_type: str = ""
    cookie: str = ""
    authorization: str = ""
    host: str = "example.org:8080"
    path_info: str = ""
    protocol: int = 1001
    https: bool = False
    abort_after: int | None = None
    repeat: int = 1

    def lines(self, root: Path, body_path: Path) -> list[str]:
        script = Path(self.script)
        target = f"/{script.name}{self.path_info}" + (f"?{self.query}" if self.query else "")
        values: list[tuple[str, object]] = [
            ("method", self.method),
            ("target", target),
            ("query", self.query),
            ("host", self.host),
            ("script", root / script),
            ("script_name", f"/{script.name}"),
            ("path_info", self.path_info),
            ("root", root),
            ("content_type", self.content_type),
            ("cookie", self.cookie),
            ("authorization", self.authorization),
            ("protocol", self.protocol),
            ("repeat", self.repeat),
        ]
        values += [("field", f"{name}: {value}") for name, value in self.fields]
        if self.https:
            values.append(("https", "on"))
        if self.abort_after is not None:
            values.append(("abort_after", self.abort_after))
        if self.body is not None:
            body_path.write_bytes(self.body)
            values.append(("body", body_path))
        return [*(f"{key} {value}" for key, value in values), "go"]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    outcome: str
    fields: list[tuple[str, str]]
    body: bytes
    interims: list[Any]
    trailers: list[Any]  # of each call
    events: list[str]
    flushes: int
    read: int

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        return values[-1] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Run:
    """All that one run of the driver printed, by kind."""

    answers: list[Answer] = field(default_factory=list)
    logs: list[tuple[str, str]] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    exits: list[dict[str, int]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    ready: int = 0
    boot_failed: str | None = None
    start_failed: str | None = None
    stderr: str = ""

    def logged(self, text: str, level: str | None = None) -> bool:
        return any(text in line and level in (None, kind) for kind, line in self.logs)


def collect(run: Run, event: dict[str, Any]) -> None:
    kind = event.pop("event")
    if kind == "answer":
        body = event.pop("body").encode("latin-1")
        fields = [(name, value) for name, value in event.pop("fields", [])]
        run.answers.append(Answer(fields=fields, body=body, **event))
    elif kind == "log":
        run.logs += list(event.items())
    elif kind == "series":
        run.series.append(event)
    elif kind == "exit":
        run.exits.append(event)
    elif kind == "facts":
        run.facts = event["facts"]
    elif kind == "ready":
        run.ready += 1
    else:
        setattr(run, kind, event["text"])


def serve(
    directory: Path,
    requests: Sequence[Request],
    *,
    root: Path = SCRIPTS,
    forks: int = 0,
    environment: dict[str, str] | None = None,
    **settings: object,
) -> Run:
    """Run the requests through one process (or `forks` processes) of the module."""
    lines = [
        line
        for index, request in enumerate(requests)
        for line in request.lines(root, directory / f"body-{index}")
    ]
    command = [str(DRIVER), str(find_libphp()), str(MODULE)]
    command += ["--fork", str(forks)] if forks else []
    command += [f"{key}={value}" for key, value in settings.items()]
    done = subprocess.run(
        command,
        input="".join(f"{line}\n" for line in lines).encode(),
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(directory), **(environment or {})},
        timeout=RUN_TIMEOUT_S,
    )
    run = Run(stderr=done.stderr.decode(errors="replace"))
    for line in done.stdout.splitlines():
        collect(run, json.loads(line))
    assert done.returncode in (0, 1, 3), f"{done.returncode}\n{run}"
    return run
