# SPDX-License-Identifier: MIT
"""Starts tests/engine/serve_host (a worker under sanitizers) and speaks raw HTTP/1 to it.

Knows sockets and deadlines, nothing of what is being tested.
"""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("ASKR_C_BUILD", ROOT / "build/asan"))
DEADLINE_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition by looking at it; fail by name when the deadline passes."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        select.select([], [], [], 0.005)


@dataclass(slots=True)
class Answer:
    status: int
    fields: list[tuple[str, str]]
    body: bytes
    closes: bool

    def field(self, name: str) -> str:
        return ", ".join(value for key, value in self.fields if key.lower() == name.lower())


@dataclass(slots=True)
class Client:
    """One connection, read answer by answer."""

    sock: socket.socket
    held: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)  # of the last chunked answer

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def get(self, path: str, *fields: str, method: str = "GET") -> Answer:
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *fields, "", ""]))
        return self.answer(head=method == "HEAD")

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.held += data
        return bool(data)

    def _line(self) -> bytes:
        while b"\r\n" not in self.held:
            assert self._more(), f"the connection ended inside a line: {self.held!r}"
        line, self.held = self.held.split(b"\r\n", 1)
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            assert self._more(), f"the connection ended {size - len(self.held)} bytes early"
        data, self.held = self.held[:size], self.held[size:]
        return data

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._line(), 16):
            body += self._exactly(size)
            assert self._line() == b""
        self.trailers = []
        while line := self._line().decode("latin-1"):
            name, value = line.split(": ", 1)
            self.trailers.append((name, value))
        return body

    def rest(self) -> bytes:
        """Everything until the peer closes."""
        while self._more():
            pass
        data, self.held = self.held, b""
        return data

    def answer(self, *, head: bool = False) -> Answer:
        version, status, _ = self._line().split(b" ", 2)
        assert version == b"HTTP/1.1"
        fields = []
        while line := self._line().decode("latin-1"):
            name, value = line.split(": ", 1)
            fields.append((name, value))
        found = Answer(int(status), fields, b"", False)
        found.closes = found.field("Connection") == "close"
        if head or found.status in (204, 304) or found.status < 200:
            return found
        if found.field("Transfer-Encoding") == "chunked":
            found.body = self._chunks()
        elif length := found.field("Content-Length"):
            found.body = self._exactly(int(length))
        else:
            found.body = self.rest()
        return found

    def is_closed(self) -> bool:
        try:
            return not self._more()
        except ConnectionResetError:
            return True


@dataclass(slots=True)
class Server:
    process: subprocess.Popen[str]
    port: int
    clients: list[socket.socket] = field(default_factory=list)

    def connect(self) -> Client:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        self.clients.append(sock)
        return Client(sock)

    def children(self) -> list[int]:
        """Pids of the application processes: the zygote's children."""
        found = []
        for zygote in _children(self.process.pid):
            found += _children(zygote)
        return found


def _children(pid: int) -> list[int]:
    text = "".join(
        path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children") if path.exists()
    )
    return [int(child) for child in text.split()]


@contextmanager
def serving(
    backend: str, root: Path, *options: str, apps: int = 0, keep_fds: Sequence[int] = ()
) -> Iterator[Server]:
    """A worker on a free port; demands a clean drain, and no sanitizer report, at the end."""
    command = [str(BUILD / "tests/engine/serve_host"), backend, str(root), *options]
    if apps:
        command += ["--zygote", str(BUILD / "askrctl/engine/askr-zygote"), "--apps", str(apps)]
        command += ["--module", str(BUILD / "tests/engine/module_echo.so"), "--front", "index.php"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=keep_fds
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("port "), process.communicate()[1]
    server = Server(process, int(line.split()[1]))
    try:
        if apps:
            until(lambda: len(server.children()) == apps, "the application processes start")
        yield server
    finally:
        for sock in server.clients:
            sock.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0 and "Sanitizer" not in errors, errors
