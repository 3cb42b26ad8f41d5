# SPDX-License-Identifier: MIT
"""The whole worker under ASan and UBSan, over real sockets, on both I/O backends.

Applications are module_echo's: what is tested is the joining of connection, protocol, files and
ports. What PHP makes of it is tests/system's business.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .serve_client import Client, Server, serving, until

BACKENDS = ["epoll", "io_uring"]
QUEUE_MAX = 8
HELLO = b"Hello, World!"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "hello.txt").write_bytes(HELLO)
    (path / "large.bin").write_bytes(bytes(range(256)) * 40960)
    (path / "index.php").write_text("<?php // the echo module answers for it")
    (path / "docs").mkdir()
    (path / "docs/index.html").write_text("<p>docs</p>")
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
    with serving(backend, root, f"--queue_max={QUEUE_MAX}", apps=2) as server:
        yield server


def test_a_small_file_is_answered_on_one_connection_again_and_again(files: Server) -> None:
    client = files.connect()
    for _ in range(3):
        answer = client.get("/hello.txt")
        assert (answer.status, answer.body) == (200, HELLO)
        assert answer.field("Content-Type").startswith("text/plain")
        assert len(answer.field("Date")) == 29 and answer.field("Server") == "askrctl"


def test_a_large_file_arrives_whole(files: Server, root: Path) -> None:
    assert files.connect().get("/large.bin").body == (root / "large.bin").read_bytes()


def test_ranges_of_a_large_file(files: Server, root: Path) -> None:
    data = (root / "large.bin").read_bytes()
    client = files.connect()
    one = client.get("/large.bin", "Range: bytes=1000000-1999999")
    assert (one.status, one.body) == (206, data[1000000:2000000])
    two = client.get("/large.bin", "Range: bytes=0-9,-10")
    assert two.status == 206 and data[:10] in two.body and data[-10:] in two.body
    assert client.get("/large.bin", "Range: bytes=99999999-").status == 416


def test_head_says_the_length_and_sends_nothing(files: Server) -> None:
    client = files.connect()
    answer = client.get("/large.bin", method="HEAD")
    assert answer.field("Content-Length") == str(256 * 40960)
    assert client.get("/hello.txt").body == HELLO


def test_unchanged_files_are_not_sent_again(files: Server) -> None:
    client = files.connect()
    tag = client.get("/hello.txt").field("ETag")
    answer = client.get("/hello.txt", f"If-None-Match: {tag}")
    assert answer.status == 304 and answer.field("ETag") == tag
    assert client.get("/hello.txt").body == HELLO


def test_pipelined_requests_are_answered_in_order(files: Server) -> None:
    client = files.connect()
    wanted = ["/hello.txt", "/missing", "/docs", "/docs/", "/hello.txt"] * 20
    client.send("".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in wanted))
    statuses = [client.answer().status for _ in wanted]
    assert statuses == [200, 404, 301, 200, 200] * 20


def test_many_pipelined_large_files_to_a_reader_who_waits(files: Server, root: Path) -> None:
    client = files.connect()
    client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
    size = (root / "large.bin").stat().st_size
    assert [len(client.answer().body) for _ in range(20)] == [size] * 20


def test_a_request_fed_byte_by_byte(files: Server) -> None:
    client = files.connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n":
        client.send(bytes([byte]))
    assert client.answer().body == HELLO


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (f"GET /{'a' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX: {'a' * 20000}\r\n\r\n", 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ("POST /hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\nab", 405),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeX", 400),
    ],
)
def test_a_refused_request_is_told_why_and_the_connection_ends(
    files: Server, request_text: str, status: int
) -> None:
    client = files.connect()
    client.send(request_text)
    answer = client.answer()
    assert (answer.status, answer.closes) == (status, True)
    assert client.rest() == b""


def test_a_small_body_that_nobody_wants_does_not_end_the_connection(files: Server) -> None:
    client = files.connect()
    sized = "Content-Length: 5\r\n\r\nabcde"
    chunked = "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    for body in (sized, chunked):
        client.send(f"POST /hello.txt HTTP/1.1\r\nHost: a\r\n{body}")
        answer = client.answer()
        assert (answer.status, answer.closes) == (405, False)
        assert client.get("/hello.txt").body == HELLO


def test_a_directory_without_its_slash_stays_on_this_site(files: Server) -> None:
    client = files.connect()
    assert client.get("/docs?q=1").field("Location") == "/docs/?q=1"
    assert client.get("//docs").field("Location") == "/docs/"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_methods_that_the_server_answers_itself(files: Server, method: str) -> None:
    answer = files.connect().get("/hello.txt", method=method)
    assert answer.status == (204 if method == "OPTIONS" else 405)
    assert "GET" in answer.field("Allow")


def test_http_1_0_closes_unless_asked_to_stay(files: Server) -> None:
    client = files.connect()
    client.send("GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.answer().field("Connection") == "keep-alive"
    client.send("GET /hello.txt HTTP/1.0\r\n\r\n")
    assert client.answer().body == HELLO
    assert client.is_closed()


def test_a_slow_head_is_answered_408(backend: str, root: Path) -> None:
    with serving(backend, root, "--head_timeout=200") as server:
        client = server.connect()
        client.send("GET / HTTP/1.1\r\nHost:")
        assert client.answer().status == 408
        assert client.is_closed()


def test_an_idle_connection_is_closed_without_a_word(backend: str, root: Path) -> None:
    with serving(backend, root, "--keepalive_timeout=200") as server:
        client = server.connect()
        client.get("/hello.txt")
        assert client.rest() == b""


def test_a_reader_who_takes_nothing_is_cut_off(backend: str, root: Path) -> None:
    with serving(backend, root, "--write_timeout=300") as server:
        client = server.connect()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        other = server.connect()
        until(lambda: _open_sockets(server) <= 2, "the stalled connection is dropped")
        assert other.get("/hello.txt").status == 200


def test_a_steady_reader_on_a_unix_socket_gets_everything(
    backend: str, root: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    with serving(backend, root, "--write_timeout=1000", "--unix", path) as server:
        client = Client(socket.socket(socket.AF_UNIX))
        server.clients.append(client.sock)
        client.sock.connect(path)
        client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        def is_closed() -> bool:
            before = len(client.held)
            client.held += client.sock.recv(32768)
            return len(client.held) == before

        until(is_closed, "all of it is read, a little at a time")
        assert client.answer().body == (root / "large.bin").read_bytes()


def _open_sockets(server: Server) -> int:
    """Sockets of the worker that belong to connections, without listener and control pair."""
    links = []
    for fd in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            links.append(os.readlink(fd))
        except FileNotFoundError:
            continue
    return sum(link.startswith("socket:") for link in links) - 3


def test_an_application_answers(apps: Server) -> None:
    client = apps.connect()
    for _ in range(50):
        answer = client.get("/hello")
        assert (answer.status, answer.body) == (200, HELLO)
        assert answer.field("Content-Length") == "13"


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, 65536, 65537, 3_000_000])
def test_a_body_comes_back_as_it_was_sent(apps: Server, size: int) -> None:
    body = os.urandom(size)
    client = apps.connect()
    client.send(f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode() + body)
    assert client.answer().body == body
    assert client.get("/hello").body == HELLO


def test_a_chunked_body_and_expect_continue(apps: Server) -> None:
    client = apps.connect()
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    assert client.answer().status == 100
    client.send("5\r\nHello\r\n8;x=y\r\n, World!\r\n0\r\nTrailer: x\r\n\r\n")
    assert client.answer().body == HELLO


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_an_answer_of_any_size(apps: Server, size: int) -> None:
    assert len(apps.connect().get(f"/size/{size}").body) == size


def test_a_slow_reader_does_not_hold_the_application(apps: Server) -> None:
    slow = [apps.connect() for _ in range(4)]
    for client in slow:
        client.send("GET /size/20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert apps.connect().get("/hello").body == HELLO
    assert [len(client.answer().body) for client in slow] == [20_000_000] * 4


def test_flushed_pieces_are_chunks(apps: Server) -> None:
    answer = apps.connect().get("/flush/5")
    assert answer.field("Transfer-Encoding") == "chunked" and answer.body


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_body_is_dropped_where_the_status_has_none(apps: Server, status: int) -> None:
    client = apps.connect()
    client.send(f"GET /bodied/{status} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.answer(head=True).status == status
    assert client.get("/hello").body == HELLO


def test_server_timing_is_left_out_where_there_is_no_room_for_it(backend: str, root: Path) -> None:
    with serving(backend, root, "--server_timing=1", apps=1) as server:
        client = server.connect()
        assert client.get("/many/127").field("Server-Timing").startswith("read;dur=")
        answer = client.get("/many/128")
        assert (answer.status, answer.field("Server-Timing")) == (200, "")


def test_an_interim_answer_comes_first(apps: Server) -> None:
    client = apps.connect()
    assert client.get("/interim").status == 103
    assert client.answer().status == 200


TRAILERS = [("X-Sum", "4"), ("Server-Timing", "db;dur=1.5")]


@pytest.mark.parametrize("path", ["/trailers", "/trailers/flush", "/trailers/length"])
@pytest.mark.parametrize("asked", ["trailers", "gzip, Trailers;q=0.5 , deflate"])
def test_trailers_follow_the_last_chunk(apps: Server, path: str, asked: str) -> None:
    """Of which those that must not stand there are left out."""
    client = apps.connect()
    client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nTE: {asked}\r\n\r\n")
    answer = client.answer()
    assert (answer.body, answer.field("Content-Length")) == (b"said", "")
    assert client.trailers == TRAILERS
    assert client.get("/hello").body == HELLO


@pytest.mark.parametrize("asked", ["", "TE: trailer\r\n", "TE: xtrailers, trailersx\r\n"])
def test_who_does_not_ask_for_trailers_gets_none(apps: Server, asked: str) -> None:
    client = apps.connect()
    client.send(f"GET /trailers/flush HTTP/1.1\r\nHost: a\r\n{asked}\r\n")
    assert (client.answer().body, client.trailers) == (b"none", [])
    client.send("GET /trailers HTTP/1.0\r\nTE: trailers\r\n\r\n")
    assert client.answer().body == b"none"


def test_trailers_are_said_once_and_not_where_there_is_no_body(apps: Server) -> None:
    client = apps.connect()
    client.send("GET /trailers/twice HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
    assert (client.answer().body, client.trailers) == (b"once", TRAILERS)
    client.send("HEAD /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
    assert client.answer(head=True).status == 200
    assert client.get("/hello").body == HELLO


def test_interim_answers_are_bounded(apps: Server) -> None:
    client = apps.connect()
    client.send("GET /interim/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [client.answer().status for _ in range(17)] == [103] * 16 + [200]


def test_what_a_process_said_before_it_left_is_not_lost(backend: str, root: Path) -> None:
    with serving(backend, root, apps=1) as server:
        before, client = server.children(), server.connect()
        client.send("GET /last/128 HTTP/1.1\r\nHost: a\r\n\r\n")

        def is_gone() -> bool:
            client.held += client.sock.recv(16384)
            return server.children() != before

        until(is_gone, "the process ends while its client is slow")
        assert client.answer().body == b"l" * 65536 * 128


def test_pipelined_requests_to_applications_stay_in_order(apps: Server) -> None:
    client = apps.connect()
    paths = ["/size/3", "/hello.txt", "/size/70000", "/hello", "/size/1"] * 10
    client.send("".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in paths))
    assert [len(client.answer().body) for _ in paths] == [3, 13, 70000, 13, 1] * 10


def test_a_crash_costs_its_own_request_only(apps: Server) -> None:
    others = [apps.connect() for _ in range(6)]
    victim = apps.connect()
    victim.send("GET /crash HTTP/1.1\r\nHost: a\r\n\r\n")
    for client in others:
        client.send("GET /sleep/20 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert victim.answer().status == 502
    assert [client.answer().status for client in others] == [200] * 6
    assert victim.get("/hello").body == HELLO


def test_killed_processes_are_replaced_while_requests_wait(apps: Server) -> None:
    client = apps.connect()
    for _ in range(5):
        before = apps.children()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(
            lambda gone=set(before): not gone & set(apps.children()), "the killed ones are reaped"
        )
        assert client.get("/hello").body == HELLO


def test_what_waits_behind_a_stuck_request_is_taken_over(apps: Server) -> None:
    warm = apps.connect()
    for _ in range(200):  # the pace is learnt: batches are handed ahead now
        warm.get("/hello")
    stuck = apps.connect()
    stuck.send("GET /sleep/3000 HTTP/1.1\r\nHost: a\r\n\r\n")
    clients = [apps.connect() for _ in range(QUEUE_MAX)]  # none is refused, however slow we are
    for client in clients:
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [client.answer().body for client in clients] == [HELLO] * QUEUE_MAX
    stuck.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        stuck.sock.recv(1)


def test_a_full_queue_says_503_and_when_to_come_back(apps: Server) -> None:
    busy = [apps.connect() for _ in range(2)]
    for client in busy:
        client.send("GET /sleep/1500 HTTP/1.1\r\nHost: a\r\n\r\n")
    # Who came later has an answer, so these have been read, and come before the crowd.
    assert apps.connect().get("/hello.txt").status == 200
    crowd = [apps.connect() for _ in range(40)]
    for client in crowd:
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    answers = [client.answer() for client in crowd]
    refused = [answer for answer in answers if answer.status == 503]
    assert refused and all(answer.field("Retry-After") == "1" for answer in refused)
    assert {answer.status for answer in answers} <= {200, 503}
    assert [client.answer().status for client in busy] == [200, 200]


def test_a_request_past_its_time_gets_504_and_the_process_is_replaced(
    backend: str, root: Path
) -> None:
    with serving(backend, root, "--request_timeout=300", apps=1) as server:
        before = server.children()
        client = server.connect()
        assert client.get("/sleep/60000").status == 504
        assert client.get("/hello").body == HELLO
        assert server.children() != before


def test_a_request_past_its_time_gets_504_before_the_process_has_ended_it(
    backend: str, root: Path
) -> None:
    with serving(backend, root, "--request_timeout=300", "--kill_grace=60000", apps=1) as server:
        before = server.children()
        client = server.connect()
        assert client.get("/sleep/1500").status == 504
        assert client.get("/hello").body == HELLO
        assert server.children() == before


def test_a_request_that_waits_too_long_gets_503(backend: str, root: Path) -> None:
    with serving(backend, root, "--queue_timeout=200", apps=1) as server:
        busy, late = server.connect(), server.connect()
        busy.send("GET /sleep/2000 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: _is_asleep(server), "the application is busy")
        assert late.get("/hello").status == 503
        assert busy.answer().status == 200


def _is_asleep(server: Server) -> bool:
    pids = server.children()
    return bool(pids) and "nanosleep" in Path(f"/proc/{pids[0]}/wchan").read_text()


def test_clients_that_leave_take_their_requests_along(apps: Server) -> None:
    for _ in range(30):
        gone = apps.connect()
        gone.send(
            "GET /sleep/5 HTTP/1.1\r\nHost: a\r\n\r\nGET /size/900000 HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        gone.sock.close()
    assert apps.connect().get("/hello").body == HELLO


def test_an_application_that_goes_on_after_its_answer(apps: Server) -> None:
    client = apps.connect()
    assert client.get("/after").status == 200
    assert client.get("/hello").body == HELLO


def test_an_application_that_fails_before_its_head(apps: Server) -> None:
    client = apps.connect()
    assert client.get("/exit-before-head").status in (500, 502)
    assert client.get("/hello").body == HELLO


def test_a_drain_answers_idle_connections_once_more(backend: str, root: Path) -> None:
    with serving(backend, root) as server:
        client = server.connect()
        client.get("/hello.txt")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(server), "no new connection is accepted")
        answer = client.get("/hello.txt")
        assert (answer.status, answer.closes) == (200, True)
        assert client.is_closed()
        # A request that crossed the answer must not reset it (RFC 9112 section 9.6).
        client.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_worker_that_is_kept_listens_again_when_it_is_told(backend: str, root: Path) -> None:
    with serving(backend, root, apps=1) as server:
        for _ in range(3):
            client = server.connect()
            client.get("/hello.txt")
            server.process.send_signal(signal.SIGUSR1)
            until(lambda: _refuses(server), "no new connection is accepted")
            answer = client.get("/hello")
            assert (answer.status, answer.closes) == (200, True), "what was open is finished"
            assert server.process.poll() is None, "with its last connection it does not end"
            server.process.send_signal(signal.SIGUSR2)
            assert server.connect().get("/hello").status == 200
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2):
            server.process.send_signal(number)  # before it has stopped to listen
        assert server.connect().get("/hello").status == 200
        server.process.send_signal(signal.SIGUSR1)
        until(lambda: _refuses(server), "and a kept worker drains for good: see serving()")


def _refuses(server: Server) -> bool:
    try:
        probe = Client(socket.create_connection(("127.0.0.1", server.port), timeout=0.2))
        probe.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        return not probe._more()
    except (TimeoutError, OSError):
        return True
