# SPDX-License-Identifier: MIT
"""Spans to an OTLP endpoint; what they say is the engine's business (engine/proto/otlp.h).

The only module that knows OpenTelemetry's libraries, which are an optional extra. They send: OTLP
over HTTP, with the standard's environment variables, retries and time-outs.
"""

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from askrctl import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource


LIBRARY = "opentelemetry-exporter-otlp-proto-http"
_KNOWN = f"pip install '{LIBRARY}==1.45.2' has what is needed"


class UnknownReleaseError(Exception):
    """Of the library: it cannot be made to send what is encoded already."""


def is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # not even its parents
        return False


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


class Export(Protocol):
    """send() says whether they were taken; stop() ends a try that is under way, if it can."""

    def send(self, count: int, spans: bytes) -> bool: ...
    def stop(self) -> None: ...


def _sized(tag: int, data: bytes) -> bytes:
    """A field of Protocol Buffers that is a message or a text."""
    size, head = len(data), bytearray([tag << 3 | 2])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data


class _Encoded:
    """For the library's exporter: spans that are encoded already, so it only sends them."""

    def __init__(self, count: int, data: bytes) -> None:
        self._count = count
        self._data = data

    def __len__(self) -> int:
        return self._count

    def SerializeToString(self) -> bytes:  # noqa: N802 - the library's name
        return self._data

    SerializePartialToString = SerializeToString


class Otlp:
    """The library's exporter; time-outs, retries, compression and TLS are its own.

    Its encoder takes ten times as long as all the rest, so a batch comes with the engine's own: the
    module's encode_spans() is replaced by one that has nothing to do.
    """

    def __init__(self, endpoint: str, service_name: str, headers: Mapping[str, str]) -> None:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.exporter.otlp.proto.http import trace_exporter
        from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

        self._exporter = trace_exporter.OTLPSpanExporter(
            endpoint=endpoint, headers=dict(headers) or None
        )
        if getattr(trace_exporter, "encode_spans", None) in (encode_spans, _as_it_is):
            trace_exporter.encode_spans = _as_it_is
        else:
            raise UnknownReleaseError(
                f"{LIBRARY} {version(LIBRARY)} sends in another way; {_KNOWN}"
            )
        self._about = _sized(1, _resource_message(resource(service_name)))
        scope = InstrumentationScope(name="askrctl", version=__version__)
        self._scope = _sized(1, scope.SerializeToString())

    def message(self, spans: bytes) -> bytes:
        """An ExportTraceServiceRequest."""
        return _sized(1, self._about + _sized(2, self._scope + spans))

    def send(self, count: int, spans: bytes) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        batch: Any = _Encoded(count, self.message(spans))
        return self._exporter.export(batch) is SpanExportResult.SUCCESS

    def stop(self) -> None:
        self._exporter.shutdown()


class Refusal:
    """An Export that takes nothing, and says why."""

    def __init__(self, reason: UnknownReleaseError) -> None:
        self._reason = reason

    def send(self, *_: object) -> bool:
        raise self._reason

    def stop(self) -> None:
        pass


def export_to(endpoint: str, service_name: str, headers: Mapping[str, str]) -> Export:
    """Spans are lost with a release that is not known: counted, and told with the reason."""
    try:
        return Otlp(endpoint, service_name, headers)
    except UnknownReleaseError as reason:
        return Refusal(reason)


def _as_it_is(spans: Any) -> Any:
    return spans


def _resource_message(about: "Resource") -> bytes:
    """As the library encodes it: that of a span that is nobody's."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    span = ReadableSpan(name="", context=SpanContext(1, 1, False), resource=about)
    [found] = encode_spans([span]).resource_spans
    message: bytes = found.resource.SerializeToString()
    return message
