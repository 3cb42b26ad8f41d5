# SPDX-License-Identifier: MIT
"""Talks to the supervisor beside the screen: a thread asks, one question at a time, and the loop
that draws takes the answers when there are some. So a supervisor that is stopped holds up no key.
"""

import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askrctl.cli.top.keys import Order
from askrctl.model import AskrError
from askrctl.server import control

POLL_S = 0.05
BACKTRACE_MAX_S = 3.0  # the server waits for frames for 0.3 s


@dataclass(frozen=True, slots=True)
class Answer:
    """To an order, or a view when `order` is None."""

    order: Order | None
    value: dict[str, Any] | None
    error: str = ""


class Asker:
    """`wake` is readable while there are answers. The thread ends with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._questions: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.wake, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.outstanding = 0
        threading.Thread(target=self._run, daemon=True).start()

    def ask(self, order: Order | None) -> None:
        """None asks for a view."""
        self.outstanding += 1
        self._questions.put(order)

    def answers(self) -> list[Answer]:
        """Those that have come."""
        with suppress(BlockingIOError):
            os.read(self.wake, 4096)
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._answers.get_nowait())
        self.outstanding -= len(found)
        return found

    def _run(self) -> None:
        while True:
            order = self._questions.get()
            try:
                self._answers.put(Answer(order, self._do(order)))
            except AskrError as error:
                self._answers.put(Answer(order, None, error.message))
            with suppress(BlockingIOError):
                os.write(self._wake_write, b"x")

    def _do(self, order: Order | None) -> dict[str, Any]:
        if order is None:
            view, fd = control.ask_view(self._path)
            os.close(fd)
            return view
        if order.kind == "backtrace":
            return _backtrace(lambda *words, **more: control.ask(self._path, *words, **more), order)
        about: dict[str, object] = {"worker": order.worker}
        if order.pid:
            about["pid"] = order.pid
        return control.ask(self._path, order.kind, (), **about)


def _backtrace(ask: Callable[..., dict[str, Any]], order: Order) -> dict[str, Any]:
    ticket = ask("backtrace", pid=order.pid)["ticket"]
    deadline = time.monotonic() + BACKTRACE_MAX_S
    while time.monotonic() < deadline:
        entry = ask("backtrace_state", ticket=ticket)["entry"]
        if entry is not None:
            return {"entry": entry}
        time.sleep(POLL_S)
    raise AskrError(f"process {order.pid} was not examined in time")
