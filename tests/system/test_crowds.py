# SPDX-License-Identifier: MIT
"""Crowds of slow clients: whoever comes meanwhile is served, and nobody who is served is hurt."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from system.client import ask, build
from system.conftest import Serve
from system.harness import Server

PLACES = 48
CROWD = 300
TOKEN = "a-token-of-this-test-only"
LARGE = 4 << 20  # more than the sockets of both sides hold

UNFINISHED_HEAD = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n"
UNFINISHED_BODY = build("POST", "/", [("Content-Length", "100000")]) + b"a"
UNREAD_ANSWER = build("GET", "/large.bin")
UNFINISHED_HELLO = b"\x16\x03\x01\x02\x00\x01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    (path / "hello.txt").write_text("hello")
    (path / "large.bin").write_bytes(bytes(LARGE))
    (path / "index.php").write_text("<?php echo 'read';")
    return path


class Crowd:
    """Connections that have said so much, and take nothing; reset at the end."""

    def __init__(self) -> None:
        self.members: list[socket.socket] = []

    def join(self, server: Server, count: int, said: bytes) -> None:
        for _ in range(count):
            member = socket.socket()
            self.members.append(member)
            member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            member.settimeout(20)
            member.connect(("127.0.0.1", server.port))
            member.sendall(said)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    found = Crowd()
    yield found
    for member in found.members:
        member.close()


def evicted(server: Server) -> int:
    return sum(worker["evicted"] for worker in server.status()["workers"])


@pytest.mark.parametrize(
    "said", [b"", UNFINISHED_HEAD, build("GET", "/hello.txt")], ids=["silent", "head", "idle"]
)
def test_at_the_limit_who_only_waits_goes_for_who_comes(
    serve: Serve, folder: Path, crowd: Crowd, said: bytes
) -> None:
    admin = {"listen": ["127.0.0.1:0"], "token": TOKEN}
    server = serve(folder, config={"limits": {"connections": PLACES}, "admin": admin})
    crowd.join(server, CROWD, said)
    for _ in range(20):
        assert server.get("/hello.txt").status == 200
    assert evicted(server) >= CROWD - PLACES
    [url] = server.status()["admin"]
    address = ("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
    text = ask(address, "GET", "/metrics", [("Authorization", f"Bearer {TOKEN}")]).text
    samples = [sample for item in text_string_to_metric_families(text) for sample in item.samples]
    [value] = [item.value for item in samples if item.name == "askr_connections_evicted_total"]
    assert value >= CROWD - PLACES


@pytest.mark.parametrize("said", [b"", UNFINISHED_HELLO], ids=["silent", "hello"])
def test_who_does_not_finish_a_handshake_goes_as_well(
    serve: Serve, folder: Path, crowd: Crowd, said: bytes
) -> None:
    server = serve(folder, config={"limits": {"connections": PLACES}}, secure=True)
    crowd.join(server, CROWD, said)
    for _ in range(20):
        assert server.get("/hello.txt").status == 200
    assert evicted(server) >= CROWD - PLACES


@pytest.mark.parametrize(
    "said", [UNFINISHED_HEAD, UNFINISHED_BODY, UNREAD_ANSWER], ids=["head", "body", "read"]
)
def test_below_the_limit_a_crowd_is_not_noticed(
    serve: Serve, folder: Path, crowd: Crowd, said: bytes
) -> None:
    server = serve(folder)
    crowd.join(server, CROWD, said)
    with server.connect() as client:
        for _ in range(50):
            assert client.ask("GET", "/hello.txt").status == 200
            assert server.get("/hello.txt").status == 200
    assert evicted(server) == 0
