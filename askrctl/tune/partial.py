# SPDX-License-Identifier: MIT
"""Taking back a part: some checks' changes, while the rest of their transactions stands.

It is a transaction of its own, whose items lead back: so it has a journal, a crash of it is undone
like any other, and `revert --all` still comes to the originals. A value goes back to what it was
before the first transaction in force that changed it, and only where ours still stands; from a file
of ours the lines of those checks are taken out, and the rest stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from askrctl.tune import persist, sysctld
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind
from askrctl.tune.journal import Journal
from askrctl.tune.store import expected, in_force, items_of
from askrctl.tune.transaction import Note, current, same
from askrctl.tune.wishes import named


@dataclass(slots=True)
class Part:
    """What to write to take it back, and what is left as it is, and why."""

    items: list[Item] = field(default_factory=list)
    kept: list[Note] = field(default_factory=list)


def chosen(item: Item, only: Sequence[str]) -> bool:
    """By the id of a check that asked, its group or a pattern, or by the key itself."""
    return item.key in only or any(named(check, only) for check in item.checks)


def take_back(disk: Disk, facts: Facts, found: list[Journal], only: Sequence[str]) -> Part:
    """The items that lead back. Only of transactions in force."""
    part = Part()
    first = _first_values(found, facts)
    files = sysctld.files(disk)
    for key, (item, left, _number) in expected(found).items():
        if item.kind is Kind.FILE:
            file = _file(disk, item, left, only, part)
            if file is not None and key.startswith("/etc/sysctl.d/"):
                files = sysctld.replaced(files, key, file.want)
    for key, (item, left, _number) in expected(found).items():
        if item.kind is not Kind.FILE and chosen(item, only):
            _value(disk, item, left, _target(disk, files, item, first.get(key)), part)
    part.items.sort(key=lambda item: item.kind is Kind.FILE)
    return part


def _first_values(found: list[Journal], facts: Facts) -> dict[str, str | None]:
    """Key -> its value before any of ours; None when a boot has made that void."""
    first: dict[str, str | None] = {}
    for journal in filter(in_force, found):
        void = journal.begin["boot"] != facts.boot or journal.begin["network"] != facts.network
        for item in items_of(journal):
            first.setdefault(item.key, None if void else item.before)
    return first


def _target(disk: Disk, files: list[sysctld.File], item: Item, before: str | None) -> str | None:
    """After a boot the files that are left decide, as they would at the next one."""
    if before is not None or item.kind is not Kind.SYSCTL:
        return before
    winner = sysctld.boot_winner(disk, files, item.key)
    return winner.value if winner is not None else None


def _value(disk: Disk, item: Item, left: str, target: str | None, part: Part) -> None:
    now = current(disk, item)
    if target is None:
        part.kept.append(Note(item.key, "its default returns at the next boot", now))
    elif not same(item, now, left) or now is None:
        part.kept.append(Note(item.key, "changed by somebody since", now))
    elif not same(item, now, target):
        part.items.append(replace(item, rule="set", before=now, want=target, why="taken back"))


def _file(disk: Disk, item: Item, left: str, only: Sequence[str], part: Part) -> Item | None:
    """The file without the lines that those checks have asked for."""
    form = next((form for path, form in _forms(item.key).items() if path == item.key), None)
    if form is None:
        return None
    try:
        entries = persist.parse(form, left)
    except ValueError:  # of another version: revert as a whole
        part.kept.append(Note(item.key, "written by another version of askrctl"))
        return None
    rest = {
        name: entry
        for name, entry in entries.items()
        if name not in only and not any(named(check, only) for check in entry.checks)
    }
    if len(rest) == len(entries):
        return None
    now = current(disk, item)
    if now != left:
        part.kept.append(Note(item.key, "edited by somebody since"))
        return None
    found = replace(item, before=now, want=persist.render(form, rest), why="taken back")
    part.items.append(found)
    return found


def _forms(path: str) -> dict[str, persist.Format]:
    unit = path.rpartition("/")[0].rpartition("/")[2].removesuffix(".d")
    return persist.paths(unit if path.startswith("/etc/systemd/system/") else "askr.service")
