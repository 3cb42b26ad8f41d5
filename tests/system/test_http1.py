# SPDX-License-Identifier: MIT
"""HTTP/1.1 over a real socket: framing, smuggling, keep-alive, pipelining (RFC 9110, RFC 9112)."""

import socket

import pytest
from system.client import build
from system.conftest import Serve
from system.harness import Server


@pytest.fixture(scope="module")
def site(serve_shared: Serve, secure: bool, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    for name in "abcdefgh":
        (root / f"{name}.txt").write_text(f"file {name}")
    return serve_shared(root, secure=secure)


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


SMUGGLED = {
    "both-length-and-chunked": head(
        b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 5", b"Transfer-Encoding: chunked"
    ),
    "two-lengths": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 5", b"Content-Length: 6"),
    "two-equal-lengths": head(
        b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 5", b"Content-Length: 5"
    ),
    "length-list": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 5, 5"),
    "length-plus": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: +5"),
    "length-minus": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: -5"),
    "length-space": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 5 5"),
    "length-hex": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 0x5"),
    "length-overflow": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: " + b"9" * 30),
    "length-empty": head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length:"),
    "obs-fold": head(b"GET / HTTP/1.1", b"Host: a", b"X: b", b" folded"),
    "space-before-colon": head(b"GET / HTTP/1.1", b"Host: a", b"X : b"),
    "leading-space": head(b"GET / HTTP/1.1", b" Host: a"),
    "bare-lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare-cr": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "nul-in-value": head(b"GET / HTTP/1.1", b"Host: a", b"X: b\0c"),
    "control-in-name": head(b"GET / HTTP/1.1", b"Host: a", b"X\x01: b"),
    "chunked-not-last": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked, gzip"),
    "unknown-coding": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: xchunked"),
    "chunked-twice": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked, chunked"),
    "chunked-tab": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: \x0bchunked"),
    "chunked-on-1.0": head(b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked"),
    "chunk-size-overflow": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked")
    + b"fffffffffffffffff\r\n",
    "chunk-size-sign": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked")
    + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk-without-crlf": head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked")
    + b"5\r\nhelloX\r\n0\r\n\r\n",
    "no-host": head(b"GET / HTTP/1.1", b"X: y"),
    "two-hosts": head(b"GET / HTTP/1.1", b"Host: a", b"Host: b"),
    "bad-host": head(b"GET / HTTP/1.1", b"Host: a b"),
    "bad-version": head(b"GET / HTTP/1.x", b"Host: a"),
    "bad-method": head(b"G\x00T / HTTP/1.1", b"Host: a"),
    "double-space": head(b"GET  / HTTP/1.1", b"Host: a"),
    "relative-target": head(b"GET foo HTTP/1.1", b"Host: a"),
}
FOLLOWER = b"GET /a.txt HTTP/1.1\r\nHost: test.example\r\n\r\n"


@pytest.mark.parametrize("case", SMUGGLED)
@pytest.mark.parametrize("way", ["whole", "bytewise"])
def test_what_a_smuggler_sends_is_refused_and_the_connection_closed(
    site: Server, case: str, way: str
) -> None:
    with site.connect() as connection:
        try:
            send = connection.send if way == "whole" else connection.send_bytewise
            send(SMUGGLED[case])
            connection.send(FOLLOWER)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused and closed before everything was sent
        answer = connection.receive()
        assert answer.status in (400, 501)
        assert answer.get("Connection") == "close"
        assert connection.rest() == b"", "the request behind it was answered"


def test_a_refused_version_is_505(site: Server) -> None:
    with site.connect() as connection:
        connection.send(head(b"GET / HTTP/3.0", b"Host: a"))
        assert connection.receive().status == 505


def test_pipelined_requests_are_answered_in_order(site: Server) -> None:
    with site.connect() as connection:
        names = "abcdefgh" * 8
        connection.send(b"".join(build("GET", f"/{name}.txt") for name in names))
        assert [connection.receive().body for _ in names] == [b"file %c" % ord(n) for n in names]


def test_one_byte_at_a_time_gets_the_same_answers(site: Server) -> None:
    with site.connect() as connection:
        connection.send_bytewise(b"".join(build("GET", f"/{name}.txt") for name in "abc"))
        assert [connection.receive().body for _ in "abc"] == [b"file a", b"file b", b"file c"]


def test_a_connection_is_kept_until_someone_says_close(site: Server) -> None:
    with site.connect() as connection:
        for _ in range(20):
            assert connection.ask("GET", "/a.txt").status == 200
        last = connection.ask("GET", "/b.txt", [("Connection", "close")])
        assert (last.status, last.get("Connection")) == (200, "close")
        assert connection.is_closed_by_peer()


def test_a_1_0_client_gets_one_answer_unless_it_asks_to_stay(site: Server) -> None:
    with site.connect() as connection:
        connection.send(b"GET /a.txt HTTP/1.0\r\n\r\n")
        assert connection.rest().endswith(b"file a")
    with site.connect() as connection:
        connection.send(b"GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = connection.receive()
        assert (answer.get("Connection") or "").lower() == "keep-alive"
        assert answer.body == b"file a"
        connection.send(b"GET /b.txt HTTP/1.0\r\n\r\n")
        assert connection.rest().endswith(b"file b")


def test_absolute_form_and_empty_lines_before_a_request_are_understood(site: Server) -> None:
    with site.connect() as connection:
        connection.send(b"\r\n\r\n" + build("GET", "http://test.example/a.txt"))
        assert connection.receive().body == b"file a"


def test_options_asterisk_is_about_the_server(site: Server) -> None:
    answer = site.ask("OPTIONS", "*")
    assert answer.status in (200, 204)
    assert "GET" in (answer.get("Allow") or "")


def test_a_half_closed_client_still_gets_its_answer(site: Server) -> None:
    if site.secure:
        pytest.skip("Python's TLS sockets cannot close one direction")
    with site.connect() as connection:
        connection.send(build("GET", "/a.txt"))
        connection.stream.shutdown(socket.SHUT_WR)
        assert connection.receive().body == b"file a"
        assert connection.is_closed_by_peer()


@pytest.mark.parametrize("case", ["length-minus", "bad-host", "chunk-size-sign"])
def test_a_half_closed_client_still_learns_that_it_is_refused(site: Server, case: str) -> None:
    if site.secure:
        pytest.skip("Python's TLS sockets cannot close one direction")
    with site.connect() as connection:
        connection.send(SMUGGLED[case])
        connection.stream.shutdown(socket.SHUT_WR)
        assert connection.receive().status == 400
        assert connection.is_closed_by_peer()


def test_error_answers_have_a_date_and_a_length(site: Server) -> None:
    answer = site.get("/none")
    assert answer.status == 404
    assert answer.get("Date")
    assert answer.get("Content-Length") == str(len(answer.body))
