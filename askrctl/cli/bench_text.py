# SPDX-License-Identifier: MIT
"""A bench on a terminal: progress, verdicts, a table and a plot that fits 80 columns."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from askrctl.bench import runner
from askrctl.bench.plan import Loaded
from askrctl.bench.report import Comparison, Report, figures, medians
from askrctl.bench.runner import Series, Step
from askrctl.bench.verdict import Outcome

_STYLES = {
    Outcome.WIN: "bold green",
    Outcome.NO_WIN: "bold",
    Outcome.INCONCLUSIVE: "bold yellow",
    Outcome.VOID: "bold red",
}
_BAR = 36  # cells of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉"
# The table's columns: what fits 80; the rest is in the reports.
_COLUMNS = ("CPU µs/request", "requests/s", "p50 ms", "p99 ms", "PSS MiB")
_SHORT = {"CPU µs/request": "CPU µs", "requests/s": "req/s", "PSS MiB": "PSS MiB"}


@contextmanager
def show_progress(what: str, quiet: bool) -> Iterator[runner.Progress]:
    """A bar on a terminal, a line for each step elsewhere, nothing when quiet."""
    if quiet:
        yield lambda _: None
        return
    typer.echo(what, err=True)
    if not sys.stderr.isatty():
        yield _line_of_step
        return
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(step: Step) -> None:
            bar.update(task, completed=step.done, total=step.total, description=step.text)

        yield update


def _line_of_step(step: Step) -> None:
    typer.echo(f"{step.done}/{step.total} {step.text}", err=True)


def show(report: Report) -> None:
    """The whole answer, on stdout."""
    console = Console(highlight=False)
    for part in _parts(report):
        console.print(part)


def _parts(report: Report) -> Iterator[RenderableType]:
    yield Text(f"\n{report.title}\n", style="bold")
    valid = [one for one in report.series if one.samples and not one.void]
    if valid:
        yield _plot(valid)
        yield ""
        yield _table(valid)
        yield ""
    for one in report.series:
        if one.void:
            yield Text(f"void: {one.name}: {one.void}", style="red")
    for missing in report.missing:
        yield Text(f"{missing.state}: {missing.name} ({missing.reason})", style="dim")
    for comparison in report.comparisons:
        yield _verdict(comparison)
    yield Text(f"\ndeclared before: {report.rule}", style="dim")
    yield Text(f"validated: {report.validation}", style="dim")
    yield Text(f"{report.generator}, {report.loop}", style="dim")
    for note in report.notes:
        yield Text(f"note: {note}", style="dim")


def _verdict(one: Comparison) -> Text:
    outcome = one.verdict.outcome
    text = Text(f"\n{one.b} against {one.a}\n  ")
    text.append(str(outcome), style=_STYLES[outcome])
    text.append(one.verdict.sentence.removeprefix(str(outcome)))
    if one.ceiling:
        text.append(f"\n  {one.ceiling}", style="dim")
    return text


def bar(share: float, cells: int = _BAR) -> str:
    """A bar of block elements, an eighth of a cell exact."""
    eighths = round(max(0.0, min(1.0, share)) * cells * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def _plot(series: list[Series]) -> Table:
    """CPU time for each request; the shortest bar is the best."""
    most = max(medians(one, "cpu_us") or 0.0 for one in series) or 1.0
    table = Table.grid(padding=(0, 1))
    for one in series:
        value = medians(one, "cpu_us") or 0.0
        shown = Text(bar(value / most), style="blue")
        table.add_row(Text(one.name), shown, Text(f"{value:,.2f} µs"))
    return table


def _table(series: list[Series]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("median of all runs")
    for name in _COLUMNS:
        table.add_column(_SHORT.get(name, name), justify="right")
    for one in series:
        known = dict(figures(one))
        table.add_row(one.name, *(known[name] for name in _COLUMNS))
    return table


def show_load(found: Loaded, as_json: bool) -> None:
    """One load of a running server."""
    load = found.load
    if as_json:
        values = {**asdict(found), "rate": load.rate}
        typer.echo(json.dumps({"schema": "askr.load/1", **values}, indent=2))
        return
    typer.echo(f"requests/s  {load.rate:,.0f}")
    typer.echo(f"p50         {load.p50_ms:.3f} ms")
    typer.echo(f"p99         {load.p99_ms:.3f} ms")
    if load.p999_ms is not None:
        typer.echo(f"p99.9       {load.p999_ms:.3f} ms")
    if found.cpu_us is not None:
        typer.echo(f"CPU         {found.cpu_us:.2f} µs for each request")
    typer.echo(f"checked     {found.trouble or found.validation}")
    typer.echo(f"{found.generator}, {found.loop}", err=True)
    if found.trouble:
        typer.echo(f"void: {found.trouble}", err=True)
