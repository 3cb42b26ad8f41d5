# SPDX-License-Identifier: MIT
"""report.md: a bench for a pull request or a wiki. The verdict first, then what it rests on."""

from collections.abc import Iterator, Sequence

from askrctl.bench.environment import Environment
from askrctl.bench.peers import SAPIS
from askrctl.bench.report import Report, figures


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(map(_cell, head)) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(_cell, row)) + " |"
    yield ""


def _verdicts(report: Report) -> Iterator[str]:
    for one in report.comparisons:
        yield f"**{_cell(one.b)} against {_cell(one.a)}: {_cell(one.verdict.sentence)}.**"
        yield ""
        if one.ceiling:
            yield f"{_cell(one.ceiling)}."
            yield ""


def _contenders(report: Report) -> Iterator[str]:
    head = ["", *(name for name, _ in figures(report.series[0]))]
    rows = [
        [one.name, *(value for _, value in figures(one))] for one in report.series if not one.void
    ]
    yield from _table(head, rows)
    void = [[one.name, one.void] for one in report.series if one.void]
    if void:
        yield from _table(["void", "because"], void)
    missing = [[one.name, one.state, one.reason] for one in report.missing]
    if missing:
        yield from _table(["without figures", "", "because"], missing)


def facts(report: Report) -> list[list[str]]:
    """How it was measured and on what: name and value."""
    at, here = report.settings, report.environment
    pace = f"{at.rate} requests/s" if at.rate else "as fast as it goes"
    return [
        ["declared before", report.rule],
        ["validated", _validation(report)],
        ["load", f"{report.generator}, {at.connections} connections, {pace}; {report.loop}"],
        ["runs", f"{at.runs} after {at.warmup_seconds} s, interleaved, who is first changes"],
        ["cores", f"server {_cores(at.server_cores)}, load {_cores(at.load_cores)}"],
        ["kernel", f"{here.kernel}, {here.distribution}"],
        ["CPU", f"{here.cpu}, {here.cores} cores, SMT {here.smt}, governor {here.governor}"],
        ["virtual", f"{here.hypervisor}; clock {here.clocksource}"],
        ["memory", f"{here.memory_mib} MiB; load average before {here.load_average}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in _versions(here))],
        ["taken", report.created],
    ]


def _versions(here: Environment) -> list[tuple[str, str]]:
    return [("askrctl", here.askrctl), ("Python", here.python), *here.programs.items()]


def _validation(report: Report) -> str:
    words = {SAPIS: "names of PHP's SAPIs"}
    ignored = ", ".join(words.get(pattern, pattern) for pattern in report.settings.ignored)
    return f"{report.validation}; ignored: {ignored}" if ignored else report.validation


def _cores(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores)) or "not pinned"


def to_markdown(report: Report) -> str:
    lines = [f"# {_cell(report.title)}", "", *_verdicts(report), *_contenders(report)]
    lines += ["Medians of all runs. Ratios are B over A, taken within each round.", ""]
    lines += ["## How it was measured", "", *_table(["", ""], facts(report))]
    lines += [f"* {note}" for note in report.notes]
    lines += ["", "<details><summary>Mitigations</summary>", ""]
    lines += [f"* {name}: {text}" for name, text in report.environment.mitigations.items()]
    return "\n".join([*lines, "", "</details>"]) + "\n"
