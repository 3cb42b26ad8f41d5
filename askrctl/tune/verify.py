# SPDX-License-Identifier: MIT
"""Does what we have changed still stand, now and at the next boot? Reads, never writes."""

from dataclasses import dataclass

from askrctl.tune import keys, persist, sysctld
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind, one_line
from askrctl.tune.journal import Journal
from askrctl.tune.store import expected
from askrctl.tune.transaction import current, same


@dataclass(frozen=True, slots=True)
class Standing:
    """One key that we changed. `drift` says what is not as we left it; "" when all is."""

    key: str
    kind: str
    number: int
    wanted: str
    current: str | None
    drift: str = ""


def standings(disk: Disk, facts: Facts, journals: list[Journal]) -> list[Standing]:
    """All keys of transactions in force, by the newest that changed each."""
    networks = {journal.number: journal.begin["network"] for journal in journals}
    files = sysctld.files(disk)
    found: list[Standing] = []
    for key, (item, left, number) in sorted(expected(journals).items()):
        elsewhere = networks[number] != facts.network
        try:
            now = current(disk, item)
        except OSError as error:
            found.append(
                Standing(key, item.kind.value, number, left, None, f"unreadable: {error.strerror}")
            )
            continue
        drift = _drift(item, left, now, elsewhere) or _boot_drift(disk, files, item, now)
        found.append(Standing(key, item.kind.value, number, left, now, drift))
    return found


def _drift(item: Item, left: str, now: str | None, elsewhere: bool) -> str:
    if same(item, now, left):
        return ""
    key = keys.find(item.key)
    if elsewhere and not (key is not None and key.host_wide) and item.kind is not Kind.FILE:
        return ""  # a key of another network namespace: not to be seen from here
    if now is None:
        return "it is gone"
    if item.kind is Kind.FILE:
        return f"it was edited: {persist.edits(left, now)}"
    return f"it is {one_line(now)} now"


def _boot_drift(disk: Disk, files: list[sysctld.File], item: Item, now: str | None) -> str:
    """A file of ours that another one overrules."""
    if not item.key.startswith("/etc/sysctl.d/") or now is None:
        return ""
    if persist.fault(persist.SYSCTL_D, now):  # as another version of askrctl has left it
        return ""
    for entry in persist.parse(persist.SYSCTL_D, now).values():
        found = sysctld.boot_winner(disk, files, entry.name)
        key = keys.SYSCTLS.get(entry.name)
        if found is None or key is None:
            continue
        if found.path != item.key and not key.met(found.value, entry.value):
            return f"at the next boot {found.place} sets {entry.name} to {one_line(found.value)}"
    return ""
