# SPDX-License-Identifier: MIT
"""The exporter's queue and counters, and what it makes of the batches that it reads."""

import contextlib
import mmap
import socket
import struct
from dataclasses import replace

import pytest
import spans
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from spans import Span

from askrctl.engine import SpanEncoder
from askrctl.server import exporter, otlp
from askrctl.server.exporter import Counters, Encoded, Pace, Queue

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
    for read in (lambda data: list(spans.parse(data)), SpanEncoder().encode):
        with pytest.raises(ValueError, match=r"early|no head|no batch"):
            read(whole[:size])


EXPORT = otlp.Otlp("http://127.0.0.1:1", "the shop", {})


def exported(data: bytes) -> ExportTraceServiceRequest:
    """What a collector reads."""
    count, found = SpanEncoder().encode(data)
    request = ExportTraceServiceRequest.FromString(EXPORT.message(found))
    [group] = request.resource_spans
    [scope] = group.scope_spans
    assert len(scope.spans) == count
    return request


def attributes(span: Span) -> dict[str, object]:
    [found] = exported(encode(span)).resource_spans[0].scope_spans[0].spans
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in found.attributes
    }


@given(st.lists(any_span, min_size=1, max_size=3))
def test_it_says_what_the_library_would_say(sent: list[Span]) -> None:
    found = exported(encode(*sent))
    about = otlp.resource("the shop")
    expected = encode_spans([spans.readable(span, about) for span in sent])
    for request in (found, expected):
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.attributes.sort(key=lambda item: str(item.key))
    assert found == expected


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_crash_it(data: bytes, ours: bool) -> None:
    for read in (lambda data: list(spans.parse(data)), exported):
        with contextlib.suppress(ValueError):
            read((encode() if ours else b"") + data)


@given(st.binary(min_size=1, max_size=60))
def test_texts_that_are_no_utf_8_are_made_it(agent: bytes) -> None:
    """A collector refuses a whole request for one string that is not."""
    data = encode(replace(SPAN, user_agent="x" * len(agent)))
    [span] = exported(data.replace(b"x" * len(agent), agent)).resource_spans[0].scope_spans[0].spans
    found = {item.key: item.value.string_value for item in span.attributes}["user_agent.original"]
    good = agent.decode(errors="ignore")
    assert found.replace("\N{REPLACEMENT CHARACTER}", "") == good.replace(
        "\N{REPLACEMENT CHARACTER}", ""
    )
    assert (found == good) is (agent.decode(errors="replace") == good)


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
    [found] = exported(encode(span)).resource_spans[0].scope_spans[0].spans
    assert found.name == name == spans.name_of(span)
    assert attributes(span).get("http.route", "") == route


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("shop.test", "shop.test", 8000),
        ("shop.test:81", "shop.test", 81),
        ("[::1]:81", "::1", 81),
        ("[::1]", "::1", 8000),
        ("", "", 8000),
        ("shop.test:999999", "shop.test:999999", 8000),
        ("shop.test:" + "9" * 30, "shop.test:" + "9" * 30, 8000),
    ],
)
def test_host_and_port_are_taken_apart(host: str, address: str, port: int) -> None:
    found = attributes(replace(SPAN, host=host))
    assert (found["server.address"], found["server.port"]) == (address, port)


# --- the queue ------------------------------------------------------------------------------------


def test_what_finds_no_room_is_counted() -> None:
    queue = Queue(Pace(delay_s=0.0, batch_max=2, queue_max=4))
    assert queue.put(Encoded(2, b"ab")) == 0
    assert queue.put(Encoded(3, b"cde")) == 3
    assert queue.put(Encoded(1, b"f")) == 0
    assert [queue.take() for _ in range(2)] == [Encoded(2, b"ab"), Encoded(1, b"f")]
    queue.end()
    assert queue.take() is None


def test_a_datagram_of_more_than_a_batch_goes_as_it_is() -> None:
    queue = Queue(Pace(delay_s=3600.0, batch_max=2, queue_max=10))
    queue.put(Encoded(3, b"abc"))
    queue.put(Encoded(2, b"de"))
    assert [queue.take() for _ in range(2)] == [Encoded(3, b"abc"), Encoded(2, b"de")]


def test_a_full_batch_does_not_wait_and_the_end_does_not_either() -> None:
    queue = Queue(Pace(delay_s=3600.0, batch_max=2, queue_max=10))
    for text in (b"a", b"b", b"c"):
        queue.put(Encoded(1, text))
    assert queue.take() == Encoded(2, b"ab")
    queue.end()
    assert queue.take() == Encoded(1, b"c")
    assert queue.take() is None


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
        assert (queue.left(), queue.ended) == (2, True)
        counters.count("failed", 7, "it is gone " + "x" * 500)
        counts, error = exporter.read_page(page)
    assert counts == {"exported": 0, "failed": 7, "dropped": 3}
    assert error.startswith("it is gone x")


@pytest.mark.parametrize(
    ("environment", "pace"),
    [
        ({}, Pace(5.0, 2048, 32768)),
        ({"OTEL_BSP_SCHEDULE_DELAY": "250"}, Pace(0.25, 2048, 32768)),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "40000"}, Pace(5.0, 40000, 40000)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1", "OTEL_BSP_SCHEDULE_DELAY": "soon"}, Pace()),
        ({"OTEL_BSP_SCHEDULE_DELAY": "0", "OTEL_BSP_MAX_QUEUE_SIZE": "9" * 40}, Pace()),
    ],
)
def test_the_standards_numbers_are_honoured(environment: dict[str, str], pace: Pace) -> None:
    assert Pace.of(environment) == pace


def test_an_unknown_release_of_the_library_loses_spans_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    monkeypatch.delattr(trace_exporter, "encode_spans")
    queue, counters = Queue(Pace()), Counters(mmap.mmap(-1, mmap.PAGESIZE))
    queue.put(Encoded(3, b""))
    queue.end()
    export = otlp.export_to("http://127.0.0.1:9/", "", {})
    exporter.send_all(export, queue, counters, exporter._Reason())
    assert (counters.exported, counters.failed) == (0, 3)
    assert "pip install" in counters.error
