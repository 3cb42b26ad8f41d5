# SPDX-License-Identifier: MIT
"""PHP's report, one JSON object a line: engine/php/inspect.c.

The application could write to the file as well as PHP can: what is no line of the report is counted
and left out.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PHASES = ("boot", "begin", "end", "after")
LAST_LINE_MAX_S = 30.0  # from the last answer to the last line
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of state that is not what it was."""

    category: str
    name: str
    digest: str
    kind: str
    users: str = ""  # "A": something of that user is in it
    path: str = ""  # where


@dataclass(frozen=True, slots=True)
class Line:
    phase: str
    number: int  # of the request; 0: the boot
    pid: int
    memory: int  # bytes that PHP has given out
    changes: tuple[Change, ...]


def parse(text: str) -> Line | None:
    """None: it is no line of the report."""
    try:
        found: Any = json.loads(text)
        changes = tuple(Change(**item) for item in found["changes"])
        line = Line(found["phase"], found["number"], found["pid"], found["memory"], changes)
    except (ValueError, TypeError, KeyError):
        return None
    numbers = (line.number, line.pid, line.memory)
    return line if line.phase in PHASES and all(type(item) is int for item in numbers) else None


def read(path: Path) -> list[Line]:
    texts = path.read_text(errors="replace").splitlines()
    return [line for text in texts if (line := parse(text)) is not None]


def read_until(path: Path, number: int, is_over: Callable[[], bool]) -> list[Line]:
    """With the line after request `number`, which comes when the client has its answer already."""
    deadline = time.monotonic() + LAST_LINE_MAX_S
    while True:
        lines = read(path)
        done = any(line.number == number and line.phase == "after" for line in lines)
        if done or is_over() or time.monotonic() > deadline:
            return lines
        time.sleep(POLL_S)
