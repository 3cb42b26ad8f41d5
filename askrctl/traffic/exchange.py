# SPDX-License-Identifier: MIT
"""One request and its answer, as values. Texts are latin-1: a character for each byte."""

import hashlib
from dataclasses import dataclass

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Body:
    """`content` is None when it was not kept, or not all of it; then `sha256` is of nothing or all.

    `sha256` is "" when not all of it was seen.
    """

    size: int
    sha256: str
    content: bytes | None

    @classmethod
    def of(cls, content: bytes) -> "Body":
        """One that is here whole."""
        return cls(len(content), hashlib.sha256(content).hexdigest(), content)

    @classmethod
    def cut(cls, size: int) -> "Body":
        """One of which only the size is known."""
        return cls(size, "", None)

    def without_content(self) -> "Body":
        return Body(self.size, self.sha256, None)


EMPTY = Body.of(b"")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    authority: str
    version: int  # 1000, 1001 or 2000
    secure: bool
    fields: Fields
    body: Body


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is 0 when the client left before there was one."""

    status: int
    fields: Fields
    body: Body


@dataclass(frozen=True, slots=True)
class Exchange:
    time: float  # of its end, seconds since 1970
    duration: float  # seconds
    outcome: str  # done, cut, left
    request: Request
    answer: Answer
