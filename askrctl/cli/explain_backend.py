# SPDX-License-Identifier: MIT
"""`askrctl explain backend`: requested, probed, recorded, active, and why.

The same pure function decides here as in `serve`, so what is said is what a server that is started
now would do; running servers say what they decided when they were started.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from askrctl.gate import BenchRecord, Refusal
from askrctl.model import AskrError, Backend, BackendChoice, ProbeVerdict


@dataclass(frozen=True, slots=True)
class Running:
    """One server's own words."""

    control: str
    pid: int
    requested: str
    active: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Story:
    """schema askr.explain-backend/1"""

    requested: str
    requested_by: str
    probed: ProbeVerdict
    record_path: str
    record: BenchRecord | Refusal | None
    choice: BackendChoice
    running: tuple[Running, ...]

    @property
    def recorded(self) -> str:
        """The record in one line."""
        if self.record is None:
            return f"nothing at {self.record_path}"
        if isinstance(self.record, Refusal):
            return f"{self.record.reason}: {self.record.detail}"
        return f"{self.record.winner}: {self.record.detail}"


def _running(given: str) -> tuple[Running, ...]:
    from askrctl.server import control

    named = given or os.environ.get("ASKR_CONTROL", "")
    found = []
    for path in [Path(named)] if named else control.running():
        try:
            status = control.ask(path, "status")
        except AskrError:
            if named:
                raise
            continue  # it ended meanwhile
        backend = status["io_backend"]
        words = {name: backend[name] for name in ("requested", "active", "reason", "detail")}
        found.append(Running(control=str(path), pid=status["pid"], **words))
    return tuple(found)


def find_out(control: str = "") -> Story:
    """Ask the environment, the kernel, the record and the running servers."""
    from askrctl import config as configuration
    from askrctl import engine, gate
    from askrctl.probes import uring
    from askrctl.server import backend

    requested = configuration.load(None, {}).server.io_backend
    path = configuration.bench_record_path()
    record = gate.read(path)
    probed = uring.merge_build(uring.probe_verdict(), engine.built(Backend.IO_URING))
    by_default = requested is configuration.ServerConfig().io_backend
    return Story(
        requested=str(requested),
        requested_by="default" if by_default else "environment",
        probed=probed,
        record_path=str(path),
        record=record,
        choice=backend.choose(requested, probed, record),
        running=_running(control),
    )


def _lines(story: Story) -> list[tuple[str, str]]:
    probed, choice = story.probed, story.choice
    usable = f"usable, tier {probed.tier}" if probed.usable else f"unusable, {probed.cause}"
    lines = [
        ("requested", f"{story.requested} ({story.requested_by}; --io-backend and askr.toml win)"),
        ("probed", f"io_uring is {usable}{f': {probed.detail}' if probed.detail else ''}"),
        ("recorded", story.recorded),
        ("chosen", f"{choice.active}, because {choice.reason}"),
    ]
    if choice.detail not in story.recorded:  # that has just been said
        lines.append(("", choice.detail))
    for one in story.running:
        why = f"{one.reason}: {one.detail}" if one.detail else one.reason
        lines.append(("active", f"{one.active} in server {one.pid}, asked for {one.requested}"))
        lines.append(("", why))
    if not story.running:
        lines.append(("active", "no server is running"))
    if choice.fix:
        lines.append(("fix", choice.fix))
    return lines


def _stale(story: Story) -> str:
    """A running server that asked for the same and decided otherwise has not seen the news."""
    for one in story.running:
        if one.requested == story.requested and one.active != story.choice.active:
            return f"askrctl reload --control {one.control}"
    return ""


def explain_backend(as_json: bool, control: str = "") -> None:
    """Print the whole story."""
    story = find_out(control)
    if as_json:
        data: dict[str, Any] = {"schema": "askr.explain-backend/1", **asdict(story)}
        typer.echo(json.dumps(data, indent=2))
        return
    for name, text in _lines(story):
        typer.echo(f"{name:11}{text}")
    hint = _stale(story)
    if hint:
        typer.echo(f"next: {hint}", err=True)
