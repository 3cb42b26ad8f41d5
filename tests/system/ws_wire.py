# SPDX-License-Identifier: MIT
"""WebSocket clients that hide nothing: frames as bytes, over HTTP/1.1 or a stream of HTTP/2.

Knows sockets, frames and deadlines; what is right is for the tests to say.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self

import h2.config
import h2.connection
import h2.events
import h2.settings

DEADLINE_S = 30.0

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x12\x34\x56\x78"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
Headers = list[tuple[str, str]]


def frame(opcode: int, payload: bytes = b"", *, end: bool = True, rsv: int = 0) -> bytes:
    """One frame of a client's: masked."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    key = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    first = bytes([(0x80 if end else 0) | rsv << 4 | opcode])
    return first + length + MASK + masked.to_bytes(size, "big")


def close(code: int) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big"))


class Stream(Protocol):
    """What carries frames."""

    def send(self, data: bytes) -> None: ...
    def receive(self) -> bytes:
        """Some bytes; b"" at the end, or after a reset."""
        ...


@dataclass(slots=True)
class Peer:
    """Frames of a server's, one by one."""

    stream: Stream
    buffer: bytes = b""

    def send(self, data: bytes) -> None:
        self.stream.send(data)

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.stream.receive()
            if not data:
                raise EOFError(f"wanted {size} bytes, the stream ended after {self.buffer[:80]!r}")
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame, which is whole, plain and not masked."""
        first, length = self.take(2)
        assert first & 0xF0 == 0x80, hex(first)
        assert length < 0x80, "masked"
        if length >= 126:
            length = int.from_bytes(self.take(2 if length == 126 else 8), "big")
        return first & 0x0F, self.take(length)

    def is_over(self) -> bool:
        """Wait for the end: True unless bytes come first."""
        return self.buffer == b"" and self.stream.receive() == b""

    def closed(self) -> int:
        """The code of the Close that comes next, after which nothing may come; 0: without one."""
        opcode, payload = self.receive()
        assert opcode == CLOSE, (opcode, payload[:80])
        assert self.is_over()
        return int.from_bytes(payload[:2], "big")


@dataclass(slots=True)
class Plain:
    """A connection of HTTP/1.1 that asked for an upgrade."""

    socket: socket.socket
    head: str = ""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        try:
            return self.socket.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def upgrade(path: str, more: Iterable[str] = ()) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: test", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}", *more, "", ""]
    return "\r\n".join(lines).encode()


def connect(port: int) -> Plain:
    return Plain(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S))


def begin(
    stream: Plain, path: str = "/echo-ws", more: Iterable[str] = (), behind: bytes = b""
) -> Peer:
    """Ask, with bytes `behind` the request in the same piece, and insist on a 101."""
    stream.send(upgrade(path, more) + behind)
    peer = Peer(stream)
    while b"\r\n\r\n" not in peer.buffer:
        data = stream.receive()
        assert data, peer.buffer
        peer.buffer += data
    head, _, peer.buffer = peer.buffer.partition(b"\r\n\r\n")
    stream.head = head.decode()
    assert stream.head.startswith("HTTP/1.1 101 "), stream.head
    assert f"Sec-WebSocket-Accept: {ACCEPT}" in stream.head
    return peer


@dataclass(slots=True)
class Channel:
    """One stream of an HTTP/2 connection."""

    owner: "Http2"
    number: int
    data: bytes = b""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    reset: int | None = None

    def send(self, data: bytes) -> None:
        while data:
            self.owner.until(f"window on {self.number}", lambda: self.owner.window(self.number) > 0)
            size = min(len(data), self.owner.window(self.number), 16384)
            self.owner.h2.send_data(self.number, data[:size])
            self.owner.flush()
            data = data[size:]

    def finish(self) -> None:
        self.owner.h2.end_stream(self.number)
        self.owner.flush()

    def is_over(self) -> bool:
        return self.ended or self.reset is not None

    def receive(self) -> bytes:
        self.owner.until("bytes", lambda: self.data != b"" or self.is_over())
        data, self.data = self.data, b""
        return data


class Http2:
    """A client of RFC 8441 by the h2 library, which knows nothing of WebSocket."""

    def __init__(self, stream: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.socket = stream
        self.socket.settimeout(DEADLINE_S)
        self.channels: dict[int, Channel] = {}
        self.closed = False
        self.h2.initiate_connection()
        self.flush()
        self.until("settings", lambda: self.allows_connect() is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def allows_connect(self) -> int | None:
        code = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        seen = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS in self.h2.remote_settings
        return int(self.h2.remote_settings.get(code, 0)) if seen else None

    def window(self, stream: int) -> int:
        return int(self.h2.local_flow_control_window(stream))

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        while not condition():
            assert not self.closed, f"closed before: {what}"
            self.pump()

    def pump(self) -> None:
        data = self.socket.recv(1 << 16)
        self.closed = data == b""
        for event in self.h2.receive_data(data) if data else []:
            self.hear(event)
        self.flush()

    def hear(self, event: h2.events.Event) -> None:
        channel = self.channels.get(getattr(event, "stream_id", None) or 0)
        if channel is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            channel.headers = {str(name): str(value) for name, value in event.headers or ()}
            channel.status = int(channel.headers[":status"])
        elif isinstance(event, h2.events.DataReceived):
            channel.data += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, channel.number)
        elif isinstance(event, h2.events.StreamEnded):
            channel.ended = True
        elif isinstance(event, h2.events.StreamReset):
            channel.reset = int(event.error_code or 0)

    def open(
        self, path: str = "/echo-ws", more: Headers | None = None, *, protocol: str = "websocket"
    ) -> Channel:
        number = self.h2.get_next_available_stream_id()
        head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http")]
        head += [(":path", path), (":authority", "test"), ("sec-websocket-version", "13")]
        channel = self.channels[number] = Channel(self, number)
        self.h2.send_headers(number, [*head, *(more or [])])
        self.flush()
        self.until("an answer", lambda: channel.status != 0 or channel.is_over())
        return channel
