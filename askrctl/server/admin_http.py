# SPDX-License-Identifier: MIT
"""HTTP/1.1 of the admin listener, without its connections: bytes to requests, answers to bytes.

Strict wherever two readers could differ about where a request ends (RFC 9112, 6.3 and 11.2): there
is no transfer coding, and one length at most.
"""

import gzip
import json
from dataclasses import dataclass, replace
from functools import lru_cache

HEAD_SIZE_MAX = 16384
BODY_SIZE_MAX = 65536
HEADS_KNOWN = 16  # read once: a scraper, a probe or the dashboard asks the same each time
_END = b"\r\n\r\n"
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """`token` is what Authorization says, `keeps` that more may follow on the connection."""

    method: str
    path: str
    token: str = ""
    body_size: int = 0
    keeps: bool = True
    gzip: bool = False  # it may be answered so
    allowed: bool = False  # credentials or token are right


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Response":
        return cls(status, json.dumps(value).encode() + b"\n")

    @classmethod
    def error(cls, status: int, message: str, *fields: tuple[str, str]) -> "Response":
        body = json.dumps({"error": message}).encode() + b"\n"
        return cls(status, body, fields=fields)

    def with_fields(self, *fields: tuple[str, str]) -> "Response":
        return replace(self, fields=(*self.fields, *fields))

    def packed(self) -> "Response":
        """The same, compressed."""
        body = gzip.compress(self.body, compresslevel=1, mtime=0)
        return replace(self, body=body).with_fields(("Content-Encoding", "gzip"))

    def encode(self, *, head_only: bool, last: bool) -> bytes:
        """`last`: the connection ends with it."""
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in self.fields),
            *(["Connection: close"] if last else []),
        ]
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if head_only else head + self.body


class RefusedError(Exception):
    """A request after which nobody can tell where the next one begins."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = Response.error(status, message)


def take(received: bytearray) -> Request | None:
    """The next request, and its bytes are gone; None while it is not complete."""
    end = received.find(_END, 0, HEAD_SIZE_MAX + len(_END))
    if end < 0:
        if len(received) > HEAD_SIZE_MAX:
            raise RefusedError(431, "the request head is too long")
        return None
    request = _read(bytes(received[:end]))
    size = end + len(_END) + request.body_size
    if len(received) < size:
        return None
    del received[:size]
    return request


@lru_cache(maxsize=HEADS_KNOWN)
def _read(head: bytes) -> Request:
    line, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = line.split(" ")
        fields = _fields(lines)
        size = fields.get("content-length", "0")
        if "\n" in line or not (size.isascii() and size.isdigit()):
            raise ValueError(size)
    except ValueError:
        raise RefusedError(400, "this is no HTTP/1.1 request") from None
    if version not in ("HTTP/1.1", "HTTP/1.0") or "transfer-encoding" in fields:
        raise RefusedError(400, "this is no request that is understood here")
    if len(size) > len(str(BODY_SIZE_MAX)) or int(size) > BODY_SIZE_MAX:
        raise RefusedError(413, "no request here needs a body")
    return Request(
        method=method,
        path=_path(target),
        token=_token(fields.get("authorization", "")),
        body_size=int(size),
        keeps=version == "HTTP/1.1" and "close" not in _words(fields, "connection"),
        gzip="gzip" in _words(fields, "accept-encoding"),
    )


def _path(target: str) -> str:
    """Without the query; a proxy may send the absolute form (RFC 9112, section 3.2.2)."""
    if target.lower().startswith(("http://", "https://")):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0]


def _fields(lines: list[str]) -> dict[str, str]:
    """By name in lower case; those of one name are joined, as RFC 9110, 5.3 has it."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line:
            raise ValueError(line)
        key = name.lower()
        found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
    return found


def _words(fields: dict[str, str], name: str) -> list[str]:
    return [word.strip() for word in fields.get(name, "").lower().split(",")]


def _token(authorization: str) -> str:
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
