# SPDX-License-Identifier: MIT
"""Takes the terminal over and gives it back as it was, however the command ends.

Keys come one at a time and unechoed, but signals stay: Ctrl-C is SIGINT, Ctrl-Z stops the command
with the terminal restored. Signals arrive through a pipe, so that they wake a select() and never
run code of ours in the middle of a write.
"""

import contextlib
import os
import select
import signal
import termios
import tty
from collections.abc import Iterator, Sequence
from typing import Any

_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l"  # the other screen, no cursor, no wrapping
_LEAVE = b"\x1b[?7h\x1b[?25h\x1b[?1049l"
_BEGIN, _END = b"\x1b[?2026h\x1b[H", b"\x1b[?2026l"  # a frame is shown whole, where it can
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HEARD = (*ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class Terminal:
    """`keyboard` and `screen` are descriptors of one terminal."""

    def __init__(self, keyboard: int, screen: int) -> None:
        self._keyboard = keyboard
        self._screen = screen
        self._signals, self._signals_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @contextlib.contextmanager
    def taken(self) -> Iterator["Terminal"]:
        """For the time of a `with`."""
        before = {number: signal.signal(number, lambda *_: None) for number in _HEARD}
        waker = signal.set_wakeup_fd(self._signals_write, warn_on_full_buffer=False)
        saved = termios.tcgetattr(self._keyboard)
        try:
            self._enter()
            yield self
        finally:
            with contextlib.suppress(OSError):  # it may be gone
                self._leave(saved)
            signal.set_wakeup_fd(waker)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._signals)
            os.close(self._signals_write)

    def _enter(self) -> None:
        tty.setcbreak(self._keyboard)
        self._write(_ENTER)

    def _leave(self, saved: list[Any]) -> None:
        self._write(_LEAVE)
        termios.tcsetattr(self._keyboard, termios.TCSADRAIN, saved)

    def suspend(self) -> None:
        """Ctrl-Z: as if we were not there, until somebody says `fg`."""
        saved = termios.tcgetattr(self._keyboard)
        saved[3] |= termios.ICANON | termios.ECHO
        self._leave(saved)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, lambda *_: None)
        self._enter()

    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        found = os.get_terminal_size(self._screen)
        return max(1, found.columns), max(1, found.lines)

    def show(self, lines: Sequence[str]) -> None:
        """One frame. A line is erased before it is written: after its last column the cursor still
        stands on that."""
        text = "\r\n".join(f"\x1b[K{line}" for line in lines)
        self._write(_BEGIN + text.encode() + _END)

    def wait(self, seconds: float, other: int) -> tuple[bytes, list[int], bool]:
        """Bytes of keys, signals, and whether `other` is readable; what comes first. No bytes from
        a readable keyboard mean that the terminal is gone: that counts as SIGHUP."""
        fds = [self._keyboard, self._signals, other]
        ready, _, _ = select.select(fds, [], [], max(0.0, seconds))
        keys, numbers = b"", []
        if self._signals in ready:
            numbers = list(os.read(self._signals, 256))
        if self._keyboard in ready:
            with contextlib.suppress(OSError):
                keys = os.read(self._keyboard, 1024)
            if not keys:
                numbers.append(signal.SIGHUP)
        return keys, numbers, other in ready

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._screen, data) :]
