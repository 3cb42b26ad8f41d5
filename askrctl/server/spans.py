# SPDX-License-Identifier: MIT
"""Spans as a worker sends them: struct span_head and its texts (engine/serve/trace.h)."""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = 0x32525441
SIZE_MAX = 16384  # TRACE_BATCH_SIZE
_BATCH = struct.Struct("=2I")
_HEAD = struct.Struct("=16s8s8s10q16s16s12H7Bx")
_OUTCOMES = {ord(name[1]): name for name in ("done", "cut", "left", "limited")}
_VERSIONS = {1000: "1.0", 1001: "1.1", 2000: "2"}


@dataclass(frozen=True, slots=True)
class Span:
    """One answered request. Times in nanoseconds; texts are what the client sent, as UTF-8."""

    trace_id: int
    span_id: int
    parent_id: int | None
    flags: int
    state: str  # tracestate
    start_ns: int
    total_ns: int
    split_ns: dict[str, int]
    request_size: int
    answer_size: int
    client_address: str  # "" for a unix socket
    peer_address: str  # of whoever connected: the client, or a proxy
    peer_port: int
    server_port: int
    version: str
    status: int  # 0: the client left before there was one
    outcome: str
    secure: bool
    for_app: bool
    method: str
    path: str
    host: str
    user_agent: str
    request_id: str
    route: str  # "": it has none
    site: str  # "": there is no [[site]]
    worker: int


_PARTS = ("read", "queue", "app_wall", "app_cpu", "write", "client")


def _address(family: int, data: bytes) -> str:
    if family == 4:
        return str(ipaddress.IPv4Address(data[:4]))
    return str(ipaddress.IPv6Address(data)) if family == 6 else ""


def parse(data: bytes) -> Iterator[Span]:
    """The spans of a batch; ValueError when it is none of ours."""
    if len(data) < _BATCH.size:
        raise ValueError("it has no head")
    magic, worker = _BATCH.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("it is of another version")
    at = _BATCH.size
    while at < len(data):
        span, at = _span(data, at, worker)
        yield span


def _span(data: bytes, at: int, worker: int) -> tuple[Span, int]:
    if len(data) - at < _HEAD.size:
        raise ValueError("a span ends early")
    words = _HEAD.unpack_from(data, at)
    trace_id, span_id, parent_id, start_ns, total_ns = words[:5]
    request_size, answer_size, client, peer, peer_port, server_port, version, status = words[11:19]
    flags, has_parent, outcome, secure, for_app, client_family, peer_family = words[27:34]
    if outcome not in _OUTCOMES or version not in _VERSIONS:
        raise ValueError("a span is of another version")
    at += _HEAD.size
    texts = []
    for size in words[19:27]:
        if size > len(data) - at:
            raise ValueError("a span ends early")
        texts.append(data[at : at + size].decode(errors="replace"))
        at += size
    method, path, host, user_agent, state, request_id, route, site = texts
    span = Span(
        trace_id=int.from_bytes(trace_id),
        span_id=int.from_bytes(span_id),
        parent_id=int.from_bytes(parent_id) if has_parent else None,
        flags=flags,
        state=state,
        start_ns=start_ns,
        total_ns=total_ns,
        split_ns=dict(zip(_PARTS, words[5:11], strict=True)),
        request_size=request_size,
        answer_size=answer_size,
        client_address=_address(client_family, client),
        peer_address=_address(peer_family, peer),
        peer_port=peer_port,
        server_port=server_port,
        version=_VERSIONS[version],
        status=status,
        outcome=_OUTCOMES[outcome],
        secure=bool(secure),
        for_app=bool(for_app),
        method=method,
        path=path,
        host=host,
        user_agent=user_agent,
        request_id=request_id,
        route=route,
        site=site,
        worker=worker,
    )
    return span, at
