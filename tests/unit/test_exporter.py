# SPDX-License-Identifier: MIT
"""The exporter's queue and counters, and the batches that it reads."""

import contextlib
import mmap
import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl.server import exporter, otlp, spans
from askrctl.server.exporter import Counters, Pace, Queue
from askrctl.server.spans import Span

SPAN = Span(
    trace_id=1 << 100,
    span_id=5,
    parent_id=None,
    flags=1,
    state="",
    start_ns=10**18,
    total_ns=2_000_000,
    split_ns=dict.fromkeys(("read", "queue", "app_wall", "app_cpu", "write", "client"), 1000),
    request_size=0,
    answer_size=5,
    client_address="::1",
    peer_address="::1",
    peer_port=4000,
    server_port=8000,
    version="1.1",
    status=200,
    outcome="done",
    secure=False,
    for_app=False,
    method="GET",
    path="/",
    host="shop.test",
    user_agent="",
    request_id="",
    route="",
    site="",
    worker=1,
)


def encode(*found: Span) -> bytes:
    """As engine/serve/trace_span.c does."""
    return struct.pack("=2I", spans.MAGIC, 1) + b"".join(map(_encode, found))


def _encode(span: Span) -> bytes:
    names = (span.method, span.path, span.host, span.user_agent, span.state, span.request_id)
    texts = [name.encode() for name in (*names, span.route, span.site)]
    ends = [bytes(15) + b"\1" if text else bytes(16) for text in _ends(span)]
    head = struct.pack(
        "=16s8s8s10q16s16s12H7Bx",
        span.trace_id.to_bytes(16),
        span.span_id.to_bytes(8),
        (span.parent_id or 0).to_bytes(8),
        *(span.start_ns, span.total_ns, *span.split_ns.values()),
        *(span.request_size, span.answer_size, *ends, span.peer_port, span.server_port),
        *({"1.0": 1000, "1.1": 1001, "2": 2000}[span.version], span.status, *map(len, texts)),
        *(span.flags, span.parent_id is not None, ord(span.outcome[1]), span.secure, span.for_app),
        *(6 if text else 0 for text in _ends(span)),
    )
    return head + b"".join(texts)


def _ends(span: Span) -> tuple[str, str]:
    return span.client_address, span.peer_address


words = st.text(max_size=30)
any_span = st.builds(
    replace,
    st.just(SPAN),
    parent_id=st.none() | st.integers(1, (1 << 64) - 1),
    trace_id=st.integers(1, (1 << 128) - 1),
    outcome=st.sampled_from(["done", "cut", "left", "limited"]),
    status=st.just(0) | st.integers(200, 999),
    client_address=st.sampled_from(["", "::1"]),
    peer_address=st.sampled_from(["", "::1"]),
    version=st.sampled_from(["1.0", "1.1", "2"]),
    secure=st.booleans(),
    for_app=st.booleans(),
    method=words,
    path=words,
    host=words,
    user_agent=words,
    request_id=words,
)


@given(st.lists(any_span, max_size=4))
def test_a_batch_is_read_as_it_was_sent(sent: list[Span]) -> None:
    assert list(spans.parse(encode(*sent))) == sent


@given(st.lists(any_span, min_size=1, max_size=2), st.data())
def test_one_that_is_cut_is_refused(sent: list[Span], data: st.DataObject) -> None:
    whole = encode(*sent)
    ends = {len(encode(*sent[:count])) for count in range(len(sent))}
    size = data.draw(st.integers(0, len(whole) - 1).filter(lambda size: size not in ends))
    with pytest.raises(ValueError, match=r"early|no head"):
        list(spans.parse(whole[:size]))


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_crash_it(data: bytes, ours: bool) -> None:
    with contextlib.suppress(ValueError):
        list(spans.parse((encode() if ours else b"") + data))


@given(any_span)
def test_every_span_has_attributes_that_can_be_exported(span: Span) -> None:
    found = otlp.attributes(span)
    assert all(isinstance(value, str | int | float) for value in found.values())
    fine = span.outcome in ("done", "limited")
    assert ("error.type" in found) is (span.status >= 500 or not fine)
    if span.method not in ("GET", "POST"):
        assert found["http.request.method"] in ("_OTHER", span.method)


@pytest.mark.parametrize(
    ("method", "route", "name"),
    [
        ("GET", "/users/:id", "GET /users/:id"),
        ("GET", "", "GET"),
        ("BREW", "/pot", "HTTP /pot"),
        ("get", "", "HTTP"),
    ],
)
def test_a_span_is_named_by_method_and_route_never_by_path(
    method: str, route: str, name: str
) -> None:
    span = replace(SPAN, method=method, route=route, path="/users/42")
    assert otlp.name_of(span) == name
    assert otlp.attributes(span).get("http.route", "") == route


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("shop.test", "shop.test", 8000),
        ("shop.test:81", "shop.test", 81),
        ("[::1]:81", "::1", 81),
        ("[::1]", "::1", 8000),
        ("", "", 8000),
    ],
)
def test_host_and_port_are_taken_apart(host: str, address: str, port: int) -> None:
    found = otlp.attributes(replace(SPAN, host=host))
    assert (found["server.address"], found["server.port"]) == (address, port)


# --- the queue ------------------------------------------------------------------------------------


def test_what_finds_no_room_is_counted() -> None:
    queue = Queue(Pace(delay_s=0.0, batch_max=2, queue_max=3))
    assert queue.put([SPAN] * 2) == 0
    assert queue.put([SPAN] * 4) == 3
    assert [len(queue.take()) for _ in range(2)] == [2, 1]
    queue.end()
    assert queue.take() == []


def test_a_full_batch_does_not_wait_and_the_end_does_not_either() -> None:
    queue = Queue(Pace(delay_s=3600.0, batch_max=2, queue_max=10))
    queue.put([SPAN] * 3)
    assert len(queue.take()) == 2
    queue.end()
    assert len(queue.take()) == 1
    assert queue.take() == []


def test_the_socket_is_emptied_and_everything_counted() -> None:
    queue = Queue(Pace(queue_max=3))
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        counters = Counters(page)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            for data in (encode(SPAN, SPAN), b"nonsense", encode(SPAN, SPAN)):
                theirs.send(data)
            theirs.shutdown(socket.SHUT_WR)
            exporter.receive(ours, queue, counters)
        assert (queue.left(), queue.ended) == (3, True)
        counters.count("failed", 7, "it is gone " + "x" * 500)
        counts, error = exporter.read_page(page)
    assert counts == {"exported": 0, "failed": 7, "dropped": 2}
    assert error.startswith("it is gone x")


@pytest.mark.parametrize(
    ("environment", "pace"),
    [
        ({}, Pace(5.0, 512, 2048)),
        ({"OTEL_BSP_SCHEDULE_DELAY": "250"}, Pace(0.25, 512, 2048)),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4000"}, Pace(5.0, 4000, 4000)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1", "OTEL_BSP_SCHEDULE_DELAY": "soon"}, Pace()),
        ({"OTEL_BSP_SCHEDULE_DELAY": "0", "OTEL_BSP_MAX_QUEUE_SIZE": "9" * 40}, Pace()),
    ],
)
def test_the_standards_numbers_are_honoured(environment: dict[str, str], pace: Pace) -> None:
    assert Pace.of(environment) == pace
