# SPDX-License-Identifier: MIT
"""The place of a table in an askr.toml, so that what is wrong with it is told with its line."""

from dataclasses import dataclass, replace
from pathlib import Path

from askrctl.config import lines
from askrctl.model import AskrError


@dataclass(frozen=True, slots=True)
class Where:
    """A table of the file. `counts`: which of the tables of each name it is, or is in, from 1."""

    path: Path
    text: str
    name: str
    counts: tuple[tuple[str, int], ...] = ()

    @property
    def number(self) -> int:
        """Of this table among those of its name; 0: it is not one of several."""
        return dict(self.counts).get(self.name, 0)

    def inner(self, name: str, number: int | None = None) -> "Where":
        counts = self.counts if number is None else (*self.counts, (name, number))
        return replace(self, name=name, counts=counts)

    def refuse(self, what: str, hint: str = "", key: str = "") -> AskrError:
        """AskrError (2). A table written as { … } has no line of its own: it is told by number."""
        table = self._table()
        known = lines.lines_of(self.text)
        line = lines.line_of(known, (*table, key) if key else table)
        place = f", line {line}" if line else ""
        if table not in known and self.number:
            place += f", {self.name} number {self.number}"
        return AskrError(f"{self.path}{place}: {what}", hint, code=2)

    def _table(self) -> lines.Path:
        counts = dict(self.counts)
        path: lines.Path = ()
        words = self.name.split(".") if self.name else []
        for size, word in enumerate(words, 1):
            path += (word,)
            number = counts.get(".".join(words[:size]), 0)
            if number:
                path += (number - 1,)
        return path
