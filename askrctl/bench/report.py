# SPDX-License-Identifier: MIT
"""A bench as one value, from which every form is made: JSON, Markdown, HTML, terminal, record.

schema askr.bench/1; changes only add.
"""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from askrctl import gate
from askrctl.bench import stats, verdict
from askrctl.bench.environment import Environment
from askrctl.bench.generators import Generator
from askrctl.bench.installed import Missing
from askrctl.bench.runner import Measured, Series, Settings
from askrctl.bench.verdict import Column, Outcome, Verdict
from askrctl.model import AskrError, Backend

SCHEMA = "askr.bench/1"
GENERATOR_LIMIT = 0.97  # above this share of its core the generator was the limit
FOREIGN_LIMIT = 0.10  # of the server's cores, in the median run
LOOPBACK = (
    "over loopback the client's receive path runs inside the server's system calls: nearly half of"
    " a tiny answer's system time, the same for every server, and not there on a real network card"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A, by their names in the series."""

    a: str
    b: str
    verdict: Verdict
    ceiling: str  # what any I/O backend could gain at most; "" beside a peer


@dataclass(frozen=True, slots=True)
class Report:
    created: str
    title: str
    settings: Settings
    generator: str
    loop: str
    rule: str
    validation: str
    environment: Environment
    series: tuple[Series, ...]
    missing: tuple[Missing, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    def json(self) -> str:
        return json.dumps(self.as_dict(), indent=2) + "\n"


def medians(series: Series, name: str) -> float | None:
    """The median of one figure over all runs; None when there is none."""
    values = [getattr(sample, name) for sample in series.samples]
    known = [value for value in values if value is not None]
    return stats.median(known) if known else None


def column(series: Series) -> Column:
    def of(name: str) -> list[float]:
        return [getattr(sample, name) for sample in series.samples]

    # ab prints whole milliseconds: half of one stands for "less than one".
    p99 = [max(value, 0.0005) for value in of("p99_ms")]
    return Column(cpu_us=of("cpu_us"), p99_ms=p99, rate=of("rate"))


def ceiling(series: Series) -> str:
    """What the server's own time split says, or that it does not."""
    split = series.split or {}
    most = split.get("io_ceiling_pct")
    if most is None:
        return "I/O ceiling unknown: the server's status has no time split"
    if most > 99.9:
        return "this route is all I/O: its time split sets no limit to what a backend could gain"
    return (
        f"this route is {100 - most:.0f} % application and waiting: no I/O backend can move it by"
        f" more than {most:.1f} %"
    )


def compare(a: Series, b: Series, rule: verdict.Rule) -> Comparison:
    """One pair. A void contender voids it. Only two backends of ours have a ceiling: a peer differs
    in more than its I/O, so it is no limit to what that wins or loses."""
    most = ceiling(a) if a.backend and b.backend else ""
    for series in (a, b):
        if series.void:
            return Comparison(a.name, b.name, verdict.void(f"{series.name}: {series.void}"), most)
    return Comparison(a.name, b.name, verdict.decide(column(a), column(b), rule), most)


def pairs(series: Sequence[Series]) -> list[tuple[Series, Series]]:
    """What a matrix compares: io_uring with epoll in each mode, and every peer with ours that does
    the same: one that boots the application for each request with classic mode, where it is there.
    """
    by_mode: dict[str, dict[str, Series]] = {}
    for one in series:
        if one.backend:
            by_mode.setdefault(one.mode, {})[one.backend] = one
    found = [
        (there[Backend.EPOLL], there[Backend.IO_URING])
        for there in by_mode.values()
        if Backend.EPOLL in there and Backend.IO_URING in there
    ]
    ours = [one for one in series if one.backend]
    peers = [one for one in series if not one.backend] if ours else []
    like = {one.mode: one for one in reversed(ours)}  # the first of each mode
    return found + [(one, like.get(one.mode, ours[0])) for one in peers]


def _sample_notes(series: Sequence[Series]) -> list[str]:
    notes = []
    for one in series:
        generator, foreign = medians(one, "generator_share"), medians(one, "foreign_share")
        if generator is not None and generator > GENERATOR_LIMIT:
            notes.append(f"{one.name}: the load generator was at its limit, the rate is its own")
        if foreign is not None and foreign > FOREIGN_LIMIT:
            notes.append(f"{one.name}: others used {foreign:.0%} of the server's cores meanwhile")
    return notes


def make(
    title: str,
    bench: tuple[Settings, Generator],
    environment: Environment,
    measured: Measured,
    missing: Sequence[Missing] = (),
    wanted: Sequence[tuple[str, str]] = (),
) -> Report:
    """From what was measured; `wanted` names the pairs, else those of a matrix are taken."""
    settings, generator = bench
    by_name = {one.name: one for one in measured.series}
    chosen = [(by_name[a], by_name[b]) for a, b in wanted] or pairs(measured.series)
    notes = [*measured.notes, *_sample_notes(measured.series), *environment.warnings, LOOPBACK]
    if settings.server_cores == settings.load_cores:
        notes.insert(0, "server and load generator shared their cores")
    return Report(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        title=title,
        settings=settings,
        generator=f"{generator.name} {generator.version}".strip(),
        loop=generator.loop(settings.rate),
        rule=settings.rule.sentence,
        validation=measured.expected.sentence,
        environment=environment,
        series=measured.series,
        missing=(*measured.missing, *missing),
        comparisons=tuple(compare(a, b, settings.rule) for a, b in chosen),
        notes=tuple(notes),
    )


def gated(report: Report) -> list[tuple[Series, Comparison]]:
    """The comparisons of io_uring with epoll, the only ones that the gate may follow."""
    by_name = {one.name: one for one in report.series}
    return [
        (by_name[one.b], one)
        for one in report.comparisons
        if (by_name[one.a].backend, by_name[one.b].backend) == (Backend.EPOLL, Backend.IO_URING)
    ]


def make_record(report: Report) -> gate.BenchRecord:
    """What `auto` will follow: io_uring if it wins somewhere and loses nowhere."""
    found = [one for _, one in gated(report)]
    if not found:
        hint = "askrctl bench run URL --a epoll --b io_uring --gate"
        raise AskrError("the gate needs io_uring (B) compared with epoll (A)", hint, code=2)
    void = next((one for one in found if one.verdict.outcome is Outcome.VOID), None)
    if void is not None:
        raise AskrError(f"nothing was recorded: {void.verdict.sentence}", code=3)
    measured = [one for one in found if one.verdict.cpu is not None]
    if not measured:
        raise AskrError(f"nothing was recorded: {found[0].verdict.sentence}", code=3)
    wins = [one for one in measured if one.verdict.outcome is Outcome.WIN]
    losses = [one for one in measured if one.verdict.worse]
    decisive = (losses or wins or measured)[0]
    cpu = decisive.verdict.cpu
    assert cpu is not None
    return gate.BenchRecord(
        winner=Backend.IO_URING if wins and not losses else Backend.EPOLL,
        outcome=str(decisive.verdict.outcome),
        sentence=f"{decisive.b} against {decisive.a}: {decisive.verdict.sentence}",
        workload=report.title.replace('"', "'"),
        ratio=float(cpu.estimate),
        ratio_low=float(cpu.low),
        ratio_high=float(cpu.high),
        threshold=float(report.settings.rule.threshold),
        rounds=report.settings.rounds,
        created=report.created,
        machine=gate.this_machine(),
    )


def write(report: Report, folder: Path) -> list[Path]:
    """report.json, report.md and report.html; the paths."""
    from askrctl.bench.html import to_html
    from askrctl.bench.markdown import to_markdown

    texts = {
        "report.json": report.json(),
        "report.md": to_markdown(report),
        "report.html": to_html(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AskrError(
            f"the report cannot be written to {folder}: {reason}", "--output FOLDER", code=3
        ) from None
    return [folder / name for name in texts]


def figures(series: Series) -> list[tuple[str, str]]:
    """The figures of one contender in words, the same in every form."""

    def text(name: str, form: str) -> str:
        value = medians(series, name)
        return "–" if value is None else format(value, form)

    pss, calls = series.pss_bytes, series.system_calls
    return [
        ("CPU µs/request", text("cpu_us", ",.2f")),
        ("user", text("user_us", ",.2f")),
        ("system", text("system_us", ",.2f")),
        ("calls/request", "–" if calls is None else f"{calls:.2f}"),
        ("requests/s", text("rate", ",.0f")),
        ("p50 ms", text("p50_ms", ",.3f")),
        ("p99 ms", text("p99_ms", ",.3f")),
        ("p99.9 ms", text("p999_ms", ",.3f")),
        ("PSS MiB", "–" if pss is None else f"{pss / 1048576:.1f}"),
    ]
