# SPDX-License-Identifier: MIT
"""The supervisor's event loop: readable fds, calls in the future, signals. Small on purpose.

A callback that raises is our bug, told in the log; it must not take the workers down with it.
"""

import heapq
import itertools
import logging
import os
import selectors
import signal
import time
import traceback
from collections.abc import Callable

log = logging.getLogger("askrctl")

FAULT_PAUSE_S = 0.05  # an fd that stays readable after its callback has raised must not spin

Callback = Callable[[], None]


class Loop:
    """Callbacks run one at a time; none may block."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: list[tuple[float, int, Callback]] = []
        self._order = itertools.count()
        self._signals: dict[int, Callback] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._running = False
        self.add(self._wake_read, self._on_signals)

    def add(self, fd: int, callback: Callback) -> None:
        """Call when `fd` is readable, or its peer is gone."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def set_writer(self, fd: int, callback: Callback) -> None:
        """Call when `fd` takes bytes, instead of when it is readable."""
        self._selector.modify(fd, selectors.EVENT_WRITE, callback)

    def set_reader(self, fd: int, callback: Callback) -> None:
        """Call when `fd` is readable again, after set_writer()."""
        self._selector.modify(fd, selectors.EVENT_READ, callback)

    def remove(self, fd: int) -> None:
        """Before the fd is closed. One that is not there is fine."""
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError):
            return

    def call_later(self, seconds: float, callback: Callback) -> None:
        """Once. There is no cancelling: the callback looks whether it still applies."""
        when = time.monotonic() + seconds
        heapq.heappush(self._calls, (when, next(self._order), callback))

    def on_signal(self, number: signal.Signals, callback: Callback) -> None:
        """Run in the loop, not in the handler."""
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)

    def _on_signals(self) -> None:
        for number in os.read(self._wake_read, 256):
            if number in self._signals:
                self._call(self._signals[number])

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until stop()."""
        self._running = True
        previous = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            while self._running:
                self._turn()
        finally:
            signal.set_wakeup_fd(previous)

    def _turn(self) -> None:
        wait = max(0.0, self._calls[0][0] - time.monotonic()) if self._calls else None
        for key, _ in self._selector.select(wait):
            # An earlier callback may have removed it, and another have got its number.
            if self._selector.get_map().get(key.fileobj) is key:
                self._call(key.data)
        # Those that are due now. What they ask for comes after what is readable by then: who waits
        # for an answer with a deadline gets the answer, however long the calls before it took.
        now = time.monotonic()
        while self._calls and self._calls[0][0] <= now:
            self._call(heapq.heappop(self._calls)[2])

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                'event=supervisor_fault detail="%s: %s" where="%s:%d" fix="report it"',
                type(error).__name__,
                str(error).replace('"', "'"),
                os.path.basename(frame.filename),
                frame.lineno or 0,
            )
            time.sleep(FAULT_PAUSE_S)
