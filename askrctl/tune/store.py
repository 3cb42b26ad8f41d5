# SPDX-License-Identifier: MIT
"""The folder with the journals, the lock on it, and the index that says how long each must be.

    /var/lib/askr/tune/     0700, root
        lock                flock(2): one askrctl changes the machine at a time
        0001.jsonl ...      a journal for each transaction, kept for good: the history
        current             the index: {"lines": {"1": 10}, "items": [{"key": ..., "want": ...}]}

The index says how many lines each finished journal has at least, which catches what a checksum
cannot: a journal cut at the end of a line, or gone. Its items are what should stand now; a check of
the doctor reads them, and nobody else.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from askrctl.model import AskrError
from askrctl.tune.disk import Disk
from askrctl.tune.items import Item, Kind
from askrctl.tune.journal import (
    COMMITTED,
    CONFIRMED,
    DID,
    REVERTED,
    DamagedError,
    Journal,
    load,
)

STATE = "/var/lib/askr/tune"
CODE_BUSY = 5  # somebody else holds the lock, or we are not root


@dataclass(frozen=True, slots=True)
class Store:
    disk: Disk
    folder: str = STATE

    @property
    def _index_path(self) -> str:
        return f"{self.folder}/current"

    def journals(self) -> list[Journal]:
        """All of them, oldest first. DamagedError when one is not as we left it."""
        lines = self._index()
        found = self._load()
        known = {journal.number: len(journal.records) for journal in found}
        for number, least in lines.items():
            path = self._path(number)
            if number not in known:
                raise DamagedError(self.disk, path, "it is gone", self._index_path)
            if known[number] < least:
                raise DamagedError(self.disk, path, f"it has {known[number]} lines of {least}")
        return found

    def _load(self) -> list[Journal]:
        names = self.disk.names(self.folder)
        chosen = [name for name in names if re.fullmatch(r"[0-9]{4,9}\.jsonl", name)]
        found = [load(self.disk, f"{self.folder}/{name}") for name in chosen]
        return sorted(found, key=lambda journal: journal.number)

    def _path(self, number: int) -> str:
        return f"{self.folder}/{number:04}.jsonl"

    def _index(self) -> dict[int, int]:
        text = self.disk.read(self._index_path)
        if text is None:
            return {}
        try:
            lines = json.loads(text)["lines"]
            return {int(number): int(least) for number, least in lines.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedError(
                self.disk, self._index_path, "it is not the index that was written"
            ) from None

    def remember(self, journal: Journal) -> None:
        """Note in the index how long this journal is, and what should stand now."""
        index = self._index() | {journal.number: len(journal.records)}
        items = [
            {"key": key, "want": left} for key, (_item, left, _number) in self._standing().items()
        ]
        lines = {str(number): least for number, least in sorted(index.items())}
        text = json.dumps({"lines": lines, "items": items}, indent=1)
        self.disk.write(self._index_path, text + "\n", 0o600)

    def _standing(self) -> dict[str, tuple[Item, str, int]]:
        return expected(self._load())

    def make(self) -> None:
        for folder in self.disk.missing_folders(f"{self.folder}/x"):
            self.disk.make_folder(folder, 0o700 if folder == self.folder else 0o755)

    def _refuse_shared(self) -> None:
        """Who may write here may say what an undo puts back, as root."""
        folder = self.disk.at(self.folder)
        found = os.stat(folder)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise AskrError(
                f"{folder} can be written by others; nothing was changed",
                f"look at it, then: chown root {folder} && chmod 700 {folder}",
            )

    def begin(self, data: dict[str, object]) -> Journal:
        """The next journal, durable with its first record."""
        number = max((journal.number for journal in self.journals()), default=0) + 1
        journal = Journal(self.disk, self._path(number))
        journal.create(data)
        return journal

    @contextlib.contextmanager
    def locked(self, wait: bool = False) -> Iterator[None]:
        """One at a time. Who is second is told who is first, and nothing is changed."""
        path = f"{self.folder}/lock"
        try:
            self.make()
            self._refuse_shared()
            lock = os.open(
                self.disk.at(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise _cannot_write(self.disk.at(self.folder), error) from None
        try:
            _take(lock, wait)
            yield
        finally:
            os.close(lock)


def _take(lock: int, wait: bool) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
        raise AskrError(
            f"another askrctl tune is at work (process {holder or 'unknown'}); nothing was changed",
            "wait for it, then: askrctl tune status",
            code=CODE_BUSY,
        ) from None
    with contextlib.suppress(OSError):  # a full disk: only the message of others would be poorer
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _cannot_write(folder: str, error: OSError) -> AskrError:
    denied = isinstance(error, PermissionError)
    return AskrError(
        f"{folder} cannot be written: {error.strerror}; nothing was changed",
        "sudo askrctl tune apply" if denied else f"df -h {folder}",
        code=CODE_BUSY if denied else 1,
    )


# --- what journals say ----------------------------------------------------------------------------


def items_of(journal: Journal) -> tuple[Item, ...]:
    """The items as they were begun."""
    return tuple(
        Item(
            entry["key"],
            Kind(entry["kind"]),
            entry["rule"],
            entry["before"],
            entry["want"],
            tuple(entry["checks"]),
            entry["why"],
        )
        for entry in journal.begin["items"]
    )


def in_force(journal: Journal) -> bool:
    """It was committed and is not undone, or not wholly: what it changed counts."""
    if journal.state == REVERTED:
        return bool(journal.records[-1].data["failed"])
    return journal.state in (COMMITTED, CONFIRMED)


def interrupted(journal: Journal) -> bool:
    """It stopped half-way, by a crash or a kill: the next command undoes it."""
    return journal.state not in (COMMITTED, CONFIRMED, REVERTED)


def left_by(journal: Journal, index: int, item: Item) -> str:
    """The value that our write left: `want`, unless the kernel made something else of it."""
    for record in journal.records:
        if record.state == DID and record.data["i"] == index:
            return str(record.data.get("got", item.want))
    return item.want


def expected(journals: list[Journal]) -> dict[str, tuple[Item, str, int]]:
    """Key -> item, value that should stand, number: the newest transaction in force counts."""
    found: dict[str, tuple[Item, str, int]] = {}
    for journal in filter(in_force, journals):
        rest = journal.records[-1].data["failed"] if journal.state == REVERTED else None
        keys = None if rest is None else {entry[0] for entry in rest}
        for index, item in enumerate(items_of(journal)):
            if keys is not None and item.key not in keys:
                continue
            found[item.key] = (item, left_by(journal, index, item), journal.number)
    return found
