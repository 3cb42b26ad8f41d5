# SPDX-License-Identifier: MIT
"""Traces: the context goes through to PHP, spans reach a collector, and one that is dead, or hangs,
or refuses costs spans and nothing else."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from system import harness
from system.collector import Collector, Received, collecting
from system.conftest import Serve, Servers
from system.harness import Server, run

SpanKind = Span.SpanKind
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
SECONDS = 60.0  # for a span to arrive, on a machine that does other things as well
HUNG_S = 600  # what the exporter would wait for a collector that hangs
FAST = {
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
}
SCRIPT = """<?php
if (str_starts_with($_SERVER['REQUEST_URI'], '/fail')) { http_response_code(503); }
echo json_encode([$_SERVER['HTTP_TRACEPARENT'] ?? null, $_SERVER['HTTP_TRACESTATE'] ?? null]);
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    (folder / "index.php").write_text(SCRIPT)
    (folder / "hello.txt").write_text("hello")
    return folder


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def serve_once(tmp_path: Path) -> Iterator[Serve]:
    """For what the exporter does: it does not know the workers' I/O backend, and what workers do
    when it does not read is tested on both by tests/engine/test_trace.py."""
    servers = Servers(tmp_path, "io_uring")
    yield servers
    servers.stop()


def wait_until(what: str, condition: Callable[[], Any]) -> Any:
    return harness.wait_until(what, condition, SECONDS)


def trace(endpoint: str, **more: Any) -> dict[str, dict[str, Any]]:
    return {"trace": {"endpoint": endpoint, **more}}


def wait_span(collector: Collector, path: str) -> Received:
    def find() -> Received | None:
        spans = list(collector.spans)
        return next((one for one in spans if one.attributes["url.path"] == path), None)

    found: Received = wait_until(f"the span of {path} arrives", find)
    return found


def wait_counter(server: Server, name: str, least: int = 1) -> dict[str, Any]:
    wait_until(f"{least} spans are {name}", lambda: server.status()["trace"][name] >= least)
    found: dict[str, Any] = server.status()["trace"]
    return found


@pytest.fixture(scope="module")
def traced(serve_shared: Serve, app: Path) -> Iterator[tuple[Server, Collector]]:
    with collecting() as found:
        settings: dict[str, Any] = {
            **trace(found.url, headers=["x-team=shop"], service_name="the shop"),
            "server": {"trusted_proxies": ["127.0.0.1"]},
            "routes": {"patterns": ["/fail/:what"]},
            "limits": {"rate": [{"path": "/limited", "rate": "1/h"}]},
        }
        yield serve_shared(app, config=settings, environment=FAST), found


def test_a_request_of_a_trace_is_a_span_of_it(traced: tuple[Server, Collector]) -> None:
    server, collector = traced
    fields = [("traceparent", SAMPLED), ("tracestate", "a=1"), ("User-Agent", "test")]
    fields += [("X-Forwarded-For", "192.0.2.7")]
    answer = server.ask("POST", "/fail/x?token=geheim", fields, b"12345")
    parent, state = json.loads(answer.body)
    one = wait_span(collector, "/fail/x")
    span, about = one.span, one.attributes
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert span.trace_state == state == "a=1"
    assert parent == f"00-{TRACE}-{span.span_id.hex()}-01", "the application's parent is our span"
    assert span.span_id.hex() != PARENT
    assert (span.name, SpanKind.Name(span.kind)) == ("POST /fail/:what", "SPAN_KIND_SERVER")
    assert about["http.route"] == "/fail/:what"
    assert about["http.response.status_code"] == 503
    assert about["error.type"] == "503"
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert about["http.request.body.size"] == 5
    assert about["http.response.body.size"] == len(answer.body)
    assert (about["client.address"], about["server.port"]) == ("192.0.2.7", server.port)
    assert about["network.peer.address"] == "127.0.0.1"
    assert (about["network.protocol.version"], about["user_agent.original"]) == ("1.1", "test")
    assert about["askr.answered_by"] == "application"
    parts = ("read", "queue", "app_wall", "write")
    total = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert sum(about[f"askr.{part}_s"] for part in parts) == pytest.approx(total, rel=0.1, abs=0.01)
    assert abs(time.time() - span.start_time_unix_nano / 1e9) < 3600
    assert "geheim" not in str(collector.spans)
    assert one.resource["service.name"] == "the shop"
    assert one.resource["deployment.environment.name"] == "test"
    assert one.headers["x-team"] == "shop"


def test_a_trace_begins_here_without_a_valid_parent(traced: tuple[Server, Collector]) -> None:
    server, collector = traced
    for number, fields in enumerate(
        (
            [],
            [("traceparent", SAMPLED.upper()), ("tracestate", "a=1")],
            [("traceparent", SAMPLED), ("traceparent", SAMPLED)],
        )
    ):
        answer = server.ask("GET", f"/{number}", fields)
        parent, state = json.loads(answer.body)
        span = wait_span(collector, f"/{number}").span
        assert state is None
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-03", parent)
        assert parent.split("-")[1:3] == [span.trace_id.hex(), span.span_id.hex()]
        assert span.parent_span_id == b""
        assert span.trace_id.hex() != TRACE
    server.get("/hello.txt")
    found = wait_span(collector, "/hello.txt")
    assert found.attributes["askr.answered_by"] == "server"
    assert (found.span.name, "http.route" in found.attributes) == ("GET", False)


def ask_as_stranger(
    server: Server, path: str, fields: dict[str, str] | None = None
) -> httpx.Response:
    """From an address that is no trusted proxy's."""
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=transport, timeout=SECONDS) as client:
        return client.get(f"http://127.0.0.1:{server.port}{path}", headers=fields)


def test_a_stranger_decides_nothing_about_our_traces(traced: tuple[Server, Collector]) -> None:
    server, collector = traced
    fields = {"traceparent": SAMPLED, "tracestate": "a=1"}
    answer = ask_as_stranger(server, "/stranger", fields)
    assert answer.json()[1] is None, "the tracestate belongs to the trace that was not taken"
    assert wait_span(collector, "/stranger").span.trace_id.hex() != TRACE


def test_one_that_is_limited_is_no_error_of_ours(traced: tuple[Server, Collector]) -> None:
    server, collector = traced
    assert ask_as_stranger(server, "/limited/first").status_code == 200
    assert ask_as_stranger(server, "/limited/second").status_code == 429
    about = wait_span(collector, "/limited/second").attributes
    assert (about["askr.outcome"], about["http.response.status_code"]) == ("limited", 429)
    assert "error.type" not in about


def test_without_an_endpoint_the_context_is_the_applications_own(
    serve_once: Serve, app: Path
) -> None:
    server = serve_once(app)
    answer = server.ask("GET", "/", [("traceparent", SAMPLED), ("tracestate", "A=not valid")])
    assert json.loads(answer.body) == [SAMPLED, "A=not valid"]
    assert server.status()["trace"]["exporter_pid"] == 0


# --- collectors that fail -------------------------------------------------------------------------


def serve_hard(server: Server, count: int = 200) -> float:
    """Every request is answered as ever; the longest it took."""
    longest = 0.0
    with server.connect() as connection:
        for _ in range(count):
            asked = time.monotonic()
            assert connection.ask("GET", "/hello.txt").status == 200
            longest = max(longest, time.monotonic() - asked)
    return longest


def test_a_closed_port_costs_spans_that_are_counted(serve_once: Serve, app: Path) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        server = serve_once(app, config=trace(f"http://127.0.0.1:{port}"), environment=FAST)
        serve_hard(server)
        found = wait_counter(server, "failed", 200)
    assert (found["exported"], found["error"] != "") == (0, True)
    server.wait_log("event=traces_not_exported")
    assert "failed" in run("status", "--control", server.control).stdout


def test_one_that_hangs_costs_spans_that_are_counted_and_the_stop_no_time(
    serve_once: Serve, app: Path, collector: Collector
) -> None:
    collector.hangs.set()
    environment = FAST | {
        "OTEL_EXPORTER_OTLP_TIMEOUT": str(HUNG_S),
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
    }
    server = serve_once(app, config=trace(collector.url), environment=environment)
    assert serve_hard(server, 400) < SECONDS < HUNG_S
    # The queue holds 100, and a batch that came together, of 93 at most, is under way.
    found = wait_counter(server, "dropped", 400 - 100 - 93)
    assert found["exported"] == 0
    wait_until("it was asked", lambda: collector.asked == 1)
    server.signal(signal.SIGTERM)
    assert server.wait_end(SECONDS) == 0
    assert not harness.alive(found["exporter_pid"])


def test_one_that_refuses_is_told_of_and_forgotten_when_it_takes_them_again(
    serve_once: Serve, app: Path, collector: Collector
) -> None:
    collector.status = 400
    server = serve_once(app, config=trace(collector.url), environment=FAST)
    server.get("/one")
    assert "400" in wait_counter(server, "failed")["error"]
    collector.status = 200
    server.get("/two")
    wait_span(collector, "/two")
    assert wait_counter(server, "exported")["error"] == ""
    server.wait_log("event=traces_exported")


# --- the exporter ---------------------------------------------------------------------------------


def test_an_exporter_that_dies_is_started_again(
    serve_once: Serve, app: Path, collector: Collector
) -> None:
    server = serve_once(app, config=trace(collector.url), environment=FAST)
    server.get("/one")
    wait_span(collector, "/one")
    wait_counter(server, "exported")
    first = server.status()["trace"]["exporter_pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(
        "there is another", lambda: server.status()["trace"]["exporter_pid"] not in (0, first)
    )
    server.get("/two")
    wait_span(collector, "/two")
    assert wait_counter(server, "exported", 2)["exported"] == 2


def test_a_reload_changes_the_endpoint_and_loses_nothing(
    serve_once: Serve, app: Path, collector: Collector
) -> None:
    with collecting() as other:
        server = serve_once(app, config=trace(collector.url), environment=FAST)
        server.get("/one")
        config = server.folder / "askr.toml"
        config.write_text(config.read_text().replace(collector.url, other.url))
        before = server.workers()
        server.signal(signal.SIGHUP)
        wait_until("the new workers serve", lambda: not set(before) & set(server.workers()))
        server.get("/two")
        wait_span(collector, "/one")
        wait_span(other, "/two")
        assert wait_counter(server, "exported", 2)["endpoint"] == other.url


def test_a_reload_that_fails_leaves_the_endpoint_as_it_was(
    serve_once: Serve, app: Path, collector: Collector
) -> None:
    server = serve_once(app, config=trace(collector.url), environment=FAST)
    config = server.folder / "askr.toml"
    text = config.read_text().replace(collector.url, "http://127.0.0.1:9/v1/traces")
    config.write_text(f'{text}[server]\ncheck = "/fail"\n')
    exporter = server.status()["trace"]["exporter_pid"]
    server.signal(signal.SIGHUP)
    server.wait_log("event=generation_gone generation=2")
    [worker] = server.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until("there is another worker", lambda: worker not in server.workers())
    server.wait_ready()
    server.get("/after")
    wait_span(collector, "/after")
    about = server.status()["trace"]
    assert (about["endpoint"], about["exporter_pid"]) == (collector.url, exporter)


def test_the_standards_environment_is_enough_and_what_is_left_at_the_stop_is_sent(
    serve_once: Serve, app: Path, collector: Collector
) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100000",
    }
    server = serve_once(app, environment=environment)
    server.get("/last")
    server.stop()
    [one] = collector.spans
    assert (one.path, one.attributes["url.path"]) == ("/v1/traces", "/last")
    assert one.resource["service.name"] == "askrctl"
