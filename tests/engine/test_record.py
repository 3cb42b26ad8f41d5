# SPDX-License-Identifier: MIT
"""A recording as the worker makes it, under ASan and UBSan, on both I/O backends."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from askrctl.traffic import datagram
from askrctl.traffic.exchange import Body, Exchange

from .serve_client import Server, serving

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "hello.txt").write_bytes(b"Hello, World!")
    (path / "large.bin").write_bytes(bytes(range(256)) * 40960)
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


@pytest.fixture(params=["epoll", "io_uring"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def recorded(backend: str, root: Path) -> Iterator[tuple[Server, socket.socket]]:
    """A worker that records, and the end that its records come out of."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE_S)
    with ours:
        with theirs:
            fd = theirs.fileno()
            host = serving(backend, root, "--record", str(fd), apps=1, keep_fds=[fd])
            server = host.__enter__()
        try:
            client = server.connect()
            assert client.get("/hello.txt").status == 200
            assert receive(ours).request.target == "/hello.txt"
            yield server, ours
        finally:
            host.__exit__(None, None, None)


def receive(end: socket.socket) -> Exchange:
    return datagram.parse(end.recv(datagram.SIZE_MAX)).exchange


def waiting(end: socket.socket) -> Iterator[bytes]:
    """What is there now."""
    while select.select([end], [], [], 0)[0]:
        yield end.recv(datagram.SIZE_MAX)


def test_a_file_and_its_head(backend: str, root: Path) -> None:
    with recorded(backend, root) as (server, end):
        client = server.connect()
        client.get("/hello.txt?a=1", "X-Any: thing", "X-Any: more")
        found = receive(end)
        assert (found.request.method, found.request.target) == ("GET", "/hello.txt?a=1")
        assert found.request.authority == "test"
        assert found.request.fields[1:] == (("X-Any", "thing"), ("X-Any", "more"))
        assert (found.answer.status, found.outcome) == (200, "done")
        assert found.answer.body == Body.of(b"Hello, World!")
        assert ("Content-Type", "text/plain; charset=utf-8") in found.answer.fields
        client.get("/hello.txt", method="HEAD")
        assert receive(end).answer.body == Body.of(b"")
        client.get("/missing")
        assert receive(end).answer.status == 404
        client.get("/large.bin")
        assert receive(end).answer.body == Body.cut(256 * 40960)


@pytest.mark.parametrize("size", [0, 5, 9000, 65536])
def test_an_application_and_the_body_it_was_sent(backend: str, root: Path, size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    with recorded(backend, root) as (server, end):
        client = server.connect()
        client.send(f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        client.send(body)
        assert client.answer().body == body
        found = receive(end)
        assert found.request.body == Body.of(body)
        assert found.answer.body == Body.of(body)


def test_what_is_streamed_cut_or_too_large(backend: str, root: Path) -> None:
    with recorded(backend, root) as (server, end):
        assert len(server.connect().get("/flush/3").body) > 0
        flushed = receive(end)
        assert flushed.outcome == "done" and flushed.answer.body.content
        server.connect().get("/size/70000")
        assert receive(end).answer.body == Body.cut(70000)
        client = server.connect()
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert len(client.answer().body) == 20 * 4096
        assert receive(end).request.body == Body.cut(20 * 4096)
        client = server.connect()
        client.send(b"GET /fail-halfway HTTP/1.1\r\nHost: a\r\n\r\n")
        client.rest()
        found = receive(end)
        assert (found.answer.status, found.answer.body.size > 0) in ((500, True), (200, True))


def test_a_client_that_leaves_has_no_answer(backend: str, root: Path) -> None:
    with recorded(backend, root) as (server, end):
        client = server.connect()
        client.send(b"GET /sleep/300 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.close()
        found = receive(end)
        assert (found.outcome, found.answer.status) == ("left", 0)


def test_many_fields_do_not_fit_and_cost_the_record_only(backend: str, root: Path) -> None:
    with recorded(backend, root) as (server, end):
        client = server.connect()
        head = "".join(f"X-{i}: {'v' * 150}\r\n" for i in range(90))
        client.send(f"GET /fields HTTP/1.1\r\nHost: a\r\n{head}\r\n")
        assert client.answer().status == 200
        assert len(receive(end).request.fields) == 91


def test_a_recorder_that_does_not_read_costs_records_and_nothing_else(
    backend: str, root: Path
) -> None:
    with recorded(backend, root) as (server, end):
        client = server.connect()
        for _ in range(600):  # far more than a socket's buffer holds
            assert client.get("/size/4000").status == 200
        got = len(list(waiting(end)))
        assert 0 < got < 600
        client.get("/hello.txt")
        while (last := datagram.parse(end.recv(datagram.SIZE_MAX))).exchange.request.target != (
            "/hello.txt"
        ):
            got += 1  # it was sent a little later than its answer
        assert last.lost == 600 - got


def test_a_recorder_that_is_gone_ends_the_recording(backend: str, root: Path) -> None:
    with recorded(backend, root) as (server, end):
        client = server.connect()
        client.get("/hello.txt")
        end.close()
        for _ in range(5):
            assert client.get("/hello.txt").status == 200
