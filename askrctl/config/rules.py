# SPDX-License-Identifier: MIT
"""Rules for answers: which paths and hosts they are for, and what they may not do.

A pattern is a path; one "*" in it stands for any characters, slashes included. The engine matches
paths decoded and normalised (engine/serve/rules.c), so there is one spelling of each.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from askrctl.config.schema import EDITS_MAX, EDITS_SIZE_MAX, HeaderRule, Redirect
from askrctl.config.values import one_of, parse_text, parse_texts

ANSWERS = ("all", "ok", "files")  # enum askr_answers, in its order
PATTERN_SIZE_MAX = 512
REDIRECT_STATUSES = (301, 302, 303, 307, 308)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
# Where a message ends and what becomes of its connection is the server's alone: a field that
# disagrees would let one answer be read as two.
_FRAMING = {
    *("content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection"),
    *("te", "trailer", "upgrade"),
}
# What the server writes for itself, or negotiates: with where it is set instead.
_OWN = {
    "content-encoding": "[compression]",
    "content-range": "it says which part of a file this is",
    "date": "it is the server's clock",
    "x-sendfile": "[sendfile]",
    "x-accel-redirect": "[sendfile]",
}
# The server may write them after the rules: they can be set, and are taken away elsewhere.
_NOT_REMOVED = {
    "server": 'server.server_header = ""',
    "strict-transport-security": 'tls.hsts = ""',
}


def _pattern(value: object) -> str:
    text = parse_text(value)
    if (
        not re.fullmatch(r"[/*][^\x00-\x1f\x7f?#]*", text)
        or len(text.encode()) > PATTERN_SIZE_MAX
        or text.count("*") > 1
    ):
        raise ValueError('a path, in which one * may stand for anything: "/a", "/a/*", "*.css"')
    return text


def patterns(value: object) -> tuple[str, ...]:
    return tuple(_pattern(item) for item in parse_texts(value))


def source(value: object) -> str:
    return _pattern(value)


def target(value: object) -> str:
    text = parse_text(value)
    example = 'a path such as "/new/*", or a URL such as "https://example.org/*"'
    if len(text.encode()) > PATTERN_SIZE_MAX or text.count("*") > 1:
        raise ValueError(example)
    if not re.fullmatch(r"(/|https?://[^/?*@\\]+(/|\*|$))[!-~]*", text) or re.search(
        r'[\\"<>^`{|}#]', text
    ):
        raise ValueError(example)
    if text.startswith("//"):
        raise ValueError(example + "; // begins another host")
    return text


def status(value: object) -> int:
    if isinstance(value, bool) or value not in REDIRECT_STATUSES:
        raise ValueError(" or ".join(map(str, REDIRECT_STATUSES)))
    return int(str(value))


def hosts(value: object) -> tuple[str, ...]:
    names = [name.lower().rstrip(".") for name in parse_texts(value)]
    for name in names:
        is_address = re.fullmatch(r"\[[0-9a-f:.]+\]", name)
        if not is_address and (not _HOST.fullmatch(name) or len(name) > 253):
            raise ValueError('host names without a port: "example.org", "*.example.org", "[::1]"')
    if len(set(names)) != len(names):
        raise ValueError("host names, each once")
    return tuple(names)


def site_name(value: object) -> str:
    text = parse_text(value)
    if not re.fullmatch(r"[A-Za-z0-9*._-]{1,63}", text):
        raise ValueError("at most 63 letters, digits, dots, dashes and underscores")
    return text


def folder(value: object) -> str:
    text = parse_text(value)
    if not text.startswith("/"):
        raise ValueError('an absolute path such as "/srv/shop"')
    return text


def answers(value: object) -> str:
    return one_of(*ANSWERS)(value)


# --- fields ---------------------------------------------------------------------------------------


def _field_name(name: object) -> str:
    text = parse_text(name)
    if not _TOKEN.fullmatch(text) or len(text) > 128:
        raise ValueError('field names such as "X-Frame-Options"')
    if text.lower() in _FRAMING:
        raise ValueError(f"other fields than {text}: where an answer ends is the server's to say")
    if text.lower() in _OWN:
        raise ValueError(f"other fields than {text}: {_OWN[text.lower()]}")
    return text


def _field_value(name: str, value: object) -> str:
    text = parse_text(value)
    if "\r" in text or "\n" in text:
        raise ValueError(f"one line: the value of {name} has a line break")
    if not _VALUE.fullmatch(text) or len(text.encode()) > 4096:
        raise ValueError(f"printable text: the value of {name}")
    return text.strip(" \t")


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError('a table such as { X-Frame-Options = "DENY" }')
    found = []
    for name, texts in value.items():
        field_name = _field_name(name)
        found += [
            (field_name, _field_value(name, text))
            for text in (texts if isinstance(texts, list) else [texts])
        ]
    return tuple(found)


def edits(value: object) -> tuple[tuple[str, str], ...]:
    pairs = _pairs(value)
    names = [name.lower() for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("one value for each field: more go into add")
    if "vary" in names:
        raise ValueError("other fields than Vary, which can only be added to")
    return pairs


def additions(value: object) -> tuple[tuple[str, str], ...]:
    return _pairs(value)


def removals(value: object) -> tuple[str, ...]:
    names = tuple(_field_name(name) for name in parse_texts(value))
    for name in names:
        if name.lower() in _NOT_REMOVED:
            raise ValueError(f"other fields than {name}: {_NOT_REMOVED[name.lower()]}")
        if name.lower() in ("vary", "content-type", "location"):
            raise ValueError(f"other fields than {name}, without which answers are misread")
    return names


def headers_problem(headers: Sequence[HeaderRule]) -> str:
    """An answer has room for so many more fields. What is too much, or ""."""
    pairs = [pair for rule in headers for pair in (*rule.set, *rule.add)]
    size = sum(len(name) + len(value.encode()) + 4 for name, value in pairs)
    if len(headers) > 32 or len(pairs) > EDITS_MAX or size > EDITS_SIZE_MAX:
        return f"at most 32 header rules, {EDITS_MAX} fields and {EDITS_SIZE_MAX} bytes"
    return ""


# --- redirects ------------------------------------------------------------------------------------


def split(pattern: str) -> tuple[str, str | None]:
    """What stands before and behind the "*"; (pattern, None) when there is none."""
    before, star, behind = pattern.partition("*")
    return before, behind if star else None


def match(pattern: str, path: str) -> str | None:
    """What the "*" stands for in this path, "" without one; None: it is not for this path."""
    before, behind = split(pattern)
    if behind is None:
        return "" if path == before else None
    if len(path) < len(before) + len(behind):
        return None
    if not path.startswith(before) or not path.endswith(behind):
        return None
    return path[len(before) : len(path) - len(behind)]


def host_matches(names: Sequence[str], host: str) -> bool:
    return any(
        host.endswith(name[1:]) and len(host) > len(name[1:]) if name[0] == "*" else host == name
        for name in names
    )


def redirect_problem(redirect: Redirect) -> str:
    """Why it cannot be what was meant; ""."""
    before, behind = split(redirect.to)
    if behind is not None and "*" not in redirect.source:
        return "has a *, and from has none that it could stand for"
    if redirect.to == redirect.source:
        return "leads to where it comes from"
    is_open = behind is not None and not before.startswith("/") and before.count("/") < 3
    if is_open and redirect.source != "*":
        # What the client wrote would become part of the host: https://example.org.evil.test
        return 'has its * in the host: write "https://example.org/*"'
    return ""


def follow(redirects: Sequence[Redirect], names: Sequence[str], path: str) -> str | None:
    """Where a path leads on the same hosts; None: nowhere, or away."""
    for redirect in redirects:
        rest = match(redirect.source, path)
        if rest is None:
            continue
        to = redirect.to.replace("*", rest)
        if to.startswith("http"):
            parts = urlsplit(to)
            if not host_matches(redirect.hosts or names, (parts.hostname or "").lower()):
                return None
            to = parts.path or "/"
        to = re.sub("^/+", "/", to.partition("?")[0])
        if to != path:  # the engine passes over what leads to where the client is already
            return to
    return None


def find_loop(redirects: Sequence[Redirect], names: Sequence[str]) -> Redirect | None:
    """The first that sends a client round in circles, or on for ever."""
    for redirect in redirects:
        path: str | None = redirect.source.replace("*", "/x" if redirect.source == "*" else "x")
        for _ in range(len(redirects) + 1):
            path = follow(redirects, names, path) if path is not None else None
        if path is not None:
            return redirect
    return None
