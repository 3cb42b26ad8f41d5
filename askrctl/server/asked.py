# SPDX-License-Identifier: MIT
"""One request to one worker, over one end of a socket pair: nobody else can reach it, so that a
generation can be tried before it takes connections.

Failure modes: a worker that dies, or an application that does, ends the connection: no status.
"""

import socket
from collections.abc import Callable

from askrctl.server.loop import Loop
from askrctl.server.workers import WorkerProcess

_READ_SIZE = 65536
_HEAD_SIZE_MAX = 65536  # of answers, interim ones included; a worker sends no longer ones
_STATUS_AT = slice(9, 12)  # of "HTTP/1.1 200 OK"


def request_text(
    method: str, path: str, host: str, agent: str, headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """Of a request whose connection ends with the answer."""
    fields = [("Host", host), ("User-Agent", agent), ("Accept", "*/*")]
    given = {name.lower() for name, _ in headers}
    fields = [field for field in fields if field[0].lower() not in given]
    if method == "POST":
        fields.append(("Content-Length", "0"))
    lines = [f"{name}: {value}" for name, value in [*fields, *headers, ("Connection", "close")]]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


class Asked:
    """Calls `on_done` once with the status, 0 for no answer: when it is known, or, with `whole`,
    when the answer is complete."""

    def __init__(
        self,
        loop: Loop,
        worker: WorkerProcess,
        text: bytes,
        on_done: Callable[[int], None],
        whole: bool = False,
    ) -> None:
        self._loop = loop
        self._on_done = on_done
        self._whole = whole
        self._held = bytearray()
        self._status = 0
        self._end, theirs = socket.socketpair()
        self._end.setblocking(False)
        with theirs:
            asked = worker.adopt(theirs)
        self._open = True
        loop.add(self._end.fileno(), self._read)
        if asked:
            self._end.sendall(text)  # a worker that is gone shows as an end of file

    def _read(self) -> None:
        try:
            data = self._end.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not self._status:
            self._held += data
            self._status = self._find_status()
        known = self._status and not self._whole
        if known or not data or (not self._status and len(self._held) > _HEAD_SIZE_MAX):
            self.close()
            self._on_done(self._status)

    def _find_status(self) -> int:
        """Past the interim answers (RFC 9110 section 15.2)."""
        while b"\n" in self._held:
            text = bytes(self._held[_STATUS_AT])
            status = int(text) if text.isdigit() else 0
            if status >= 200 or b"\r\n\r\n" not in self._held:
                return status if status >= 200 else 0
            self._held = self._held.partition(b"\r\n\r\n")[2]
        return 0

    def close(self) -> None:
        """Without an answer, when it is not over."""
        if self._open:
            self._open = False
            self._loop.remove(self._end.fileno())
            self._end.close()
