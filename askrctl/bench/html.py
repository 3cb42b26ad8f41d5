# SPDX-License-Identifier: MIT
"""report.html: one file, no script, nothing fetched; light and dark, narrow and wide, on paper."""

from collections.abc import Iterator, Sequence
from html import escape

from askrctl.bench import charts
from askrctl.bench.markdown import facts
from askrctl.bench.report import Comparison, Report, figures, medians
from askrctl.bench.runner import Series

_STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #1f1f1d; --soft: #5c5b57;
  --rule: #dddcd6; --card: #f3f2ee; --user: #2a78d6; --system: #8fbdf0; --mark: #1f1f1d;
  --warm: #c2410c; --win: #15803d; --none: #5c5b57; --unsure: #a16207; --void: #b91c1c; }
@media (prefers-color-scheme: dark) {
  :root { --page: #1a1a19; --ink: #f0efec; --soft: #b0afa9; --rule: #3a3936; --card: #242422;
    --user: #4a94ee; --system: #234f80; --mark: #f0efec; --warm: #fb923c; --win: #4ade80;
    --none: #b0afa9; --unsure: #facc15; --void: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
p, li { max-width: 44rem; } .soft { color: var(--soft); }
.verdict { background: var(--card); border-left: 4px solid var(--none); padding: .75rem 1rem;
  margin: .75rem 0; border-radius: 0 6px 6px 0; }
.verdict p { margin: .15rem 0; }
.verdict.win { border-color: var(--win); } .verdict.inconclusive { border-color: var(--unsure); }
.verdict.void { border-color: var(--void); } .verdict b { text-transform: uppercase; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
.figures { font-size: .875rem; } .figures :is(td, th) { white-space: nowrap; }
.figures td, .figures th + th { text-align: right; padding: .35rem .45rem; }
svg { width: 100%; height: auto; min-width: 34rem; display: block;
  font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } .name { text-anchor: end; } .value { font-weight: 600; }
svg .tick, svg .unit { fill: var(--soft); } .tick { text-anchor: middle; }
.grid { stroke: var(--rule); stroke-width: 1; } .one { stroke: var(--soft); stroke-width: 1.5; }
.declared { stroke: var(--warm); stroke-width: 1.5; stroke-dasharray: 5 4; }
.user, .interval, .p50 { fill: var(--user); } .system { fill: var(--system); }
.run { fill: var(--soft); opacity: .55; } .estimate { fill: var(--user); }
.p99 { fill: var(--mark); } .p999 { fill: var(--warm); }
.span { stroke: var(--rule); stroke-width: 3; }
.key { color: var(--soft); font-size: .85rem; }
.key span::before { content: ""; display: inline-block; width: .7em; height: .7em; margin: 0 .35em 0
  .9em; border-radius: 50%; background: var(--at); }
summary { cursor: pointer; }
@media print { body { max-width: none; } svg { min-width: 0; } }
"""


def _keys(*pairs: tuple[str, str]) -> str:
    spans = "".join(f'<span style="--at: var(--{name})">{text}</span>' for name, text in pairs)
    return f'<p class="key">{spans}</p>'


def _verdict(one: Comparison) -> str:
    outcome = str(one.verdict.outcome)
    kind = outcome.replace(" ", "-")
    rest = one.verdict.sentence.removeprefix(outcome)
    words = [f"<p>{escape(one.b)} against {escape(one.a)}</p>"]
    words += [f"<p><b>{escape(outcome)}</b>{escape(rest)}</p>"]
    if one.ceiling:
        words += [f'<p class="soft">{escape(one.ceiling)}</p>']
    return f'<div class="verdict {kind}">{"".join(words)}</div>'


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), kind: str = "") -> str:
    lines = [f'<div class="scroll"><table class="{kind}">']
    if head:
        lines.append(
            "<tr>" + "".join(f'<th scope="col">{escape(text)}</th>' for text in head) + "</tr>"
        )
    for row in rows:
        first, *rest = row
        cells = "".join(f"<td>{escape(text)}</td>" for text in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return "\n".join([*lines, "</table></div>"])


def _charts(report: Report, valid: Sequence[Series]) -> Iterator[str]:
    costs = [
        charts.Cost(
            one.name,
            medians(one, "user_us") or 0.0,
            medians(one, "system_us") or 0.0,
            medians(one, "cpu_us") or 0.0,
            [sample.cpu_us for sample in one.samples],
        )
        for one in valid
    ]
    yield "<h2>Cost of a request</h2>"
    yield _keys(("user", "user"), ("system", "system"), ("soft", "one run"))
    yield f'<div class="scroll">{charts.costs(costs)}</div>'
    ratios = list(_ratios(report))
    if ratios:
        yield "<h2>Ratios</h2>"
        keys = (("user", "estimate and 95 % interval"), ("soft", "one round"))
        yield _keys(*keys)
        drawn = charts.ratios(ratios, report.settings.rule.threshold)
        yield f'<div class="scroll">{drawn}</div>'
    yield "<h2>Latency</h2>"
    yield _keys(("user", "p50"), ("mark", "p99"), ("warm", "p99.9"))
    yield f'<p class="soft">{escape(report.loop)}</p>'
    latencies = [
        charts.Latency(
            one.name,
            medians(one, "p50_ms") or 0.0,
            medians(one, "p99_ms") or 0.0,
            medians(one, "p999_ms"),
        )
        for one in valid
    ]
    yield f'<div class="scroll">{charts.latencies(latencies)}</div>'


def _ratios(report: Report) -> Iterator[charts.Ratio]:
    by_name = {one.name: one for one in report.series}
    for one in report.comparisons:
        if one.verdict.cpu is None:
            continue
        both = zip(by_name[one.a].samples, by_name[one.b].samples, strict=True)
        rounds = [b.cpu_us / a.cpu_us for a, b in both]
        yield charts.Ratio(f"{one.b}\nagainst {one.a}", one.verdict.cpu, rounds)


def _without(report: Report) -> list[list[str]]:
    """Who has no figures, and why."""
    void = [[one.name, "void", one.void] for one in report.series if one.void]
    return void + [[one.name, one.state, one.reason] for one in report.missing]


def _body(report: Report) -> Iterator[str]:
    valid = [one for one in report.series if one.samples and not one.void]
    yield f"<h1>{escape(report.title)}</h1>"
    yield from map(_verdict, report.comparisons)
    if valid:
        yield from _charts(report, valid)
        yield "<h2>Figures</h2>"
        head = ["", *(name for name, _ in figures(valid[0]))]
        rows = [[one.name, *(value for _, value in figures(one))] for one in valid]
        yield _table(rows, head, "figures")
        yield '<p class="soft">Medians of all runs.</p>'
    if without := _without(report):
        yield "<h2>Without figures</h2>"
        yield _table(without)
    yield "<h2>How it was measured</h2>"
    yield _table(facts(report))
    yield "<ul>"
    yield from (f"<li>{escape(note)}</li>" for note in report.notes)
    yield "</ul>"
    mitigations = [[name, text] for name, text in report.environment.mitigations.items()]
    yield f"<details><summary>Mitigations</summary>{_table(mitigations)}</details>"


def to_html(report: Report) -> str:
    """The page."""
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head><body><main>"
    return "\n".join([head, *_body(report), "</main></body></html>"]) + "\n"
