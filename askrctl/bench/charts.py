# SPDX-License-Identifier: MIT
"""The charts of report.html, as inline SVG: no script, no font, nothing to be fetched.

Each is a row of marks for each name, drawn to one scale. Colours are variables of the page, so that
light and dark are its business; every chart has a sentence for those who cannot see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from askrctl.bench.stats import Interval

WIDTH = 760
LEFT = 232  # for names
RIGHT = 90  # for values
ROW = 40
TOP = 14
AXIS = 34


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels, linear or logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - low) / (high - low)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high: 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _line(x: float, top: float, bottom: float, kind: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" class="{kind}"/>'


def _bar(x: float, y: float, width: float, kind: str, tip: str) -> str:
    box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="14"'
    return f'<rect {box} class="{kind}"><title>{escape(tip)}</title></rect>'


def _dot(x: float, y: float, radius: float, kind: str, tip: str) -> str:
    at = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
    return f'<circle {at} class="{kind}"><title>{escape(tip)}</title></circle>'


def _name(text: str, y: float) -> str:
    """The name of a row; a second line is what it is held against."""
    first, _, second = text.partition("\n")
    if not second:
        return _text(LEFT - 12, y + 4, text, "name")
    return _text(LEFT - 12, y - 3, first, "name") + _text(LEFT - 12, y + 11, second, "name")


def _frame(marks: Sequence[str], axis: Sequence[str], rows: int, label: str) -> str:
    height = TOP + rows * ROW + AXIS
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return "\n".join([head, *axis, *marks, "</svg>"])


def _axis(scale: Scale, marks: Sequence[float], rows: int, unit: str) -> list[str]:
    bottom = TOP + rows * ROW
    found = []
    for value in marks:
        if scale.low <= value <= scale.high:
            x = scale.place(value)
            found.append(_line(x, TOP, bottom, "grid"))
            found.append(_text(x, bottom + 15, _number(value), "tick"))
    return [*found, _text(LEFT, bottom + 30, unit, "unit")]


def _row(index: int) -> float:
    return TOP + index * ROW + ROW / 2


@dataclass(frozen=True, slots=True)
class Cost:
    name: str
    user: float
    system: float
    total: float
    runs: Sequence[float]


def costs(rows: Sequence[Cost]) -> str:
    """A bar of user and system time for each, and a dot for each run."""
    scale = Scale(0.0, max(max(row.total, row.user + row.system, *row.runs) for row in rows) * 1.05)
    marks = []
    for index, row in enumerate(rows):
        y, zero = _row(index), scale.place(0)
        middle, end = scale.place(row.user), scale.place(row.user + row.system)
        marks.append(_name(row.name, y))
        marks.append(_bar(zero, y - 11, middle - zero - 1, "user", f"user {row.user:.2f} µs"))
        tip = f"system {row.system:.2f} µs"
        marks.append(_bar(middle + 1, y - 11, end - middle - 1, "system", tip))
        for number, value in enumerate(row.runs, 1):
            tip = f"round {number}: {value:.2f} µs"
            marks.append(_dot(scale.place(value), y + 10, 3, "run", tip))
        marks.append(_text(WIDTH - RIGHT + 12, y + 1, f"{row.total:,.2f}", "value"))
    axis = _axis(scale, ticks(scale.low, scale.high), len(rows), "CPU µs for each request")
    said = "; ".join(f"{row.name} {row.total:.2f} µs" for row in rows)
    return _frame(marks, axis, len(rows), f"CPU time for each request: {said}")


@dataclass(frozen=True, slots=True)
class Ratio:
    name: str
    interval: Interval
    rounds: Sequence[float]


def ratios(rows: Sequence[Ratio], threshold: float) -> str:
    """The interval of each ratio beside 1 and the line that was declared; dots are rounds."""
    values = [1.0, 1 - threshold]
    for row in rows:
        values += [row.interval.low, row.interval.high, *row.rounds]
    room = (max(values) - min(values)) * 0.06
    scale = Scale(max(0.0, min(values) - room), max(values) + room)
    marks = []
    bottom = TOP + len(rows) * ROW
    for value, kind in ((1.0, "one"), (1 - threshold, "declared")):
        marks.append(_line(scale.place(value), TOP, bottom, kind))
    for index, row in enumerate(rows):
        y, found = _row(index), row.interval
        marks.append(_name(row.name, y))
        for number, value in enumerate(row.rounds, 1):
            tip = f"round {number}: {value:.3f}"
            marks.append(_dot(scale.place(value), y + 10, 3, "run", tip))
        low, high = scale.place(found.low), scale.place(found.high)
        tip = f"{found.estimate:.3f}, 95 % from {found.low:.3f} to {found.high:.3f}"
        box = f'x="{low:.1f}" y="{y - 6:.1f}" width="{max(high - low, 1):.1f}" height="4"'
        marks.append(f'<rect {box} rx="2" class="interval"><title>{tip}</title></rect>')
        marks.append(_dot(scale.place(found.estimate), y - 4, 5, "estimate", tip))
        marks.append(_text(WIDTH - RIGHT + 12, y, f"{found.estimate:.3f}", "value"))
    unit = f"CPU time, B over A; dashed: the declared {1 - threshold:.2f}"
    axis = _axis(scale, ticks(scale.low, scale.high), len(rows), unit)
    said = "; ".join(f"{' '.join(row.name.split())} {_said(row.interval)}" for row in rows)
    return _frame(marks, axis, len(rows), f"Ratios of CPU time: {said}")


def _said(found: Interval) -> str:
    return f"{found.estimate:.3f}, {found.low:.3f} to {found.high:.3f}"


@dataclass(frozen=True, slots=True)
class Latency:
    name: str
    p50: float
    p99: float
    p999: float | None


def latencies(rows: Sequence[Latency]) -> str:
    """p50, p99 and p99.9 on a logarithmic scale."""
    floor = 0.001  # ab says 0 for less than a millisecond
    points = [
        [(kind, max(value, floor)) for kind, value in _quantiles(row) if value is not None]
        for row in rows
    ]
    steps = decades(
        min(value for row in points for _, value in row),
        max(value for row in points for _, value in row),
    )
    scale = Scale(steps[0], steps[-1], logarithmic=True)
    marks = []
    for index, (row, found) in enumerate(zip(rows, points, strict=True)):
        y = _row(index)
        marks.append(_name(row.name, y))
        start, end = scale.place(found[0][1]), scale.place(found[-1][1])
        line = f'x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"'
        marks.append(f'<line {line} class="span"/>')
        for kind, value in found:
            tip = f"{kind} {_number(value)} ms"
            marks.append(_dot(scale.place(value), y, 5, kind.replace(".", ""), tip))
        marks.append(_text(WIDTH - RIGHT + 12, y + 4, f"{row.p99:,.2f}", "value"))
    axis = _axis(scale, steps, len(rows), "milliseconds, logarithmic; the figure is p99")
    said = "; ".join(f"{row.name} p50 {row.p50:.3f} ms, p99 {row.p99:.3f} ms" for row in rows)
    return _frame(marks, axis, len(rows), f"Latency: {said}")


def _quantiles(row: Latency) -> list[tuple[str, float | None]]:
    return [("p50", row.p50), ("p99", row.p99), ("p99.9", row.p999)]
