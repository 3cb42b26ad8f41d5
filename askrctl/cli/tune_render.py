# SPDX-License-Identifier: MIT
"""Plans, outcomes and what stands, as text for a person: 80 columns will do, colour is optional."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from askrctl.cli.words import count
from askrctl.model import Finding, Status
from askrctl.tune import persist
from askrctl.tune.items import Item, Kind, Plan, Skipped, one_line
from askrctl.tune.journal import REVERTED, Journal
from askrctl.tune.store import in_force, interrupted, items_of
from askrctl.tune.transaction import Outcome, pending
from askrctl.tune.verify import Standing

_ENDS = {"committed": "green", "reverted": "yellow", "partial": "red", "nothing": ""}


@dataclass(frozen=True, slots=True)
class Indented:
    """A paragraph, `left` columns in."""

    text: Text
    left: int = 0


Part = Text | Indented


def show(parts: Iterable[Part], stderr: bool = False) -> None:
    """Words wrap at the width of the terminal, or at 80; no line ends in blanks."""
    console = Console(highlight=False, stderr=stderr, emoji=False, markup=False)
    for part in parts:
        left = part.left if isinstance(part, Indented) else 0
        text = part.text if isinstance(part, Indented) else part
        for line in text.wrap(console, max(console.width - left, 20)):
            line.rstrip()
            console.print(Text(" " * left) + line, soft_wrap=True)


def _under(text: str, style: str = "", left: int = 4) -> Indented:
    return Indented(Text(text, style=style), left)


# --- a plan ---------------------------------------------------------------------------------------


def plan_text(plan: Plan, command: str = "askrctl tune apply") -> Iterator[Part]:
    """What would change, what would not, and what to type."""
    runtime = [item for item in plan.items if item.kind is not Kind.FILE]
    files = [item for item in plan.items if item.kind is Kind.FILE]
    if runtime:
        yield Text("now", style="bold")
        for item in runtime:
            yield from _change(item)
    if files:
        yield Text("for the next boot, or restart of the unit", style="bold")
        for item in files:
            yield from _file(item, plan.unit)
    if plan.skipped:
        yield Text("not", style="bold")
        for skip in plan.skipped:
            yield from _skip(skip)
    for note in plan.notes:
        yield Text(f"note: {note}", style="yellow")
    if not plan.items:
        yield Text("nothing to change")
        return
    total = f"{count(len(runtime), 'value')} now, {count(len(files), 'file')} for later"
    yield Text(f"\n{total}; nothing is changed yet")
    if command:
        yield Text(f"next: {command}")


def _skip(skip: Skipped) -> Iterator[Part]:
    yield Indented(Text.assemble(skip.key, "  ", (skip.check, "dim")), 2)
    yield _under(skip.reason)
    if skip.hint:
        yield _under(skip.hint, "cyan", 6)


def _change(item: Item) -> Iterator[Part]:
    line = Text.assemble(
        (item.key, "bold"), "  ", one_line(item.before), " -> ", (one_line(item.want), "green")
    )
    yield Indented(line, 2)
    yield _under(f"{item.why} ({', '.join(item.checks)})", "dim")


def _file(item: Item, unit: str) -> Iterator[Part]:
    form = persist.paths(unit)[item.key]
    new = persist.parse(form, item.want)
    try:
        old = persist.parse(form, item.before or "")
    except ValueError:
        old = {}
    state = "new file" if item.before is None else "changed"
    yield Indented(Text.assemble((item.key, "bold"), f"  {state}"), 2)
    for name, entry in new.items():
        if name not in old or old[name].value != entry.value:
            yield _under(f"+ {form.line(entry.name, entry.value)}", "green")


# --- outcomes -------------------------------------------------------------------------------------


def recovered_text(recovered: Iterable[Outcome]) -> Iterator[Part]:
    """What had to be put in order first."""
    for outcome in recovered:
        yield Text(f"transaction {outcome.number}: {outcome.because}; it was undone first")
        yield from _remarks(outcome)


def outcome_text(outcome: Outcome, confirm_seconds: float | None = None) -> Iterator[Part]:
    """How it ended, and how to undo that."""
    style = _ENDS[outcome.state]
    number = outcome.number
    if outcome.state == "nothing":
        yield Text("already as wanted: nothing was changed")
    elif outcome.state == "committed":
        yield Text(f"transaction {number}: {count(len(outcome.items), 'change')} made", style=style)
        for item in outcome.items:
            yield _under(item.key, left=2)
    elif outcome.state == "reverted":
        yield Text(f"transaction {number}: undone ({outcome.because})", style=style)
    else:
        yield Text(
            f"transaction {number}: could not be undone wholly ({outcome.because})", style=style
        )
    yield from _remarks(outcome)
    if outcome.state == "committed":
        if confirm_seconds is not None:
            yield Text(
                f"it is undone in {confirm_seconds:g} s unless you type: askrctl tune confirm",
                style="yellow",
            )
        yield Text(f"undo: askrctl tune revert {number}")
    elif outcome.state == "partial":
        yield Text(f"try again: askrctl tune revert {number}")
    elif outcome.kept:
        yield Text(f"put back all the same: askrctl tune revert {number} --force")


def checks_text(findings: Iterable[Finding]) -> Iterator[Part]:
    """Whether the checks that asked for it are content now."""
    for finding in findings:
        good = finding.status is Status.OK
        style = "green" if good else "yellow"
        yield _under(f"{finding.status}  {finding.id}", style, 2)
        if not good and finding.because:
            yield _under(finding.because, left=6)


def _remarks(outcome: Outcome) -> Iterator[Part]:
    for note in outcome.rounded:
        yield _under(f"{note.key}: {note.text}", "yellow", 2)
    for note in outcome.kept:
        yield _under(f"kept {note.key}: {note.text}", "yellow", 2)
    for note in outcome.failed:
        yield _under(f"failed {note.key}: {note.text}", "red", 2)
    if outcome.unfinished:
        yield _under(f"{outcome.unfinished}; the next askrctl tune does it", "yellow", 2)


# --- what stands ----------------------------------------------------------------------------------


def standing_text(standings: list[Standing], all_of_them: bool) -> Iterator[Part]:
    """Keys that we changed: those that drifted, or all."""
    for standing in standings:
        if not standing.drift and not all_of_them:
            continue
        mark = Text("drift ", style="red") if standing.drift else Text("ok    ", style="green")
        value = "" if standing.kind == Kind.FILE.value else f" = {one_line(standing.wanted)}"
        yield Indented(mark + Text(f"{standing.key}{value}  (transaction {standing.number})"), 2)
        if standing.drift:
            yield _under(standing.drift, "red", 8)


def state_of(journal: Journal) -> str:
    """One word for where a transaction is."""
    if interrupted(journal):
        return "interrupted"
    if pending(journal):
        return "unconfirmed"
    if journal.state == REVERTED:
        return "partial" if in_force(journal) else "undone"
    return "in force"


def history_text(found: list[Journal]) -> Iterator[Part]:
    """Each transaction, newest last."""
    if not found:
        yield Text("tune has never changed anything here")
        return
    for journal in found:
        begin = journal.begin
        state = state_of(journal)
        yield Indented(
            Text.assemble(
                (f"{journal.number:>3}  ", "bold"), f"{begin['started']}  {state}  by {begin['by']}"
            )
        )
        yield _under(", ".join(item.key for item in items_of(journal)), "dim", 5)
        undone = journal.last(REVERTED)
        if undone is not None and undone["because"] != "asked for":
            yield _under(f"undone: {undone['because']}", left=5)
