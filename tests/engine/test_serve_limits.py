# SPDX-License-Identifier: MIT
"""Limits on connections under ASan and UBSan, on both I/O backends: who has to go for a newcomer,
how many an address may have, and when a connection has had its last request.
"""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from system.h2_wire import PREFACE, WINDOW_UPDATE, Peer, frame, get, number, settings

from .serve_client import Client, Server, serving, until

BACKENDS = ["epoll", "io_uring"]
PLACES = 8
CROWD = 10 * PLACES
REFUSED_STREAM = 7


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "hello.txt").write_bytes(b"hello")
    (path / "large.bin").write_bytes(bytes(8 << 20))
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small(backend: str, root: Path) -> Iterator[Server]:
    with serving(backend, root, f"--connections_max={PLACES}", apps=1) as server:
        yield server


def served(server: Server) -> Client:
    client = server.connect()
    assert client.get("/hello.txt").status == 200
    return client


# --- connections_max ------------------------------------------------------------------------------


def test_the_connection_that_is_idle_the_longest_goes_for_a_newcomer(small: Server) -> None:
    clients = [served(small) for _ in range(PLACES)]
    assert clients[0].get("/hello.txt").status == 200, "now the second has been idle the longest"
    newcomer = served(small)
    assert clients[1].is_closed()
    for client in [clients[0], *clients[2:], newcomer]:
        assert client.get("/hello.txt").status == 200


@pytest.mark.parametrize("said", ["", "G", "GET /hello.txt HTTP/1.1\r\nHost:"])
def test_who_has_not_said_its_head_goes_for_a_newcomer(small: Server, said: str) -> None:
    for _ in range(CROWD):
        client = small.connect()
        client.send(said)
    assert served(small).get("/hello.txt").status == 200


def test_who_is_served_stays_and_is_idle_afterwards(small: Server) -> None:
    clients = [small.connect() for _ in range(PLACES)]
    for client in clients:
        client.send("GET /sleep/50 HTTP/1.1\r\nHost: a\r\n\r\n")
    newcomers = [small.connect() for _ in range(PLACES)]
    for newcomer in newcomers:
        newcomer.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [client.answer().status for client in clients] == [200] * PLACES
    assert [newcomer.answer().status for newcomer in newcomers] == [200] * PLACES


def test_who_sends_a_body_stays(small: Server) -> None:
    clients = [small.connect() for _ in range(PLACES - 1)]
    for client in clients:
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    for _ in range(PLACES):
        served(small)
    for client in clients:
        client.send("cde")
        assert client.answer().body == b"abcde"


def test_newcomers_come_in_one_after_the_other_however_many(small: Server) -> None:
    for _ in range(CROWD):
        served(small)


# --- connections_per_address ----------------------------------------------------------------------

STRANGERS = ["--connections_per_address=2", "--trusted", "10.0.0.0/8"]
PROXY = 4  # enum askr_listener_flags


def come_from(server: Server, address: str) -> Client:
    sock = socket.create_connection(
        ("127.0.0.1", server.port), timeout=20, source_address=(address, 0)
    )
    server.clients.append(sock)
    return Client(sock)


def is_refused(client: Client) -> bool:
    try:
        client.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        return client.is_closed()
    except (BrokenPipeError, ConnectionResetError):
        return True


def test_an_address_has_so_many_connections_and_no_more(backend: str, root: Path) -> None:
    with serving(backend, root, *STRANGERS) as server:
        first, second = served(server), served(server)
        assert is_refused(server.connect())
        other = come_from(server, "127.0.0.2")
        assert other.get("/hello.txt").status == 200
        first.sock.close()
        until(lambda: not is_refused(server.connect()), "there is a place again")
        assert second.get("/hello.txt").status == 200


def test_trusted_proxies_have_any_number(backend: str, root: Path) -> None:
    with serving(backend, root, "--connections_per_address=2") as server:  # trusts 127.0.0.0/8
        for client in [served(server) for _ in range(10)]:
            assert client.get("/hello.txt").status == 200


def test_who_is_refused_costs_nobody_a_place(backend: str, root: Path) -> None:
    with serving(backend, root, *STRANGERS, "--connections_max=4") as server:
        others = [come_from(server, "127.0.0.2") for _ in range(2)]
        for client in [*others, served(server), served(server)]:
            assert client.get("/hello.txt").status == 200
        for _ in range(20):
            assert is_refused(server.connect())
        for client in others:
            assert client.get("/hello.txt").status == 200


def test_behind_the_proxy_protocol_the_source_is_counted(backend: str, root: Path) -> None:
    options = ["--connections_per_address=2", f"--listener_flags={PROXY}"]
    with serving(backend, root, *options) as server:

        def come(source: str) -> Client:
            client = server.connect()
            client.send(f"PROXY TCP6 {source} 2001:db8:9::1 4000 80\r\n")
            return client

        clients = [come("2001:db8:1::1"), come("2001:db8:1::2"), come("2001:db8:2::1")]
        for client in clients:
            assert client.get("/hello.txt").status == 200
        assert is_refused(come("2001:db8:1::3"))
        clients[0].sock.close()
        until(lambda: not is_refused(come("2001:db8:1::3")), "there is a place again")


# --- requests_per_connection ----------------------------------------------------------------------


@pytest.fixture
def brief(backend: str, root: Path) -> Iterator[Server]:
    options = ["--requests_per_connection=3", "--streams_max=4"]
    with serving(backend, root, *options, apps=1) as server:
        yield server


def test_the_last_request_of_a_connection_is_told_so(brief: Server) -> None:
    client = brief.connect()
    answers = [client.get(path) for path in ("/hello.txt", "/hello", "/missing.txt")]
    assert [answer.closes for answer in answers] == [False, False, True]
    assert client.is_closed()


def test_what_is_pipelined_behind_the_last_request_is_not_served(brief: Server) -> None:
    client = brief.connect()
    client.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
    assert [client.answer().closes for _ in range(3)] == [False, False, True]
    assert client.is_closed()


def test_http_2_is_warned_behind_the_last_answer_and_ends(brief: Server) -> None:
    with Peer(("127.0.0.1", brief.port)) as peer:
        for stream in (1, 3, 5):
            assert peer.goaways == []
            peer.send(get(stream, "/hello.txt"))
            assert peer.finish(stream).status == 200
        peer.rest()
        assert peer.goaways == [(0, 2**31 - 1), (0, 5)]


def test_an_http_2_client_that_does_not_listen_is_refused(brief: Server) -> None:
    with Peer(("127.0.0.1", brief.port)) as peer:
        peer.polite = False  # it never says that it has read the warning
        peer.send(get(1, "/sleep/300"))  # and has always something to ask
        streams = range(3, 40, 2)
        for stream in streams:
            peer.send(get(stream, "/hello.txt"))
            peer.finish(stream)
        ends = [peer.finish(stream) for stream in (1, *streams)]
        assert [end.status for end in ends[:11]] == [200] * 11
        assert {end.reset for end in ends[11:]} == {REFUSED_STREAM}


def test_a_client_library_connects_again_without_a_failure(brief: Server) -> None:
    base = f"http://127.0.0.1:{brief.port}"
    for way in ({"http1": True, "http2": False}, {"http1": False, "http2": True}):
        with httpx.Client(base_url=base, timeout=20, **way) as client:
            assert [client.get("/hello.txt").status_code for _ in range(20)] == [200] * 20


# --- rates ----------------------------------------------------------------------------------------

HEADER, COOKIE = 1, 2  # enum askr_rate_key


def asked(client: Client, path: str, *fields: str) -> int:
    return client.get(path, *fields).status


def test_who_asks_too_often_is_told_when_to_come_back(backend: str, root: Path) -> None:
    rule = "/hello 0 - 2 3600 3"
    with serving(backend, root, "--rate", rule, "--trusted", "", apps=1) as server:
        client = server.connect()
        assert [asked(client, "/hello") for _ in range(3)] == [200] * 3
        refused = client.get("/hello/there")
        assert (refused.status, refused.closes) == (429, False)
        assert refused.field("RateLimit-Policy") == '"test";q=2;w=3600'
        wait = int(refused.field("Retry-After"))
        assert 0 < wait <= 1800
        assert refused.field("RateLimit") == f'"test";r=0;t={wait}'
        for same in ("/%68ello", "//hello", "/x/../hello", "/index.php/hello", "/hello/?q"):
            assert asked(client, same) == 429, same
        for other in ("/hello.txt", "/missing", "/index.php"):
            assert asked(client, other) != 429, other


@pytest.mark.parametrize(
    ("key", "field"), [(HEADER, "x-sid: {}"), (COOKIE, "Cookie: a=b; x-sid={}; c=d")]
)
def test_a_header_or_a_cookie_tells_clients_apart(
    backend: str, root: Path, key: int, field: str
) -> None:
    rule = f"/ {key} x-sid 1 3600 2"
    with serving(backend, root, "--rate", rule, "--trusted", "") as server:
        for client in (server.connect(), server.connect()):
            path = "/hello.txt"
            one, other = field.format("one"), field.format("other")
            assert asked(client, path, one) == asked(client, path, other) == 200
        assert asked(client, path, one) == asked(client, path, other) == 429
        assert [asked(client, path) for _ in range(3)] == [200, 200, 429], "then the address counts"


def test_a_refused_body_is_not_waited_for(backend: str, root: Path) -> None:
    with serving(backend, root, "--rate", "/ 0 - 1 3600 1", "--trusted", "", apps=1) as server:
        client = server.connect()
        assert asked(client, "/hello") == 200
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.closes) == (429, True)


def test_streams_of_http_2_pay_one_by_one(backend: str, root: Path) -> None:
    with (
        serving(backend, root, "--rate", "/ 0 - 1 3600 2", "--trusted", "") as server,
        Peer(("127.0.0.1", server.port)) as peer,
    ):
        peer.send(b"".join(get(stream, "/hello.txt") for stream in (1, 3, 5, 7)))
        assert [peer.finish(stream).status for stream in (1, 3, 5, 7)] == [200, 200, 429, 429]


def test_trusted_proxies_do_not_pay_for_their_clients(backend: str, root: Path) -> None:
    with serving(backend, root, "--rate", "/ 0 - 1 3600 1") as server:  # trusts 127.0.0.0/8
        client = server.connect()
        assert [asked(client, "/hello.txt") for _ in range(3)] == [200] * 3
        for address in ("203.0.113.7", "203.0.113.8", "2001:db8::1"):
            assert asked(client, "/hello.txt", f"X-Forwarded-For: {address}") == 200
        for address in ("203.0.113.7", "2001:db8::2"):
            assert asked(client, "/hello.txt", f"X-Forwarded-For: {address}") == 429


# --- slow clients that never quite stop -----------------------------------------------------------


def trickle(client: Client) -> bool:
    """One byte more, unless there is an answer."""
    client.sock.settimeout(0.02)
    try:
        client.held += client.sock.recv(4096)
        return True
    except TimeoutError:
        client.send("x")
        return False
    finally:
        client.sock.settimeout(20)


def test_a_head_that_trickles_has_one_deadline(backend: str, root: Path) -> None:
    with serving(backend, root, "--head_timeout=400") as server:
        client = server.connect()
        client.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\nX: ")
        until(lambda: trickle(client), "it is answered")
        answer = client.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert client.is_closed()


def test_a_body_that_trickles_is_too_slow(backend: str, root: Path) -> None:
    with serving(backend, root, "--body_timeout=400", apps=1) as server:  # 100 bytes a second
        client = server.connect()
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        until(lambda: trickle(client), "it is answered")
        answer = client.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert client.is_closed()


def test_an_http_2_client_that_does_not_read_its_socket_is_reset(backend: str, root: Path) -> None:
    with (
        serving(backend, root, "--write_timeout=300") as server,
        socket.socket() as stubborn,
    ):
        stubborn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stubborn.settimeout(20)
        stubborn.connect(("127.0.0.1", server.port))
        wide = settings((4, 1 << 24)) + frame(WINDOW_UPDATE, 0, 0, number(1 << 28))
        stubborn.sendall(PREFACE + wide + get(1, "/large.bin"))
        until(lambda: closed_by_reset(stubborn), "it is reset")


def closed_by_reset(sock: socket.socket) -> bool:
    """Without reading: a pending error is one of the socket's options."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
