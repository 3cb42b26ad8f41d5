# SPDX-License-Identifier: MIT
"""Apply and undo, so that a crash at any moment can be undone by whoever comes next.

    apply    begin (all old values, durable), each item: doing, write, read back, did; committed
    fails    whatever was touched is restored, last first -> reverted
    crash    the next command finds a journal without an end and does the same
    revert   reverting -> restore, last first -> reverted; a crash in between: it is resumed

Undo is compare-and-swap: a value is restored only where ours still stands. What somebody has
changed since is kept and reported. An undo reads back as well: a kernel that refuses the old value
makes the transaction `partial`, and the journal says which value belongs where.
"""

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from askrctl import signals
from askrctl.model import AskrError
from askrctl.tune import keys, persist, sysctld
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind, one_line
from askrctl.tune.journal import COMMITTED, DID, DOING, REVERTED, REVERTING, Journal
from askrctl.tune.store import Store, interrupted, items_of, left_by
from askrctl.tune.values import Shape, between

NOT_CONFIRMED = "it was not confirmed in time"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Note:
    """A key, what is to be said about it, and the value that stands there."""

    key: str
    text: str
    got: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `partial`: something could not be put back; the journal has its old value."""

    state: Literal["nothing", "committed", "reverted", "partial"]
    number: int | None = None
    items: tuple[Item, ...] = ()
    rounded: tuple[Note, ...] = ()
    kept: tuple[Note, ...] = ()
    failed: tuple[Note, ...] = ()
    because: str = ""
    unfinished: str = ""  # why the journal could not be ended; the next command does it


@dataclass(slots=True)
class _Undone:
    kept: list[Note] = field(default_factory=list)
    failed: list[Note] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for it, and until when (seconds since the epoch) it waits for a confirmation."""

    by: str = ""
    version: str = ""
    confirm_seconds: float | None = None


class _StepError(Exception):
    """A step did not do what it should have: the transaction is undone."""


def current(disk: Disk, item: Item) -> str | None:
    """The value that stands there now; None when there is none. A link is no file of ours."""
    if item.kind is Kind.FILE:
        link = disk.link(item.path)
        return disk.read(item.path) if link is None else f"-> {link}"
    text = disk.read(item.path)
    return None if text is None else text.strip()


def same(item: Item, left: str | None, right: str | None) -> bool:
    """They mean the same, whatever the kernel's spelling."""
    if item.kind is Kind.FILE or left is None or right is None:
        return left == right
    key = keys.find(item.key)
    return key.same(left, right) if key else left.split() == right.split()


# --- apply ----------------------------------------------------------------------------------------


def apply(store: Store, facts: Facts, items: tuple[Item, ...], origin: Origin) -> Outcome:
    """Carry out items as they stand. The caller holds the lock and has called `recover`."""
    disk = store.disk
    if all(same(item, current(disk, item), item.want) for item in items):
        return Outcome("nothing")
    for item in items:
        _refuse_changed(item, current(disk, item))
    with signals.held(SIGNALS):  # it takes milliseconds
        try:
            journal = store.begin(_begin_record(disk, facts, items, origin))
        except OSError as error:
            raise AskrError(
                f"the journal cannot be written: {error.strerror}; nothing was changed",
                f"df -h {disk.at(store.folder)}",
            ) from None
        return _carry_out(store, facts, journal, origin)


def _refuse_changed(item: Item, now: str | None) -> None:
    if not same(item, now, item.before):
        raise AskrError(
            f"{item.key} is {_shown(item, now)} and was {_shown(item, item.before)} when the plan "
            "was made; nothing was changed",
            "askrctl tune plan",
        )


def _begin_record(
    disk: Disk, facts: Facts, items: tuple[Item, ...], origin: Origin
) -> dict[str, object]:
    return {
        "journal": 1,  # the format of what follows
        "boot": facts.boot,
        "network": facts.network,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "by": origin.by,
        "version": origin.version,
        "items": [
            {
                "key": item.key,
                "kind": item.kind.value,
                "rule": item.rule,
                "before": item.before,
                "want": item.want,
                "checks": list(item.checks),
                "why": item.why,
                "folders": disk.missing_folders(item.path) if item.kind is Kind.FILE else [],
            }
            for item in items
        ],
    }


def _carry_out(store: Store, facts: Facts, journal: Journal, origin: Origin) -> Outcome:
    items = items_of(journal)
    rounded: list[Note] = []
    try:
        for index, item in enumerate(items):
            journal.append(DOING, i=index)
            got = _write(store.disk, journal, index, item)
            if same(item, got, item.want):
                journal.append(DID, i=index)
            else:
                journal.append(DID, i=index, got=got)
                rounded.append(Note(item.key, f"the kernel made {one_line(got)} of it", got))
        until = None
        if origin.confirm_seconds is not None:
            until = time.time() + origin.confirm_seconds
        journal.append(COMMITTED, until=until)
    except (OSError, _StepError) as error:
        return undo(store, facts, journal, _sentence(error))
    return Outcome(
        "committed",
        journal.number,
        items,
        tuple(rounded),
        unfinished=_remember(store, journal),
    )


def _sentence(error: OSError | _StepError) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or os.strerror(error.errno or errno.EIO)}"
    return str(error)


def _write(disk: Disk, journal: Journal, index: int, item: Item) -> str:
    """Write one item and read it back."""
    now = current(disk, item)
    if not same(item, now, item.before):
        journal.append(DID, i=index, untouched=True)
        raise _StepError(f"{item.key} was changed by somebody meanwhile, to {_shown(item, now)}")
    try:
        if item.kind is Kind.FILE:
            for folder in journal.begin["items"][index]["folders"]:
                disk.make_folder(folder)
            disk.write(item.path, item.want)
        else:
            disk.put(item.path, item.want)
    except OSError as error:
        raise _StepError(f"{item.key}: {_sentence(error)}") from None
    got = current(disk, item)
    if got is None or not (same(item, got, item.want) or _goes_beyond(item, got)):
        raise _StepError(
            f"{item.key} was set to {one_line(item.want)} and reads {one_line(got)} afterwards"
        )
    return got


def _goes_beyond(item: Item, got: str) -> bool:
    key = keys.find(item.key)
    return key is not None and item.rule in ("raise", "append") and key.met(got, item.want)


def _remember(store: Store, journal: Journal) -> str:
    try:
        store.remember(journal)
    except OSError as error:
        return f"the index cannot be written: {_sentence(error)}"
    return ""


# --- undo -----------------------------------------------------------------------------------------


def undo(
    store: Store, facts: Facts, journal: Journal, because: str, force: bool = False
) -> Outcome:
    """Put back what was there before, last first. `force`: also what somebody has changed since."""
    whole = journal.last(COMMITTED) is not None
    with signals.held(SIGNALS):  # it takes milliseconds
        try:
            journal.append(REVERTING, because=because)
        except OSError as error:
            if whole:
                raise AskrError(
                    f"the journal cannot be written: {_sentence(error)}; nothing was changed",
                    f"df -h {store.disk.at(store.folder)}",
                ) from None
        undone = _Undone()
        entries = list(enumerate(items_of(journal)))
        touched = _touched(journal)
        for index, item in reversed(entries):
            if whole or index in touched:
                _undo_item(_Context(store.disk, facts, journal, force), index, item, undone)
        unfinished = _end(store, journal, because, undone)
    state: Literal["partial", "reverted"] = "partial" if undone.failed else "reverted"
    return Outcome(
        state,
        journal.number,
        tuple(item for _, item in entries),
        kept=tuple(undone.kept),
        failed=tuple(undone.failed),
        because=because,
        unfinished=unfinished,
    )


def _touched(journal: Journal) -> set[int]:
    """Items that we may have written: announced, and not found to be somebody else's by then."""
    announced = {r.data["i"] for r in journal.records if r.state == DOING}
    return announced - {r.data["i"] for r in journal.records if "untouched" in r.data}


def _end(store: Store, journal: Journal, because: str, undone: _Undone) -> str:
    try:
        if journal.state != REVERTING:
            journal.append(REVERTING, because=because)
        journal.append(
            REVERTED,
            because=because,
            kept=[note.key for note in undone.kept],
            failed=[[note.key, note.text, note.got] for note in undone.failed],
        )
    except OSError as error:
        return f"the journal cannot be ended: {_sentence(error)}"
    return _remember(store, journal)


@dataclass(frozen=True, slots=True)
class _Context:
    disk: Disk
    facts: Facts
    journal: Journal
    force: bool

    @property
    def same_boot(self) -> bool:
        return bool(self.facts.boot == self.journal.begin["boot"])

    def entry(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.journal.begin["items"][index]
        return found


def _undo_item(context: _Context, index: int, item: Item, undone: _Undone) -> None:
    try:
        _restore(context, index, item, undone)
    except (OSError, AskrError) as error:
        text = _sentence(error) if isinstance(error, OSError) else error.message
        undone.failed.append(Note(item.key, text, _peek(context.disk, item)))
    if item.kind is Kind.FILE and item.before is None:
        for folder in reversed(context.entry(index)["folders"]):
            with contextlib.suppress(OSError):  # an empty folder more: no reason to call it failed
                context.disk.remove_folder(folder)


def _peek(disk: Disk, item: Item) -> str | None:
    try:
        return current(disk, item)
    except OSError:
        return None


def _restore(context: _Context, index: int, item: Item, undone: _Undone) -> None:
    disk = context.disk
    if not _writable(item):
        undone.failed.append(Note(item.key, "tune does not write there, whatever the journal says"))
        return
    if item.kind is Kind.FILE:
        with contextlib.suppress(OSError):
            disk.clear_temporary(item.path)
    now = current(disk, item)
    target = _target(context, item, undone)
    if target is _LEAVE or same(item, now, target):
        return
    if not context.force and not _is_ours(context, index, item, now):
        undone.kept.append(
            Note(item.key, f"changed by somebody since, to {_shown(item, now)}", now)
        )
        return
    _put_back(disk, item, target)
    got = current(disk, item)
    if not same(item, got, target):
        text = f"it was set back to {_shown(item, target)} and reads {_shown(item, got)} afterwards"
        undone.failed.append(Note(item.key, text, got))


def _writable(item: Item) -> bool:
    """A journal is trusted with values, not with places."""
    if item.kind is Kind.FILE:
        return persist.is_ours(item.key)
    return keys.find(item.key) is not None


def _shown(item: Item, value: str | None) -> str:
    if item.kind is Kind.FILE and value is not None:
        return value if value.startswith("-> ") else f"a text of {len(value)} characters"
    return one_line(value)


_LEAVE = "\0leave"


def _target(context: _Context, item: Item, undone: _Undone) -> str | None:
    """What to put back. A value of the kernel from before a boot is void: the files decide."""
    if item.kind is Kind.FILE:
        return item.before
    begin, facts = context.journal.begin, context.facts
    if not context.same_boot:
        if item.kind is Kind.SYSCTL:
            found = sysctld.boot_winner(context.disk, sysctld.files(context.disk), item.key)
            if found is not None:
                return found.value
        now = current(context.disk, item)
        if not same(item, now, item.before):
            undone.kept.append(Note(item.key, "its default returns at the next boot", now))
        return _LEAVE
    key = keys.find(item.key)
    if begin["network"] != facts.network and not (key and key.host_wide):
        undone.kept.append(Note(item.key, "it was changed in another network namespace"))
        return _LEAVE
    return item.before


def _is_ours(context: _Context, index: int, item: Item, now: str | None) -> bool:
    """The value that stands there is one that we have left."""
    journal = context.journal
    if same(item, now, item.want) or same(item, now, left_by(journal, index, item)):
        return True
    for record in journal.records:
        if record.state == REVERTED:
            for key, _text, got in record.data["failed"]:
                if key == item.key and same(item, now, got):
                    return True
    if item.kind is Kind.FILE or now is None or item.before is None:
        return False
    # A crash came between a write and its record. What the kernel makes of a value that it does not
    # like lies between the old one and the new one.
    key = keys.find(item.key)
    recorded = any(r.state == DID and r.data["i"] == index for r in journal.records)
    resumed = sum(r.state == REVERTING for r in journal.records) > 1
    shape = key.shape if key else Shape.NUMBERS
    return (not recorded or resumed) and between(shape, now, item.before, item.want)


def _put_back(disk: Disk, item: Item, target: str | None) -> None:
    if item.kind is not Kind.FILE:
        disk.put(item.path, target or "")
    elif target is None:
        disk.remove(item.path)
    else:
        disk.write(item.path, target)


# --- what others have left ------------------------------------------------------------------------


def expired(journal: Journal, facts: Facts, now: float) -> bool:
    """It waited for a confirmation that did not come in time. A boot ends the wait."""
    if journal.state != COMMITTED:
        return False
    until = journal.records[-1].data["until"]
    return until is not None and (now >= until or journal.begin["boot"] != facts.boot)


def pending(journal: Journal) -> bool:
    """It waits for a confirmation."""
    return journal.state == COMMITTED and journal.records[-1].data["until"] is not None


def recover(store: Store, facts: Facts) -> list[Outcome]:
    """Undo what a crash has left half-done, or nobody has confirmed. The caller holds the lock."""
    outcomes = []
    for journal in reversed(store.journals()):
        if interrupted(journal):
            outcomes.append(undo(store, facts, journal, _why_interrupted(journal)))
        elif expired(journal, facts, time.time()):
            outcomes.append(undo(store, facts, journal, NOT_CONFIRMED))
    return outcomes


def _why_interrupted(journal: Journal) -> str:
    begun = journal.last(REVERTING)
    return str(begun["because"]) if begun else "it was interrupted"
