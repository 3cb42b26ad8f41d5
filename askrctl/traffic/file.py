# SPDX-License-Identifier: MIT
"""The file of a recording, version 1: JSON Lines, UTF-8. docs/record.md describes it.

The first line says what it is, each other one is an exchange, the last one counts. A recorder that
was killed leaves a file without the last line, or with half of one: what is whole is read, and
`end` is None. Anything else that is not as it should be is an error that names the line, because a
replay of half of what was meant proves nothing.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from askrctl.model import AskrError
from askrctl.traffic.exchange import EMPTY, Answer, Body, Exchange, Fields, Request

FORMAT = "askr-record"
VERSION = 1
LINE_MAX = 2 << 20  # two bodies of 64 KiB, each byte as \\u00XX, and their heads
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_TARGET = re.compile(r"[^\x00-\x20\x7f]+")
_VALUE = re.compile(r"[^\x00\r\n]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OUTCOMES = ("done", "cut", "left")
_VERSIONS = {1000: "1.0", 1001: "1.1", 2000: "2"}


@dataclass(frozen=True, slots=True)
class Header:
    """What was recorded, and by what rules."""

    created: float
    application: str  # the path that was served
    redacted_fields: tuple[str, ...]
    redacted_parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """`lost` did not reach the file, `skipped` were over the rate."""

    records: int
    lost: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Recorded:
    header: Header
    exchanges: tuple[Exchange, ...]
    end: End | None


# --- writing --------------------------------------------------------------------------------------


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _body_value(body: Body) -> dict[str, Any]:
    value: dict[str, Any] = {"size": body.size}
    if body == EMPTY:
        return value
    if body.sha256:
        value["sha256"] = body.sha256
    if body.content is None:
        return value
    try:
        return {**value, "text": body.content.decode()}
    except UnicodeDecodeError:
        return {**value, "base64": base64.b64encode(body.content).decode()}


def header_line(header: Header) -> bytes:
    return _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "created": header.created,
            "application": header.application,
            "redacted_fields": list(header.redacted_fields),
            "redacted_parameters": list(header.redacted_parameters),
        }
    )


def exchange_line(found: Exchange) -> bytes:
    request, answer = found.request, found.answer
    return _line(
        {
            "time": found.time,
            "duration": found.duration,
            "outcome": found.outcome,
            "request": {
                "method": request.method,
                "target": request.target,
                "authority": request.authority,
                "version": _VERSIONS[request.version],
                "secure": request.secure,
                "fields": [list(pair) for pair in request.fields],
                "body": _body_value(request.body),
            },
            "answer": {
                "status": answer.status,
                "fields": [list(pair) for pair in answer.fields],
                "body": _body_value(answer.body),
            },
        }
    )


def end_line(end: End) -> bytes:
    return _line({"records": end.records, "lost": end.lost, "skipped": end.skipped})


# --- reading --------------------------------------------------------------------------------------


class _LineError(ValueError):
    """What is wrong with a line."""


def _object(value: object, what: str, keys: str, optional: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _LineError(f"{what} must be an object")
    known = keys.split()
    for key in value:
        if key not in known and key not in optional.split():
            raise _LineError(f"{what} has an unknown key {key[:40]!r}")
    for key in known:
        if key not in value:
            raise _LineError(f"{what} has no {key}")
    return value


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise _LineError(f"{what} must be a number that is not negative")
    return value


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise _LineError(f"{what} must be a whole number that is not negative")
    return value


def _text(value: object, what: str, pattern: re.Pattern[str]) -> str:
    """One that may stand in a message of HTTP: a character for each byte."""
    if not isinstance(value, str) or not pattern.fullmatch(value) or not _is_latin(value):
        raise _LineError(f"{what} is not what it must be in HTTP")
    return value


def _is_plain(value: object) -> TypeGuard[str]:
    """A text without control characters and half characters."""
    return isinstance(value, str) and all(
        letter >= " " and not "\ud800" <= letter <= "\udfff" for letter in value
    )


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _names(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(map(_is_plain, value)):
        raise _LineError(f"{what} must be a list of names")
    return tuple(value)


def _fields(value: object, what: str) -> Fields:
    if not isinstance(value, list):
        raise _LineError(f"{what} must be a list")
    found = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2:
            raise _LineError(f"{what} must hold pairs of a name and a value")
        name = _text(item[0], f"a name in {what}", _TOKEN)
        found.append((name, _text(item[1], f"the value of {name} in {what}", _VALUE)))
    return tuple(found)


def _content(value: dict[str, Any], what: str) -> bytes | None:
    if "text" in value and "base64" in value:
        raise _LineError(f"{what} has both text and base64")
    kind = next((key for key in ("text", "base64") if key in value), None)
    if kind is None:
        return None
    if not isinstance(value[kind], str):
        raise _LineError(f"{kind} of {what} must be a string")
    try:
        if kind == "text":
            return str(value[kind]).encode()
        return base64.b64decode(value[kind], validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise _LineError(f"{kind} of {what} cannot be decoded") from None


def _body(value: object, what: str) -> Body:
    found = _object(value, what, "size", "sha256 text base64")
    size = _count(found["size"], f"size of {what}")
    digest = found.get("sha256", "")
    if digest and (not isinstance(digest, str) or not _SHA256.fullmatch(digest)):
        raise _LineError(f"sha256 of {what} must be 64 hexadecimal digits")
    content = _content(found, what)
    if size == 0 and content is None:
        if digest not in ("", EMPTY.sha256):
            raise _LineError(f"{what} is not what its size and sha256 say")
        return EMPTY
    if content is not None and (
        len(content) != size or hashlib.sha256(content).hexdigest() != digest
    ):
        raise _LineError(f"{what} is not what its size and sha256 say")
    return Body(size, digest, content)


def _request(value: object) -> Request:
    found = _object(value, "request", "method target authority version secure fields body")
    version = next((key for key, name in _VERSIONS.items() if name == found["version"]), None)
    if version is None:
        raise _LineError("version of the request must be 1.0, 1.1 or 2")
    if not isinstance(found["secure"], bool):
        raise _LineError("secure must be true or false")
    return Request(
        method=_text(found["method"], "method", _TOKEN),
        target=_text(found["target"], "target", _TARGET),
        authority=_text(found["authority"], "authority", _VALUE),
        version=version,
        secure=found["secure"],
        fields=_fields(found["fields"], "the request's fields"),
        body=_body(found["body"], "the request's body"),
    )


def _answer(value: object) -> Answer:
    found = _object(value, "answer", "status fields body")
    status = _count(found["status"], "status")
    if status != 0 and not 200 <= status <= 999:
        raise _LineError("status must be 0, or from 200 to 999")
    return Answer(
        status=status,
        fields=_fields(found["fields"], "the answer's fields"),
        body=_body(found["body"], "the answer's body"),
    )


def _exchange(value: dict[str, Any]) -> Exchange:
    found = _object(value, "an exchange", "time duration outcome request answer")
    if found["outcome"] not in _OUTCOMES:
        raise _LineError("outcome must be done, cut or left")
    return Exchange(
        time=_number(found["time"], "time"),
        duration=_number(found["duration"], "duration"),
        outcome=found["outcome"],
        request=_request(found["request"]),
        answer=_answer(found["answer"]),
    )


def _header(value: dict[str, Any]) -> Header:
    if value.get("format") != FORMAT:
        raise _LineError("it is no recording of askrctl")
    if value.get("version") != VERSION:
        other = repr(value.get("version"))[:20]
        raise _LineError(f"it is of version {other}, this askrctl reads {VERSION}")
    keys = "format version created application redacted_fields redacted_parameters"
    found = _object(value, "the first line", keys)
    if not _is_plain(found["application"]):
        raise _LineError("application must be a path")
    return Header(
        created=_number(found["created"], "created"),
        application=found["application"],
        redacted_fields=_names(found["redacted_fields"], "redacted_fields"),
        redacted_parameters=_names(found["redacted_parameters"], "redacted_parameters"),
    )


def _end(value: dict[str, Any], count: int) -> End:
    found = _object(value, "the last line", "records lost skipped")
    end = End(*(_count(found[key], key) for key in ("records", "lost", "skipped")))
    if end.records != count:
        raise _LineError(f"it counts {end.records} records, {count} are there")
    return end


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines; half of one at the end is what a killed recorder leaves."""
    while line := stream.readline(LINE_MAX + 1):
        if line.endswith(b"\n") or len(line) > LINE_MAX:
            yield line


def _parse(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_MAX:
        raise _LineError(f"it is longer than {LINE_MAX} bytes")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise _LineError("it is not valid JSON") from None
    if not isinstance(value, dict):
        raise _LineError("it is no object")
    return value


def read_stream(stream: BinaryIO, name: str) -> Recorded:
    """AskrError names the file, the line and what is wrong with it."""
    header: Header | None = None
    end: End | None = None
    exchanges: list[Exchange] = []
    number = 0
    try:
        for line in _lines(stream):
            number += 1
            value = _parse(line)
            if header is None:
                header = _header(value)
            elif end is not None:
                raise _LineError("there is more behind the last line")
            elif "records" in value:
                end = _end(value, len(exchanges))
            else:
                exchanges.append(_exchange(value))
    except _LineError as error:
        raise _refusal(f"{name}, line {number}: {error}") from None
    if header is None:
        raise _refusal(f"{name} is empty")
    return Recorded(header, tuple(exchanges), end)


def _refusal(message: str) -> AskrError:
    return AskrError(message, "askrctl record FILE, anew", code=2)


def read(path: Path) -> Recorded:
    try:
        with path.open("rb") as stream:
            return read_stream(stream, str(path))
    except OSError as error:
        raise AskrError(
            f"{path} cannot be read: {error.strerror}", f"ls -l {path}", code=2
        ) from None
