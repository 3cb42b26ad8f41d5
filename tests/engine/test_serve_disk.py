# SPDX-License-Identifier: MIT
"""A disk that stands still, or is full, under a worker with sanitizers, on both I/O backends.

Large request bodies and the answers of slow clients wait in temporary files. As long as the disk
takes nothing they wait in memory, each up to a limit, and nobody else notices.
"""

import contextlib
import fcntl
import os
import select
import socket
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from system.h2_wire import DATA, END_HEADERS, END_STREAM, Peer, frame, get, head, request

from askrctl.config import TlsConfig
from askrctl.server.tls import Tls, self_signed
from askrctl.server.tls_store import encode

from .serve_client import Client, Server, serving
from .test_serve_h2 import WIDE
from .test_serve_tls import trusting

HELLO = b"Hello, World!"
AHEAD_MAX = 1 << 18  # SPOOL_AHEAD_MAX
ALL_AHEAD_MAX = 1 << 25  # SPOOLS_AHEAD_MAX
MEMORY_MAX = 1 << 16  # BODY_MEMORY_MAX
ON_THE_WAY = 8 << 20  # what two socket buffers take, at most
LARGE = 20_000_000
IN_WINDOW = 15_000_000  # what WIDE lets a stream have
BODY = os.urandom(3_000_000)
STALL_MS = 300  # so long nothing could be sent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


class Disk:
    """What temporary files are written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stop(self) -> None:
        self.path.write_text("still")

    def fill(self) -> None:
        self.path.write_text("full")

    def go_on(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = Disk(tmp_path / "disk")
    yield found
    found.go_on()


@pytest.fixture(params=["epoll", "io_uring"])
def server(request: pytest.FixtureRequest, root: Path, disk: Disk) -> Iterator[Server]:
    with serving(str(request.param), root, "--disk", str(disk.path), apps=2) as started:
        yield started
        disk.go_on()


def start_upload(server: Server, size: int) -> Client:
    client = server.connect()
    client.send(f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
    return client


def send_what_goes(sock: socket.socket, data: bytes) -> int:
    """How much was sent before nothing more could be."""
    sent = 0
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while sent < len(data) and poll.poll(STALL_MS):
        with contextlib.suppress(BlockingIOError):
            sent += sock.send(data[sent : sent + 65536])
    sock.settimeout(60)
    return sent


def is_silent(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def waiting(sock: socket.socket) -> int:
    """Bytes that have come and were not read, when no more come."""
    before, found = -1, 0
    while found != before:
        before = found
        time.sleep(STALL_MS / 1000)
        found = int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), "little")
    return found


def others_are_served(server: Server) -> None:
    client = server.connect()
    for _ in range(20):
        assert client.get("/hello").body == HELLO


def test_an_upload_waits_and_nobody_else_does(server: Server, disk: Disk) -> None:
    disk.stop()
    uploads = [start_upload(server, len(BODY)) for _ in range(3)]
    sent = [send_what_goes(upload.sock, BODY) for upload in uploads]
    others_are_served(server)
    assert all(is_silent(upload.sock) for upload in uploads)
    disk.go_on()
    for upload, size in zip(uploads, sent, strict=True):
        upload.send(BODY[size:])
        assert upload.answer().body == BODY


def test_a_whole_body_that_is_not_stored_yet_is_not_handed_over(server: Server, disk: Disk) -> None:
    """Its end has come, and needs no more bytes to be seen."""
    disk.stop()
    uploads = [start_upload(server, size) for size in (MEMORY_MAX + 1, 200_000, AHEAD_MAX)]
    bodies = [BODY[:size] for size in (MEMORY_MAX + 1, 200_000, AHEAD_MAX)]
    for upload, body in zip(uploads, bodies, strict=True):
        upload.send(body)
    others_are_served(server)
    assert all(is_silent(upload.sock) for upload in uploads)
    disk.go_on()
    for upload, body in zip(uploads, bodies, strict=True):
        assert upload.answer().body == body
        assert upload.get("/hello").body == HELLO


def test_a_client_is_held_back_at_the_limit(server: Server, disk: Disk) -> None:
    disk.stop()
    upload = start_upload(server, 24 << 20)
    data = bytes(24 << 20)
    sent = send_what_goes(upload.sock, data)
    assert AHEAD_MAX <= sent <= AHEAD_MAX + ON_THE_WAY
    disk.go_on()
    upload.send(data[sent:])
    assert upload.answer().body == data


def test_clients_that_leave_are_forgotten(server: Server, disk: Disk) -> None:
    disk.stop()
    for _ in range(10):
        upload = start_upload(server, len(BODY))
        send_what_goes(upload.sock, BODY[:200_000])
        upload.sock.close()
    others_are_served(server)
    disk.go_on()
    upload = start_upload(server, len(BODY))
    upload.send(BODY)
    assert upload.answer().body == BODY


def test_no_more_is_kept_in_memory_than_the_limit_of_all(server: Server, disk: Disk) -> None:
    """They hold a first part each; then a new one is refused, and the small ones are not."""
    disk.stop()
    uploads: list[Client] = []
    body = bytes(MEMORY_MAX + 1)
    status = 0
    while status == 0 and len(uploads) * len(body) < 3 * ALL_AHEAD_MAX:
        upload = start_upload(server, len(BODY))
        upload.send(body)
        uploads.append(upload)
        others = server.connect()
        assert others.get("/hello").body == HELLO, "so the upload before has been read"
        others.sock.close()
        if not is_silent(upload.sock):
            status = upload.answer().status
    assert status == 503
    assert 2 * ALL_AHEAD_MAX <= len(uploads) * len(body) < 2 * ALL_AHEAD_MAX + 16 * len(body)
    small = start_upload(server, MEMORY_MAX)
    small.send(bytes(MEMORY_MAX))
    assert small.answer().body == bytes(MEMORY_MAX)
    disk.go_on()
    rest = BODY[len(body) :]
    uploads[0].send(rest)
    assert uploads[0].answer().body == body + rest


def test_over_http2_the_window_stays_shut(server: Server, disk: Disk) -> None:
    disk.stop()
    with Peer(("127.0.0.1", server.port)) as peer:
        peer.send(WIDE + head(1, request("/echo", "POST"), END_HEADERS))
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO, "the connection's window is open"
        peer.send(b"".join(frame(DATA, 0, 1, bytes(10_000)) for _ in range(25)))
        peer.send(get(5, "/hello"))
        assert peer.finish(5).body == HELLO
        assert given(peer) == 0
        disk.go_on()
        peer.until("the window opens", lambda: given(peer) > 200_000)
        peer.send(b"".join(frame(DATA, 0, 1, bytes(10_000)) for _ in range(20)))
        peer.send(frame(DATA, END_STREAM, 1))
        assert peer.finish(1).body == bytes(450_000)


def given(peer: Peer) -> int:
    """How much of its window the first stream has been given back."""
    return sum(
        item.window_increment
        for item in peer.frames
        if type(item).__name__ == "WindowUpdateFrame" and item.stream_id == 1
    )


def test_an_answer_waits_and_nobody_else_does(server: Server, disk: Disk) -> None:
    disk.stop()
    slow = server.connect()
    slow.send(f"GET /size/{LARGE} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert 0 < waiting(slow.sock) < LARGE
    others_are_served(server)
    disk.go_on()
    assert len(slow.answer().body) == LARGE
    assert slow.get("/hello").body == HELLO


def test_an_answer_waits_over_tls(root: Path, disk: Disk, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_bytes(encode(Tls(TlsConfig(), (self_signed(),), b"", ()), [os.urandom(80)]))
    options = ["--tls", str(store), "--disk", str(disk.path)]
    with serving("epoll", root, *options, apps=2) as server:
        disk.stop()
        slow, other = (
            Client(trusting("http/1.1").wrap_socket(server.connect().sock)) for _ in range(2)
        )
        slow.send(f"GET /size/{LARGE} HTTP/1.1\r\nHost: a\r\n\r\n")
        assert 0 < waiting(slow.sock) < LARGE
        assert other.get("/hello").body == HELLO
        disk.go_on()
        assert len(slow.answer().body) == LARGE


def test_an_answer_waits_over_http2(server: Server, disk: Disk) -> None:
    disk.stop()
    with Peer(("127.0.0.1", server.port)) as peer:
        peer.send(WIDE + get(1, f"/size/{IN_WINDOW}"))
        assert 0 < waiting(peer.stream) < IN_WINDOW
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO
        assert not peer.answer(1).ended
        disk.go_on()
        assert len(peer.finish(1).body) == IN_WINDOW


def test_a_body_for_a_full_disk_is_a_507(server: Server, disk: Disk) -> None:
    disk.fill()
    upload = start_upload(server, len(BODY))
    upload.send(BODY[:200_000])
    assert upload.answer().status == 507
    others_are_served(server)
    whole = start_upload(server, 200_000)
    whole.send(BODY[:200_000])
    assert whole.answer().status == 507, "also one that had come whole"


def test_an_answer_for_a_full_disk_is_cut(server: Server, disk: Disk) -> None:
    disk.fill()
    slow = server.connect()
    slow.send(f"GET /size/{LARGE} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert waiting(slow.sock) < LARGE
    others_are_served(server)
    got = 0
    with contextlib.suppress(ConnectionError):
        while data := slow.sock.recv(1 << 16):
            got += len(data)
    assert 0 < got < LARGE
    with Peer(("127.0.0.1", server.port)) as peer:
        peer.send(WIDE + get(1, f"/size/{IN_WINDOW}"))
        assert waiting(peer.stream) < IN_WINDOW
        peer.send(get(3, "/hello"))
        assert peer.finish(3).body == HELLO
        assert peer.finish(1).reset is not None
