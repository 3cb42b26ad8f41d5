# SPDX-License-Identifier: MIT
"""Sizes and times have limits, each with its status: 413, 414, 431, 408, or a quiet close."""

import socket

import pytest
from system.client import build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

LIMITS = {"head_size": 2048, "target_size": 512, "fields": 20, "body_size": 10_000}
SHORT = {"head": 0.3, "body": 0.3, "keepalive": 0.3, "write": 0.5}


@pytest.fixture(scope="module")
def limited(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    app = copy_app("matrix", tmp_path_factory.mktemp("limited"))
    return serve_shared(app, config={"limits": LIMITS})


@pytest.fixture(scope="module")
def hasty(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    app = copy_app("matrix", tmp_path_factory.mktemp("hasty"))
    return serve_shared(app, config={"timeouts": SHORT, "limits": {"body_rate": 1000}})


def test_a_target_that_is_too_long_is_414(limited: Server) -> None:
    assert limited.get("/hello?" + "x" * 400).status == 200
    assert limited.get("/hello?" + "x" * 600).status == 414


def test_a_head_that_is_too_large_is_431(limited: Server) -> None:
    assert limited.ask("GET", "/hello", [("X-Large", "x" * 1000)]).status == 200
    assert limited.ask("GET", "/hello", [("X-Large", "x" * 3000)]).status == 431


def test_too_many_fields_are_431(limited: Server) -> None:
    assert limited.ask("GET", "/hello", [(f"X-{n}", "x") for n in range(30)]).status == 431


def test_a_body_announced_too_large_is_413_before_it_is_sent(limited: Server) -> None:
    with limited.connect() as connection:
        connection.send(build("POST", "/input", [("Content-Length", "10001")]))
        assert connection.receive().status == 413


def test_a_chunked_body_that_grows_too_large_is_413(limited: Server) -> None:
    with limited.connect() as connection:
        connection.send(build("POST", "/input", [("Transfer-Encoding", "chunked")]))
        connection.send(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        connection.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n0\r\n\r\n")
        assert connection.receive().status == 413


def test_a_body_at_the_limit_is_accepted(limited: Server) -> None:
    assert limited.ask("POST", "/input", [], b"x" * 10_000).status == 200


def test_a_slow_head_is_408(hasty: Server) -> None:
    with hasty.connect() as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n")
        answer = connection.receive()
        assert (answer.status, answer.get("Connection")) == (408, "close")
        assert connection.is_closed_by_peer()


def test_a_body_that_stops_is_408(hasty: Server) -> None:
    with hasty.connect() as connection:
        connection.send(build("POST", "/input", [("Content-Length", "100")]) + b"half")
        assert connection.receive().status == 408
        assert connection.is_closed_by_peer()


def test_an_idle_connection_is_closed_without_a_word(hasty: Server) -> None:
    with hasty.connect() as connection:
        assert connection.ask("GET", "/hello").status == 200
        assert connection.is_closed_by_peer()


def test_a_connection_that_never_speaks_is_closed(hasty: Server) -> None:
    with hasty.connect() as connection:
        connection.rest()
        assert hasty.get("/hello").status == 200


def test_a_reader_that_stops_reading_is_cut_off(hasty: Server) -> None:
    with socket.socket() as stubborn:
        stubborn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stubborn.settimeout(20)
        stubborn.connect(hasty.address)
        stubborn.sendall(build("GET", "/large?size=50000000"))
        stubborn.recv(1)
        wait_until("the server has given up", lambda: connections(hasty) == 0)
    assert hasty.get("/hello").status == 200


def connections(server: Server) -> int:
    return sum(worker["connections"] for worker in server.status()["workers"])
