# SPDX-License-Identifier: MIT
"""A worker that speaks TLS, under ASan and UBSan, on both I/O backends.

Its clients are good, slow, broken, gone, or many at once.
"""

import ctypes
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from system.h2_wire import ACK, PING, PREFACE, frame, get, settings

from askrctl.config import TlsConfig
from askrctl.server.tls import Tls, self_signed
from askrctl.server.tls_store import encode

from .serve_client import DEADLINE_S, Client, Server, serving, until

BACKENDS = ["epoll", "io_uring"]
LARGE = bytes(range(256)) * 40960
MANY = 150
TCP_CLOSE = 7  # include/net/tcp_states.h


def trusting(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root")
    (path / "hello.txt").write_bytes(b"hello")
    (path / "large.bin").write_bytes(LARGE)
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "store"
    tls = Tls(TlsConfig(), (self_signed(),), b"", ())
    path.write_bytes(encode(tls, [os.urandom(80)]))
    return path


@pytest.fixture(params=BACKENDS)
def server(request: pytest.FixtureRequest, root: Path, store: Path) -> Iterator[Server]:
    with serving(str(request.param), root, "--tls", str(store), apps=1) as started:
        yield started


@pytest.fixture(params=BACKENDS)
def hasty(request: pytest.FixtureRequest, root: Path, store: Path) -> Iterator[Server]:
    options = ["--tls", str(store), "--write_timeout=300"]
    with serving(str(request.param), root, *options) as started:
        yield started


def plain(server: Server) -> socket.socket:
    return server.connect().sock


def secure(server: Server, context: ssl.SSLContext | None = None) -> Client:
    wrapped = (context or trusting()).wrap_socket(plain(server), suppress_ragged_eofs=False)
    server.clients.append(wrapped)
    return Client(wrapped)


def test_answers_follow_each_other_on_one_connection(server: Server) -> None:
    client = secure(server)
    for _ in range(3):
        answer = client.get("/hello.txt")
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.field("Strict-Transport-Security") == "max-age=60"
    assert client.get("/large.bin").body == LARGE
    client.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
    for _ in range(50):
        assert client.answer().body == b"hello"
    last = client.get("/hello.txt", "Connection: close")
    assert last.closes and client.is_closed()


def test_an_application_takes_an_upload_and_streams(server: Server) -> None:
    body = os.urandom(1 << 20)
    client = secure(server)
    for _ in range(2):
        client.send(f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n")
        client.send(body)
        assert client.answer().body == body


class Raw:
    """A TLS client whose bytes are ours to send, one by one if need be."""

    def __init__(self, server: Server) -> None:
        self.sock = plain(server)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(self.incoming, self.outgoing)
        self.size = 1 << 20  # of what is sent at once

    def push(self) -> None:
        data = self.outgoing.read()
        for start in range(0, len(data), self.size):
            self.sock.sendall(data[start : start + self.size])

    def pull(self) -> None:
        data = self.sock.recv(65536)
        self.incoming.write(data) if data else self.incoming.write_eof()

    def handshake(self) -> None:
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.push()
                self.pull()

    def ask(self, request: bytes) -> None:
        self.tls.write(request)
        self.push()

    def rest(self) -> bytes:
        """Until close_notify; anything else that ends the stream raises."""
        received = bytearray()
        while True:
            try:
                part = self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.pull()
                continue
            except ssl.SSLZeroReturnError:
                return bytes(received)
            if not part:
                return bytes(received)
            received += part


CLOSING = b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_every_byte_may_come_alone(server: Server) -> None:
    client = Raw(server)
    client.size = 1
    client.handshake()
    client.ask(CLOSING)
    assert client.rest().endswith(LARGE)


def test_who_says_goodbye_early_still_gets_its_answer(server: Server) -> None:
    client = Raw(server)
    client.handshake()
    client.ask(CLOSING)
    with pytest.raises(ssl.SSLWantReadError):  # it would wait for the peer's
        client.tls.unwrap()
    client.push()
    client.sock.shutdown(socket.SHUT_WR)
    assert client.rest().endswith(LARGE)


def test_many_handshakes_at_once_all_get_through(server: Server) -> None:
    waiting = [plain(server) for _ in range(MANY)]
    hellos = []
    for sock in waiting:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting().wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hellos.append((sock, outgoing.read()))
    for sock, hello in hellos:
        sock.sendall(hello)
    for sock in waiting:
        assert sock.recv(5)[:1] == b"\x16"  # a handshake record: ServerHello


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x00\x05rubbish",
        b"\x80\x2e\x01\x00\x02",
        b"\x17\x03\x03\x00\x05hello",
        b"\0" * 99,
    ],
    ids=["handshake", "ssl2", "data", "zeros"],
)
def test_rubbish_ends_the_connection_and_nothing_else(server: Server, rubbish: bytes) -> None:
    client = Client(plain(server))
    client.send(rubbish)
    client.sock.shutdown(socket.SHUT_WR)
    assert b"HTTP" not in client.rest()
    assert secure(server).get("/hello.txt").body == b"hello"


def test_plain_http_is_answered_in_clear(server: Server) -> None:
    client = Client(plain(server))
    answer = client.get("/hello.txt")
    assert answer.status == 400 and b"https://" in answer.body
    assert client.is_closed()


def test_a_broken_record_is_answered_with_an_alert(server: Server) -> None:
    client = secure(server)
    assert client.get("/hello.txt").body == b"hello"
    with socket.fromfd(client.sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.sock.recv(1)


def test_a_broken_record_ends_http_2_as_well(server: Server) -> None:
    client = secure(server, trusting("h2"))
    client.send(PREFACE + settings())
    assert client.sock.recv(1)
    with socket.fromfd(client.sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.rest()
    assert secure(server).get("/hello.txt").body == b"hello"


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_follows_a_goodbye_in_a_drain(backend: str, root: Path, store: Path) -> None:
    with serving(backend, root, "--tls", str(store)) as server:
        clients = [secure(server, trusting("h2")) for _ in range(8)]
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(server), "no new connection is accepted")
        for client in clients:
            client.send(PREFACE + settings() + get(1, "/hello.txt"))
        for client in clients:
            ping = frame(PING, 0, 0, b"", 8)
            while ping not in client.held[:-8]:
                client.held += client.sock.recv(65536)
            data = client.held.split(ping, 1)[1][:8]
            client.send(frame(PING, ACK, 0, data))
            assert isinstance(client.sock, ssl.SSLSocket)
            client.sock.settimeout(0)
            with suppress(OSError):  # it does not wait for the server's goodbye
                client.sock.unwrap()


def test_who_leaves_at_any_moment_is_forgotten(server: Server) -> None:
    for moment in range(4):
        sock, incoming, outgoing = plain(server), ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting().wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        if moment > 0:
            sock.sendall(hello[: len(hello) // 2] if moment == 1 else hello)
        if moment == 3:
            assert sock.recv(1)
        sock.close()
    client = secure(server)
    client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.sock.recv(1)
    client.sock.close()
    client = secure(server)
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
    client.sock.close()
    assert secure(server).get("/hello.txt").body == b"hello"


def test_a_reader_that_stops_is_reset(hasty: Server) -> None:
    sock = plain(hasty)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = Client(trusting().wrap_socket(sock, suppress_ragged_eofs=False))
    hasty.clients.append(client.sock)
    client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
    until(lambda: reset(client.sock), "the connection is reset")


def refuses(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as probe:
            trusting().wrap_socket(probe).close()
        return False
    except OSError:
        return True


def reset(sock: socket.socket) -> bool:
    """Has the peer reset it? Nothing is read to find out (tcp(7): TCP_INFO's first byte)."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == bytes([TCP_CLOSE])


def test_a_resumed_session_works_as_well(server: Server) -> None:
    context = trusting()
    first = secure(server, context)
    assert first.get("/hello.txt").body == b"hello"
    assert isinstance(first.sock, ssl.SSLSocket)
    session = first.sock.session
    again = context.wrap_socket(plain(server), session=session)
    server.clients.append(again)
    assert Client(again).get("/hello.txt").body == b"hello"
    assert again.session_reused


class KeyClient:
    """OpenSSL itself, because Python's `ssl` knows no KeyUpdate."""

    def __init__(self, sock: socket.socket) -> None:
        self.library = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self.library, name).restype = ctypes.c_void_p
        method = ctypes.c_void_p(self.library.TLS_client_method())
        self.context = ctypes.c_void_p(self.library.SSL_CTX_new(method))
        self.ssl = ctypes.c_void_p(self.library.SSL_new(self.context))
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.library.SSL_set_fd(self.ssl, sock.fileno())
        assert self.library.SSL_connect(self.ssl) == 1

    def update(self, asks: bool) -> bool:
        """False: the connection has ended."""
        self.library.SSL_key_update(self.ssl, int(asks))
        return bool(self.library.SSL_do_handshake(self.ssl) == 1)

    def write(self, data: bytes) -> bool:
        return bool(self.library.SSL_write(self.ssl, data, len(data)) == len(data))

    def read(self) -> bytes:
        buffer = ctypes.create_string_buffer(65536)
        size = self.library.SSL_read(self.ssl, buffer, len(buffer))
        return buffer.raw[: max(size, 0)]

    def close(self) -> None:
        self.library.SSL_free(self.ssl)
        self.library.SSL_CTX_free(self.context)


def test_a_peer_that_does_little_but_change_its_keys_is_ended(server: Server) -> None:
    with closing(KeyClient(plain(server))) as client:
        client.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
        done, end = 0, time.monotonic() + DEADLINE_S
        while client.update(asks=False) and (done % 100 or client.write(b"x")):
            done += 1
            assert time.monotonic() < end, "nobody has had enough"
    assert secure(server).get("/hello.txt").status == 200


def test_a_peer_may_change_its_keys_now_and_then(server: Server) -> None:
    with closing(KeyClient(plain(server))) as client:
        for _ in range(100):
            assert client.update(asks=True)
            assert client.write(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.read().endswith(b"hello")
