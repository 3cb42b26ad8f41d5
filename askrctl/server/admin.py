# SPDX-License-Identifier: MIT
"""The admin listener: HTTP/1.1, one request for each connection, in the supervisor's own loop.

Never the public listener. Who may ask: over a unix socket, root, the server's user and whom it runs
as, by the peer's credentials; over TCP, whoever has the token. Health is answered to everybody, and
so is the dashboard's page, which holds no data. Nothing here blocks: a client that does not read is
left behind, one that says nothing is closed, and when all places are taken, the one that has had
its place for the longest time goes for each that comes.
"""

import hmac
import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from askrctl.config import Address, parse_address
from askrctl.model import AskrError
from askrctl.server import sockets
from askrctl.server.acceptor import Acceptor
from askrctl.server.loop import Loop

HEAD_SIZE_MAX = 16384
BODY_SIZE_MAX = 65536
CLIENTS_MAX = 64
CLIENT_TIMEOUT_S = 10.0
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    allowed: bool  # credentials or token are right


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Response":
        return cls(status, json.dumps(value).encode() + b"\n")

    @classmethod
    def error(cls, status: int, message: str, *fields: tuple[str, str]) -> "Response":
        body = json.dumps({"error": message}).encode() + b"\n"
        return cls(status, body, fields=fields)

    def encode(self, head_only: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in self.fields),
        ]
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if head_only else head + self.body


Handler = Callable[[Request], Response]


@dataclass(slots=True)
class _Client:
    stream: socket.socket
    trusted: bool
    received: bytearray = field(default_factory=bytearray)
    left: bytes = b""
    waits: bool = False  # in the loop


def open_listeners(texts: tuple[str, ...], token: str) -> list[tuple[socket.socket, Address]]:
    """Refuses one that anybody could use."""
    found = []
    for text in texts:
        address = parse_address(text)
        if address.proxy:
            hint = f"--admin {address}"
            what = f"no proxy can speak for operators: {text}"
            raise AskrError(what, hint, code=2, key="admin.listen")
        if not address.path and not token:
            raise AskrError(
                f"a TCP address needs admin.token: {text}",
                "ASKR_ADMIN_TOKEN=$(openssl rand -hex 32) askrctl serve, "
                "or --admin unix:/run/askr/admin.sock",
                code=2,
                key="admin.listen",
            )
        found.append(sockets.open_listener(address))
    return found


class AdminServer:
    """`users` are the uids that may use a unix socket."""

    def __init__(
        self,
        listeners: list[tuple[socket.socket, Address]],
        token: str,
        users: frozenset[int],
    ) -> None:
        self.addresses = [address for _, address in listeners]
        self._acceptors = [Acceptor(listener, "admin", self._welcome) for listener, _ in listeners]
        self._token = token
        self._users = users
        self._clients: dict[int, _Client] = {}
        self._loop: Loop | None = None
        self._handler: Handler | None = None

    def open(self, loop: Loop, handler: Handler) -> None:
        self._loop, self._handler = loop, handler
        for acceptor in self._acceptors:
            acceptor.open(loop)

    def _welcome(self, stream: socket.socket) -> None:
        assert self._loop is not None
        if len(self._clients) >= CLIENTS_MAX:
            # Who asks is answered at once: those that are still here say nothing, or do not read.
            # Were newcomers refused instead, a few of them would shut everybody out.
            self._forget(*next(iter(self._clients.items())))
        stream.setblocking(False)
        fd = stream.fileno()
        client = _Client(stream, self._is_trusted(stream))
        self._clients[fd] = client
        try:
            self._read(fd, client)  # what it asks is often there already, and it never waits
        finally:
            if self._clients.get(fd) is client:
                self._wait(fd, client)

    def _wait(self, fd: int, client: _Client) -> None:
        assert self._loop is not None
        if not client.waits:
            client.waits = True
            self._loop.add(fd, lambda: self._read(fd, client))
            self._loop.call_later(CLIENT_TIMEOUT_S, lambda: self._forget(fd, client))

    def _is_trusted(self, stream: socket.socket) -> bool:
        if stream.family != socket.AF_UNIX:
            return False
        credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("=iII", credentials)[1] in self._users

    def _forget(self, fd: int, client: _Client) -> None:
        if self._clients.get(fd) is not client:
            return
        assert self._loop is not None
        self._loop.remove(fd)
        del self._clients[fd]
        client.stream.close()
        client.received, client.left = bytearray(), b""  # its call_later() holds it for a while

    def _read(self, fd: int, client: _Client) -> None:
        try:
            data = client.stream.recv(HEAD_SIZE_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.received += data
        if not data:
            self._forget(fd, client)
            return
        answer = self._answer(client)
        if answer is not None:
            client.left = answer
            self._send(fd, client)

    def _send(self, fd: int, client: _Client) -> None:
        assert self._loop is not None
        try:
            size = client.stream.send(client.left)
        except BlockingIOError:
            size = 0
        except OSError:
            size = len(client.left)
        client.left = client.left[size:]
        if client.left:
            self._wait(fd, client)
            self._loop.add_writer(fd, lambda: self._send(fd, client))
            return
        with suppress(OSError):
            client.stream.shutdown(socket.SHUT_WR)
        self._forget(fd, client)

    def _answer(self, client: _Client) -> bytes | None:
        """The whole answer; None while the request is not complete."""
        head, separator, body = bytes(client.received).partition(b"\r\n\r\n")
        if not separator:
            if len(client.received) <= HEAD_SIZE_MAX:
                return None
            return Response.error(431, "the request head is too long").encode(False)
        try:
            line, *lines = head.decode("latin-1").split("\r\n")
            method, target, version = line.split(" ")
            fields = dict(self._field(item) for item in lines)
            size = int(fields.get("content-length", "0"))
        except ValueError:
            return Response.error(400, "this is no HTTP/1.1 request").encode(False)
        if not version.startswith("HTTP/1.") or "transfer-encoding" in fields or size < 0:
            return Response.error(400, "this is no request that is understood here").encode(False)
        if size > BODY_SIZE_MAX:
            return Response.error(413, "no request here needs a body").encode(False)
        if len(body) < size:
            return None
        allowed = client.trusted or self._has_token(fields.get("authorization", ""))
        return self._handle(Request(method, target.partition("?")[0], allowed))

    @staticmethod
    def _field(line: str) -> tuple[str, str]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(line)
        return name.lower(), value.strip()

    def _has_token(self, value: str) -> bool:
        kind, _, token = value.partition(" ")
        right = hmac.compare_digest(token.strip().encode(), self._token.encode())
        return bool(self._token) and kind.lower() == "bearer" and right

    def _handle(self, request: Request) -> bytes:
        assert self._handler is not None
        response = self._handler(request)
        return response.encode(request.method == "HEAD")

    def close(self) -> None:
        for fd, client in list(self._clients.items()):
            self._forget(fd, client)
        for acceptor in self._acceptors:
            acceptor.close()
        for address in self.addresses:
            sockets.remove(address)


def users_of(credentials_uid: int | None) -> frozenset[int]:
    """Root, us, and whom workers run as."""
    ours = {0, os.geteuid()}
    return frozenset(ours if credentials_uid is None else {*ours, credentials_uid})
