# SPDX-License-Identifier: MIT
"""The power goes at any step, and with it all that was not durable: files are as they were.

A kernel forgets its values at a boot, so what counts is that no file of ours is left from a
transaction that was not committed, that none is half written, and that an original is never lost.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.tune.machine import ITEMS, NR_OPEN, OURS, RMEM, RPS, SOMAXCONN, Crash, Machine, make
from unit.tune.power import Volatile, boot

from askrctl.tune import transaction
from askrctl.tune.transaction import Origin

ORIGINALS = {SOMAXCONN: "128", RMEM: "4096 131072 6291456", NR_OPEN: "1048576", RPS: "00"}


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / str(number) for number in itertools.count())


def files(machine: Machine) -> dict[str, str]:
    return {
        path: text for path, text in machine.look().items() if not path.startswith(("proc", "sys"))
    }


def apply(machine: Machine) -> None:
    with machine.store.locked():
        transaction.recover(machine.store, machine.facts)
        transaction.apply(machine.store, machine.facts, ITEMS, Origin())


def revert(machine: Machine) -> None:
    with machine.store.locked():
        transaction.recover(machine.store, machine.facts)
        for journal in machine.store.journals()[-1:]:
            transaction.undo(machine.store, machine.facts, journal, "asked")


def recover(machine: Machine) -> None:
    with machine.store.locked():
        transaction.recover(machine.store, machine.facts)


def loses_power(machine: Machine, number: int, work: Callable[[Machine], None]) -> bool:
    """Run it until that call, then the power goes and comes back."""
    system = Volatile(crash_at=number, torn=True)
    machine.system = system
    try:
        work(machine)
    except Crash:
        system.lose()
        return True
    return False


def test_power_lost_at_any_step_of_apply(roots: Iterator[Path]) -> None:
    whole = make(next(roots))
    before = files(whole)
    apply(whole)
    after = files(whole)
    for number in itertools.count(1):
        machine = make(next(roots))
        if not loses_power(machine, number, apply):
            break
        boot(machine, ORIGINALS, 2)
        recover(machine)
        assert files(machine) in (before, after), f"power lost at call {number}"
        assert (machine.read(OURS) is None) == (files(machine) == before)
        boot(machine, ORIGINALS, 3)
        expected = "4096" if files(machine) == after else "128"
        assert (machine.read(SOMAXCONN) or "").strip() == expected
    assert number > 40


def test_power_lost_at_any_step_of_revert(roots: Iterator[Path]) -> None:
    for number in itertools.count(1):
        machine = make(next(roots))
        before = files(machine)
        apply(machine)
        after = files(machine)
        if not loses_power(machine, number, revert):
            break
        boot(machine, ORIGINALS, 2)
        recover(machine)
        assert files(machine) in (before, after), f"power lost at call {number}"
    assert number > 15
