# SPDX-License-Identifier: MIT
"""Environment variables of OpenTelemetry that say what [trace] says: they count where neither
askr.toml nor ASKR_TRACE_* does. What concerns the export alone (OTEL_EXPORTER_OTLP_HEADERS, its
timeout, compression and certificate, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*) is read by the exporter.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from askrctl.config.schema import TraceConfig

_PATH = "/v1/traces"


def trace_defaults(environment: Mapping[str, str]) -> TraceConfig:
    """[trace] as the environment has it; what is not understood there counts as not set."""
    found = TraceConfig(
        endpoint=_endpoint(environment),
        service_name=environment.get("OTEL_SERVICE_NAME", ""),
    )
    return _sampled(found, environment)


def _endpoint(environment: Mapping[str, str]) -> str:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    exporters = environment.get("OTEL_TRACES_EXPORTER", "") or "otlp"
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", ""
    )
    if "otlp" not in exporters.split(",") or protocol == "grpc":
        return ""
    own = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    shared = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    endpoint = own or (shared.rstrip("/") + _PATH if shared else "")
    return endpoint if is_endpoint(endpoint) else ""


def is_endpoint(text: str) -> bool:
    """http:// or https://, a host, and no password: headers are for that."""
    scheme, mark, rest = text.partition("://")
    host = rest.partition("/")[0]
    return scheme in ("http", "https") and bool(mark) and bool(host) and _is_plain(text)


def _is_plain(text: str) -> bool:
    return "@" not in text and all(0x21 <= ord(character) < 0x7F for character in text)


def whole_endpoint(text: str) -> str:
    """Without a path it is a collector, and the path is the standard's."""
    rest = text.partition("://")[2]
    return text if "/" in rest.rstrip("/") else text.rstrip("/") + _PATH


def _sampled(found: TraceConfig, environment: Mapping[str, str]) -> TraceConfig:
    sampler = environment.get("OTEL_TRACES_SAMPLER", "")
    kind = sampler.removeprefix("parentbased_")
    ratios = {"always_on": 1.0, "always_off": 0.0, "traceidratio": _ratio(environment)}
    if kind not in ratios:
        return found
    return replace(found, ratio=ratios[kind], parent_based=kind != sampler)


def _ratio(environment: Mapping[str, str]) -> float:
    try:
        ratio = float(environment.get("OTEL_TRACES_SAMPLER_ARG", "1"))
    except ValueError:
        return 1.0
    return ratio if math.isfinite(ratio) and 0.0 <= ratio <= 1.0 else 1.0
