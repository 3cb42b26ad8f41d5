# SPDX-License-Identifier: MIT
"""An HTTP/1.1 client that hides nothing: raw bytes out, strict responses in, never a retry.

`http.client` would skip interim responses, forgive bad framing and reconnect; these tests are about
exactly that. Every wait has a deadline; none is a sleep.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

DEADLINE_S = 20.0  # far more than any answer takes; reached only by a failing test

Fields = Iterable[tuple[str, str]]


def trusting() -> ssl.SSLContext:
    """For a server whose certificate is not what the test is about."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Secure:
    """An address that speaks TLS, and how to. An end without close_notify is an error."""

    host: str
    port: int
    context: ssl.SSLContext = field(default_factory=trusting)
    name: str | None = None  # to ask for
    session: ssl.SSLSession | None = None

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self.host, self.port), timeout=DEADLINE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(
            plain,
            server_hostname=self.name,
            session=self.session,
            suppress_ragged_eofs=False,
        )


# Host and port, in clear or not, or the path of a unix socket.
Address = tuple[str, int] | str | Secure


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    interim: tuple["Response", ...] = ()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} appears {len(values)} times: {self.fields}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


class ClosedError(Exception):
    """The server closed the connection before the answer was complete."""


def build(method: str, target: str, fields: Fields = (), body: bytes | None = None) -> bytes:
    """A request as bytes, with Host and, for a body, Content-Length, unless they are given."""
    given = {name.lower() for name, _ in fields}
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in given:
        lines.append("Host: test.example")
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None and not given & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


@dataclass(slots=True)
class Connection:
    """One connection. `buffer` holds bytes that arrived and belong to no response yet."""

    address: Address
    stream: socket.socket = field(init=False)
    buffer: bytes = b""

    def __post_init__(self) -> None:
        if isinstance(self.address, str):
            self.stream = socket.socket(socket.AF_UNIX)
            self.stream.settimeout(DEADLINE_S)
            self.stream.connect(self.address)
        elif isinstance(self.address, Secure):
            self.stream = self.address.connect()
        else:
            self.stream = socket.create_connection(self.address, timeout=DEADLINE_S)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def send_bytewise(self, data: bytes) -> None:
        for index in range(len(data)):
            self.stream.sendall(data[index : index + 1])

    def ask(
        self, method: str, target: str, fields: Fields = (), body: bytes | None = None
    ) -> Response:
        self.send(build(method, target, fields, body))
        return self.receive(head=method == "HEAD")

    def fill(self) -> bool:
        """Receive some more bytes; False at the end of the stream or after a reset."""
        try:
            data = self.stream.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return data != b""

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self.fill():
                raise ClosedError(f"wanted {size} bytes, the stream ended after {self.buffer!r}")
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def take_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self.fill():
                raise ClosedError(f"wanted {mark!r}, the stream ended after {self.buffer!r}")
        return self.take(self.buffer.index(mark) + len(mark))

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while self.fill():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def is_closed_by_peer(self) -> bool:
        """Wait for the end of the stream: True unless bytes arrive first."""
        return self.buffer == b"" and not self.fill()

    def receive_head(self) -> Response:
        lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        version, status, reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon, line
            assert name == name.strip() != "", line
            fields.append((name, value.strip()))
        return Response(int(status), reason, tuple(fields), b"")

    def receive(self, head: bool = False) -> Response:
        """The next final response, interim ones collected; framing checked (RFC 9112 section 6)."""
        interim = []
        response = self.receive_head()
        while response.status < 200:
            interim.append(response)
            response = self.receive_head()
        body = b"" if head else self.receive_body(response)
        return Response(response.status, response.reason, response.fields, body, tuple(interim))

    def receive_body(self, response: Response) -> bytes:
        length, coding = response.get("Content-Length"), response.get("Transfer-Encoding")
        assert length is None or coding is None, "both Content-Length and Transfer-Encoding"
        if response.status in (204, 304):
            assert coding is None
            return b""
        if coding is not None:
            assert coding == "chunked"
            return b"".join(iter(self.receive_chunk, b""))
        if length is not None:
            return self.take(int(length))
        assert response.get("Connection") == "close", "no framing on a connection that stays open"
        return self.rest()

    def receive_chunk(self) -> bytes:
        size = int(self.take_until(b"\r\n")[:-2], 16)
        data = self.take(size)
        assert self.take(2) == b"\r\n"
        return data


def ask(
    address: Address,
    method: str,
    target: str,
    fields: Fields = (),
    body: bytes | None = None,
) -> Response:
    """One request on a connection of its own."""
    with Connection(address) as connection:
        return connection.ask(method, target, [*fields, ("Connection", "close")], body)


class Deadline:
    """`while deadline.left(): …` polls without sleeping a fixed time: it fails when time is up."""

    def __init__(self, what: str, seconds: float = DEADLINE_S) -> None:
        self.what = what
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        left = self.end - time.monotonic()
        assert left > 0, f"not in time: {self.what}"
        return left
