# SPDX-License-Identifier: MIT
"""The other end of OTLP, for tests of the exporter: takes what is sent, and reads it by the
standard's own definitions. It can be a collector that hangs, or one that refuses.
"""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass
class Received:
    """One span, with what it came with."""

    span: Any
    resource: dict[str, Any]
    headers: dict[str, str]
    path: str

    @property
    def attributes(self) -> dict[str, Any]:
        return {item.key: value_of(item.value) for item in self.span.attributes}


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@dataclass
class Collector:
    """`status` is what it answers with; while `hangs`, it answers nothing."""

    status: int = 200
    hangs: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    asked: int = 0
    spans: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def take(self, path: str, headers: dict[str, str], data: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(data)
        for group in request.resource_spans:
            resource = {item.key: value_of(item.value) for item in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans += [Received(span, resource, headers, path) for span in scope.spans]


def handler(
    collector: Collector, ended: threading.Event
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.asked += 1
            data = self.rfile.read(int(self.headers["Content-Length"]))
            while collector.hangs.is_set() and not ended.wait(0.05):
                pass
            if collector.status == 200:
                collector.take(self.path, dict(self.headers), data)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector, ended = Collector(), threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(collector, ended))
    server.daemon_threads = True
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
