# SPDX-License-Identifier: MIT
"""The journal of one transaction: what was there before, what was done, how it ended.

One JSON object a line, only ever appended to, each made durable before the step that it announces.
Every line carries a checksum over itself and the one before, so a journal that somebody has cut or
edited is told from one that a crash has left: the first record is written with the file (temporary
file and rename), so it is always whole; a crash can only leave a last line without its end. That is
dropped. Anything else is damage, and nobody acts on a damaged journal.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from askrctl.model import AskrError
from askrctl.tune.disk import Disk

BEGIN, DOING, DID, COMMITTED = "begin", "doing", "did", "committed"
REVERTING, REVERTED, CONFIRMED = "reverting", "reverted", "confirmed"
# What may follow what. A record that cannot stand where it stands is damage.
FOLLOWS: dict[str, tuple[str, ...]] = {
    BEGIN: (DOING, REVERTING),
    DOING: (DID, REVERTING),
    DID: (DOING, COMMITTED, REVERTING),
    COMMITTED: (CONFIRMED, REVERTING),
    CONFIRMED: (REVERTING,),
    REVERTING: (REVERTING, REVERTED),
    REVERTED: (REVERTING,),  # again, for what could not be restored
}


class DamagedError(AskrError):
    """A journal, or the index of them, that cannot be what we wrote."""

    def __init__(self, disk: Disk, path: str, what: str, holder: str = "") -> None:
        """`holder` is the file that speaks of one that is gone."""
        place, moved = disk.at(path), disk.at(holder or path)
        do = "put it back, or forget it" if holder else "look at it, then move it away"
        super().__init__(
            f"{place} is damaged: {what}; nothing was changed",
            f"it holds the original values: {do}: mv {moved} {moved}.bad",
            code=3,
        )


@dataclass(frozen=True, slots=True)
class Record:
    state: str
    data: dict[str, Any]


@dataclass(slots=True)
class Journal:
    """`size` is of the good bytes: what comes after them a crash has left."""

    disk: Disk
    path: str
    records: list[Record] = field(default_factory=list)
    size: int = 0
    checksum: int = 0

    @property
    def number(self) -> int:
        return int(self.path.rpartition("/")[2].partition(".")[0])

    @property
    def state(self) -> str:
        return self.records[-1].state

    @property
    def begin(self) -> dict[str, Any]:
        return self.records[0].data

    def last(self, state: str) -> dict[str, Any] | None:
        """What the newest record of that state says."""
        return next((r.data for r in reversed(self.records) if r.state == state), None)

    def create(self, data: dict[str, Any]) -> None:
        """Write the first record together with the file."""
        line, checksum = encode(BEGIN, data, 0)
        self.disk.write(self.path, line, 0o600)
        self._take(Record(BEGIN, data), line, checksum)

    def append(self, state: str, **data: Any) -> None:
        """Durable when this returns."""
        assert state in FOLLOWS[self.state]
        line, checksum = encode(state, data, self.checksum)
        self.disk.append(self.path, self.size, line)
        self._take(Record(state, data), line, checksum)

    def _take(self, record: Record, line: str, checksum: int) -> None:
        self.records.append(record)
        self.size += len(line)
        self.checksum = checksum


def encode(state: str, data: dict[str, Any], before: int) -> tuple[str, int]:
    """A line and its checksum. ASCII only, so characters are bytes."""
    body = json.dumps([state, data], sort_keys=True)
    checksum = zlib.crc32(body.encode(), before)
    return f'{{"sum": "{checksum:08x}", "record": {body}}}\n', checksum


def load(disk: Disk, path: str) -> Journal:
    """Read a journal. DamagedError when a crash cannot explain what is there."""
    text = disk.read(path)
    journal = Journal(disk, path)
    lines = (text or "").split("\n")[:-1]  # what follows the last line end is no whole line
    if not lines:
        raise DamagedError(disk, path, "its first line is not whole")
    for number, line in enumerate(lines, 1):
        record, checksum = _decode(line, journal.checksum)
        if record is None or not _may_follow(journal.records, record):
            raise DamagedError(disk, path, f"line {number} is not what was written there")
        journal._take(record, line + "\n", checksum)
    return journal


def _decode(line: str, before: int) -> tuple[Record | None, int]:
    try:
        state, data = json.loads(line)["record"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, 0
    if state not in FOLLOWS or not isinstance(data, dict):
        return None, 0
    expected, checksum = encode(state, data, before)
    return (Record(state, data), checksum) if expected == line + "\n" else (None, 0)


def _may_follow(records: list[Record], record: Record) -> bool:
    return record.state in FOLLOWS[records[-1].state] if records else record.state == BEGIN
