# SPDX-License-Identifier: MIT
"""WebSockets on a worker under sanitizers, over HTTP/1.1 and HTTP/2: messages, limits, ends."""

import os
import signal
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from system.ws_wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Http2,
    Peer,
    begin,
    close,
    connect,
    frame,
    upgrade,
)
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_client

from .serve_client import Server
from .serve_client import serving as serving_anything

BACKENDS = ["epoll", "io_uring"]
CARRIERS = ["h1", "h2"]
SIZES = [0, 1, 125, 126, 4096, 32768, 32769, 65535, 65536, 1 << 20]


def serving(backend: str, root: Path, *options: str) -> AbstractContextManager[Server]:
    return serving_anything(backend, root, "--echo", "/echo-ws", *options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def echo(backend: str, root: Path) -> Iterator[Server]:
    with serving(backend, root) as server:
        yield server


@contextmanager
def http2(server: Server) -> Iterator[Http2]:
    with Http2(socket.create_connection(("127.0.0.1", server.port))) as peer:
        yield peer


@contextmanager
def talking(server: Server, carrier: str) -> Iterator[Peer]:
    """A WebSocket without compression, by whatever carries it."""
    if carrier == "h1":
        with connect(server.port) as stream:
            yield begin(stream)
        return
    with http2(server) as connection:
        channel = connection.open()
        assert channel.status == 200, channel
        yield Peer(channel)


def client(server: Server, compression: str | None = "deflate") -> ClientConnection:
    return connect_client(
        f"ws://127.0.0.1:{server.port}/echo-ws",
        compression=compression,
        max_size=1 << 21,
        open_timeout=30,
        close_timeout=30,
        ping_interval=None,
    )


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_come_back_as_they_were(echo: Server, compression: str | None) -> None:
    with client(echo, compression) as peer:
        assert (peer.response is not None) and (
            "Sec-WebSocket-Extensions" in peer.response.headers
        ) == (compression is not None)
        for size in SIZES:
            data = os.urandom(size // 2) + b"\0" * (size - size // 2)
            peer.send(data)
            assert peer.recv(timeout=30) == data
            text = "äx" * (size // 3)
            peer.send(text)
            assert peer.recv(timeout=30) == text
        for _ in range(300):
            peer.send("many small ones")
        assert {peer.recv(timeout=30) for _ in range(300)} == {"many small ones"}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_frames_come_in_whatever_pieces(echo: Server, carrier: str) -> None:
    with talking(echo, carrier) as peer:
        data = frame(TEXT, b"he", end=False) + frame(PING, b"?") + frame(CONTINUATION, b"llo")
        for byte in data:
            peer.send(bytes([byte]))
        assert peer.receive() == (PONG, b"?")
        assert peer.receive() == (TEXT, b"hello")
        large = os.urandom(300_000)
        peer.send(frame(BINARY, large) + frame(TEXT, b"and one more"))
        assert peer.receive() == (BINARY, large)
        assert peer.receive() == (TEXT, b"and one more")
        peer.send(close(1000))
        assert peer.closed() == 1000


def test_frames_may_follow_the_request_in_the_same_packet(echo: Server) -> None:
    with connect(echo.port) as stream:
        peer = begin(stream, behind=frame(TEXT, b"early") + close(3999))
        assert peer.receive() == (TEXT, b"early")
        assert peer.closed() == 3999


def test_what_was_asked_before_the_upgrade_is_answered_before_it(echo: Server, root: Path) -> None:
    (root / "a.txt").write_text("file a")
    with connect(echo.port) as stream:
        stream.send(b"GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n" + upgrade("/echo-ws"))
        peer = Peer(stream)
        wanted = b"file aHTTP/1.1 101 "
        while wanted not in peer.buffer:
            data = stream.receive()
            assert data, peer.buffer
            peer.buffer += data


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(3), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(BINARY, b"x" * (1 << 20), end=False) + frame(CONTINUATION, b"x"), 1009),
        (frame(PING) * 1100, 1008),
        (close(1000), 1000),
        (frame(CLOSE), 0),
    ],
    ids=["opcode", "utf8", "size", "flood", "close", "no code"],
)
def test_an_end_says_why(echo: Server, carrier: str, data: bytes, code: int) -> None:
    with talking(echo, carrier) as peer:
        peer.send(data)
        opcode, payload = peer.receive()
        while opcode == PONG:
            opcode, payload = peer.receive()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
        assert peer.is_over()


def test_a_bomb_does_not_go_off(echo: Server) -> None:
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeezed.compress(b"\0" * (64 << 20)) + squeezed.flush(zlib.Z_SYNC_FLUSH)
    with connect(echo.port) as stream:
        peer = begin(stream, more=["Sec-WebSocket-Extensions: permessage-deflate"])
        peer.send(frame(BINARY, bomb[:-4], rsv=4))
        assert peer.closed() == 1009


@pytest.mark.parametrize("carrier", CARRIERS)
def test_who_sends_without_reading_is_held_back_and_loses_nothing(
    echo: Server, carrier: str
) -> None:
    count, size = 200 if carrier == "h1" else 80, 50_000

    def send(peer: Peer) -> None:
        for number in range(count):
            peer.send(frame(BINARY, bytes([number]) * size))

    if carrier == "h1":
        with talking(echo, carrier) as peer:
            sender = threading.Thread(target=send, args=(peer,))
            sender.start()
            received = [peer.receive() for _ in range(count)]
            sender.join()
    else:  # one thread: the windows of both sides take turns
        with http2(echo) as connection:
            peer = Peer(connection.open())
            for number in range(count):
                peer.send(frame(BINARY, bytes([number]) * size))
            received = [peer.receive() for _ in range(count)]
    assert received == [(BINARY, bytes([number]) * size) for number in range(count)]


@contextmanager
def talking_alone(backend: str, root: Path, carrier: str, *options: str) -> Iterator[Peer]:
    with serving(backend, root, *options) as server, talking(server, carrier) as peer:
        yield peer


@pytest.mark.parametrize("carrier", CARRIERS)
def test_who_is_silent_is_pinged(backend: str, root: Path, carrier: str) -> None:
    with talking_alone(backend, root, carrier, "--websocket_ping=50") as peer:
        for _ in range(3):
            assert peer.receive() == (PING, b"")
            peer.send(frame(PONG))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_who_does_not_answer_a_ping_is_cut_off(backend: str, root: Path, carrier: str) -> None:
    options = ["--websocket_ping=50", "--websocket_pong=50"]
    with talking_alone(backend, root, carrier, *options) as peer:
        assert peer.receive() == (PING, b"")
        assert peer.is_over()


@pytest.mark.parametrize("carrier", CARRIERS)
def test_who_says_nothing_for_long_is_sent_away(backend: str, root: Path, carrier: str) -> None:
    options = ["--websocket_idle=100", "--websocket_close=100"]
    with talking_alone(backend, root, carrier, *options) as peer:
        assert peer.closed() == 1001  # and it does not wait for our answer for ever


def test_memory_for_messages_is_bounded(backend: str, root: Path) -> None:
    options = ["--websocket_memory=300000", "--websocket_bits=0"]
    with (
        serving(backend, root, *options) as server,
        talking(server, "h1") as one,
        talking(server, "h1") as other,
    ):
        one.send(frame(BINARY, b"x" * 150_000, end=False) + frame(PING))
        assert one.receive() == (PONG, b"")
        other.send(frame(BINARY, b"x" * 150_000))
        assert other.closed() == 1013
        one.send(frame(CONTINUATION, b"y"))
        assert one.receive() == (BINARY, b"x" * 150_000 + b"y")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_without_memory_for_compression_messages_go_as_they_are(
    backend: str, root: Path, carrier: str
) -> None:
    offer = [("sec-websocket-extensions", "permessage-deflate")]
    with serving(backend, root, "--websocket_memory=0") as server, connect(server.port) as stream:
        if carrier == "h1":
            peer = begin(stream, more=[": ".join(pair) for pair in offer])
        else:
            peer = Peer(Http2(stream.socket).open(more=offer))
        peer.send(frame(TEXT, b"a message that would be compressed"))
        assert peer.receive() == (TEXT, b"a message that would be compressed")
        peer.send(frame(TEXT, b"\x00", rsv=4))
        assert peer.closed() == 1013


def test_a_stateless_server_keeps_no_window(backend: str, root: Path) -> None:
    with (
        serving(backend, root, "--websocket_forget=1") as server,
        client(server) as one,
        client(server) as other,
    ):
        assert one.response is not None
        extensions = one.response.headers["Sec-WebSocket-Extensions"]
        assert "server_no_context_takeover" in extensions
        for _ in range(3):
            one.send("what the one says")
            other.send("what the other says")
            assert one.recv(timeout=30) == "what the one says"
            assert other.recv(timeout=30) == "what the other says"


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_drain_says_goodbye_and_waits_for_the_answer(
    backend: str, root: Path, carrier: str
) -> None:
    with serving(backend, root) as server, talking(server, carrier) as peer:
        server.process.send_signal(signal.SIGTERM)
        opcode, payload = peer.receive()
        assert (opcode, payload[:2]) == (CLOSE, (1001).to_bytes(2, "big"))
        peer.send(frame(TEXT, b"too late") + frame(CLOSE, payload[:2]))
        assert peer.is_over()


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_drain_ends_also_without_an_answer(backend: str, root: Path, carrier: str) -> None:
    with serving(backend, root) as server, talking(server, carrier) as peer:
        peer.send(frame(BINARY, b"half a message", end=False))
        server.process.send_signal(signal.SIGTERM)
        assert peer.receive()[0] == CLOSE
        server.process.wait(30)


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_may_vanish(echo: Server, how: str) -> None:
    for data in (b"", frame(TEXT, b"x", end=False), frame(BINARY, b"x" * 500_000)):
        with connect(echo.port) as stream:
            begin(stream).send(data)
            if how == "reset":
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with talking(echo, "h1") as peer:
        peer.send(frame(TEXT, b"still there"))
        assert peer.receive() == (TEXT, b"still there")


def test_streams_of_a_connection_are_separate(echo: Server) -> None:
    with http2(echo) as connection:
        assert connection.allows_connect() == 1
        one, two, three, four = (Peer(connection.open()) for _ in range(4))
        one.send(frame(TEXT, b"one"))
        two.send(frame(TEXT, b"\xff"))
        connection.channels[5].finish()  # without a Close
        connection.h2.reset_stream(7, 8)
        assert one.receive() == (TEXT, b"one")
        assert two.closed() == 1007
        assert three.is_over() and connection.channels[5].reset == 8
        assert four.stream is connection.channels[7]
        one.send(close(1000))
        connection.channels[1].finish()
        assert one.closed() == 1000
        assert connection.channels[1].reset in (None, 0)  # NO_ERROR: it had not heard our end
        five = Peer(connection.open())
        five.send(frame(TEXT, b"five"))
        assert five.receive() == (TEXT, b"five")


def test_what_else_a_connect_may_ask_for(echo: Server) -> None:
    with http2(echo) as connection:
        assert connection.open("/none").status == 404
        assert connection.open(protocol="mqtt").status == 501
        assert connection.open(more=[("sec-websocket-version", "13")]).status == 400
        chosen = connection.open(more=[("sec-websocket-protocol", "chat, mqtt")])
        assert (chosen.status, chosen.headers["sec-websocket-protocol"]) == (200, "chat")


def test_who_wants_no_websocket_is_told(echo: Server) -> None:
    peer = echo.connect()
    answer = peer.get("/echo-ws")
    assert answer.status == 426
    assert answer.field("Upgrade") == "websocket" and answer.field("Connection") == "upgrade"
    assert answer.field("Sec-WebSocket-Version") == "13"
    assert peer.get("/echo-ws", "Upgrade: websocket", "Connection: upgrade").status == 426
    bad = ("Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 13")
    assert peer.get("/echo-ws", *bad, "Sec-WebSocket-Key: short").status == 400
    assert peer.get("/echo-ws", "Connection: close").field("Connection") == "close, upgrade"
    assert peer.is_closed()
