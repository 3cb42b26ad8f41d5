# SPDX-License-Identifier: MIT
"""A doctor's run as text: worst first, and each finding can be understood by itself."""

import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from askrctl.checks.report import WORST_FIRST, Result, Run, commands
from askrctl.model import Finding, Fix, Status

STYLES = {
    Status.FAIL: "bold red",
    Status.WARN: "yellow",
    Status.UNKNOWN: "magenta",
    Status.INFO: "cyan",
    Status.SKIP: "dim",
    Status.OK: "green",
}
_INDENT = 9  # the widest status, "unknown", and two blanks
_NARROW = 40  # below this many columns an indent costs more than it shows


def show(
    console: Console, run: Run, statuses: frozenset[Status], *, evidence: bool = False
) -> None:
    """The whole report."""
    for line in render(run, statuses, evidence=evidence):
        for part in _fit(line, console.width):
            console.print(part, soft_wrap=True)


def _fit(line: Text, width: int) -> Iterator[Text]:
    """Broken between words, and indented as its first line is, or as a finding's text."""
    plain = line.plain
    if len(plain) <= width:
        yield line
        return
    own = len(plain) - len(plain.lstrip())
    indent = " " * (min(own or _INDENT, width // 4) if width < _NARROW else own or _INDENT)
    parts = textwrap.wrap(
        plain.strip(),
        width,
        initial_indent=indent if own else "",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    at = 0
    for part in parts:
        word = part.strip()
        start = plain.index(word.split()[0], at) if word else at
        styled = line[start : start + len(word)] if plain[start:].startswith(word) else Text(word)
        at = start + len(word)
        yield Text(part[: len(part) - len(part.lstrip())]) + styled


def render(run: Run, statuses: frozenset[Status], *, evidence: bool = False) -> Iterator[Text]:
    """Its lines, top to bottom."""
    yield from _head(run)
    shown = [result for result in run.results if result.finding.status in statuses]
    for status in WORST_FIRST:
        for result in shown:
            if result.finding.status is status and result.counts:
                yield from _finding(result, evidence)
    for result in shown:
        if not result.counts:
            yield _accepted(result)
    yield Text("")
    yield from _tail(run, statuses)


def _head(run: Run) -> Iterator[Text]:
    context, target = run.context, run.context.target
    who = {"self": "whoever asks", "user": f"user {target.name}", "unit": target.name}.get(
        target.kind, f"process {target.pid}"
    )
    user = f" (user id {target.uid})"
    plural = "worker" if context.workers == 1 else "workers"
    yield Text.assemble(("profile  ", "dim"), f"{context.profile}: {run.profile_reason}")
    yield Text.assemble(("target   ", "dim"), f"{who}{user}, {context.workers} {plural}")
    if run.io_uring is not None:
        found = run.io_uring
        verdict = f"usable, tier {found.tier}" if found.usable else f"unusable: {found.cause}"
        yield Text.assemble(("io_uring ", "dim"), verdict)


def _value(finding: Finding) -> str:
    if finding.current is None or finding.current == "":
        return ""
    current = finding.current
    text = ("yes" if current else "no") if isinstance(current, bool) else str(current)
    if finding.unit:
        text += f" {_one(finding.unit) if current == 1 else finding.unit}"
    if finding.wanted is not None and finding.status in (Status.WARN, Status.FAIL, Status.INFO):
        text += f", wanted {finding.wanted}"
    return text


def _one(unit: str) -> str:
    """1 entry, 1 worker; units as s and % stay."""
    if unit.endswith("ies"):
        return unit[:-3] + "y"
    return unit[:-1] if unit.endswith("s") and len(unit) > 2 else unit


def _finding(result: Result, evidence: bool) -> Iterator[Text]:
    finding = result.finding
    quiet = finding.status in (Status.OK, Status.SKIP)
    if not quiet:
        yield Text("")
    line = Text.assemble(
        (f"{finding.status:<{_INDENT}}", STYLES[finding.status]), (finding.id, "bold")
    )
    if finding.instance:
        line.append(f" [{finding.instance}]")
    value = _value(finding)
    line.append(f"  {finding.title}: {value}" if value else f"  {finding.title}")
    if quiet and finding.because:
        line.append(f" ({finding.because})", style="dim")
    yield line
    if not quiet and finding.because:
        yield _below(Text(finding.because))
    if not quiet and finding.fix is not None:
        yield from (_below(text) for text in _fixes(finding.fix, finding.id))
    for item in finding.evidence if evidence else ():
        for row in f"{item.source}: {item.value}".splitlines():
            yield _below(Text(row, style="dim"))


def _fixes(fix: Fix, check_id: str) -> Iterator[Text]:
    label = "fix: "
    for line in filter(None, (*commands(fix, check_id), *fix.manual)):
        yield Text.assemble((label, "green"), line)
        label = "or:  "


def _below(text: Text) -> Text:
    return Text(" " * _INDENT) + text


def _accepted(result: Result) -> Text:
    finding, accepted = result.finding, result.acceptance
    assert accepted is not None
    until = f" until {accepted.until}" if accepted.until else ""
    line = f"{'accepted':<{_INDENT}}{finding.id} ({finding.status}): {accepted.reason}{until}"
    return Text(line, style="dim")


def _tail(run: Run, statuses: frozenset[Status]) -> Iterator[Text]:
    line = Text()
    for status in (Status.FAIL, Status.WARN, Status.INFO, Status.OK, Status.SKIP, Status.UNKNOWN):
        count = run.count(status)
        line.append(f"{count} {status}", style=STYLES[status] if count else "dim")
        line.append("  ")
    held = sum(not result.counts for result in run.results)
    if held:
        line.append(f"{held} accepted  ")
    line.append(f"({run.duration_ms / 1000:.1f} s)")
    yield line
    yield Text.assemble(("next: ", "dim"), _next(run, statuses))


def _next(run: Run, statuses: frozenset[Status]) -> str:
    tunable = [
        r.finding.id
        for r in run.results
        if r.counts
        and r.finding.fix is not None
        and r.finding.fix.tunable
        and r.finding.status in (Status.WARN, Status.FAIL)
    ]
    if tunable:
        return "askrctl tune plan"
    worst = next((r.finding.id for r in run.results if r.finding.status is run.worst), "")
    if run.worst in (Status.FAIL, Status.WARN, Status.UNKNOWN):
        return f"askrctl explain {worst}"
    if run.count(Status.SKIP) and Status.SKIP not in statuses:
        return "askrctl doctor --show all (what was skipped, and why)"
    return "askrctl status" if run.context.server is not None else "askrctl serve PATH"
