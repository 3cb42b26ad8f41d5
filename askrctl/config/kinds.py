# SPDX-License-Identifier: MIT
"""Which kind of value each key of askr.toml takes, and the kinds that one key alone has."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from askrctl.config.otel import is_endpoint, whole_endpoint
from askrctl.config.schema import (
    APPS_MAX,
    ENCODINGS,
    FORWARDED,
    KIB,
    RATE_FILL_MAX_S,
    RATE_KEYS,
    RATES_MAX,
    ROUTE_NAME_MAX,
    ROUTES_MAX,
    SYMLINK_POLICIES,
    TOKEN_SIZE_MIN,
    TRACE_ACCEPT,
    WARMUP_METHODS,
    WARMUPS_MAX,
    WEBSOCKET_DEFLATE,
    WORKERS_MAX,
    Certificate,
    RateLimit,
    TimeoutsConfig,
    Warmup,
)
from askrctl.config.tables import shown
from askrctl.config.values import (
    between,
    one_of,
    parse_flag,
    parse_number,
    parse_rate,
    parse_seconds,
    parse_size,
    parse_text,
    parse_texts,
    suggest,
)
from askrctl.model import Backend


def _hsts(value: object) -> str:
    text = parse_text(value)
    if text and not re.fullmatch(r"max-age=\d{1,12}(; ?[A-Za-z]{1,30})*", text):
        raise ValueError('a value such as "max-age=31536000; includeSubDomains"')
    return text


def _certificates(value: object) -> tuple[Certificate, ...]:
    known = [item.name for item in fields(Certificate)]
    example = 'a table such as { cert = "a.pem", key = "a.key" }'
    found = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, dict) or "cert" not in item:
            raise ValueError(example)
        for key in item:
            if key not in known:
                raise ValueError(f"{example}; {key!r} is unknown, {suggest(key, known)}")
        found.append(Certificate(**{key: parse_text(text) for key, text in item.items()}))
    return tuple(found)


def _keys_of(
    table: Mapping[str, object], kinds: Mapping[str, Callable[[object], Any]], where: str
) -> dict[str, Any]:
    """The keys of one table of a list; `where` says which."""
    for key in table:
        if key not in kinds:
            raise ValueError(f"{where}: unknown key {shown(key)}; {suggest(key, list(kinds))}")
    parsed = {}
    for key, value in table.items():
        try:
            parsed[key] = kinds[key](value)
        except ValueError as error:
            raise ValueError(f"{where}: {key} must be {error}, not {value!r:.80}") from None
    return parsed


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    example = 'a table such as { Accept-Language = "de" }'
    if not isinstance(value, dict):
        raise ValueError(example)
    for name, text in value.items():
        # RFC 9110 sections 5.1 and 5.5; the framing of these requests is ours.
        named = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name)
        if not named or not re.fullmatch(r"[\t -~\x80-\xff]*", parse_text(text)):
            raise ValueError(f"{example}; {name!r} cannot be sent")
        if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
            raise ValueError(f"{example}; {name} is not for headers")
    return tuple(value.items())


def _statuses(value: object) -> tuple[int, ...]:
    statuses = value if isinstance(value, (list, tuple)) else [value]
    if not statuses or not all(type(item) is int and 100 <= item <= 599 for item in statuses):
        raise ValueError("a status such as 200, or a list of them")
    return tuple(statuses)


def _host(value: object) -> str:
    text = parse_text(value)
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", text):
        raise ValueError('a host such as "shop.example" or "[::1]:8080"')
    return text


def _warmup_path(value: object) -> str:
    if value == "":
        raise ValueError('a path such as "/"')
    return url_path(value)


_WARMUP_KINDS: dict[str, Callable[[object], Any]] = {
    "path": _warmup_path,
    "method": one_of(*WARMUP_METHODS),
    "host": _host,
    "headers": _headers,
    "status": _statuses,
    "required": parse_flag,
}


def _warmups(value: object) -> tuple[Warmup, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError('is written as [[warmup]], and a line such as path = "/"')
    if len(value) > WARMUPS_MAX:
        raise ValueError(f"can be at most {WARMUPS_MAX} requests")
    return tuple(_warmup(item, number) for number, item in enumerate(value, 1))


def _warmup(table: dict[str, object], number: int) -> Warmup:
    if "path" not in table:
        raise ValueError(f'number {number} needs a line such as path = "/"')
    return Warmup(**_keys_of(table, _WARMUP_KINDS, f"number {number}"))


def _rate_key(value: object) -> str:
    text = parse_text(value)
    kind, _, name = text.partition(":")
    token = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name)
    if text != "address" and not (kind in RATE_KEYS[1:] and token):
        raise ValueError('"address", "header:NAME" or "cookie:NAME"')
    return text


def _rate_path(value: object) -> str:
    text = parse_text(value)
    # Rules are held against decoded, normalised paths: one with an escape would never match.
    if not text.startswith("/") or re.search(r"[%?#]|//|/\.{1,2}(/|$)", text):
        raise ValueError('a decoded path such as "/login", without query')
    return text


def _rate_name(value: object) -> str:
    text = parse_text(value)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", text):
        raise ValueError("letters, digits, dots, dashes and underscores, at most 40")
    return text


def _rate_text(value: object) -> str:
    parse_rate(value)
    return str(value)


_RATE_KINDS: dict[str, Callable[[object], Any]] = {
    "rate": _rate_text,
    "path": _rate_path,
    "key": _rate_key,
    "burst": between(parse_number, 1, 1 << 20),
    "name": _rate_name,
}


def _rate(item: object, number: int) -> RateLimit:
    example = 'a table such as { path = "/login", rate = "5/m" }'
    if not isinstance(item, dict) or "rate" not in item:
        raise ValueError(f"{example}; number {number} is none with a rate")
    found = RateLimit(**_keys_of(item, _RATE_KINDS, f"{example}; number {number}"))
    count, period_s = parse_rate(found.rate)
    burst = found.burst or count
    if burst * period_s > RATE_FILL_MAX_S * count:
        raise ValueError(f"{example}; number {number}: its bucket would take years to fill")
    return replace(found, burst=burst, name=found.name or f"rate{number}")


def _rates(value: object) -> tuple[RateLimit, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    if len(items) > RATES_MAX:
        raise ValueError(f"at most {RATES_MAX} tables")
    found = tuple(_rate(item, number) for number, item in enumerate(items, 1))
    names = [item.name for item in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"tables with names of their own; {twice!r} is there twice")
    return found


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
    *("worker", "total", "read", "queue", "app_wall", "app_cpu", "write", "client"),
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
    "server.listen": parse_texts,
    "server.workers": between(parse_number, 0, WORKERS_MAX),
    "server.io_backend": _backend,
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
    "limits.rate": _rates,
    "limits.rate_keys": between(parse_number, 1024, 1 << 24),
    "limits.streams": between(parse_number, 1, 1000),
    **{f"timeouts.{item.name}": _period for item in fields(TimeoutsConfig)},
    "php.processes": between(parse_number, 1, APPS_MAX),
    "php.ini": parse_texts,
    "php.preset": one_of("auto", "off"),
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
    "tls.certificate": _certificates,
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
    "admin.listen": parse_texts,
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

# Sections that are lists of tables; what a ValueError says follows the section's name.
LISTS: dict[str, Callable[[object], Any]] = {"warmup": _warmups}
