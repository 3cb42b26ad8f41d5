# SPDX-License-Identifier: MIT
"""A worker's span in the words of OpenTelemetry's semantic conventions for HTTP servers.

The only module that knows OpenTelemetry's libraries, which are an optional extra. They export: OTLP
over HTTP, with the standard's environment variables, retries and time-outs.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from askrctl import __version__
from askrctl.server.spans import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
)


def is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # not even its parents
        return False


def _host_and_port(host: str) -> tuple[str, int | None]:
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit() and not name.endswith(":"):
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


def resource(service_name: str) -> "Resource":
    """With OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME of the environment."""
    from opentelemetry.sdk.resources import Resource

    own: dict[str, str] = {"service.version": __version__}
    if service_name:
        own["service.name"] = service_name
    found = Resource.create(own)
    if service_name or not str(found.attributes.get("service.name", "")).startswith("unknown"):
        return found
    return found.merge(Resource({"service.name": "askrctl"}))


def readable(span: Span, about: "Resource") -> "ReadableSpan":
    """As the library wants it."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
    from opentelemetry.trace.span import TraceState

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


class Export(Protocol):
    """send() says whether they were taken; stop() ends a try that is under way, if it can."""

    def send(self, spans: Sequence[Span]) -> bool: ...
    def stop(self) -> None: ...


class Otlp:
    """The library's exporter; time-outs and retries are its own."""

    def __init__(self, endpoint: str, service_name: str, headers: Mapping[str, str]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._about = resource(service_name)
        self._exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers) or None)

    def send(self, spans: Sequence[Span]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        result = self._exporter.export([readable(span, self._about) for span in spans])
        return result is SpanExportResult.SUCCESS

    def stop(self) -> None:
        self._exporter.shutdown()
