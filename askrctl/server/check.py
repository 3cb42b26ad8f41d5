# SPDX-License-Identifier: MIT
"""Asks each worker of a coming generation for one path, before anybody else can reach it.

The connection is one end of a socket pair handed to the worker. Answers below 500 pass: a redirect
or a login page proves that the application runs.
"""

import socket
from collections.abc import Callable, Sequence

from askrctl.server.loop import Loop
from askrctl.server.workers import WorkerProcess

ANSWER_SIZE_MAX = 65536
_STATUS_AT = slice(9, 12)  # of "HTTP/1.1 200 OK"


class Check:
    """Calls `on_done` once: "" when all have passed, else what is wrong."""

    def __init__(
        self,
        loop: Loop,
        workers: Sequence[WorkerProcess],
        path: str,
        on_done: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._path = path
        self._on_done = on_done
        self._waiting: dict[int, tuple[WorkerProcess, socket.socket, bytearray]] = {}
        for worker in workers:
            self._ask(worker)
        if not self._waiting:
            self._finish("no worker could be asked")

    def _ask(self, worker: WorkerProcess) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            asked = worker.adopt(theirs)
        if not asked:
            ours.close()
            return
        ours.setblocking(False)
        ours.sendall(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: askrctl-check\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        fd = ours.fileno()
        self._waiting[fd] = (worker, ours, bytearray())
        self._loop.add(fd, lambda: self._read(fd))

    def _read(self, fd: int) -> None:
        worker, end, held = self._waiting[fd]
        try:
            data = end.recv(ANSWER_SIZE_MAX)
        except OSError:
            data = b""
        held += data
        if data and b"\n" not in held:
            return
        status = bytes(held[_STATUS_AT]).decode(errors="replace")
        self._forget(fd)
        if not status.isdecimal():
            self._finish(f"worker {worker.index} did not answer GET {self._path}")
        elif int(status) >= 500:
            self._finish(f"GET {self._path} was answered with {status}")
        elif not self._waiting:
            self._finish("")

    def _forget(self, fd: int) -> None:
        self._loop.remove(fd)
        self._waiting.pop(fd)[1].close()

    def _finish(self, problem: str) -> None:
        for fd in list(self._waiting):
            self._forget(fd)
        self._on_done(problem)
