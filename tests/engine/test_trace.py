# SPDX-License-Identifier: MIT
"""Trace context and spans as the worker makes them, under ASan and UBSan, on both I/O backends."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import spans
from spans import Span

from .serve_client import Answer, Server, serving

DEADLINE_S = 30.0
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE}-{PARENT}-01"
REFUSED = f"traceparent: 00-{TRACE}-{PARENT}-00"
ALL, NONE, HALF = -1, 0, 1 << 62
NOBODY, EVERYBODY, TRUSTED = 0, 1, 2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "hello.txt").write_bytes(b"Hello, World!")
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


@pytest.fixture(params=["epoll", "io_uring"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def traced(
    backend: str, root: Path, bound: int = ALL, accept: int = EVERYBODY, based: int = 1
) -> Iterator[tuple[Server, socket.socket]]:
    """A worker that traces, and the exporter's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE_S)
    options = [f"--trace_fd={theirs.fileno()}", f"--trace_bound={bound}"]
    options += [f"--trace_accept={accept}", f"--trace_parent_based={based}"]
    with ours:
        host = serving(backend, root, *options, apps=1, keep_fds=[theirs.fileno()])
        with theirs:
            server = host.__enter__()
        try:
            yield server, ours
        finally:
            host.__exit__(None, None, None)


def receive(end: socket.socket) -> list[Span]:
    return list(spans.parse(end.recv(spans.SIZE_MAX)))


def told(answer: Answer) -> dict[str, list[str]]:
    """What the application was told of the trace."""
    found: dict[str, list[str]] = {"traceparent": [], "tracestate": []}
    for line in answer.body.decode().splitlines():
        name, _, value = line.partition(": ")
        if name in found:
            found[name].append(value)
    return found


def test_a_parent_goes_through_and_the_span_says_what_happened(backend: str, root: Path) -> None:
    with traced(backend, root) as (server, end):
        client = server.connect()
        states = ["Tracestate: a=1", "tracestate: b=2,c=3"]
        about = told(client.get("/fields?q=1", SAMPLED, *states, "User-Agent: me"))
        [span] = receive(end)
        assert about["traceparent"] == [f"00-{TRACE}-{span.span_id:016x}-01"]
        assert about["tracestate"] == ["a=1,b=2,c=3"] == [span.state]
        assert (span.trace_id, span.parent_id) == (int(TRACE, 16), int(PARENT, 16))
        assert (span.method, span.path, span.host) == ("GET", "/fields", "test")
        assert (span.user_agent, span.status, span.outcome) == ("me", 200, "done")
        assert (span.client_address, span.server_port) == ("127.0.0.1", server.port)
        assert span.for_app and not span.secure
        assert 0 < span.total_ns < DEADLINE_S * 1e9
        assert 0 <= span.split_ns["app_wall"] <= span.total_ns
        assert re.fullmatch("[0-9a-f]{32}", span.request_id)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [SAMPLED.upper(), "tracestate: a=1"],
        [SAMPLED, SAMPLED, "tracestate: a=1"],
        [SAMPLED + "-more", "tracestate: a=1"],
    ],
)
def test_without_a_valid_parent_a_trace_begins(backend: str, root: Path, fields: list[str]) -> None:
    with traced(backend, root) as (server, end):
        client = server.connect()
        seen = set()
        for _ in range(3):
            about = told(client.get("/fields", *fields))
            assert about["tracestate"] == []
            [found] = [re.fullmatch("00-(.{32})-(.{16})-03", item) for item in about["traceparent"]]
            assert found is not None
            seen |= set(found.groups())
        assert len(seen) == 6, "every id is another one"
        got: list[Span] = []
        while len(got) < 3:
            got += receive(end)
        assert {span.parent_id for span in got} == {None}
        assert TRACE not in seen


@pytest.mark.parametrize("state", ["a=1,a=2", "A=1", "x", "a=" + "v" * 257, ", ,"])
def test_a_state_that_is_not_valid_is_not_passed_on(backend: str, root: Path, state: str) -> None:
    with traced(backend, root) as (server, end):
        about = told(server.connect().get("/fields", SAMPLED, f"tracestate: {state}"))
        assert about["traceparent"][0].startswith(f"00-{TRACE}-")
        assert about["tracestate"] == []
        assert receive(end)[0].state == ""


@pytest.mark.parametrize(
    ("bound", "accept", "based", "field", "sampled"),
    [
        (NONE, EVERYBODY, 1, "", False),
        (NONE, EVERYBODY, 1, SAMPLED, True),
        (ALL, EVERYBODY, 1, REFUSED, False),
        (NONE, EVERYBODY, 0, SAMPLED, False),
        (ALL, EVERYBODY, 0, REFUSED, True),
        (NONE, NOBODY, 1, SAMPLED, False),
        (NONE, TRUSTED, 1, SAMPLED, True),  # serve_host trusts 127.0.0.0/8
        (HALF, EVERYBODY, 0, f"traceparent: 00-{'f' * 16}3{'f' * 15}-{PARENT}-00", True),
        (HALF, EVERYBODY, 0, f"traceparent: 00-{'0' * 15}14{'0' * 15}-{PARENT}-01", False),
    ],
)
def test_who_decides_what_is_sampled(
    root: Path, bound: int, accept: int, based: int, field: str, sampled: bool
) -> None:
    with traced("epoll", root, bound, accept, based) as (server, end):
        client = server.connect()
        about = told(client.get("/fields", *([field] if field else [])))
        assert bool(int(about["traceparent"][0][-2:], 16) & 1) is sampled
        if sampled:
            assert len(receive(end)) == 1
    if not sampled:  # the worker has sent all it had, and is gone
        with pytest.raises(OSError, match="Bad file descriptor"):
            end.recv(1)


def test_files_errors_and_those_who_leave_have_spans_as_well(backend: str, root: Path) -> None:
    with traced(backend, root) as (server, end):
        client = server.connect()
        client.get("/hello.txt")
        client.get("/crash")
        gone = server.connect()
        gone.send("GET /sleep/200 HTTP/1.1\r\nHost: a\r\n\r\n")
        gone.sock.close()
        server.connect().send(b"nonsense\r\n\r\n")
        got: list[Span] = []
        while len(got) < 3:
            got += receive(end)
        seen = sorted((span.path, span.status, span.outcome, span.for_app) for span in got)
        assert seen == [
            ("/crash", 502, "done", True),
            ("/hello.txt", 200, "done", False),
            ("/sleep/200", 0, "left", True),
        ]


def test_an_exporter_that_does_not_read_costs_spans_and_nothing_else(
    backend: str, root: Path
) -> None:
    with traced(backend, root) as (server, end):
        client = server.connect()
        agent = "User-Agent: " + "x" * 1000
        for _ in range(2000):
            assert client.get("/hello.txt", agent).status == 200
        count = 0
        end.setblocking(False)
        try:
            while True:
                count += len(receive(end))
        except BlockingIOError:
            assert 0 < count < 2000
