# SPDX-License-Identifier: MIT
"""The place of a table in an askr.toml, so that what is wrong with it is told with its line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
        line = _line(self.text, self.name, dict(self.counts), key)
        place = f", line {line}" if line else ""
        if not line and self.number:
            place = f", {self.name} number {self.number}"
        return AskrError(f"{self.path}{place}: {what}", hint, code=2)


def _line(text: str, name: str, wanted: Mapping[str, int], key: str) -> int:
    """Where a table, or a key of it, stands, as far as a line-wise look can tell; 0: unknown."""
    counts: dict[str, int] = {}
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        header = re.match(r"(\[\[?)\s*([\w.-]+)\s*\]", stripped)
        if header is not None:
            inside = header[2]
        if header is not None and header[1] == "[[":
            ended = [other for other in counts if other.startswith(f"{inside}.")]
            counts = {other: count for other, count in counts.items() if other not in ended}
            counts[inside] = counts.get(inside, 0) + 1
        if inside == name and wanted.items() <= counts.items():
            found = re.match(rf'"?{re.escape(key)}"?\s*=', stripped) if key else header
            if found is not None:
                return number
    return 0
