# SPDX-License-Identifier: MIT
"""What a plan is made of. Pure data: no I/O here.

An item is one write and all that is needed to undo it. A plan is executed as it stands: nothing is
worked out again when it is applied, so what an operator has read is what happens.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """Where an item is written: a key below /proc/sys, a file below /sys, a file of ours."""

    SYSCTL = "sysctl"
    SYSFS = "sysfs"
    FILE = "file"


# raise: never lowers; set: one of the values allowed; append: adds to a list; own: a whole file
ItemRule = Literal["raise", "set", "append", "own"]
RULES: tuple[ItemRule, ...] = ("raise", "set", "append", "own")


@dataclass(frozen=True, slots=True)
class Item:
    """`before` is None for a file that is not there yet."""

    key: str
    kind: Kind
    rule: ItemRule
    before: str | None
    want: str
    checks: tuple[str, ...] = ()
    why: str = ""

    @property
    def layer(self) -> str:
        """`runtime` is gone after a boot, `persist` counts from the next one on."""
        return "persist" if self.kind is Kind.FILE else "runtime"

    @property
    def path(self) -> str:
        if self.kind is Kind.SYSCTL:
            return "/proc/sys/" + self.key.replace(".", "/")
        return self.key


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was wished for and is not in the plan, and why."""

    key: str
    check: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    made: str = ""
    unit: str = "askr.service"

    def with_notes(self, notes: tuple[str, ...]) -> "Plan":
        return replace(self, notes=(*self.notes, *notes))


def one_line(value: str | None) -> str:
    """A kernel value for a reader: no tabs, no line ends."""
    return "(none)" if value is None else " ".join(value.split()) or '""'
