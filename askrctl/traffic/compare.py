# SPDX-License-Identifier: MIT
"""What two answers to the same request have in common: status, fields, body, byte for byte.

What differs from one answer to the next anyway is ignored, and a report names it: the time, what a
connection needs, what identifies a request or a session.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from askrctl.traffic.exchange import Answer, Body, Fields
from askrctl.traffic.redact import MARK

IGNORED = (
    *("age", "connection", "content-length", "date", "keep-alive", "server", "server-timing"),
    *("set-cookie", "strict-transport-security", "traceparent", "transfer-encoding", "via"),
    *("x-request-id",),
)
_SHOWN = 40  # bytes around the first difference of two bodies


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is "status", "body", or the name of a field; the sides as texts."""

    what: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Ignores:
    fields: frozenset[str] = frozenset(IGNORED)
    body: tuple[re.Pattern[bytes], ...] = ()


def differences(left: Answer, right: Answer, ignores: Ignores) -> tuple[Difference, ...]:
    """None when they are the same but for what is ignored."""
    found = []
    if left.status != right.status:
        found.append(Difference("status", str(left.status), str(right.status)))
    found += _of_fields(left.fields, right.fields, ignores.fields)
    found += _of_bodies(left.body, right.body, ignores.body)
    return tuple(found)


def _by_name(fields: Fields, ignored: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        if name.lower() not in ignored:
            found.setdefault(name.lower(), []).append(value)
    return found


def _of_fields(left: Fields, right: Fields, ignored: frozenset[str]) -> list[Difference]:
    """The order of fields with different names says nothing (RFC 9110 section 5.3)."""
    ours, theirs = _by_name(left, ignored), _by_name(right, ignored)
    found = []
    for name in sorted({*ours, *theirs}):
        one, other = ours.get(name), theirs.get(name)
        if one == other or MARK in (one or []) or MARK in (other or []):
            continue
        found.append(Difference(name, _joined(one), _joined(other)))
    return found


def _joined(values: list[str] | None) -> str:
    return "(not there)" if values is None else " | ".join(values)


def _without(content: bytes, patterns: Sequence[re.Pattern[bytes]]) -> bytes:
    for pattern in patterns:
        content = pattern.sub(b"", content)
    return content


def _of_bodies(left: Body, right: Body, patterns: Sequence[re.Pattern[bytes]]) -> list[Difference]:
    if left.content is not None and right.content is not None:
        one, other = _without(left.content, patterns), _without(right.content, patterns)
        return [] if one == other else [_first(one, other)]
    if left.sha256 and right.sha256 and not patterns:
        if left.sha256 == right.sha256:
            return []
        return [Difference("body", _described(left), _described(right))]
    if left.size == right.size or patterns:
        return []  # more is not known of one that was not kept
    return [Difference("body", f"{left.size} bytes", f"{right.size} bytes")]


def _described(body: Body) -> str:
    return f"{body.size} bytes, SHA-256 {body.sha256[:16]}…"


def _first(left: bytes, right: bytes) -> Difference:
    """Where they part, with something around it."""
    pairs = enumerate(zip(left, right, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))
    start = max(0, at - _SHOWN // 2)
    sides = (f"byte {at} of {len(side)}: {side[start : at + _SHOWN]!r}" for side in (left, right))
    return Difference("body", *sides)
