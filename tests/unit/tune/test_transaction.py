# SPDX-License-Identifier: MIT
"""Apply, undo, and what a crash leaves: never a mixed state, never a lost original."""

import errno
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.tune.machine import (
    DROPIN,
    ITEMS,
    OURS,
    RMEM,
    RPS,
    SOMAXCONN,
    Crash,
    Machine,
    Trouble,
    make,
)

from askrctl.model import AskrError
from askrctl.tune import transaction
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind
from askrctl.tune.journal import DamagedError
from askrctl.tune.transaction import Origin, Outcome

ORIGIN = Origin("tester", "0")


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Path]:
    """Fresh folders, one after the other."""
    return (tmp_path / str(number) for number in itertools.count())


def apply(machine: Machine, items: tuple[Item, ...] = ITEMS) -> Outcome:
    with machine.store.locked():
        transaction.recover(machine.store, machine.facts)
        return transaction.apply(machine.store, machine.facts, items, ORIGIN)


def apply_two(machine: Machine) -> Outcome:
    """A value, and a file in a folder that has to be made: few enough for every pair of crashes."""
    return apply(machine, (ITEMS[0], ITEMS[3]))


def attempt(machine: Machine) -> tuple[Outcome | None, str]:
    """What became of an apply, or the sentence that refused it."""
    try:
        return apply(machine), ""
    except AskrError as error:
        return None, error.message


def recover(machine: Machine) -> list[Outcome]:
    with machine.store.locked():
        return transaction.recover(machine.store, machine.facts)


def revert(machine: Machine, force: bool = False) -> Outcome:
    with machine.store.locked():
        transaction.recover(machine.store, machine.facts)
        journal = machine.store.journals()[-1]
        return transaction.undo(machine.store, machine.facts, journal, "asked", force)


def crashes(machine: Machine, number: int, torn: bool, work: object) -> bool:
    """Run it with a crash at that call; False when it has fewer calls."""
    machine.system = Trouble(crash_at=number, torn=torn)
    try:
        work(machine)  # type: ignore[operator]
    except Crash:
        return True
    finally:
        machine.system = Trouble()
    return False


def test_apply_writes_what_was_planned_and_revert_takes_it_back(tmp_path: Path) -> None:
    machine = make(tmp_path)
    before = machine.look()
    assert apply(machine).state == "committed"
    assert machine.read(SOMAXCONN) == "4096\n"
    assert machine.read(OURS) == ITEMS[2].want
    assert machine.read(DROPIN) == ITEMS[3].want
    assert revert(machine).state == "reverted"
    assert machine.look() == before


def test_a_second_apply_writes_nothing_not_even_a_journal(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    made = machine.disk.names("/var/lib/askr/tune")
    assert apply(machine).state == "nothing"
    assert machine.disk.names("/var/lib/askr/tune") == made


@pytest.mark.parametrize("torn", [False, True], ids=["before", "within"])
def test_a_crash_at_any_step_of_apply_is_undone_or_done(roots: Iterator[Path], torn: bool) -> None:
    whole = make(next(roots))
    before = whole.look()
    apply(whole)
    after = whole.look()
    for number in itertools.count(1):
        machine = make(next(roots))
        if not crashes(machine, number, torn, apply):
            break
        recover(machine)
        assert machine.look() in (before, after), f"crash at call {number}"
        assert apply(machine).state in ("committed", "nothing")
        assert machine.look() == after
    assert number > 40


def test_a_second_crash_at_any_step_of_recovery_changes_nothing(roots: Iterator[Path]) -> None:
    whole = make(next(roots))
    before = whole.look()
    apply_two(whole)
    after = whole.look()
    cases = 0
    for first in itertools.count(1):
        for second in itertools.count(1):
            machine = make(next(roots))
            if not crashes(machine, first, True, apply_two):
                assert cases > 400
                return
            crashed = crashes(machine, second, True, recover)
            recover(machine)
            assert machine.look() in (before, after), f"crashes at calls {first} and {second}"
            cases += 1
            if not crashed:
                break


@pytest.mark.parametrize("torn", [False, True], ids=["before", "within"])
def test_a_crash_at_any_step_of_revert_is_finished_by_the_next_command(
    roots: Iterator[Path], torn: bool
) -> None:
    for number in itertools.count(1):
        machine = make(next(roots))
        before = machine.look()
        apply(machine)
        after = machine.look()
        if not crashes(machine, number, torn, revert):
            break
        recover(machine)
        assert machine.look() in (before, after), f"crash at call {number}"
        assert revert(machine).state == "reverted"
        assert machine.look() == before
    assert number > 15


def test_what_somebody_changed_during_a_crash_is_kept_and_reported(roots: Iterator[Path]) -> None:
    for number in itertools.count(1):
        machine = make(next(roots))
        if not crashes(machine, number, False, apply):
            break
        committed = machine.store.journals() and machine.store.journals()[-1].state == "committed"
        machine.write(SOMAXCONN, "65535\n")
        outcomes = recover(machine)
        assert machine.read(SOMAXCONN) == "65535\n"
        if not committed:
            assert machine.read(RMEM).split() == ITEMS[1].before.split()
            assert machine.read(OURS) is None
        touched = any(outcome.kept for outcome in outcomes)
        assert not touched or outcomes[0].kept[0].key == "net.core.somaxconn"


def test_what_somebody_changes_while_we_work_is_kept(roots: Iterator[Path]) -> None:
    """At any moment but within our own write(2), which nobody could tell from just before it."""
    undone = 0
    for number in itertools.count(1):
        machine = make(next(roots))
        puts: list[int] = []
        system = Trouble(meddle_at=number)
        system.meddle = functools.partial(machine.write, RMEM, "4096 131072 60000000\n")
        system.on_put = puts.append
        machine.system = system
        outcome, refused = attempt(machine)
        if system.calls < number:
            if outcome is not None:
                break
            assert "nothing was changed" in refused
        if number in puts:
            continue
        assert (machine.read(RMEM) or "").split() == ["4096", "131072", "60000000"], number
        if outcome is None or outcome.state == "reverted":
            undone += 1
            assert machine.read(SOMAXCONN) == "128\n" and machine.read(OURS) is None
    assert undone > 5


def test_revert_keeps_what_was_changed_since_unless_it_is_forced(tmp_path: Path) -> None:
    machine = make(tmp_path)
    before = machine.look()
    apply(machine)
    machine.write(SOMAXCONN, "65535\n")
    machine.write(OURS, "edited\n")
    outcome = revert(machine)
    assert [note.key for note in outcome.kept] == [OURS, "net.core.somaxconn"]
    assert machine.read(SOMAXCONN) == "65535\n" and machine.read(OURS) == "edited\n"
    assert machine.read(DROPIN) is None
    assert revert(machine, force=True).kept == ()
    assert machine.look() == before


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    machine.write("/etc/victim", "untouched\n")
    (tmp_path / OURS[1:]).unlink()
    (tmp_path / OURS[1:]).symlink_to("/etc/victim")
    assert [note.key for note in revert(machine).kept] == [OURS]
    assert machine.read("/etc/victim") == "untouched\n"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EROFS, errno.EINVAL, errno.EIO])
@pytest.mark.parametrize("end", ["somaxconn", "tcp_rmem"])
def test_a_key_that_cannot_be_written_undoes_the_whole(
    tmp_path: Path, number: int, end: str
) -> None:
    machine = make(tmp_path, Trouble(refuse={end: number}))
    before = machine.look()
    outcome = apply(machine)
    assert outcome.state == "reverted" and end in outcome.because
    assert machine.look() == before


def test_a_value_that_the_kernel_lowers_undoes_the_whole(tmp_path: Path) -> None:
    machine = make(tmp_path, Trouble(clamp={"tcp_rmem": "4096 131072 8388608\n"}))
    outcome = apply(machine)
    # The clamp holds for the way back as well: nobody may say that all is as it was.
    assert outcome.state == "partial"
    assert outcome.failed[0].key == "net.ipv4.tcp_rmem"
    assert machine.read(SOMAXCONN).strip() == "128"
    machine.system = Trouble()
    assert revert(machine).state == "reverted"
    assert machine.read(RMEM).split() == ITEMS[1].before.split()


def test_a_value_that_the_kernel_rounds_up_is_done_and_said(tmp_path: Path) -> None:
    machine = make(tmp_path, Trouble(clamp={"somaxconn": "8192\n"}))
    outcome = apply(machine)
    assert outcome.state == "committed"
    assert [(note.key, note.got) for note in outcome.rounded] == [("net.core.somaxconn", "8192")]
    machine.system = Trouble()
    assert revert(machine).state == "reverted"
    assert machine.read(SOMAXCONN) == "128\n"


def test_a_crash_under_a_clamping_kernel_never_leaves_a_mixed_state(
    roots: Iterator[Path],
) -> None:
    for number in itertools.count(1):
        machine = make(next(roots))
        before = machine.look()
        machine.system = Trouble(
            crash_at=number, torn=True, clamp={"tcp_rmem": "4096 131072 8000000\n"}
        )
        try:
            apply(machine)
            break
        except Crash:
            machine.system = Trouble()
        if not recover(machine) and machine.store.journals():
            revert(machine)  # the crash came after the end: partial, and written down as that
        assert machine.look() == before, f"crash at call {number}"


def test_a_machine_that_changed_since_the_plan_is_left_alone(tmp_path: Path) -> None:
    machine = make(tmp_path)
    machine.write(SOMAXCONN, "1024\n")
    before = machine.look()
    with pytest.raises(AskrError, match=r"net\.core\.somaxconn is 1024 and was 128"):
        apply(machine)
    assert machine.look() == before
    assert machine.store.journals() == []


def test_after_a_boot_the_old_values_are_void(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    machine.write("/etc/sysctl.d/50-site.conf", "net.core.somaxconn = 1024\n")
    machine.facts = Facts(boot="boot-2")
    outcome = revert(machine)
    assert machine.read(OURS) is None
    assert machine.read(SOMAXCONN) == "1024\n", "what the files that are left would set"
    assert [note.key for note in outcome.kept] == [RPS, "net.ipv4.tcp_rmem"]
    assert "next boot" in outcome.kept[0].text


def test_another_network_namespace_is_not_touched(tmp_path: Path) -> None:
    machine = make(tmp_path)
    machine.facts = Facts(boot="boot-1", network="net:[1]")
    apply(machine)
    machine.facts = Facts(boot="boot-1", network="net:[2]")
    outcome = revert(machine)
    assert machine.read(SOMAXCONN) == "4096\n"
    assert {note.text for note in outcome.kept} == {"it was changed in another network namespace"}


@pytest.mark.parametrize("space", range(0, 4600, 97))
def test_a_full_disk_changes_nothing(tmp_path: Path, space: int) -> None:
    machine = make(tmp_path)
    before = machine.look()
    machine.system = Trouble(space=space)
    outcome, refused = attempt(machine)
    if outcome is None:
        assert "nothing was changed" in refused
        assert machine.look() == before
        return
    if outcome.state == "committed":
        assert machine.read(DROPIN) == ITEMS[3].want
        return
    assert outcome.state == "reverted"
    assert machine.look() == before
    machine.system = Trouble()
    recover(machine)
    assert machine.look() == before and machine.store.journals()[-1].state == "reverted"


def test_a_journal_that_was_cut_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    after = machine.look()
    path = tmp_path / "var/lib/askr/tune/0001.jsonl"
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in sorted({0, 1, *range(0, len(whole), 41), *ends, *(end + 1 for end in ends[:-1])}):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedError, match=r"damaged: .*nothing was changed") as caught:
            apply(machine)
        assert caught.value.code == 3 and f"mv {path} {path}.bad" in caught.value.hint
        assert machine.look() == after
    path.unlink()
    with pytest.raises(DamagedError, match="it is gone") as caught:
        recover(machine)
    assert str(path) in caught.value.message  # of the tree, not of this machine
    assert f"mv {path.with_name('current')} " in caught.value.hint


def test_a_journal_with_any_byte_changed_is_refused(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    after = machine.look()
    path = tmp_path / "var/lib/askr/tune/0001.jsonl"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            recover(machine)
    assert machine.look() == after


def test_a_journal_that_lacks_a_step_is_refused(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    after = machine.look()
    (tmp_path / "var/lib/askr/tune/current").unlink()  # so that only the chain can tell
    path = tmp_path / "var/lib/askr/tune/0001.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for first in range(1, len(lines) - 2):
        path.write_text("".join([*lines[:first], *lines[first + 2 :]]))  # doing and did
        with pytest.raises(DamagedError):
            recover(machine)
    assert machine.look() == after


@pytest.mark.parametrize(
    "item",
    [
        Item("/etc/shadow", Kind.FILE, "own", "root::\n", "x\n"),
        Item("/etc/systemd/system/sshd.service.d/evil.conf", Kind.FILE, "own", "x\n", "x\n"),
        Item("kernel.core_pattern", Kind.SYSCTL, "raise", "|/bin/sh", "core"),
    ],
)
def test_a_journal_is_not_believed_about_places(tmp_path: Path, item: Item) -> None:
    machine = make(tmp_path)
    machine.write(item.path, item.want)
    before = machine.look()
    with machine.store.locked():
        journal = machine.store.begin(
            transaction._begin_record(machine.disk, machine.facts, (item,), ORIGIN)
        )
        journal.append("doing", i=0)
        (outcome,) = transaction.recover(machine.store, machine.facts)
    assert outcome.state == "partial" and "does not write there" in outcome.failed[0].text
    assert machine.look() == before


def test_a_state_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    machine = make(tmp_path)
    apply(machine)
    after = machine.look()
    (tmp_path / "var/lib/askr/tune").chmod(0o770)
    with pytest.raises(AskrError, match="can be written by others; nothing was changed"):
        revert(machine)
    assert machine.look() == after


def test_two_at_once_is_one_and_a_refusal(tmp_path: Path) -> None:
    machine = make(tmp_path)
    before = machine.look()
    with (
        machine.store.locked(),
        pytest.raises(AskrError, match="another askrctl tune is at work") as caught,
    ):
        apply(machine)
    assert caught.value.code == 5
    assert machine.look() == before


def test_what_nobody_confirmed_in_time_is_undone_by_the_next_command(tmp_path: Path) -> None:
    machine = make(tmp_path)
    before = machine.look()
    with machine.store.locked():
        transaction.apply(machine.store, machine.facts, ITEMS, Origin(confirm_seconds=-1))
    assert [outcome.state for outcome in recover(machine)] == ["reverted"]
    assert machine.look() == before
