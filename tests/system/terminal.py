# SPDX-License-Identifier: MIT
"""A program on a terminal of its own, typed at and looked at as a person would.

The terminal is a pty; what is on its screen is put together from what the program wrote: the frames
of `askrctl top` start at the first line and write every line anew.
"""

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from system.client import Deadline

_HOME = "\x1b[H"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FRAME_S = 60.0


class Terminal:
    """`with Terminal(command) as terminal:` ends the program, if it has not ended."""

    def __init__(self, command: Sequence[str | Path], columns: int = 80, lines: int = 24) -> None:
        self._main, self._other = os.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self._other)
        environment = {**os.environ, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=self._other,
            stdout=self._other,
            stderr=self._other,
            env=environment,
            start_new_session=True,
            preexec_fn=self._adopt,
        )
        self.written = ""

    def _adopt(self) -> None:
        fcntl.ioctl(self._other, termios.TIOCSCTTY, 0)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._main)
        os.close(self._other)

    def resize(self, columns: int, lines: int) -> None:
        """The kernel tells the program by SIGWINCH."""
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def read(self, seconds: float) -> bool:
        """Take what the program has written. False: nothing came."""
        if not select.select([self._main], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            self.written += os.read(self._main, 65536).decode(errors="replace")
        return True

    def screen(self) -> list[str]:
        """The lines of the last whole frame."""
        frames = self.written.split(_HOME)[1:]
        whole = [frame for frame in frames if frame.endswith("\x1b[?2026l") or frame != frames[-1]]
        return _ESCAPES.sub("", whole[-1]).replace("\r", "").split("\n") if whole else []

    def wait_for(self, *words: str) -> list[str]:
        """Until one frame shows all of them."""
        deadline = Deadline(f"the screen shows {words}: {self.screen()}", FRAME_S)
        while not all(word in "\n".join(self.screen()) for word in words):
            assert self.process.poll() is None or self.read(0.1), self.written[-2000:]
            self.read(min(1.0, deadline.left()))
        return self.screen()

    def wait_end(self) -> int:
        """Its exit status; what it still writes is read, or it could not end."""
        deadline = Deadline("the program ends", FRAME_S)
        while self.process.poll() is None:
            self.read(min(0.1, deadline.left()))
        while self.read(0.0):
            pass
        return self.process.returncode

    def is_restored(self) -> bool:
        """As it was before the program began: modes, cursor, wrapping and screen."""
        now: list[Any] = termios.tcgetattr(self._other)
        given_back = self.written.rstrip().rfind("\x1b[?1049l")
        return now == self.before and given_back > self.written.rfind("\x1b[?1049h")
