# SPDX-License-Identifier: MIT
"""Takes samples from the workers, redacts them, and writes them to a file of bounded size.

Its socket is the only thing that the workers know of it: when it falls behind, they drop records
and count them; when it ends, its end of the socket is closed and they stop.
"""

import os
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from askrctl.model import AskrError
from askrctl.traffic import datagram, redact
from askrctl.traffic.file import End, Header, end_line, exchange_line, header_line
from askrctl.traffic.redact import Rules

_BUFFER_SIZE = 8 << 20  # asked for; the kernel gives what net.core.wmem_max allows
_END_LINE_MAX = 128  # bytes kept free for the last line
_LOOK_S = 0.5
_BATCH_MAX = 1024  # taken in a row: then it is looked whether the end has come


@dataclass(frozen=True, slots=True)
class Bounds:
    """What ends a recording; 0: that does not."""

    size: int = 64 << 20  # bytes of the file
    records: int = 0
    seconds: float = 0.0


def pair() -> tuple[socket.socket, socket.socket]:
    """Our end, and the one for the workers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_SIZE)
    ours.setblocking(False)
    return ours, theirs


def create(path: Path) -> BinaryIO:
    """A file that nobody else may read; one that is there is not overwritten."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except FileExistsError:
        raise AskrError(f"{path} is there already", f"rm {path}, or another name", code=2) from None
    except OSError as error:
        raise AskrError(
            f"{path} cannot be made: {error.strerror}", f"ls -ld {path.parent}"
        ) from None


@dataclass(slots=True)
class Recorder:
    """`file` is written to until a bound is reached, the server ends, or `stopped` says so."""

    end: socket.socket
    file: BinaryIO
    rules: Rules
    bounds: Bounds
    why: str = "the server has ended"
    _size: int = 0
    _records: int = 0
    _misfits: int = 0  # datagrams that are none of ours
    _lost: dict[int, tuple[int, int]] = field(default_factory=dict)  # by pid

    def run(self, header: Header, stopped: Callable[[], bool]) -> End:
        """What was recorded."""
        deadline = time.monotonic() + self.bounds.seconds if self.bounds.seconds else None
        self._write(header_line(header))
        with selectors.DefaultSelector() as selector:
            selector.register(self.end, selectors.EVENT_READ)
            while True:
                is_over = deadline is not None and time.monotonic() >= deadline
                if stopped() or is_over:
                    self.why = "the time is over" if is_over else "interrupted"
                    self._take()  # what was on its way
                    break
                left = _LOOK_S if deadline is None else deadline - time.monotonic()
                if selector.select(max(0.0, min(_LOOK_S, left))) and not self._take():
                    break
        return self._finish()

    def _take(self) -> bool:
        """What has arrived. False: that was all there will be."""
        for _ in range(_BATCH_MAX):
            try:
                data = self.end.recv(datagram.SIZE_MAX + 1)
            except BlockingIOError:
                return True
            if not data:
                return False
            try:
                sample = datagram.parse(data)
            except ValueError:
                self._misfits += 1
                continue
            self._lost[sample.pid] = (sample.lost, sample.skipped)
            line = exchange_line(redact.exchange(sample.exchange, self.rules))
            if self.bounds.size and self._size + len(line) > self.bounds.size - _END_LINE_MAX:
                self.why = "the file is as large as it may get"
                return False
            self._write(line)
            self._records += 1
            if self._records == self.bounds.records:
                self.why = "there are as many records as were asked for"
                return False
        return True

    def _write(self, line: bytes) -> None:
        self.file.write(line)
        self._size += len(line)

    def _finish(self) -> End:
        lost = sum(lost for lost, _ in self._lost.values()) + self._misfits
        end = End(self._records, lost, sum(skipped for _, skipped in self._lost.values()))
        self.file.write(end_line(end))
        self.file.flush()
        return end
