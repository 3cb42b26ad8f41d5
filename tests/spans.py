# SPDX-License-Identifier: MIT
"""Spans as a worker sends them (engine/proto/span.h), read in Python; and what OpenTelemetry's own
library makes of them, which is what the engine's encoder is held against.
"""

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from askrctl import __version__

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


# --- by the library ----------------------------------------------------------------------------

_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
)


def _host_and_port(host: str) -> tuple[str, int | None]:
    name, colon, port = host.rpartition(":")
    if colon and re.fullmatch("[0-9]{1,5}", port) and not name.endswith(":"):
        return name.strip("[]"), int(port)
    return host.strip("[]"), None


def attributes(span: Span) -> dict[str, str | int | float]:
    """https://opentelemetry.io/docs/specs/semconv/http/http-spans/, and ours under askr.

    What it conditionally requires or recommends of a server's span is there, but for `url.query`,
    which may hold what is nobody's business. Of what it leaves to a choice, the sizes of bodies.
    """
    name, port = _host_and_port(span.host)
    known = span.method in _METHODS
    found: dict[str, str | int | float] = {
        "http.request.method": span.method if known else "_OTHER",
        "url.scheme": "https" if span.secure else "http",
        "url.path": span.path,
        "server.address": name,
        "server.port": port or span.server_port,
        "network.protocol.version": span.version,
        "http.request.body.size": span.request_size,
        "http.response.body.size": span.answer_size,
        "askr.outcome": span.outcome,
        "askr.worker": span.worker,
        "askr.answered_by": "application" if span.for_app else "server",
    }
    if not known:
        found["http.request.method_original"] = span.method
    if span.status:
        found["http.response.status_code"] = span.status
    if span.peer_address:
        found["network.peer.address"] = span.peer_address
        found["network.peer.port"] = span.peer_port
    texts = {
        "http.route": span.route,
        "client.address": span.client_address,
        "user_agent.original": span.user_agent,
        "error.type": _error(span),
        "askr.request_id": span.request_id,
        "askr.site": span.site,
    }
    found |= {key: text for key, text in texts.items() if text}
    found |= {f"askr.{part}_s": ns / 1e9 for part, ns in span.split_ns.items()}
    return found


def _error(span: Span) -> str:
    """4xx is the client's, and no error of a server's span."""
    if span.status >= 500:
        return str(span.status)
    return "" if span.outcome in ("done", "limited") else span.outcome


def name_of(span: Span) -> str:
    """The method, and the route if there is one: few names, whatever clients ask for."""
    method = span.method if span.method in _METHODS else "HTTP"
    return f"{method} {span.route}" if span.route else method


def readable(span: Span, about: Resource) -> ReadableSpan:
    """As the library wants it."""
    state = TraceState.from_header([span.state]) if span.state else TraceState()
    parent = None
    if span.parent_id is not None:
        flags = TraceFlags(span.flags)
        parent = SpanContext(span.trace_id, span.parent_id, True, flags, state)
    found = attributes(span)
    return ReadableSpan(
        name=name_of(span),
        context=SpanContext(span.trace_id, span.span_id, False, TraceFlags(span.flags), state),
        parent=parent,
        resource=about,
        attributes=found,
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR) if "error.type" in found else Status(StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.start_ns + span.total_ns,
        instrumentation_scope=InstrumentationScope("askrctl", __version__),
    )
