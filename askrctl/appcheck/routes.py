# SPDX-License-Identifier: MIT
"""What is asked: lines such as `/`, `GET /shop?x=1` or `POST /login name={user}&secret=x`."""

import re
from dataclasses import dataclass
from pathlib import Path

from askrctl.config import url_path
from askrctl.model import AskrError

ROUTES_MAX = 200
_HINT = 'a line is PATH, METHOD PATH or METHOD PATH BODY: "POST /login name={user}"'


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def parse(line: str) -> Route:
    words = line.split(maxsplit=2)
    if words and words[0].startswith("/"):
        words = ["GET", *line.split(maxsplit=1)]
    if len(words) < 2 or not re.fullmatch(r"[A-Z]{3,10}", words[0]):
        raise AskrError(f"{line!r} is no route", _HINT, code=2)
    try:
        path = url_path(words[1])
    except ValueError as error:
        raise AskrError(f"{line!r}: the path must be {error}", _HINT, code=2) from None
    return Route(words[0], path, words[2] if len(words) == 3 else "")


def read(lines: list[str], file: Path | None) -> tuple[Route, ...]:
    """Of the command line and of a file with a route a line; `/` when there are none."""
    if file is not None:
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise AskrError(f"{file} cannot be read: {error}", f"ls -l {file}", code=2) from None
        stripped = [line.strip() for line in text.splitlines()]
        lines = [*lines, *(line for line in stripped if line and not line.startswith("#"))]
    if len(lines) > ROUTES_MAX:
        raise AskrError(f"{len(lines)} routes are too many", f"{ROUTES_MAX} at a time", code=2)
    return tuple(parse(line) for line in lines) or (Route("GET", "/"),)
