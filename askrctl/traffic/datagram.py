# SPDX-License-Identifier: MIT
"""A record as a worker sends it: struct record_head and what follows it (engine/serve/record.h)."""

import struct
from dataclasses import dataclass

from askrctl.traffic.exchange import Answer, Body, Exchange, Fields, Request

MAGIC = 0x52534B41
SIZE_MAX = 196608  # RECORD_SIZE_MAX
_HEAD = struct.Struct("=10I4q4H2B6x")
_SIZES = struct.Struct("=2I")
_OUTCOMES = {ord("d"): "done", ord("c"): "cut", ord("l"): "left"}
_VERSIONS = (1000, 1001, 2000)


@dataclass(frozen=True, slots=True)
class Sample:
    """An exchange, and what the worker has lost or passed over since the recording began."""

    exchange: Exchange
    pid: int
    lost: int
    skipped: int


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ValueError("it ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self, size: int) -> str:
        return self.take(size).decode("latin-1")

    def fields(self, count: int) -> Fields:
        found = []
        for _ in range(count):
            name, value = _SIZES.unpack(self.take(_SIZES.size))
            found.append((self.text(name), self.text(value)))
        return tuple(found)

    def body(self, kept: int, size: int) -> Body:
        content = self.take(kept)
        if kept > size or size < 0:
            raise ValueError("a body is larger than itself")
        return Body.of(content) if kept == size else Body.cut(size)


def parse(data: bytes) -> Sample:
    """ValueError when it is no record of ours."""
    if len(data) < _HEAD.size:
        raise ValueError("it has no head")
    words = _HEAD.unpack_from(data)
    magic, pid, _, lost, skipped, method, target, authority, request_kept, answer_kept = words[:10]
    request_size, answer_size, time_ns, duration_ns = words[10:14]
    version, status, request_fields, answer_fields, outcome, secure = words[14:]
    if magic != MAGIC or outcome not in _OUTCOMES or version not in _VERSIONS:
        raise ValueError("it is of another version")
    reader = _Reader(data, _HEAD.size)
    request = Request(
        method=reader.text(method),
        target=reader.text(target),
        authority=reader.text(authority),
        version=version,
        secure=bool(secure),
        fields=reader.fields(request_fields),
        body=reader.body(request_kept, request_size),
    )
    answer = Answer(
        status=status,
        fields=reader.fields(answer_fields),
        body=reader.body(answer_kept, answer_size),
    )
    if reader.at != len(data):
        raise ValueError("there is more behind its end")
    exchange = Exchange(
        round(time_ns / 1e9, 6), round(duration_ns / 1e9, 6), _OUTCOMES[outcome], request, answer
    )
    return Sample(exchange, pid, lost, skipped)
