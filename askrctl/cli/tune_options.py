# SPDX-License-Identifier: MIT
"""Options that several commands of `askrctl tune` share, and what they come to."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from askrctl.cli import tune_render
from askrctl.cli.words import count
from askrctl.model import AskrError
from askrctl.tune import operate, units, wishes
from askrctl.tune.items import Plan, Skipped
from askrctl.tune.operate import Tuner
from askrctl.tune.planner import Options
from askrctl.tune.wishes import Wish

Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="ID", help="Only this check's remedy: net.somaxconn, net.*"),
]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of `askrctl tune keys`, by hand."),
]
RuntimeOnly = Annotated[bool, typer.Option("--runtime-only", help="Nothing that outlasts a boot.")]
PersistOnly = Annotated[bool, typer.Option("--persist-only", help="Nothing before the next boot.")]
Win = Annotated[bool, typer.Option("--win", help="Overrule later files: write 99-zz-askr.conf.")]
Unit = Annotated[str, typer.Option("--unit", help="The server's unit.")]
Root = Annotated[
    Path, typer.Option("--root", metavar="DIR", help="A tree that stands for a machine.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

UNIT = "askr.service"
HERE = Path("/")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which changes are meant."""

    only: list[str] | None
    assign: list[str] | None
    runtime_only: bool
    persist_only: bool
    win: bool
    unit: str
    root: Path

    def command(self, name: str) -> str:
        """The command that means the same scope."""
        words = ["askrctl", "tune", name]
        words += [f"--only={value}" for value in self.only or []]
        words += [f"--set={value}" for value in self.assign or []]
        words += ["--runtime-only"] * self.runtime_only + ["--persist-only"] * self.persist_only
        words += ["--win"] * self.win
        words += [f"--unit={self.unit}"] if self.unit != UNIT else []
        words += [f"--root={self.root}"] if self.root != HERE else []
        return shlex.join(words)

    def options(self) -> Options:
        if self.runtime_only and self.persist_only:
            raise AskrError(
                "--runtime-only and --persist-only leave nothing to do",
                "askrctl tune plan --help",
                code=2,
            )
        if units.UNIT_NAME.fullmatch(self.unit) is None:
            raise AskrError(
                f"--unit {self.unit}: it must be the name of a service, such as {UNIT}", code=2
            )
        return Options(
            unit=self.unit,
            runtime=not self.persist_only,
            persistent=not self.runtime_only,
            win=self.win,
        )

    def wishes(self) -> tuple[list[Wish], list[Skipped]]:
        """What was asked for by name, the safe changes when nothing was; and what asks for none."""
        asked = [wishes.by_hand(assignment) for assignment in self.assign or []]
        if asked and not self.only:
            return asked, []
        from askrctl.cli import tune_checks

        found, idle = tune_checks.wanted(self.root, self.unit, self.only or [])
        return [*found, *asked], idle

    def plan(self, tuner: Tuner) -> Plan:
        """For this scope, on the machine as it is."""
        options = self.options()
        found, idle = self.wishes()
        plan = operate.make_plan(tuner, found, options)
        return replace(plan, skipped=(*plan.skipped, *idle))


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """What the machine does not let us read is an answer, not a fault of the program."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise AskrError(
            f"{where}{error.strerror}; nothing was changed", "askrctl tune status", code=3
        ) from None


def ask(plan: Plan) -> None:
    """Show it and go on, or end the command with nothing changed."""
    if not sys.stdin.isatty():
        raise AskrError(
            "nobody is here to say yes; nothing was changed", "add --yes to the command", code=2
        )
    tune_render.show(tune_render.plan_text(plan, ""), stderr=True)
    changes = count(len(plan.items), "change")
    if not typer.confirm(f"apply {changes}?", err=True):
        raise AskrError("nothing was changed", "askrctl tune plan")
