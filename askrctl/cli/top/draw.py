# SPDX-License-Identifier: MIT
"""A board as lines of a screen, of any size: what matters most stays longest as it gets narrow.

Pure: a board, what the operator has chosen, and a size give lines. Names that come from requests
are made printable, so that none of them steers a terminal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from askrctl.cli.render_status import STATE_STYLES, duration, printable, time_text
from askrctl.cli.top.board import (
    Board,
    RouteRow,
    Row,
    SiteRow,
    arrange,
    arrange_routes,
    arrange_sites,
)
from askrctl.cli.top.keys import HELP, Ui, next_view

SLOW_S, STUCK_S = 1.0, 10.0  # a running request is yellow, then red
HEADER_HEIGHT_MIN = 14  # a lower screen has two lines of facts instead of four
MARK = "▶"


@dataclass(frozen=True, slots=True)
class Column:
    """`needs`: it is shown from this width of the screen on."""

    title: str
    width: int
    needs: int
    sort: str = ""
    left: bool = False


COLUMNS = (
    Column("proc", 5, 0, "process", True),
    Column("pid", 8, 56),
    Column("state", 8, 36, left=True),
    Column("age", 6, 24, "age"),
    Column("req/s", 6, 48, "req/s"),
    Column("cpu%", 6, 64, "cpu"),
    Column("pss", 7, 72, "memory"),
    Column("rss", 7, 108),
    Column("requests", 9, 116, "requests"),
    Column("p50", 7, 124),
    Column("p99", 7, 124),
    Column("queue", 6, 132),
    Column("conns", 6, 132),
    Column("restarts", 8, 140),
)
ROUTE_COLUMNS = (
    Column("time%", 6, 0, "time"),
    Column("req/s", 6, 24, "req/s"),
    Column("p50", 7, 48),
    Column("p99", 7, 32, "p99"),
    Column("5xx/s", 6, 56, "5xx"),
)
SITE_COLUMNS = (
    *ROUTE_COLUMNS,
    Column("queue", 6, 64, "queue"),
    Column("oldest", 7, 84),
    Column("running", 7, 74),
)
_WIDE = {"p50", "p99", "queue", "conns"}  # without them a worker's line says it in words


# --- values ---------------------------------------------------------------------------------------


def size_text(size: float) -> str:
    """At most six characters: 812K, 24.1M, 310M, 1.25G."""
    if not size:
        return ""
    for unit in ("K", "M", "G"):
        size /= 1024
        if size < 999.5 or unit == "G":
            digits = 0 if size >= 99.95 or unit == "K" else 2 if unit == "G" else 1
            return f"{size:.{digits}f}{unit}"
    raise AssertionError


def rate_text(rate: float) -> str:
    """At most six characters."""
    if rate >= 9999.5:
        return f"{rate / 1000:.1f}k" if rate < 999_950 else f"{rate / 1e6:.1f}M"
    return f"{rate:.0f}" if rate >= 99.95 or rate == 0 else f"{rate:.1f}"


# --- the parts of a screen ------------------------------------------------------------------------


def screen(board: Board, ui: Ui, width: int, height: int) -> list[Text]:
    """Exactly `height` lines, none wider than `width`."""
    if ui.panel:
        lines = _panel(ui, width, height)
    else:
        head = _head(board, width, height)
        room = max(0, height - len(head) - 2)
        lines = [*head, _titles(ui, width)]
        lines += _under_titles(board, ui, width, room)
        lines += [Text() for _ in range(height - 1 - len(lines))]
        lines = [*lines[: height - 1], _foot(ui, width)]
    for line in lines:
        line.truncate(width)
    return lines[:height]


def plain(board: Board, ui: Ui, width: int) -> list[Text]:
    """For a pipe or a file: everything, once."""
    rows = arrange(board, ui.sort, ui.wanted, ui.busy_only, ui.turned)
    lines = [*_head(board, width, HEADER_HEIGHT_MIN), Text(), _titles(ui, width)]
    lines += [_line(board, row, width, " ") for row in rows]
    for view in ("routes", "sites") if board.sites else ("routes",):
        other = replace(ui, view=view)
        lines += [Text(), _titles(other, width), *_under_titles(board, other, width, len(lines))]
    for line in lines:
        line.truncate(width)
        line.rstrip()
    return lines


def _fit(parts: Sequence[Text | str], width: int, first: Sequence[int] = ()) -> Text:
    """As many as there is room for, whole: those whose index is in `first`, then from the left."""
    texts = [Text(part) if isinstance(part, str) else part for part in parts]
    order = [*first, *(index for index in range(len(texts)) if index not in first)]
    chosen: list[int] = []
    used = -2  # two columns between two parts
    for index in order:
        size = texts[index].cell_len
        if size and (used + 2 + size <= width or not chosen):
            chosen.append(index)
            used += 2 + size
    return Text("  ").join(texts[index] for index in sorted(chosen))


def _pair(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _head(board: Board, width: int, height: int) -> list[Text]:
    backend = board.backend
    reason = f" ({backend['requested']}: {backend['reason']})"
    alarm = Text(printable(board.boot_error), style="bold red")
    what = _fit(
        [
            Text("top", style="bold"),
            f"up {duration(board.uptime_s)}",
            f"generation {board.generation}" + (f" +{board.draining}" if board.draining else ""),
            "  ".join(board.listeners[:2]),
            f"pid {board.pid}",
            f"askrctl {board.version}",
        ],
        width,
    )
    why = _fit(
        [
            _pair("backend", backend["active"] + reason),
            f"{len(board.sites)} sites" if board.sites else f"{board.mode} mode",
            "" if board.sites else printable(board.root),
            printable(backend.get("detail", "")),
        ],
        width,
    )
    lines = [what, why, _load(board, width), _processes(board, width)]
    if height < HEADER_HEIGHT_MIN:
        lines = [_load(board, width), _processes(board, width)] if height > 5 else []
    return [*lines, alarm] if alarm else lines


def _load(board: Board, width: int) -> Text:
    queue = f"{board.queue}"
    if board.queue_wait_s >= 0.001:
        queue += f" for {time_text(board.queue_wait_s)}"
    return _fit(
        [
            _pair("req/s", rate_text(board.requests_s)),
            _pair("p50", time_text(board.p50_s) or "-"),
            _pair("p99", time_text(board.p99_s) or "-"),
            _pair("queue", queue, "bold red" if board.queue else "bold"),
            _pair("5xx/s", rate_text(board.failed_s), "bold red" if board.failed_s else "bold"),
            _pair("conns", str(board.connections)),
        ],
        width,
        first=(0, 2, 3),
    )


def _processes(board: Board, width: int) -> Text:
    states = [
        Text(f"{count} {state}", style=STATE_STYLES.get(state, ""))
        for state, count in board.states.items()
    ]
    return _fit(
        [
            *states,
            _pair("cpu io", f"{board.io_cpu_pct:.0f}%"),
            _pair("app", f"{board.app_cpu_pct:.0f}%") if states else "",
            _pair("pss", size_text(board.pss) or "-"),
            _pair("rss", size_text(board.rss) or "-"),
        ],
        width,
    )


def _shown(width: int, columns: Sequence[Column] = COLUMNS) -> list[Column]:
    return [column for column in columns if width >= column.needs]


def _cell(column: Column, text: str) -> str:
    text = text[: column.width]
    return text.ljust(column.width) if column.left else text.rjust(column.width)


def _titles(ui: Ui, width: int) -> Text:
    columns, sort, last = {
        "processes": (COLUMNS, ui.sort, "request"),
        "routes": (ROUTE_COLUMNS, ui.route_sort, "route"),
        "sites": (SITE_COLUMNS, ui.site_sort, "site"),
    }[ui.view]
    cells = []
    for column in _shown(width, columns):
        mark = ("↑" if ui.turned else "↓") if column.sort and column.sort == sort else ""
        cells.append(_cell(column, column.title + mark))
    line = Text(" " + " ".join([*cells, last]), style="reverse")
    line.pad_right(max(0, width - line.cell_len))
    return line


def _body(board: Board, ui: Ui, width: int, room: int) -> list[Text]:
    rows = arrange(board, ui.sort, ui.wanted, ui.busy_only, ui.turned)
    if not rows:
        empty = " nothing matches: Esc shows all" if ui.wanted or ui.busy_only else " no process"
        return [Text(empty, style="dim")][:room]
    if not room:
        return []
    index = next((i for i, row in enumerate(rows) if row.key == ui.selected), 0)
    first = index // room * room
    lines = []
    for row in rows[first : first + room]:
        line = _line(board, row, width, MARK if row.key == ui.selected else " ")
        if row.key == ui.selected:
            line.stylize("bold")
        lines.append(line)
    return lines


def _under_titles(board: Board, ui: Ui, width: int, room: int) -> list[Text]:
    if ui.view == "processes":
        return _body(board, ui, width, room)
    if ui.view == "sites":
        sites = arrange_sites(board, ui.site_sort, ui.wanted, ui.turned)
        lines = [_asked(_site_values(row), SITE_COLUMNS, width, row.site) for row in sites]
        none = " no site matches: Esc shows all"
    else:
        routes = arrange_routes(board, ui.route_sort, ui.wanted, ui.turned)
        lines = [_asked(_route_values(row), ROUTE_COLUMNS, width, row.route) for row in routes]
        none = " no application has answered" + (" what matches" if ui.wanted else " yet")
    return (lines or [Text(none, style="dim")])[:room]


def _route_values(row: RouteRow | SiteRow) -> dict[str, str]:
    return {
        "time%": f"{row.time_pct:.1f}",
        "req/s": rate_text(row.requests_s),
        "p50": time_text(row.p50_s),
        "p99": time_text(row.p99_s),
        "5xx/s": rate_text(row.failed_s),
    }


def _site_values(row: SiteRow) -> dict[str, str]:
    oldest = time_text(row.queue_wait_s) if row.queue_wait_s >= 0.001 else ""
    return _route_values(row) | {
        "queue": str(row.queue),
        "oldest": oldest,
        "running": str(row.running),
    }


def _asked(values: dict[str, str], columns: Sequence[Column], width: int, name: str) -> Text:
    """One line of what requests were for."""
    line = Text(" ")
    for column in _shown(width, columns):
        alarm = column.title in ("5xx/s", "queue") and values[column.title] != "0"
        line.append(_cell(column, values[column.title]), style="red" if alarm else "").append(" ")
    return line.append(printable(name))


def _values(row: Row) -> dict[str, str]:
    is_worker = row.place is None
    return {
        "proc": row.name if is_worker else f" {row.name}",
        "pid": str(row.pid),
        "state": row.state,
        "age": time_text(row.age_s),
        "req/s": rate_text(row.requests_s),
        "cpu%": f"{row.cpu_pct:.0f}",
        "pss": size_text(row.pss),
        "rss": size_text(row.rss),
        "requests": str(row.requests),
        "p50": time_text(row.p50_s),
        "p99": time_text(row.p99_s),
        "queue": str(row.queue) if is_worker else "",
        "conns": str(row.connections) if is_worker else "",
        "restarts": "" if is_worker else str(row.restarts),
    }


def _line(board: Board, row: Row, width: int, mark: str) -> Text:
    values, line = _values(row), Text(mark)
    for column in _shown(width):
        style = ""
        if column.title == "state":
            style = STATE_STYLES.get(row.state, "")
        elif column.title == "age" and row.age_s is not None:
            style = "red" if row.age_s >= STUCK_S else "yellow" if row.age_s >= SLOW_S else ""
        line.append(_cell(column, values[column.title]), style=style).append(" ")
    if row.place is None:
        wide = {column.title for column in _shown(width)} >= _WIDE
        other = "" if row.generation == board.generation else f"generation {row.generation}"
        words = _worker_words(row, max(0, width - line.cell_len - len(other)), wide)
        return line.append(other + "  " if other else "", style="yellow").append_text(words)
    if row.site:
        line.append(f"{printable(row.site)}: ", style="cyan" if row.age_s is not None else "dim")
    return line.append(printable(row.request), style="" if row.age_s is not None else "dim")


def _worker_words(row: Row, width: int, wide: bool) -> Text:
    queue = f"queue {row.queue}" if row.queue else ""
    waited = f"{queue} for {time_text(row.queue_wait_s)}"
    if row.queue and row.queue_wait_s >= 0.001 and len(waited) <= width:
        queue = waited
    parts: list[Text | str] = [
        Text(queue, style="red"),
        "" if wide or row.p99_s is None else f"p99 {time_text(row.p99_s)}",
        "" if wide else f"{row.connections} conns",
    ]
    return _fit(parts, width)


def _cut(text: str, end: str, width: int, style: str) -> Text:
    """What has to be known is at the end, so it is the middle that goes."""
    line = Text(text, style=style)
    line.truncate(max(0, width - len(end)), overflow="ellipsis")
    return line.append(end)


def _foot(ui: Ui, width: int) -> Text:
    if ui.question:
        return _cut(ui.question, " y/n", width, "bold yellow")
    if ui.editing:
        return Text("filter: ", style="bold") + Text(
            f"{printable(ui.wanted)}_"[-max(1, width - 8) :]
        )
    if ui.message:
        return Text(printable(ui.message), style="bold red" if ui.alarm else "bold")
    chosen = _pair("filter", printable(ui.wanted)) if ui.wanted else ""
    busy = Text("busy only", style="bold") if ui.busy_only else ""
    keys = ["? help", "q quit", "s sort", "/ filter"]
    keys.append(f"Tab {next_view(ui)}")
    if ui.view == "processes":
        keys += ["b backtrace", "r recycle", "d drain"]
    hints = [Text.assemble((key, "bold"), f" {what}") for key, what in map(str.split, keys)]
    return _fit([chosen, busy, *hints], width)


def _panel(ui: Ui, width: int, height: int) -> list[Text]:
    """Help, or a backtrace: text over the whole screen, longer lines wrapped."""
    lines: list[Text] = []
    for text in HELP if ui.panel == "help" else ui.panel_lines:
        lines += _wrap(printable(text), width)
    room = max(1, height - 1)
    first = min(ui.scroll, max(0, len(lines) - room))
    body: Sequence[Text] = lines[first : first + room]
    more = f"  {len(lines) - first - room} more lines: down" if first + room < len(lines) else ""
    padding = [Text() for _ in range(room - len(body))]
    return [*body, *padding, Text(f"Esc: back{more}", style="reverse")]


def _wrap(text: str, width: int) -> list[Text]:
    indent = " " * min(len(text) - len(text.lstrip()) + 2, max(0, width - 8))
    pieces, rest = [], text
    while Text(rest).cell_len > width and width > 0:
        cut = len(rest)
        while Text(rest[:cut]).cell_len > width:
            cut -= 1
        at = rest.rfind(" ", len(indent) + 1, cut)
        at = at if at > cut // 2 else max(cut, 1)
        pieces.append(Text(rest[:at]))
        rest = indent + rest[at:].lstrip()
        if len(indent) + 1 >= width:
            break
    return [*pieces, Text(rest)]
