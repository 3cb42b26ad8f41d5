# SPDX-License-Identifier: MIT
"""HTTP/2 on a worker under sanitizers: streams, windows, applications, resets, time-outs, drains.

The rules of the RFCs are tests/system/test_h2.py's business; its cases are also run here, because a
sanitizer sees more.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from system import h2_cases, h2_wire
from system.h2_wire import (
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    PRIORITY_UPDATE,
    RST_STREAM,
    WINDOW_UPDATE,
    Peer,
    block,
    frame,
    get,
    head,
    number,
    request,
    settings,
)
from system.test_h2 import ALL, verdict, wanted

from .serve_client import Server, serving, until

BACKENDS = ["epoll", "io_uring"]
HELLO = b"Hello, World!"
WIDE = settings((4, 1 << 24)) + frame(WINDOW_UPDATE, 0, 0, number(1 << 28))  # no window stops us


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "hello.txt").write_bytes(HELLO)
    (path / "a.txt").write_bytes(b"file a")
    (path / "large.bin").write_bytes(bytes(range(256)) * 4096)
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def files(backend: str, root: Path) -> Iterator[Server]:
    with serving(backend, root) as server:
        yield server


@pytest.fixture
def apps(backend: str, root: Path) -> Iterator[Server]:
    with serving(backend, root, apps=2) as server:
        yield server


def connect(server: Server) -> Peer:
    return Peer(("127.0.0.1", server.port))


def client(server: Server) -> httpx.Client:
    return httpx.Client(
        http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}", timeout=60
    )


@pytest.mark.parametrize("way", ["whole", "bytewise"])
def test_every_case_of_the_rfcs(files: Server, way: str) -> None:
    wrong = []
    for case in ALL:
        with Peer(("127.0.0.1", files.port), preface=b"") as peer:
            data = case.preface + case.data
            if way == "whole" or len(data) > 2000:
                peer.send(data)
            else:
                peer.send_bytewise(data)
            found = verdict(case, peer)
            if found not in wanted(case):
                wrong.append(f"{case}: {found}, wanted {wanted(case)}")
    assert not wrong


def test_a_hundred_streams_at_once(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(WIDE)
        paths = {
            2 * i + 1: ("/hello", "/hello.txt", "/size/70000", "/missing")[i % 4]
            for i in range(100)
        }
        peer.send(b"".join(get(stream, path) for stream, path in paths.items()))
        sizes = {"/hello": 13, "/hello.txt": 13, "/size/70000": 70000}
        for stream, path in paths.items():
            answer = peer.finish(stream)
            if path in sizes:
                assert (answer.status, len(answer.body)) == (200, sizes[path])


def test_host_cookies_and_protocol_reach_the_application(apps: Server) -> None:
    with connect(apps) as peer:
        more = [("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("cookie", "c=3")]
        peer.send(get(1, "/request?q=1", more=more))
        said = dict(line.split("=", 1) for line in peer.finish(1).body.decode().splitlines())
        assert (said["host"], said["cookie"]) == ("test", "a=1; b=2; c=3")
        assert (said["protocol"], said["method"], said["query"]) == ("2000", "GET", "q=1")
        assert said["has_body"] == "0"
        peer.send(get(3, "/fields", more=more))
        lines = peer.finish(3).body.decode().lower().splitlines()
        ours = [line for line in lines if line.startswith("x-request-id: ")]
        assert sorted(set(lines) - set(ours)) == ["cookie: a=1; b=2; c=3", "host: test", "x-one: 1"]
        assert len(ours) == 1, "the server's own name for the request"


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, 70_000, 3_000_000])
def test_a_body_comes_back_as_it_was_sent(apps: Server, size: int) -> None:
    body = os.urandom(size)
    with client(apps) as http:
        assert http.post("/echo", content=body).content == body
        pieces = (body[i : i + 5000] for i in range(0, size, 5000))
        assert http.post("/echo", content=pieces).content == body  # without a content-length


def test_many_uploads_at_once_that_do_not_fit_in_memory(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(WIDE)
        streams = range(1, 101, 2)
        for stream in streams:
            peer.send(head(stream, request("/echo", "POST"), END_HEADERS))
        for _ in range(4):
            for stream in streams:
                peer.send(frame(DATA, 0, stream, bytes([stream]) * 15000))
                peer.until("window", lambda: _window(peer) > 100_000)
        for stream in streams:
            peer.send(frame(DATA, 1, stream))
        for stream in streams:
            assert peer.finish(stream).body == bytes([stream]) * 60000


def test_a_small_body_needs_no_file_however_much_the_others_hold(apps: Server) -> None:
    """An application is given it with the head, from memory."""
    with connect(apps) as peer:
        peer.send(WIDE)
        for stream in range(1, 32, 2):  # 16 of 64 KiB are all that a connection may hold
            peer.send(head(stream, request("/echo", "POST"), END_HEADERS))
            for _ in range(8):
                peer.send(frame(DATA, 0, stream, bytes(8192)))
                peer.until("window", lambda: _window(peer) > 100_000)
        peer.send(head(61, request("/echo", "POST"), END_HEADERS))
        peer.send(frame(DATA, 1, 61, b"small"))
        assert peer.finish(61).body == b"small"


def _window(peer: Peer) -> int:
    """What the connection's window still allows."""
    given = sum(
        item.window_increment
        for item in peer.frames
        if type(item).__name__ == "WindowUpdateFrame" and item.stream_id == 0
    )
    return 65535 + given - peer.sent_data


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_an_answer_of_any_size_within_the_windows(apps: Server, size: int) -> None:
    with client(apps) as http:
        assert len(http.get(f"/size/{size}").content) == size


def test_files_of_any_size(files: Server, root: Path) -> None:
    with client(files) as http:
        whole = (root / "large.bin").read_bytes()
        assert http.get("/large.bin").content == whole
        part = http.get("/large.bin", headers={"range": "bytes=1000-99999"})
        assert (part.status_code, part.content) == (206, whole[1000:100_000])
        tag = part.headers["etag"]
        same = http.get("/large.bin", headers={"if-none-match": tag})
        assert (same.status_code, same.content) == (304, b"")
        two = http.get("/large.bin", headers={"range": "bytes=0-9,-10"})
        assert whole[:10] in two.content and whole[-10:] in two.content


def test_an_answer_to_head_has_a_length_and_no_body(apps: Server) -> None:
    with connect(apps) as peer:
        for stream, path, length in (
            (1, "/hello.txt", "13"),
            (3, "/hello", "13"),
            (5, "/none", ""),
        ):
            peer.send(head(stream, request(path, "HEAD")))
            answer = peer.finish(stream)
            assert answer.body == b"" and answer.ended
            assert answer.get("content-length") == length or path == "/none"


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_body_is_dropped_where_the_status_has_none(apps: Server, status: int) -> None:
    with connect(apps) as peer:
        peer.send(get(1, f"/bodied/{status}"))
        answer = peer.finish(1)
        assert (answer.status, answer.body) == (status, b"")


def test_what_is_flushed_has_no_length(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(get(1, "/flush/5"))
        answer = peer.finish(1)
        assert answer.get("content-length") == "" and answer.body


def test_interim_answers_come_first(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(get(1, "/interim"))
        peer.finish(1)
        assert [fields[0][1] for fields in peer.answer(1).heads] == ["103", "200"]
        peer.send(head(3, request("/echo", "POST", [("expect", "100-continue")]), END_HEADERS))
        peer.until("100", lambda: bool(peer.answer(3).heads))
        peer.send(frame(DATA, 1, 3, b"now"))
        assert peer.finish(3).body == b"now"
        assert [fields[0][1] for fields in peer.answer(3).heads] == ["100", "200"]


def test_trailers_of_a_request_are_read_and_dropped(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(head(1, request("/echo", "POST"), END_HEADERS) + frame(DATA, 0, 1, b"body"))
        peer.send(head(1, [("x-sum", "4")]))
        assert peer.finish(1).body == b"body"


@pytest.mark.parametrize("path", ["/trailers", "/trailers/flush", "/trailers/length"])
def test_trailers_of_an_answer_end_its_stream(apps: Server, path: str) -> None:
    wanted = [("x-sum", "4"), ("server-timing", "db;dur=1.5")]
    with connect(apps) as peer:
        peer.send(head(1, request(path, more=[("te", "trailers")])))
        answer = peer.finish(1)
        assert (answer.body, answer.heads[1:]) == (b"said", [wanted])
        assert answer.get("content-length") == ""
        peer.send(get(3, path))
        answer = peer.finish(3)
        assert (answer.body, answer.heads[1:]) == (b"none", [])
        peer.send(head(5, request("/trailers", "HEAD", [("te", "trailers")])))
        answer = peer.finish(5)
        assert (answer.body, answer.heads[1:]) == (b"", [])


def test_trailers_wait_for_a_window_as_their_body_does(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(frame(4, 0, 0, b"\0\4" + bytes(4)))  # a window of nothing
        peer.send(head(1, request("/trailers", more=[("te", "trailers")])))
        peer.until("the head", lambda: bool(peer.answer(1).heads))
        assert len(peer.answer(1).heads) == 1
        peer.send(frame(8, 0, 1, (4).to_bytes(4, "big")))
        answer = peer.finish(1)
        assert (answer.body, len(answer.heads)) == (b"said", 2)


@pytest.mark.parametrize("path", ["/crash-halfway", "/fail-halfway"])
def test_an_answer_that_breaks_off_is_reset_and_nothing_else(apps: Server, path: str) -> None:
    with connect(apps) as peer:
        peer.send(get(1, path))
        answer = peer.finish(1)
        assert answer.reset == h2_cases.INTERNAL or answer.status in (500, 502)
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO


def test_a_stream_that_is_reset_takes_its_request_along(apps: Server) -> None:
    with connect(apps) as peer:
        for stream in range(1, 61, 2):
            path = "/sleep/5" if stream % 4 == 1 else "/size/900000"
            peer.send(get(stream, path) + frame(RST_STREAM, 0, stream, number(8)))
        peer.send(get(301, "/hello"))
        assert peer.finish(301).body == HELLO


def test_a_client_that_leaves_takes_its_requests_along(apps: Server) -> None:
    for _ in range(10):
        with connect(apps) as peer:
            peer.send(b"".join(get(2 * i + 1, "/sleep/5") for i in range(10)))
            peer.send(get(101, "/size/900000"))
    with connect(apps) as peer:
        peer.send(get(1, "/hello"))
        assert peer.finish(1).body == HELLO


def test_who_closes_its_side_still_gets_its_answer(files: Server) -> None:
    peer = files.connect()
    peer.send(h2_wire.PREFACE + settings() + get(1, "/hello.txt"))
    peer.sock.shutdown(socket.SHUT_WR)
    assert HELLO in peer.rest()


def test_a_stream_without_window_does_not_hold_the_others(apps: Server) -> None:
    with connect(apps) as peer:
        peer.send(settings((4, 0)) + frame(WINDOW_UPDATE, 0, 0, number(1 << 24)))
        peer.send(get(1, "/size/2000000") + get(3, "/hello"))
        peer.send(frame(WINDOW_UPDATE, 0, 3, number(13)))
        assert peer.finish(3).body == HELLO
        peer.send(frame(WINDOW_UPDATE, 0, 1, number(1_000_000)))
        peer.until("half of it", lambda: len(peer.answer(1).body) == 1_000_000)
        peer.send(frame(WINDOW_UPDATE, 0, 1, number(1_000_000)))
        assert len(peer.finish(1).body) == 2_000_000


def test_the_more_urgent_answer_goes_first(files: Server) -> None:
    with connect(files) as peer:
        peer.send(settings((4, 1 << 24)))  # the connection's window stays at 65535
        peer.send(get(1, "/large.bin", [("priority", "u=5")]))
        peer.until("the window is used up", lambda: len(peer.answer(1).body) == 65535)
        peer.send(get(3, "/large.bin", [("priority", "u=1")]) + get(5, "/large.bin"))
        peer.send(frame(PING, 0, 0, bytes(8)))
        peer.until("all are there", lambda: bool(peer.pongs) and bool(peer.answer(5).heads))
        peer.send(frame(WINDOW_UPDATE, 0, 0, number(1 << 20)))
        assert len(peer.finish(3).body) == 1 << 20
        assert peer.answer(5).body == b"" and len(peer.answer(1).body) == 65535
        peer.send(frame(PRIORITY_UPDATE, 0, 0, number(1) + b"u=0"))
        peer.send(frame(WINDOW_UPDATE, 0, 0, number((1 << 20) - 65535)))
        assert len(peer.finish(1).body) == 1 << 20 and peer.answer(5).body == b""


def test_incremental_answers_take_turns(files: Server) -> None:
    with connect(files) as peer:
        peer.send(settings((4, 1 << 24)))
        peer.send(b"".join(get(s, "/large.bin", [("priority", "u=3, i")]) for s in (1, 3, 5)))
        peer.send(frame(WINDOW_UPDATE, 0, 0, number(1 << 20)))
        peer.until(
            "a share of each",
            lambda: sum(len(peer.answer(s).body) for s in (1, 3, 5)) == 65535 + (1 << 20),
        )
        assert all(len(peer.answer(s).body) > 250_000 for s in (1, 3, 5))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("x", "y" * 16000), ("z", "y" * 1000)], 431),
        ([(f"x{i}", "y") for i in range(120)], 431),
    ],
)
def test_a_head_that_is_too_large(
    files: Server, fields: list[tuple[str, str]], status: int
) -> None:
    with connect(files) as peer:
        data = block(request(more=fields))
        peer.send(frame(HEADERS, 1, 1, data[:16000]))
        peer.send(frame(h2_wire.CONTINUATION, END_HEADERS, 1, data[16000:]))
        assert peer.finish(1).status == status
        peer.send(get(3, "/hello.txt"))
        assert peer.finish(3).body == HELLO


def test_a_target_that_is_too_long(files: Server) -> None:
    with connect(files) as peer:
        peer.send(get(1, "/" + "x" * 9000))
        assert peer.finish(1).status == 414


def test_a_body_that_is_too_large(backend: str, root: Path) -> None:
    with serving(backend, root, "--body_size_max=1000", apps=1) as server, connect(server) as peer:
        peer.send(head(1, request("/echo", "POST", [("content-length", "1001")]), END_HEADERS))
        answer = peer.finish(1)
        assert answer.status == 413
        peer.until("the rest is not wanted", lambda: answer.reset is not None)
        assert answer.reset == 0
        peer.send(head(3, request("/echo", "POST"), END_HEADERS))
        peer.send(frame(DATA, 0, 3, bytes(600)) + frame(DATA, 1, 3, bytes(600)))
        assert peer.finish(3).status == 413
        peer.send(get(5, "/hello"))
        assert peer.finish(5).body == HELLO


def test_what_follows_a_refusal_is_dropped_until_it_was_read(backend: str, root: Path) -> None:
    with serving(backend, root, "--body_size_max=1000", apps=1) as server, connect(server) as peer:
        peer.polite = False  # when it has read the answer is for this test to say
        peer.send(settings() + frame(h2_wire.SETTINGS, 1, 0))
        peer.send(head(1, request("/echo", "POST", [("content-length", "900000")]), END_HEADERS))
        assert peer.finish(1).status == 413
        peer.until("it is asked", lambda: bool(pings(peer)))
        for _ in range(16):
            peer.send(frame(DATA, 0, 1, bytes(16000)))
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO
        windows = [item for item in peer.frames if type(item).__name__ == "WindowUpdateFrame"]
        assert {item.stream_id for item in windows} == {0}, "only the connection's is opened again"
        assert peer.answer(1).reset is None
        peer.send(frame(PING, 1, 0, pings(peer)[0]))
        peer.until("the rest is not wanted", lambda: peer.answer(1).reset is not None)
        assert (peer.answer(1).reset, peer.goaways) == (0, [])


def test_who_does_not_read_a_refusal_is_reset_in_the_end(backend: str, root: Path) -> None:
    options = ("--body_size_max=1000", "--body_timeout=300")
    with serving(backend, root, *options, apps=1) as server, connect(server) as peer:
        peer.polite = False
        peer.send(head(1, request("/echo", "POST", [("content-length", "900000")]), END_HEADERS))
        answer = peer.finish(1)
        peer.until("it is reset", lambda: answer.reset is not None)
        assert (answer.status, answer.reset) == (413, 0)
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO


def test_a_slow_body_is_answered_408_and_the_connection_lives(backend: str, root: Path) -> None:
    with serving(backend, root, "--body_timeout=300", apps=1) as server, connect(server) as peer:
        peer.send(head(1, request("/echo", "POST"), END_HEADERS))
        assert peer.finish(1).status == 408
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO


def test_who_takes_nothing_loses_the_stream_and_keeps_the_connection(
    backend: str, root: Path
) -> None:
    with serving(backend, root, "--write_timeout=300") as server, connect(server) as peer:
        peer.send(settings((4, 10)) + get(1, "/large.bin"))
        assert peer.finish(1).reset == h2_cases.CANCEL
        peer.send(frame(WINDOW_UPDATE, 0, 0, number(1000)) + settings((4, 1000)))
        peer.send(get(3, "/hello.txt"))
        assert peer.finish(3).body == HELLO


def test_an_idle_connection_is_told_that_it_ends(backend: str, root: Path) -> None:
    with serving(backend, root, "--keepalive_timeout=300") as server, connect(server) as peer:
        peer.send(get(1, "/hello.txt"))
        peer.finish(1)
        peer.rest()
        assert peer.goaways == [(0, 1)]


def test_a_drain_serves_once_more_and_warns_behind_the_answer(backend: str, root: Path) -> None:
    with serving(backend, root, apps=1) as server, connect(server) as peer:
        peer.polite = False  # when it has read the warning is for this test to say
        peer.send(get(1, "/hello"))
        peer.finish(1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(server), "no new connection is accepted")
        assert peer.goaways == []
        peer.send(get(3, "/sleep/20") + get(5, "/hello.txt"))
        assert peer.finish(3).status == 200 and peer.finish(5).body == HELLO
        peer.until("the warning", lambda: bool(peer.goaways))
        assert peer.goaways == [(0, 2**31 - 1)]
        peer.send(get(7, "/hello.txt"))  # it had not read it yet
        assert peer.finish(7).body == HELLO
        peer.send(frame(PING, 1, 0, pings(peer)[-1]))
        peer.rest()
        assert peer.goaways[-1] == (0, 7)


def pings(peer: Peer) -> list[bytes]:
    """What the server wants to have answered, in its order."""
    return [item.opaque_data for item in peer.frames if type(item).__name__ == "PingFrame"]


def test_a_drain_ends_an_idle_connection_whose_peer_reads(backend: str, root: Path) -> None:
    with serving(backend, root) as server, connect(server) as peer:
        peer.send(get(1, "/hello.txt"))
        peer.finish(1)
        server.process.send_signal(signal.SIGTERM)
        peer.rest()
        assert len(pings(peer)) == 3  # it was asked whether it reads before it was warned
        assert peer.goaways == [(0, 2**31 - 1), (0, 1)]


def test_who_asks_before_it_says_that_it_reads_is_warned_behind_the_answer(
    backend: str, root: Path
) -> None:
    with serving(backend, root) as server, connect(server) as peer:
        peer.polite = False
        peer.send(get(1, "/hello.txt"))
        peer.finish(1)
        server.process.send_signal(signal.SIGTERM)
        peer.until("it is asked whether it reads", lambda: bool(pings(peer)))
        peer.send(frame(PING, 1, 0, pings(peer)[0]))
        peer.until("it is asked again", lambda: len(pings(peer)) == 2)
        peer.send(get(3, "/hello.txt") + frame(PING, 1, 0, pings(peer)[1]))
        assert peer.finish(3).body == HELLO
        peer.until("the warning", lambda: bool(peer.goaways))
        kinds = [type(item).__name__ for item in peer.frames if item.stream_id in (0, 3)]
        assert kinds.index("DataFrame") < kinds.index("GoAwayFrame")
        peer.send(frame(PING, 1, 0, pings(peer)[-1]))
        peer.rest()
        assert peer.goaways == [(0, 2**31 - 1), (0, 3)]


def _refuses(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as probe:
            probe.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            return not probe.recv(1)
    except (TimeoutError, OSError):
        return True


def test_a_connection_that_only_begins_like_http_2_is_http_1(files: Server) -> None:
    http = files.connect()
    http.send("P")
    http.send("OST /hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert http.answer().status == 405
    http = files.connect()
    http.send("PRI * HTTP/2.0\r\n\r\nXX")
    assert http.answer().status in (400, 505)


def test_http_2_can_be_turned_off(backend: str, root: Path) -> None:
    with serving(backend, root, "--streams_max=0") as server:
        http = server.connect()
        http.send(h2_wire.PREFACE)
        assert http.answer().status == 505
        assert http.is_closed()


def test_connections_come_and_go(files: Server) -> None:
    for _ in range(50):
        with connect(files) as peer:
            peer.send(get(1, "/hello.txt"))
            assert peer.finish(1).body == HELLO
    until(lambda: len(os.listdir(f"/proc/{files.process.pid}/fd")) < 40, "all are closed")
