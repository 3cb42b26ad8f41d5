# SPDX-License-Identifier: MIT
"""What became of a reload that somebody waits for; the proof that nothing old serves any more."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askrctl import engine
from askrctl.server.generation import Generation
from askrctl.server.zygote import parent_of

KEPT_MAX = 64


@dataclass(slots=True)
class Ticket:
    """One `reload --verify`."""

    ident: int
    check: str
    generation: int = 0  # 0: not started yet, another reload is under way
    failed: str = ""


def shortfall(generation: Generation, memory: memoryview, path: Path) -> str:
    """What is missing for the proof that every process is of this generation and serves what
    `path` leads to; "" when nothing is. The kernel is asked, not our own books: each process must
    be a child of the generation's zygote, and that one must have been started in the release."""
    plan = generation.plan
    pages = [engine.read_status(memory, slot) for slot in generation.slots]
    for index, page in enumerate(pages):
        if page.generation != generation.number or page.state != "ready":
            return f"worker {index} is not ready"
        if page.serving_apps < plan.app_count:
            return f"{page.serving_apps} of {plan.app_count} processes of worker {index} serve"
    if plan.php is not None:
        strays = [app.pid for page in pages for app in page.apps if _is_stray(app, generation)]
        if strays:
            return f"process {strays[0]} is not of generation {generation.number}"
        if _release_of(generation) != str(plan.application.path):
            return "the zygote was started elsewhere"
    if path.resolve() != plan.application.path:
        return f"{path} leads to another release by now: reload again"
    return ""


def _is_stray(app: engine.AppStatus, generation: Generation) -> bool:
    return app.state in ("idle", "busy") and parent_of(app.pid) != generation.zygote_pid


def _release_of(generation: Generation) -> str:
    try:
        return os.readlink(f"/proc/{generation.zygote_pid}/cwd")
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
