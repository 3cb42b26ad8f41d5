# SPDX-License-Identifier: MIT
"""What the commands do, without what they print: lock, recover what a crash left, then act."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from askrctl.model import AskrError
from askrctl.tune import others, partial, planner, transaction
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts, gather
from askrctl.tune.items import Kind, Plan
from askrctl.tune.journal import CONFIRMED, REVERTED, Journal
from askrctl.tune.store import CODE_BUSY, Store, expected, in_force, interrupted, items_of
from askrctl.tune.transaction import Origin, Outcome
from askrctl.tune.vet import vet
from askrctl.tune.wishes import Wish

Which = int | Literal["last", "all"]


@dataclass(frozen=True, slots=True)
class Tuner:
    """A machine, the journals of what was changed there, and where we are."""

    disk: Disk
    store: Store
    facts: Facts


@dataclass(frozen=True, slots=True)
class Report:
    """`recovered` came first: what earlier commands had left half-done.

    `watcher` is the process that undoes it unless somebody confirms.
    """

    outcomes: tuple[Outcome, ...]
    recovered: tuple[Outcome, ...] = ()
    by_hand: str = ""
    watcher: int | None = None


def open_tuner(root: Path) -> Tuner:
    """This machine, or a tree that stands for one."""
    if not root.is_dir():
        raise AskrError(f"--root {root}: there is no such folder", f"ls -ld {root}", code=2)
    disk = Disk(root.resolve())
    return Tuner(disk, Store(disk), gather(disk))


def journals(tuner: Tuner, command: str = "status") -> list[Journal]:
    """For those who only read."""
    try:
        return tuner.store.journals()
    except PermissionError:
        raise AskrError(
            f"{tuner.store.folder} can be read by root only",
            f"sudo askrctl tune {command}",
            code=CODE_BUSY,
        ) from None


def owned(found: Iterable[Journal]) -> dict[str, str]:
    """Files of ours, and what we left in them."""
    return {
        key: left
        for key, (item, left, _number) in expected(list(found)).items()
        if item.kind is Kind.FILE
    }


def make_plan(tuner: Tuner, wishes: list[Wish], options: planner.Options) -> Plan:
    """A plan for the machine as it is. Without root nobody can say which files are ours."""
    notes: tuple[str, ...] = ()
    try:
        found = tuner.store.journals()
        mine: dict[str, str] | None = owned(found)
        notes = tuple(
            f"transaction {journal.number} was interrupted: the next apply or revert undoes it "
            "first, so this plan may change"
            for journal in found
            if interrupted(journal)
        )
    except PermissionError:
        mine = None
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    plan = planner.make(tuner.disk, tuner.facts, wishes, options.with_owned(mine), made)
    busy = (
        f"{name} is at work here and may set its own values again"
        for name in others.tuners(tuner.disk)
    )
    return plan.with_notes((*notes, *busy))


def require_root(tuner: Tuner, command: str) -> None:
    if tuner.disk.live and os.geteuid() != 0:
        raise AskrError(
            f"tune {command} needs root; nothing was changed",
            f"sudo askrctl tune {command}",
            code=CODE_BUSY,
        )


def recover(tuner: Tuner, command: str) -> tuple[Outcome, ...]:
    """Undo what a crash left, or nobody confirmed, before anything else is thought of."""
    require_root(tuner, command)
    if not _left_over(tuner):
        return ()
    with tuner.store.locked():
        return tuple(transaction.recover(tuner.store, tuner.facts))


def apply_plan(tuner: Tuner, plan: Plan, origin: Origin, take_ownership: bool = False) -> Report:
    """Carry out a plan as it stands, if this machine is still the one it was made for."""
    require_root(tuner, "apply")
    if _nothing_to_do(tuner, plan):
        return Report((Outcome("nothing", items=plan.items),))
    if not take_ownership:
        others.refuse_tuners(tuner.disk)
    with tuner.store.locked():
        recovered = transaction.recover(tuner.store, tuner.facts)
        if plan.items and _same(tuner, plan):
            return Report((Outcome("nothing", items=plan.items),), tuple(recovered))
        if not plan.items:
            return Report((Outcome("nothing"),), tuple(recovered))
        found = tuner.store.journals()
        _refuse_pending(found)
        vet(tuner.disk, tuner.facts, plan, owned(found))
        outcome = transaction.apply(tuner.store, tuner.facts, plan.items, origin)
    by_hand = ""
    if outcome.state == "committed":
        by_hand = others.reload_units(tuner.disk, tuner.facts, outcome.items)
    return Report((outcome,), tuple(recovered), by_hand)


def _same(tuner: Tuner, plan: Plan) -> bool:
    return all(
        transaction.same(item, transaction.current(tuner.disk, item), item.want)
        for item in plan.items
    )


def _nothing_to_do(tuner: Tuner, plan: Plan) -> bool:
    """Neither in the plan nor left by a crash: then not even a lock is written."""
    return _same(tuner, plan) and not _left_over(tuner)


def _left_over(tuner: Tuner) -> bool:
    now = time.time()
    return any(
        interrupted(journal) or transaction.expired(journal, tuner.facts, now)
        for journal in tuner.store.journals()
    )


def _refuse_pending(found: list[Journal]) -> None:
    for journal in found:
        if transaction.pending(journal):
            raise AskrError(
                f"transaction {journal.number} still waits for a confirmation; nothing was changed",
                "askrctl tune confirm, or: askrctl tune revert --last",
            )


def revert(tuner: Tuner, which: Which, force: bool = False) -> Report:
    """Undo one transaction, the newest, or all of them."""
    require_root(tuner, "revert")
    with tuner.store.locked():
        recovered = transaction.recover(tuner.store, tuner.facts)
        found = tuner.store.journals()
        # Who reverts after a crash means what crashed, not what was there before it.
        done = which == "last" and bool(recovered)
        chosen = [] if done else _chosen(found, which, force)
        outcomes = []
        for journal in chosen:
            outcomes.append(transaction.undo(tuner.store, tuner.facts, journal, "asked for", force))
    touched = tuple(item for outcome in outcomes for item in outcome.items)
    by_hand = others.reload_units(tuner.disk, tuner.facts, touched)
    return Report(tuple(outcomes), tuple(recovered), by_hand)


def revert_part(tuner: Tuner, only: Sequence[str], origin: Origin) -> Report:
    """Take back what these checks have asked for, and leave the rest: a transaction of its own."""
    require_root(tuner, "revert")
    with tuner.store.locked():
        recovered = tuple(transaction.recover(tuner.store, tuner.facts))
        found = tuner.store.journals()
        _refuse_pending(found)
        part = partial.take_back(tuner.disk, tuner.facts, found, only)
        outcome = Outcome("nothing")
        if part.items:
            outcome = transaction.apply(tuner.store, tuner.facts, tuple(part.items), origin)
    by_hand = others.reload_units(tuner.disk, tuner.facts, outcome.items)
    return Report((replace(outcome, kept=(*outcome.kept, *part.kept)),), recovered, by_hand)


def _chosen(found: list[Journal], which: Which, force: bool) -> list[Journal]:
    """Newest first: only who stands on top may be taken away. `force`: again for what was kept."""
    active = [journal for journal in reversed(found) if in_force(journal)]
    if which == "all":
        return active
    if which == "last":
        return active[:1]
    journal = next((journal for journal in found if journal.number == which), None)
    if journal is None:
        raise AskrError(f"there is no transaction {which}", "askrctl tune history", code=2)
    if not in_force(journal) and not (force and journal.records[-1].data.get("kept")):
        return []
    mine = {item.key for item in items_of(journal)}
    for later in active:
        shared = mine & {item.key for item in items_of(later)}
        if later.number > journal.number and shared:
            raise AskrError(
                f"transaction {later.number} changed {sorted(shared)[0]} after transaction "
                f"{which} did; nothing was changed",
                f"askrctl tune revert {later.number} first, or: askrctl tune revert --all",
            )
    return [journal]


def expire(tuner: Tuner) -> None:
    """Undo what was not confirmed in time; wait for whoever is at work."""
    with tuner.store.locked(wait=True):
        transaction.recover(tuner.store, tuner.facts)


def confirm(tuner: Tuner) -> tuple[int, tuple[Outcome, ...]]:
    """Keep what waits for a confirmation. Returns its number."""
    require_root(tuner, "confirm")
    with tuner.store.locked():
        recovered = transaction.recover(tuner.store, tuner.facts)
        found = tuner.store.journals()
        for journal in found:
            if transaction.pending(journal):
                journal.append(CONFIRMED)
                tuner.store.remember(journal)
                return journal.number, tuple(recovered)
    undone = found[-1].last(REVERTED) if found else None
    if undone is not None and undone["because"] == transaction.NOT_CONFIRMED:
        raise AskrError(
            f"too late: transaction {found[-1].number} was not confirmed in time and is undone",
            "askrctl tune history",
        )
    raise AskrError("nothing waits for a confirmation", "askrctl tune status")
