# SPDX-License-Identifier: MIT
"""On which line of a TOML text each table and key stands, so that what is wrong is told with it.

The text is valid TOML: tomllib has read it. A path is the words and numbers that lead to a value
there: ("site", 0, "php", "ini"). What stands within { … } or [ … ] has no line of its own.
"""

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<text>  \"{3}(?:\\[\s\S]|[^\\])*?\"{3,5} | '{3}[\s\S]*?'{3,5}
               | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
    | (?P<comment> \#[^\n]* )
    | (?P<end> \n )
    | (?P<word> [A-Za-z0-9_-]+ )
    | (?P<sign> [^\s] )
    """,
    re.VERBOSE,
)


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """The pieces of each header, and of each key with its value, with the line it begins on."""
    line, begun, depth = 1, 0, 0
    pieces: list[str] = []
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if match.lastgroup == "end" and not depth and pieces:
            yield begun, pieces
            pieces = []
        elif match.lastgroup not in ("end", "comment"):
            begun = begun if pieces else line
            depth += (piece in "[{") - (piece in "]}")
            pieces.append(piece)
        line += piece.count("\n")
    if pieces:
        yield begun, pieces


def _names(pieces: list[str]) -> list[str]:
    """Of a header, or of what stands before the "="."""
    words = itertools.takewhile(lambda word: word != "=", pieces)
    found = []
    for word in words:
        if word[0] in "\"'":
            found.append(tomllib.loads(f"name = {word}")["name"])
        elif word not in ("[", "]", "."):
            found.append(word)
    return found


class _Tables:
    """How many tables of each list there have been: [[name]] is the next one."""

    def __init__(self) -> None:
        self._counts: dict[Path, int] = {}

    def path(self, names: list[str], is_next: bool) -> Path:
        path: Path = ()
        for at, name in enumerate(names, 1):
            path += (name,)
            if is_next and at == len(names):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path += (self._counts[path] - 1,)
        return path


def lines_of(text: str) -> dict[Path, int]:
    """Each table and key, and what they are in, with the first line where it is named."""
    found: dict[Path, int] = {}
    tables = _Tables()
    inside: Path = ()
    for line, pieces in _statements(text):
        names = _names(pieces)
        if pieces[0] == "[":
            path = inside = tables.path(names, pieces[1] == "[")
        else:
            path = (*inside, *names)
        for size in range(1, len(path) + 1):
            found.setdefault(path[:size], line)
    return found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Of a path, or of the innermost table it is in that has one; 0: it stands nowhere."""
    return next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), 0)
