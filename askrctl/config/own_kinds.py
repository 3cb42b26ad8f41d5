# SPDX-License-Identifier: MIT
"""Kinds of values that one key of askr.toml alone has; values.py holds those that any may have."""

import ipaddress
import re
from typing import Any

from askrctl.config.otel import is_endpoint, whole_endpoint
from askrctl.config.schema import (
    ENCODINGS,
    NO_SCRIPTS_MAX,
    ROUTE_NAME_MAX,
    ROUTES_MAX,
    TOKEN_SIZE_MIN,
)
from askrctl.config.values import (
    one_of,
    parse_text,
    parse_texts,
)
from askrctl.model import Backend


def hsts(value: object) -> str:
    text = parse_text(value)
    if text and not re.fullmatch(r"max-age=\d{1,12}(; ?[A-Za-z]{1,30})*", text):
        raise ValueError('a value such as "max-age=31536000; includeSubDomains"')
    return text


def field_value(value: object) -> str:
    text = parse_text(value)
    if not re.fullmatch(r"[\t -~]{0,200}", text):
        raise ValueError("at most 200 printable characters on one line")
    return text


def ini_lines(value: object) -> tuple[str, ...]:
    """PHP passes over a line that it does not understand, and nobody hears of it."""
    texts = parse_texts(value)
    lines = [line.strip() for text in texts for line in text.splitlines()]
    if any(line and not re.match(r";|[A-Za-z_][\w.\-]*\s*=", line) for line in lines):
        raise ValueError('lines of php.ini such as "memory_limit=256M"')
    return texts


def tables(_value: object) -> Any:
    """Of a key that lists.py reads from the file: nothing else can give it tables."""
    raise ValueError("tables in askr.toml")


def backend(value: object) -> Backend:
    return Backend(one_of(*Backend)(value))


def encodings(value: object) -> tuple[str, ...]:
    names = parse_texts(value)
    if len(set(names)) != len(names) or not set(names) <= set(ENCODINGS):
        raise ValueError("a list of " + ", ".join(f'"{name}"' for name in ENCODINGS))
    return names


def media_types(value: object) -> tuple[str, ...]:
    types = parse_texts(value)
    word = r"[A-Za-z0-9!#$&^_.+-]+"
    for text in types:
        if not re.fullmatch(rf"{word}/({word}|\*)|\*\+{word}", text):
            raise ValueError('media types such as "text/html", "text/*" or "*+json"')
    return types


def networks(value: object) -> tuple[str, ...]:
    networks = parse_texts(value)
    for text in networks:
        if text != "unix":
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise ValueError('networks such as "10.0.0.0/8", "::1" or "unix"') from None
    return networks


def token(value: object) -> str:
    text = parse_text(value)
    if text and (len(text) < TOKEN_SIZE_MIN or not re.fullmatch(r"[!-~]+", text)):
        raise ValueError(f"at least {TOKEN_SIZE_MIN} printable characters")
    return text


def url_path(value: object) -> str:
    text = parse_text(value)
    if text and not re.fullmatch(r"/[!-~]*", text):
        raise ValueError('a path such as "/healthz"')
    return text


def no_scripts(value: object) -> tuple[str, ...]:
    folders = () if value == [] else parse_texts(value)
    for folder in folders:
        if not re.fullmatch(r"(/[^/\0]+)+/?", folder) or {".", ".."} & set(folder.split("/")):
            raise ValueError('a list of folders such as "/uploads", or []')
    if len(folders) > NO_SCRIPTS_MAX:
        raise ValueError(f"a list of at most {NO_SCRIPTS_MAX} folders")
    return tuple(folder.rstrip("/") for folder in folders)


def unknown_host(value: object) -> int:
    if isinstance(value, bool) or value not in (404, 421):
        raise ValueError("404 or 421")
    return int(str(value))


def folders(value: object) -> tuple[str, ...]:
    return tuple(_folder(item) for item in parse_texts(value))


def _folder(value: object) -> str:
    text = parse_text(value)
    if not text or "\n" in text:
        raise ValueError('folders such as "/srv/files", or "storage/app" in the application')
    return text


def internal(value: object) -> tuple[tuple[str, str], ...]:
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


def access_format(value: object) -> str:
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


def route_patterns(value: object) -> tuple[str, ...]:
    patterns = parse_texts(value)
    if len(patterns) > ROUTES_MAX:
        raise ValueError(f"at most {ROUTES_MAX} patterns")
    for text in patterns:
        if not re.fullmatch(r"(/(:?[!-)+-.0-~]*))*(/\*)?", text) or not text:
            raise ValueError('paths such as "/users/:name" or "/files/*"')
        if len(text) > ROUTE_NAME_MAX:
            raise ValueError(f"paths of at most {ROUTE_NAME_MAX} characters")
    return patterns


def endpoint(value: object) -> str:
    text = parse_text(value)
    if text and not is_endpoint(text):
        raise ValueError('a URL such as "http://127.0.0.1:4318/v1/traces", without a password')
    return whole_endpoint(text) if text else ""


def trace_headers(value: object) -> tuple[str, ...]:
    texts = parse_texts(value)
    for text in texts:
        if not re.fullmatch(r"[A-Za-z0-9_-]+=[!-+\--~ ]+", text):
            raise ValueError('a list of "name=value"')
    return texts


def ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("between 0.0 and 1.0")
    return float(value)
