# SPDX-License-Identifier: MIT
"""What became of a reload or rollback that somebody waits for; the proof that nothing else serves
any more."""

import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askrctl import engine
from askrctl.config import Config
from askrctl.server.generation import Generation
from askrctl.server.plan import Plan
from askrctl.server.zygote import parent_of

log = logging.getLogger("askrctl")

KEPT_MAX = 64
# What a server takes from its start, and keeps.
_OF_THE_START = (
    "server.listen",
    "server.control",
    "admin.listen",
    "admin.token",
    "log.format",
    "php.slowlog",
)


def tell_of_restarts(before: Config, after: Config) -> None:
    """A changed port that a reload does not open should not look like one that it did."""
    for name in _OF_THE_START:
        section, key = name.split(".")
        values = [getattr(getattr(config, section), key) for config in (before, after)]
        if values[0] != values[1]:
            log.warning(
                'event=needs_restart key=%s detail="it has changed, and a reload does not change '
                'it" fix="stop and start the server"',
                name,
            )


@dataclass(slots=True)
class Ticket:
    """One `reload --verify` or `rollback`."""

    ident: int
    check: str
    generation: int = 0  # 0: not started yet, another reload is under way
    failed: str = ""
    rolled_back_from: int = 0  # 0: it is a reload
    switched_ms: float | None = None  # until the workers of a rollback took connections


class Tickets:
    """The last ones; numbers are never used twice."""

    def __init__(self) -> None:
        self._count = 0
        self._kept: deque[Ticket] = deque(maxlen=KEPT_MAX)

    def add(self, check: str = "", generation: int = 0, rolled_back_from: int = 0) -> Ticket:
        self._count += 1
        ticket = Ticket(self._count, check, generation, rolled_back_from=rolled_back_from)
        self._kept.append(ticket)
        return ticket

    def find(self, ident: object) -> Ticket | None:
        return next((item for item in self._kept if item.ident == ident), None)

    @property
    def waiting(self) -> list[Ticket]:
        """For whom no generation has been started yet."""
        return [item for item in self._kept if not item.generation]

    def begin(self, number: int) -> None:
        """This generation is for all that wait."""
        for item in self.waiting:
            item.generation = number

    def fail(self, number: int, why: str) -> None:
        for item in self._kept:
            if item.generation == number and not item.failed:
                item.failed = why

    def undo_after(self, number: int) -> None:
        """Later generations will not serve."""
        for item in self._kept:
            if item.generation > number and not item.failed:
                item.failed = f"generation {item.generation} was rolled back"


def shortfall(
    generation: Generation, memory: memoryview, path: Path | None, state: str = "ready"
) -> str:
    """What is missing for the proof that every process is of this generation and serves what
    `path` leads to; "" when nothing is. The kernel is asked, not our own books: each process must
    be a child of a zygote of the generation, and that one must have been started in the release.

    Without `path`: that it serves the release it was started with, whatever that is."""
    plan = generation.plan
    pages = [engine.read_status(memory, slot) for slot in generation.slots]
    for index, page in enumerate(pages):
        if page.generation != generation.number or page.state != state:
            return f"worker {index} is not {state}"
        if page.serving_apps < plan.app_count:
            return f"{page.serving_apps} of {plan.app_count} processes of worker {index} serve"
    zygotes = dict(generation.applications.zygotes)
    strays = [app.pid for page in pages for app in page.apps if _is_stray(app, zygotes)]
    if strays:
        return f"process {strays[0]} is not of generation {generation.number}"
    if any(_release_of(pid) != str(of.application.path) for pid, of in zygotes.items()):
        return "the zygote was started elsewhere"
    for of in plan.each:
        served = Path(of.site.root) if of.site is not None else path
        if path is not None and served is not None and served.resolve() != of.application.path:
            return f"{served} leads to another release by now: reload again"
        if not of.application.root.is_dir():
            return f"{of.application.root} has been removed"
    return ""


def _is_stray(app: engine.AppStatus, zygotes: Mapping[int, Plan]) -> bool:
    return app.state in ("idle", "busy") and parent_of(app.pid) not in zygotes


def _release_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def describe(generation: Generation, memory: memoryview) -> dict[str, Any]:
    """For who waited."""
    pages = [engine.read_status(memory, slot) for slot in generation.slots]
    return {
        "generation": generation.number,
        "release": str(generation.plan.application.path),
        "workers": len(pages),
        "processes": sum(page.serving_apps for page in pages),
    }
