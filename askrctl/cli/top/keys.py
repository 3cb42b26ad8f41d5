# SPDX-License-Identifier: MIT
"""What a key does: to what is shown, or an order to the server that the operator has confirmed.

Pure. Bytes from the terminal are cut into keys first; a sequence that is not known does nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from askrctl.cli.top.board import ROUTE_SORTS, SITE_SORTS, SORTS, Row

VIEWS = ("processes", "routes")  # and, with [[site]], "sites"
WANTED_MAX = 60
PAGE = 10

HELP = (
    "askrctl top: what the workers and application processes of a server do",
    "",
    "  up down j k   choose a process; also Page Up, Page Down, Home, End",
    "  s  S          sort by the next column, or the one before; R turns it around",
    "  /             show what contains a text: a path, a state, a pid; Esc: all",
    "  Tab           routes, and sites, instead of processes: by the time they take",
    "  i             hide processes that are idle",
    "  b  Enter      backtrace: PHP frames, sockets, locks; the process goes on",
    "  r             recycle: start another process, then this one finishes and",
    "                goes; on a worker: all of its processes, one by one",
    "  d             drain the worker: it finishes, another takes its place",
    "  q             quit",
    "",
    "A plain number is a worker (I/O of one core); 1.0 and 1.1 are its processes.",
    "age: how long the request has been running; yellow from 1 s, red from 10 s.",
    "A worker that is silent is stopped or gets no processor; it is replaced.",
    "queue: requests that wait for a process, and how long the oldest has waited.",
    "Rates are of the last interval, p50 and p99 of the last 10 s, up to 3.2 % off.",
    "pss is memory with shared pages divided over those who share them, so that it",
    "adds up; rss does not. pss is read every 5 s.",
)

_KEYS = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\x1b[4~": "end",
    b"\x1b": "escape",
    b"\t": "tab",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
}
_SEQUENCE = re.compile(
    rb"\x1b\[[0-9;]*[ -/]*[@-~]|\x1bO.|\x1b|[\xc0-\xf7][\x80-\xbf]+|.", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Order:
    """`worker` and `pid` of the row it is for; the other kinds have none."""

    kind: str  # quit, backtrace, recycle, drain
    worker: int = -1
    pid: int = 0  # 0: of the whole worker


@dataclass(frozen=True, slots=True)
class Ui:
    """What the operator has chosen."""

    views: tuple[str, ...] = VIEWS
    view: str = "processes"
    sort: str = "process"
    route_sort: str = "time"
    site_sort: str = "time"
    turned: bool = False
    wanted: str = ""
    editing: bool = False
    busy_only: bool = False
    selected: str = ""  # Row.key
    panel: str = ""  # help, backtrace
    panel_lines: tuple[str, ...] = ()
    scroll: int = 0
    question: str = ""
    pending: Order | None = None
    message: str = ""
    alarm: bool = False


def keys_of(data: bytes) -> Iterator[str]:
    """Names of keys, or the characters themselves."""
    for found in _SEQUENCE.findall(data):
        text = _KEYS.get(found) or found.decode(errors="ignore")
        if text and (found in _KEYS or text.isprintable()):
            yield text


def press(ui: Ui, key: str, rows: list[Row]) -> tuple[Ui, Order | None]:
    """`rows` as they are shown now."""
    ui = replace(ui, message="", alarm=False)
    if ui.pending is not None:
        agreed = ui.pending if key in ("y", "Y") else None
        return replace(ui, question="", pending=None), agreed
    if ui.editing:
        return _edit(ui, key), None
    if ui.panel:
        return _scroll(ui, key)
    return _command(ui, key, rows)


def _edit(ui: Ui, key: str) -> Ui:
    if key == "enter":
        return replace(ui, editing=False)
    if key == "escape":
        return replace(ui, editing=False, wanted="")
    if key == "backspace":
        return replace(ui, wanted=ui.wanted[:-1])
    if len(key) == 1:
        return replace(ui, wanted=(ui.wanted + key)[:WANTED_MAX])
    return ui


def _scroll(ui: Ui, key: str) -> tuple[Ui, Order | None]:
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE, " ": PAGE}
    if key in steps:
        return replace(ui, scroll=max(0, ui.scroll + steps[key])), None
    if key in ("escape", "q", "?", "enter", "b"):
        return replace(ui, panel="", panel_lines=(), scroll=0), None
    return ui, None


def _command(ui: Ui, key: str, rows: list[Row]) -> tuple[Ui, Order | None]:
    if key == "q":
        return ui, Order("quit")
    if key in ("s", "S"):
        step = 1 if key == "s" else -1
        if ui.view == "routes":
            return replace(ui, route_sort=_next(ROUTE_SORTS, ui.route_sort, step)), None
        if ui.view == "sites":
            return replace(ui, site_sort=_next(SITE_SORTS, ui.site_sort, step)), None
        return replace(ui, sort=_next(SORTS, ui.sort, step)), None
    simple = {
        "?": replace(ui, panel="help", scroll=0),
        "R": replace(ui, turned=not ui.turned),
        "/": replace(ui, editing=True),
        "i": replace(ui, busy_only=not ui.busy_only),
        "escape": replace(ui, wanted="", busy_only=False),
        "tab": replace(ui, view=next_view(ui), wanted="", turned=False),
    }
    if key in simple:
        return simple[key], None
    if ui.view != "processes":
        return ui, None
    return _of_row(_move(ui, key, rows), key, rows)


def next_view(ui: Ui) -> str:
    """What Tab shows."""
    return _next(ui.views, ui.view, 1)


def _next(names: tuple[str, ...], name: str, step: int) -> str:
    return names[(names.index(name) + step) % len(names)]


def _move(ui: Ui, key: str, rows: list[Row]) -> Ui:
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE}
    ends = {"home": -len(rows), "end": len(rows)}
    step = {**steps, **ends}.get(key)
    if step is None or not rows:
        return ui
    at = next((i for i, row in enumerate(rows) if row.key == ui.selected), -1 if step > 0 else 0)
    return replace(ui, selected=rows[min(max(0, at + step), len(rows) - 1)].key)


def _of_row(ui: Ui, key: str, rows: list[Row]) -> tuple[Ui, Order | None]:
    if key not in ("b", "enter", "r", "d"):
        return ui, None
    row = next((row for row in rows if row.key == ui.selected), None)
    if row is None:
        return replace(ui, message="choose a process first: up and down"), None
    if key in ("b", "enter"):
        return ui, Order("backtrace", row.worker, row.pid)
    if key == "d":
        order = Order("drain", row.worker)
        what = f"drain worker {row.worker}: it finishes, another takes its place?"
    elif row.place is None:
        order = Order("recycle", row.worker)
        what = f"recycle all processes of worker {row.worker}, one after the other?"
    else:
        order = Order("recycle", row.worker, row.pid)
        what = f"recycle process {row.name} (pid {row.pid}) when it has finished?"
    return replace(ui, question=what, pending=order), None
