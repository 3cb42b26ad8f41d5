# SPDX-License-Identifier: MIT
"""Which kind of value each key of askr.toml takes, and the kinds that one key alone has."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from askrctl.config.addresses import addresses
from askrctl.config.otel import is_endpoint, whole_endpoint
from askrctl.config.schema import (
    APPS_MAX,
    ENCODINGS,
    FORWARDED,
    KIB,
    NO_SCRIPTS_MAX,
    ROUTE_NAME_MAX,
    ROUTES_MAX,
    SYMLINK_POLICIES,
    TOKEN_SIZE_MIN,
    TRACE_ACCEPT,
    WEBSOCKET_DEFLATE,
    WORKERS_MAX,
    TimeoutsConfig,
)
from askrctl.config.values import (
    between,
    one_of,
    parse_flag,
    parse_number,
    parse_seconds,
    parse_size,
    parse_text,
    parse_texts,
)
from askrctl.model import Backend


def _hsts(value: object) -> str:
    text = parse_text(value)
    if text and not re.fullmatch(r"max-age=\d{1,12}(; ?[A-Za-z]{1,30})*", text):
        raise ValueError('a value such as "max-age=31536000; includeSubDomains"')
    return text


def _field_value(value: object) -> str:
    text = parse_text(value)
    if not re.fullmatch(r"[\t -~]{0,200}", text):
        raise ValueError("at most 200 printable characters on one line")
    return text


def _ini_lines(value: object) -> tuple[str, ...]:
    """PHP passes over a line that it does not understand, and nobody hears of it."""
    texts = parse_texts(value)
    lines = [line.strip() for text in texts for line in text.splitlines()]
    if any(line and not re.match(r";|[A-Za-z_][\w.\-]*\s*=", line) for line in lines):
        raise ValueError('lines of php.ini such as "memory_limit=256M"')
    return texts


def _tables(_value: object) -> Any:
    """Of a key that lists.py reads from the file: nothing else can give it tables."""
    raise ValueError("tables in askr.toml")


def _backend(value: object) -> Backend:
    return Backend(one_of(*Backend)(value))


def _encodings(value: object) -> tuple[str, ...]:
    names = parse_texts(value)
    if len(set(names)) != len(names) or not set(names) <= set(ENCODINGS):
        raise ValueError("a list of " + ", ".join(f'"{name}"' for name in ENCODINGS))
    return names


def _media_types(value: object) -> tuple[str, ...]:
    types = parse_texts(value)
    word = r"[A-Za-z0-9!#$&^_.+-]+"
    for text in types:
        if not re.fullmatch(rf"{word}/({word}|\*)|\*\+{word}", text):
            raise ValueError('media types such as "text/html", "text/*" or "*+json"')
    return types


def _networks(value: object) -> tuple[str, ...]:
    networks = parse_texts(value)
    for text in networks:
        if text != "unix":
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise ValueError('networks such as "10.0.0.0/8", "::1" or "unix"') from None
    return networks


def _token(value: object) -> str:
    text = parse_text(value)
    if text and (len(text) < TOKEN_SIZE_MIN or not re.fullmatch(r"[!-~]+", text)):
        raise ValueError(f"at least {TOKEN_SIZE_MIN} printable characters")
    return text


def url_path(value: object) -> str:
    text = parse_text(value)
    if text and not re.fullmatch(r"/[!-~]*", text):
        raise ValueError('a path such as "/healthz"')
    return text


def _no_scripts(value: object) -> tuple[str, ...]:
    folders = () if value == [] else parse_texts(value)
    for folder in folders:
        if not re.fullmatch(r"(/[^/\0]+)+/?", folder) or {".", ".."} & set(folder.split("/")):
            raise ValueError('a list of folders such as "/uploads", or []')
    if len(folders) > NO_SCRIPTS_MAX:
        raise ValueError(f"a list of at most {NO_SCRIPTS_MAX} folders")
    return tuple(folder.rstrip("/") for folder in folders)


def _unknown_host(value: object) -> int:
    if isinstance(value, bool) or value not in (404, 421):
        raise ValueError("404 or 421")
    return int(str(value))


def _folders(value: object) -> tuple[str, ...]:
    return tuple(_folder(item) for item in parse_texts(value))


def _folder(value: object) -> str:
    text = parse_text(value)
    if not text or "\n" in text:
        raise ValueError('folders such as "/srv/files", or "storage/app" in the application')
    return text


def _internal(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError('a table such as { "/protected/" = "/srv/files" }')
    for prefix in value:
        if not re.fullmatch(r"/[^\x00-\x1f\x7f?#%]*/", prefix) or "//" in prefix:
            raise ValueError(f'prefixes such as "/protected/", not {prefix!r}')
    return tuple((prefix, _folder(folder)) for prefix, folder in value.items())


ACCESS_VARIABLES = (
    *("remote_addr", "remote_port", "time_iso8601", "time_local", "request", "method", "target"),
    *("protocol", "host", "referer", "user_agent", "request_id", "status", "bytes", "outcome"),
    *("worker", "site", "route"),
    *("total", "read", "queue", "app_wall", "app_cpu", "write", "client"),
)


def _access_format(value: object) -> str:
    text = parse_text(value)
    if text in ("combined", "json"):
        return text
    names = re.findall(r"\$([a-z0-9_]*)", text)
    unknown = [name for name in names if name not in ACCESS_VARIABLES]
    if not names or unknown or "\n" in text:
        raise ValueError(
            '"combined", "json" or a line with variables of: $'
            + " $".join(sorted(ACCESS_VARIABLES))
        )
    return text


def _route_patterns(value: object) -> tuple[str, ...]:
    patterns = parse_texts(value)
    if len(patterns) > ROUTES_MAX:
        raise ValueError(f"at most {ROUTES_MAX} patterns")
    for text in patterns:
        if not re.fullmatch(r"(/(:?[!-)+-.0-~]*))*(/\*)?", text) or not text:
            raise ValueError('paths such as "/users/:name" or "/files/*"')
        if len(text) > ROUTE_NAME_MAX:
            raise ValueError(f"paths of at most {ROUTE_NAME_MAX} characters")
    return patterns


def _endpoint(value: object) -> str:
    text = parse_text(value)
    if text and not is_endpoint(text):
        raise ValueError('a URL such as "http://127.0.0.1:4318/v1/traces", without a password')
    return whole_endpoint(text) if text else ""


def _trace_headers(value: object) -> tuple[str, ...]:
    texts = parse_texts(value)
    for text in texts:
        if not re.fullmatch(r"[A-Za-z0-9_-]+=[!-+\--~ ]+", text):
            raise ValueError('a list of "name=value"')
    return texts


def _ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("between 0.0 and 1.0")
    return float(value)


_period = between(parse_seconds, 0.01, 86400.0)

# Kinds of the keys; a key that is missing here is a string.
KINDS: dict[str, Callable[[object], Any]] = {
    "server.listen": addresses,
    "server.workers": between(parse_number, 0, WORKERS_MAX),
    "server.io_backend": _backend,
    "server.server_header": _field_value,
    "server.pin": parse_flag,
    "server.http2": parse_flag,
    "server.keep_previous": between(parse_seconds, 0.0, 86400.0),
    "server.watch": one_of("off", "auto", "poll"),
    "server.watch_ignore": parse_texts,
    "limits.head_size": between(parse_size, 256, 32 * KIB),
    "limits.target_size": between(parse_size, 64, 8 * KIB),
    "limits.fields": between(parse_number, 1, 100),
    "limits.body_size": between(parse_size, 0, 1 << 50),
    "limits.queue": between(parse_number, 0, 1 << 20),
    "limits.connections": between(parse_number, 1, 1 << 20),
    "limits.connections_per_address": between(parse_number, 0, 1 << 20),
    "limits.requests_per_connection": between(parse_number, 0, 1 << 31),
    "limits.body_rate": between(parse_number, 0, 1 << 30),
    "limits.rate": _tables,
    "limits.rate_keys": between(parse_number, 1024, 1 << 24),
    "limits.streams": between(parse_number, 1, 1000),
    **{f"timeouts.{item.name}": _period for item in fields(TimeoutsConfig)},
    "php.processes": between(parse_number, 1, APPS_MAX),
    "php.ini": _ini_lines,
    "php.preset": one_of("auto", "off"),
    "php.no_scripts": _no_scripts,
    "php.processes_max": between(parse_number, 0, APPS_MAX),
    "php.grow_after": between(parse_seconds, 0.0, 3600.0),
    "php.idle_ttl": between(parse_seconds, 0.1, 86400.0),
    "php.max_requests": between(parse_number, 0, 1 << 31),
    "php.max_age": between(parse_seconds, 0.0, 10.0**8),
    "php.max_rss": between(parse_size, 0, 1 << 50),
    "php.max_pss": between(parse_size, 0, 1 << 50),
    "php.memory_samples": between(parse_number, 1, 30),
    "php.max_leak": between(parse_size, 0, 1 << 30),
    "php.kill_grace": between(parse_seconds, 0.0, 3600.0),
    "php.slow": between(parse_seconds, 0.0, 86400.0),
    "tls.certificate": _tables,
    "tls.self_signed": parse_flag,
    "tls.min_version": one_of("1.2", "1.3"),
    "tls.client_auth": one_of("off", "optional", "required"),
    "tls.strict_names": parse_flag,
    "tls.hsts": _hsts,
    "tls.ticket_lifetime": between(parse_seconds, 60.0, 86400.0),
    "static.index": parse_texts,
    "static.precompressed": parse_flag,
    "static.symlinks": one_of(*SYMLINK_POLICIES),
    "compression.enabled": parse_flag,
    "compression.encodings": _encodings,
    "compression.min_size": between(parse_size, 1, 1 << 30),
    "compression.types": _media_types,
    "websocket.echo": url_path,
    "websocket.message_size": between(parse_size, 0, 1 << 30),
    "websocket.frame_size": between(parse_size, 125, 1 << 30),
    "websocket.memory": between(parse_size, 0, 1 << 50),
    "websocket.ping": _period,
    "websocket.pong": _period,
    "websocket.close": _period,
    "websocket.idle": between(parse_seconds, 0.0, 86400.0),
    "websocket.deflate": one_of(*WEBSOCKET_DEFLATE),
    "websocket.window_bits": between(parse_number, 9, 15),
    "server.trusted_proxies": _networks,
    "server.forwarded": one_of(*FORWARDED),
    "server.unknown_host": _unknown_host,
    "sendfile.roots": _folders,
    "sendfile.internal": _internal,
    "admin.listen": addresses,
    "admin.token": _token,
    "server.health_path": url_path,
    "server.check": url_path,
    "routes.patterns": _route_patterns,
    "routes.segments": between(parse_number, 0, 8),
    "trace.endpoint": _endpoint,
    "trace.headers": _trace_headers,
    "trace.ratio": _ratio,
    "trace.accept": one_of(*TRACE_ACCEPT),
    "trace.parent_based": parse_flag,
    "log.format": one_of("auto", "text", "logfmt", "json", "journald"),
    "log.server_timing": one_of("off", "on", "trusted"),
    "log.access_format": _access_format,
}
