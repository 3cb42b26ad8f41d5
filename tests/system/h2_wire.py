# SPDX-License-Identifier: MIT
"""HTTP/2 as bytes, for tests that break its rules: frames made one by one, and an honest reader.

`hyperframe` parses what the server says, `hpack` decodes its heads. What is sent is put together
here from octets, because a library would refuse to write most of it.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from hpack import Decoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEADLINE_S = 20.0
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE = 8, 9, 16
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32
Pairs = Iterable[tuple[str | bytes, str | bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", size: int = -1) -> bytes:
    """One frame; `size` lies about the payload's."""
    length = len(payload) if size < 0 else size
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """RFC 7541 section 5.1."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    """A string literal without Huffman (RFC 7541 section 5.2)."""
    data = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(data), 7) + data


def literal(name: str | bytes, value: str | bytes, first: int = 0) -> bytes:
    """A field with a literal name: 0 not indexed, 0x10 never indexed, 0x40 indexed."""
    return bytes([first]) + text(name) + text(value)


def block(fields: Pairs) -> bytes:
    return b"".join(literal(name, value) for name, value in fields)


def request(path: str = "/a.txt", method: str = "GET", more: Pairs = ()) -> list[tuple[str, str]]:
    basic = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
    return [*basic, *more]  # type: ignore[list-item]


def get(stream: int = 1, path: str = "/a.txt", more: Pairs = ()) -> bytes:
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block(request(path, more=more)))


def head(stream: int, fields: Pairs, flags: int = END_STREAM | END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, block(fields))


def setting(key: int, value: int) -> bytes:
    return key.to_bytes(2, "big") + value.to_bytes(4, "big")


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(setting(key, value) for key, value in pairs))


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


@dataclass(slots=True)
class Answer:
    """What one stream has brought so far."""

    heads: list[list[tuple[str, str]]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None  # error code

    @property
    def status(self) -> int:
        finals = [fields for fields in self.heads if not fields[0][1].startswith("1")]
        return int(dict(finals[0])[":status"]) if finals else 0

    def get(self, name: str) -> str:
        return ", ".join(value for key, value in self.heads[-1] if key == name)


@dataclass(slots=True)
class Peer:
    """One connection and all that the server has said on it."""

    address: tuple[str, int]
    preface: bytes = PREFACE + settings()
    stream: socket.socket = field(init=False)
    buffer: bytes = b""
    decoder: Decoder = field(default_factory=Decoder)
    answers: dict[int, Answer] = field(default_factory=dict)
    goaways: list[tuple[int, int]] = field(default_factory=list)  # error code, last stream
    pongs: list[bytes] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    closed: bool = False
    polite: bool = True  # acknowledge SETTINGS and PING
    sent_data: int = 0  # bytes of DATA payload, as far as whole frames were sent in one go

    def __post_init__(self) -> None:
        self.decoder.max_allowed_table_size = 65536
        self.stream = socket.create_connection(self.address, timeout=DEADLINE_S)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(self.preface)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def send(self, data: bytes) -> None:
        """The server may have had enough before all of it is sent: that is for the test to see."""
        if len(data) >= 9 and data[3] == DATA:
            self.sent_data += int.from_bytes(data[:3], "big")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.stream.sendall(data)

    def send_bytewise(self, data: bytes) -> None:
        for index in range(len(data)):
            self.send(data[index : index + 1])

    def answer(self, stream: int) -> Answer:
        return self.answers.setdefault(stream, Answer())

    def _take(self, item: Frame) -> None:
        self.frames.append(item)
        if isinstance(item, HeadersFrame):
            assert "END_HEADERS" in item.flags, "the server never needs a CONTINUATION here"
            fields = [(str(name), str(value)) for name, value in self.decoder.decode(item.data)]
            self.answer(item.stream_id).heads.append(fields)
        if isinstance(item, DataFrame):
            self.answer(item.stream_id).body += item.data
        if isinstance(item, HeadersFrame | DataFrame) and "END_STREAM" in item.flags:
            self.answer(item.stream_id).ended = True
        if isinstance(item, RstStreamFrame):
            self.answer(item.stream_id).reset = item.error_code
        if isinstance(item, GoAwayFrame):
            self.goaways.append((item.error_code, item.last_stream_id))
        if isinstance(item, PingFrame) and "ACK" in item.flags:
            self.pongs.append(item.opaque_data)
        elif isinstance(item, PingFrame) and self.polite:
            self.send(frame(PING, ACK, 0, item.opaque_data))
        if isinstance(item, SettingsFrame) and "ACK" not in item.flags and self.polite:
            self.send(frame(SETTINGS, ACK, 0))

    def read(self) -> None:
        """Whatever arrives next; `closed` afterwards when that is the end."""
        try:
            data = self.stream.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        self.closed = data == b""
        self.buffer += data
        while len(self.buffer) >= 9:
            item, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                break
            item.parse_body(memoryview(self.buffer[9 : 9 + length]))
            self.buffer = self.buffer[9 + length :]
            self._take(item)

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Read until the condition holds or the server closes; fail at the deadline."""
        end = time.monotonic() + DEADLINE_S
        while not condition() and not self.closed:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.stream], [], [], left)[0]
            assert ready, f"not in time: {what}; got {self.answers} {self.goaways}"
            self.read()

    def finish(self, stream: int) -> Answer:
        """The whole answer of a stream, or what came of it."""
        answer = self.answer(stream)
        self.until(f"stream {stream} ends", lambda: answer.ended or answer.reset is not None)
        return answer

    def rest(self) -> None:
        """Until the server closes."""
        self.until("the connection ends", lambda: False)
