# SPDX-License-Identifier: MIT
"""The admin listener: HTTP/1.1 in the supervisor's own loop.

Never the public listener. Who may ask: over a unix socket, root, the server's user and whom it runs
as, by the peer's credentials; over TCP, whoever has the token. Health is answered to everybody, and
so is the dashboard's page, which holds no data. Nothing here blocks: a client that does not read is
left behind, one that says nothing is closed, and when all places are taken, the one that has been
silent for the longest time goes for each that comes.
"""

import hmac
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from askrctl.config import Address, parse_address
from askrctl.model import AskrError
from askrctl.server import sockets
from askrctl.server.acceptor import Acceptor
from askrctl.server.admin_http import HEAD_SIZE_MAX, RefusedError, Request, Response, take
from askrctl.server.loop import Loop

CLIENTS_MAX = 64
CLIENT_TIMEOUT_S = 10.0  # for a request to be complete, and for its answer to be read
KEEPALIVE_S = 75.0  # between two requests: a scraper that comes each minute finds its connection

Handler = Callable[[Request], Response]


@dataclass(slots=True)
class _Client:
    stream: socket.socket
    trusted: bool
    deadline: float  # by the monotonic clock
    received: bytearray = field(default_factory=bytearray)
    left: bytes = b""  # of an answer
    last: bool = False  # nothing follows that answer
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
        if len(self._clients) >= CLIENTS_MAX:
            # Who asks is answered at once: those that are still here say nothing, or do not read.
            # Were newcomers refused instead, a few of them would shut everybody out.
            self._forget(*next(iter(self._clients.items())))
        stream.setblocking(False)
        fd = stream.fileno()
        client = _Client(stream, self._is_trusted(stream), time.monotonic() + CLIENT_TIMEOUT_S)
        self._clients[fd] = client
        try:
            self._read(fd, client)  # what it asks is often there already, and it never waits
        finally:
            if self._is_here(fd, client):
                self._wait(fd, client)

    def _is_here(self, fd: int, client: _Client) -> bool:
        return self._clients.get(fd) is client

    def _wait(self, fd: int, client: _Client) -> None:
        """For it to send, and for its deadline."""
        assert self._loop is not None
        if not client.waits:
            client.waits = True
            self._loop.add(fd, lambda: self._read(fd, client))
            self._loop.call_later(CLIENT_TIMEOUT_S, lambda: self._look_at_deadline(fd, client))

    def _look_at_deadline(self, fd: int, client: _Client) -> None:
        assert self._loop is not None
        if not self._is_here(fd, client):
            return
        if client.deadline <= time.monotonic():
            self._forget(fd, client)
            return
        self._loop.call_later(CLIENT_TIMEOUT_S, lambda: self._look_at_deadline(fd, client))

    def _is_trusted(self, stream: socket.socket) -> bool:
        if stream.family != socket.AF_UNIX:
            return False
        credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("=iII", credentials)[1] in self._users

    def _forget(self, fd: int, client: _Client) -> None:
        if not self._is_here(fd, client):
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
        if not data:
            self._forget(fd, client)
            return
        if not client.received:
            client.deadline = time.monotonic() + CLIENT_TIMEOUT_S
        client.received += data
        self._answer(fd, client)

    def _answer(self, fd: int, client: _Client) -> None:
        """Whatever is complete, until the client has to send more, or to read."""
        while self._is_here(fd, client) and not client.left:
            client.left = self._next_answer(client)
            if not client.left:
                return
            self._clients[fd] = self._clients.pop(fd)  # it is not silent
            self._send(fd, client)

    def _next_answer(self, client: _Client) -> bytes:
        """Nothing while no request is complete."""
        assert self._handler is not None
        try:
            request = take(client.received)
        except RefusedError as error:
            client.last = True
            return error.response.encode(head_only=False, last=True)
        if request is None:
            return b""
        client.last = not request.keeps
        allowed = client.trusted or self._is_token(request.token)
        response = self._handler(replace(request, allowed=allowed))
        return response.encode(head_only=request.method == "HEAD", last=client.last)

    def _is_token(self, token: str) -> bool:
        right = hmac.compare_digest(token.encode(), self._token.encode())
        return bool(self._token) and right

    def _send(self, fd: int, client: _Client) -> None:
        assert self._loop is not None
        try:
            size = client.stream.send(client.left)
        except BlockingIOError:
            size = 0
        except OSError:
            self._forget(fd, client)
            return
        client.left = client.left[size:]
        if client.left:
            self._wait(fd, client)
            self._loop.set_writer(fd, lambda: self._send_rest(fd, client))
        elif client.last:
            with suppress(OSError):
                client.stream.shutdown(socket.SHUT_WR)
            self._forget(fd, client)
        else:
            left_s = CLIENT_TIMEOUT_S if client.received else KEEPALIVE_S
            client.deadline = time.monotonic() + left_s

    def _send_rest(self, fd: int, client: _Client) -> None:
        assert self._loop is not None
        self._send(fd, client)
        if self._is_here(fd, client) and not client.left:
            self._loop.set_reader(fd, lambda: self._read(fd, client))
            self._answer(fd, client)

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
