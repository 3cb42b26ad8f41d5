# SPDX-License-Identifier: MIT
"""Kinds of the keys that tables of a list have: [[warmup]], [[limits.rate]], [[tls.certificate]].

Those of [[header]], [[redirect]] and [[site]] are in rules.py, with what the rules may not do.
"""

import re
from collections.abc import Callable
from typing import Any

from askrctl.config.own_kinds import url_path
from askrctl.config.schema import RATE_KEYS, WARMUP_METHODS
from askrctl.config.values import (
    between,
    one_of,
    parse_flag,
    parse_number,
    parse_rate,
    parse_text,
)


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


WARMUP: dict[str, Callable[[object], Any]] = {
    "path": _warmup_path,
    "method": one_of(*WARMUP_METHODS),
    "host": _host,
    "headers": _headers,
    "status": _statuses,
    "required": parse_flag,
}


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


RATE: dict[str, Callable[[object], Any]] = {
    "rate": _rate_text,
    "path": _rate_path,
    "key": _rate_key,
    "burst": between(parse_number, 1, 1 << 20),
    "name": _rate_name,
}
CERTIFICATE: dict[str, Callable[[object], Any]] = {
    "cert": parse_text,
    "key": parse_text,
    "passphrase_file": parse_text,
}
