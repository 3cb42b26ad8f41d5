# SPDX-License-Identifier: MIT
"""`revert --only`: what some checks have changed goes back, the rest stands, whatever happens."""

import itertools
from pathlib import Path

import pytest
from unit.tune.machine import DROPIN, OURS, RMEM, SOMAXCONN, Crash, Machine, Trouble, make

from askrctl.model import Setting, SysctlSetting, UnitSetting
from askrctl.tune import operate, verify
from askrctl.tune.facts import Facts
from askrctl.tune.operate import Report, Tuner
from askrctl.tune.planner import Options
from askrctl.tune.transaction import Origin
from askrctl.tune.wishes import Wish

UNIT_FILE = "/usr/lib/systemd/system/askr.service"
WISHES: tuple[tuple[str, Setting], ...] = (
    ("net.somaxconn", SysctlSetting("net.core.somaxconn", "4096")),
    ("net.tcp_rmem", SysctlSetting("net.ipv4.tcp_rmem", "33554432", "raise", 2)),
    ("lim.nofile", UnitSetting("LimitNOFILE", "65536")),
)


def tuner(machine: Machine) -> Tuner:
    return Tuner(machine.disk, machine.store, machine.facts)


def applied(root: Path) -> tuple[Machine, dict[str, str]]:
    """A machine to which all wishes were applied, and how it looked before."""
    machine = make(root)
    machine.write(UNIT_FILE, "[Service]\nLimitNOFILE=1024\n")
    before = machine.look()
    wish(machine, *WISHES)
    return machine, before


def wish(machine: Machine, *wanted: tuple[str, Setting]) -> None:
    wishes = [Wish(setting, check, "because") for check, setting in wanted]
    plan = operate.make_plan(tuner(machine), wishes, Options())
    assert operate.apply_plan(tuner(machine), plan, Origin("t")).outcomes[0].state == "committed"


def part(machine: Machine, *only: str) -> Report:
    return operate.revert_part(tuner(machine), only, Origin("t"))


def no_drift(machine: Machine) -> bool:
    found = operate.journals(tuner(machine))
    return not any(s.drift for s in verify.standings(machine.disk, machine.facts, found))


def test_one_check_is_taken_back_and_the_rest_stands(tmp_path: Path) -> None:
    machine, before = applied(tmp_path)
    outcome = part(machine, "net.somaxconn").outcomes[0]
    assert outcome.state == "committed" and not outcome.kept
    assert (machine.read(SOMAXCONN), machine.read(RMEM)) == ("128\n", "4096 131072 33554432\n")
    text = machine.read(OURS) or ""
    assert "somaxconn" not in text and "net.ipv4.tcp_rmem = 4096 131072 33554432" in text
    assert "LimitNOFILE=65536" in (machine.read(DROPIN) or "")
    assert no_drift(machine)
    assert part(machine, "net.somaxconn").outcomes[0].state == "nothing"
    operate.revert(tuner(machine), "all")
    assert {**machine.look(), SOMAXCONN[1:]: "128"} == before


@pytest.mark.parametrize("only", ["net", "net.*", "net.core.somaxconn"])
def test_a_group_a_pattern_or_a_key_chooses_too(only: str, tmp_path: Path) -> None:
    machine, _ = applied(tmp_path)
    part(machine, only)
    assert machine.read(SOMAXCONN) == "128\n"
    assert ("tcp_rmem" in (machine.read(OURS) or "")) == (only == "net.core.somaxconn")
    assert "LimitNOFILE=65536" in (machine.read(DROPIN) or "")


def test_a_value_goes_back_to_before_the_first_of_several_changes(tmp_path: Path) -> None:
    machine, _ = applied(tmp_path)
    wish(machine, ("net.somaxconn", SysctlSetting("net.core.somaxconn", "8192")))
    part(machine, "net.somaxconn")
    assert machine.read(SOMAXCONN) == "128\n" and no_drift(machine)


def test_what_somebody_has_changed_since_is_kept(tmp_path: Path) -> None:
    machine, _ = applied(tmp_path)
    machine.write(SOMAXCONN, "5000\n")
    machine.write(OURS, "# mine\n")
    outcome = part(machine, "net.somaxconn").outcomes[0]
    assert outcome.state == "nothing"
    assert {note.key for note in outcome.kept} == {"net.core.somaxconn", OURS}
    assert (machine.read(SOMAXCONN), machine.read(OURS)) == ("5000\n", "# mine\n")


def test_after_a_boot_the_files_that_are_left_decide(tmp_path: Path) -> None:
    machine, _ = applied(tmp_path)
    machine.write("/etc/sysctl.d/50-site.conf", "net.core.somaxconn = 1024\n")
    machine.facts = Facts(boot="boot-2")
    part(machine, "net.somaxconn")
    assert machine.read(SOMAXCONN) == "1024\n"


def test_a_kernel_that_refuses_leaves_all_of_it_as_it_was(tmp_path: Path) -> None:
    machine, _ = applied(tmp_path)
    before = machine.look()
    machine.system = Trouble(refuse={"somaxconn": 22})
    assert part(machine, "net.somaxconn").outcomes[0].state == "reverted"
    assert machine.look() == before


@pytest.mark.parametrize("torn", [False, True], ids=["before", "within"])
def test_a_crash_at_any_step_is_undone_or_done(torn: bool, tmp_path: Path) -> None:
    whole, original = applied(tmp_path / "whole")
    before = whole.look()
    part(whole, "net.somaxconn")
    after = whole.look()
    for number in itertools.count(1):
        machine, _ = applied(tmp_path / str(number))
        machine.system = Trouble(crash_at=number, torn=torn)
        try:
            part(machine, "net.somaxconn")
            break
        except Crash:
            machine.system = Trouble()
        operate.recover(tuner(machine), "revert")
        assert machine.look() in (before, after), f"crash at call {number}"
        operate.revert(tuner(machine), "all")
        assert machine.look() == original, f"crash at call {number}"
    assert number > 10
