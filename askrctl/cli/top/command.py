# SPDX-License-Identifier: MIT
"""`askrctl top`: the command, and the loop that joins samples, keys, answers and the screen."""

import json
import os
import shutil
import signal
import sys
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from askrctl.cli.control import Format, Json, Socket, wants_json
from askrctl.cli.slowlog import text_of
from askrctl.cli.top import draw
from askrctl.cli.top.asker import Answer, Asker
from askrctl.cli.top.board import SORTS, WINDOW_S, Board, arrange, make_board
from askrctl.cli.top.keys import VIEWS, Ui, keys_of, press
from askrctl.cli.top.sample import Sample, Source
from askrctl.cli.top.terminal import ENDING, Terminal
from askrctl.model import AskrError
from askrctl.server import control

VIEW_PERIOD_S = 1.0  # between two questions which generations there are
PLAIN_WIDTH = 160  # where nobody says how wide a line may be


def top_command(
    control_path: Socket = "",
    interval: Annotated[
        float, typer.Option("--interval", "-d", min=0.1, max=60, help="Seconds between two looks.")
    ] = 1.0,
    sort: Annotated[
        str, typer.Option(help="process, age, req/s, cpu, memory or requests")
    ] = "process",
    filter_: Annotated[
        str, typer.Option("--filter", help="Show what contains this: a path, a state, a pid.")
    ] = "",
    busy: Annotated[bool, typer.Option("--busy", help="Hide processes that are idle.")] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print it once, as off a terminal: rates over one interval."),
    ] = False,
    as_json: Json = False,
    form: Format = "text",
) -> None:
    """Watch workers and application processes live: what they run, for how long, at what rate.

    `?` tells the keys: sort, filter, backtrace, recycle, drain. It reads the server's memory, not
    the server, so it works when that is overloaded; who may use the control socket may use it.

    **Examples**

    `askrctl top` — the running server

    `askrctl top --sort age --busy` — the requests that run, the longest first

    `askrctl top --once --sort age | head -20` — for a report

    `askrctl top --json | jq '.rows[] | select(.age_s > 1) | .request'` — for a program
    """
    if sort not in SORTS:
        raise AskrError(f"--sort {sort}: it can be {', '.join(SORTS)}", code=2)
    machine = wants_json(as_json, form)
    path = control.find(control_path)
    ui = Ui(sort=sort, wanted=filter_, busy_only=busy)
    live = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if machine or once or not live:
        _print_once(path, ui, interval, machine)
        return
    with Terminal(sys.stdin.fileno(), sys.stdout.fileno()).taken() as terminal:
        number = _Top(Source(path), ui, interval, terminal).run()
    if number:
        raise typer.Exit(128 + number)


def _print_once(path: Path, ui: Ui, interval: float, machine: bool) -> None:
    source = Source(path)
    first = source.take()
    time.sleep(interval)
    board = make_board(source.view, [first, source.take()])
    if machine:
        rows = arrange(board, ui.sort, ui.wanted, ui.busy_only, ui.turned)
        typer.echo(json.dumps(replace(board, rows=tuple(rows)).as_dict(), indent=2))
        return
    width = shutil.get_terminal_size((PLAIN_WIDTH, 1)).columns
    console = Console(highlight=False, width=width)
    for line in draw.plain(board, ui, width):
        console.print(line, no_wrap=True, overflow="crop", crop=True)


class _Top:
    """One screen, on one server at a time: on its successor when it has gone."""

    def __init__(self, source: Source, ui: Ui, interval: float, terminal: Terminal) -> None:
        self._path = source.path
        self._source: Source | None = source
        self._ui = ui
        self._interval = interval
        self._terminal = terminal
        self._console = Console(highlight=False)
        self._asker = Asker(source.path)
        self._samples: deque[Sample] = deque([source.take()])
        self._board = self._see(source)
        self._asked_at = time.monotonic()
        self._quit = False

    def run(self) -> int:
        """Until the operator leaves; the signal that ended it, or 0."""
        due = time.monotonic() + self._interval
        self._draw()
        while not self._quit:
            wait = due - time.monotonic()
            keys, numbers, answered = self._terminal.wait(wait, self._asker.wake)
            ending = next((number for number in numbers if number in ENDING), 0)
            if ending:
                return ending
            if signal.SIGTSTP in numbers:
                self._terminal.suspend()
            for key in keys_of(keys):
                self._press(key)
            for answer in self._asker.answers() if answered else []:
                self._hear(answer)
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                self._look()
            self._draw()
        return 0

    # --- the server -------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._source is not None and self._source.gone:
            self._source.close()
            self._source = None
        if self._source is None:
            self._come_back()
            return
        self._samples.append(self._source.take())
        newest = self._samples[-1].time_ns
        while len(self._samples) > 2 and newest - self._samples[1].time_ns > WINDOW_S * 1e9:
            self._samples.popleft()
        self._board = self._see(self._source)
        if time.monotonic() - self._asked_at > VIEW_PERIOD_S and not self._asker.outstanding:
            self._asked_at = time.monotonic()
            self._asker.ask(None)

    def _see(self, source: Source) -> Board:
        """The samples as a board; a reload may bring sites, or take them away."""
        board = make_board(source.view, self._samples)
        views = (*VIEWS, "sites") if board.sites else VIEWS
        view = self._ui.view if self._ui.view in views else "processes"
        self._ui = replace(self._ui, views=views, view=view)
        return board

    def _come_back(self) -> None:
        try:
            self._source = Source(self._path)
        except AskrError:
            return
        self._samples = deque([self._source.take()])
        self._board = self._see(self._source)

    def _hear(self, answer: Answer) -> None:
        order, value = answer.order, answer.value
        if order is None:
            if self._source is not None and value is not None:
                self._source.renew(value)
        elif value is None:
            self._ui = replace(self._ui, message=answer.error, alarm=True)
        elif order.kind == "backtrace":
            lines = tuple(text_of(value["entry"]).splitlines())
            self._ui = replace(self._ui, panel=order.kind, panel_lines=lines, scroll=0, message="")
        else:
            done = {"recycle": "is being replaced", "drain": "is draining"}[order.kind]
            what = f"process {order.pid}" if order.pid else f"worker {order.worker}"
            self._ui = replace(self._ui, message=f"{what} {done}")

    # --- the operator -----------------------------------------------------------------------------

    def _press(self, key: str) -> None:
        ui = self._ui
        rows = arrange(self._board, ui.sort, ui.wanted, ui.busy_only, ui.turned)
        self._ui, order = press(ui, key, rows)
        if order is None:
            return
        if order.kind == "quit":
            self._quit = True
        elif self._source is None:
            self._ui = replace(self._ui, message="the server is gone", alarm=True)
        else:
            self._ui = replace(self._ui, message=f"{order.kind}: asking the server…")
            self._asker.ask(order)

    def _draw(self) -> None:
        width, height = self._terminal.size()
        if width != self._console.width:  # $COLUMNS, which it would follow, may be another's
            self._console = Console(highlight=False, width=width)
        lines = draw.screen(self._board, self._ui, width, height)
        if self._source is None:
            lines = [*_waiting(lines, width, self._path)]
        self._terminal.show([self._styled(line, width) for line in lines])

    def _styled(self, line: Text, width: int) -> str:
        with self._console.capture() as capture:
            self._console.print(line, end="", no_wrap=True, overflow="crop", width=width)
        return capture.get()


def _waiting(lines: list[Text], width: int, path: Path) -> list[Text]:
    """The last picture, dimmed, under a line that says so."""
    said = Text(f"the server has ended; waiting for it to come back on {path}", style="reverse red")
    said.truncate(width, overflow="ellipsis")
    for line in lines:
        line.stylize("dim")
    return [said, *lines[1:]]
