# SPDX-License-Identifier: MIT
"""How long a client of the admin listener may be silent, or take to say what it wants."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from askrctl.config import parse_address
from askrctl.server import admin
from askrctl.server.admin import AdminServer
from askrctl.server.admin_http import Response
from askrctl.server.loop import Loop

DEADLINE_S = 30.0  # reached only by a failing test
WHOLE = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Loop, socket.socket]]:
    """A loop, and a client of the listener that it serves."""
    monkeypatch.setattr(admin, "CLIENT_TIMEOUT_S", 0.02)
    loop, path = Loop(), str(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        server = AdminServer([(listener, parse_address(f"unix:{path}"))], "", frozenset())
        server.open(loop, lambda request: Response.of({"path": request.path}))
        client.connect(path)
        client.setblocking(False)
        yield loop, client
        server.close()


def received_until_closed(loop: Loop, client: socket.socket) -> bytes:
    found, closed = bytearray(), []

    def read() -> None:
        data = client.recv(65536)
        found.extend(data)
        if not data:
            closed.append(True)
            loop.stop()

    loop.add(client.fileno(), read)
    loop.call_later(DEADLINE_S, loop.stop)
    loop.run()
    assert closed, "the server has not closed it"
    return bytes(found)


def test_who_asks_no_more_is_closed(
    served: tuple[Loop, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "KEEPALIVE_S", 0.05)
    loop, client = served
    client.send(WHOLE + WHOLE)
    assert received_until_closed(loop, client).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["the first request", "a later one"])
def test_a_request_that_trickles_in_is_given_up(
    served: tuple[Loop, socket.socket], before: bytes
) -> None:
    loop, client = served

    def trickle() -> None:
        try:
            client.send(b"x")
        except OSError:
            return
        loop.call_later(0.005, trickle)

    client.send(before + b"GET /")
    trickle()
    assert received_until_closed(loop, client).count(b"HTTP/1.1 200 OK") == len(before) // len(
        WHOLE
    )
