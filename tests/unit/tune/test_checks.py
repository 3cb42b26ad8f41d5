# SPDX-License-Identifier: MIT
"""What the doctor's checks ask for is what tune plans, and they are content afterwards."""

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.tune.machine import Machine, make
from unit.tune.test_cli import tune

from askrctl.checks import ALL, run
from askrctl.cli import tune_checks
from askrctl.model import Status, SysctlSetting, UnitSetting
from askrctl.tune import defaults, keys, units

UNIT_FILE = "/usr/lib/systemd/system/askr.service"
ROOT = Path(__file__).parents[3]
PIECES = ("status", "limits", "cgroup")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A tree with a process to answer for: ours."""
    machine = make(tmp_path)
    machine.write(UNIT_FILE, "[Service]\nUser=www-data\nLimitMEMLOCK=64K\n")
    for piece in PIECES:
        text = Path("/proc/self", piece).read_text().replace("\t0\t0\t0\t0", "\t33\t33\t33\t33")
        machine.write(f"/proc/self/{piece}", text)
    shutil.copy("/etc/passwd", tmp_path / "etc/passwd")
    shutil.copy("/etc/group", tmp_path / "etc/group")
    machine.write("/proc/sys/kernel/io_uring_disabled", "2\n")
    return machine


def test_a_check_that_is_named_gets_its_remedy_and_is_asked_again(machine: Machine) -> None:
    assert tune(machine, "plan", "--exit-code").returncode == 10
    result = tune(machine, "apply", "--only", "iouring.sysctl", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["outcomes"][0]["changed"][0] == "kernel.io_uring_disabled"
    assert [(c["id"], c["status"]) for c in report["checks"]] == [("iouring.sysctl", "ok")]
    assert tune(machine, "revert").returncode == 0
    assert machine.read("/proc/sys/kernel/io_uring_disabled") == "2\n"


def test_a_decision_about_security_is_never_made_unasked(machine: Machine) -> None:
    plan = json.loads(tune(machine, "plan", "--json").stdout)
    assert "kernel.io_uring_disabled" not in [item["key"] for item in plan["items"]]


def test_a_check_that_is_named_and_content_says_so(machine: Machine) -> None:
    machine.write("/proc/sys/kernel/io_uring_disabled", "0\n")
    plan = json.loads(tune(machine, "plan", "--json", "--only", "iouring.sysctl").stdout)
    assert plan["items"] == []
    assert [(s["key"], s["check"]) for s in plan["skipped"]] == [("iouring.sysctl", "ok")]


def test_the_doctor_sees_what_no_longer_stands(machine: Machine) -> None:
    context = tune_checks.answers_for(machine.root, "askr.service")
    assert context is not None
    drift = [check for check in ALL if check.id == "cfg.drift"]
    assert [found.status for found in run(drift, context)] == [Status.SKIP]
    tune(machine, "apply", "--yes", "--set", "net.core.somaxconn=8192")
    assert [found.status for found in run(drift, context)] == [Status.OK]
    machine.write("/proc/sys/net/core/somaxconn", "128\n")
    (found,) = run(drift, context)
    assert found.status is not Status.OK and found.instance == "net.core.somaxconn"
    assert found.because == "tune set 8192, now it is 128: somebody changed it since"


def remedies() -> Iterator[tuple[str, str, str]]:
    """(file, function, name) of each remedy in the source of the checks that names its place."""
    for path in sorted((ROOT / "askrctl/checks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = ast.unparse(node.func)
            name = node.args[1] if len(node.args) > 1 else None
            if called.startswith("remedy.") and isinstance(name, ast.Constant):
                yield path.name, called, str(name.value)


def test_every_remedy_of_a_check_is_one_that_tune_can_carry_out() -> None:
    found = list(remedies())
    assert len(found) > 15
    for file, called, name in found:
        if called in ("remedy.sysctl", "remedy.column"):
            assert name in keys.SYSCTLS, f"{file}: {name}"
        elif called == "remedy.unit":
            assert name in units.DIRECTIVES, f"{file}: {name}"


def test_what_is_applied_makes_the_checks_content(machine: Machine) -> None:
    machine.write("/proc/sys/net/ipv4/tcp_sack", "0\n")
    machine.write("/proc/sys/net/ipv4/tcp_timestamps", "0\n")
    machine.write("/proc/sys/net/ipv4/tcp_migrate_req", "0\n")
    before = machine.look()
    result = tune(machine, "apply", "--yes", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    changed = report["outcomes"][0]["changed"]
    assert {"net.core.somaxconn", "net.ipv4.tcp_sack", "net.ipv4.tcp_timestamps"} <= set(changed)
    answers = {check["id"]: check["status"] for check in report["checks"]}
    assert {"net.somaxconn", "net.sack", "net.timestamps"} <= set(answers)
    assert set(answers.values()) == {"ok"}, report["checks"]
    assert tune(machine, "revert").returncode == 0
    assert machine.look() == before


def test_defaults_are_what_checks_ask_for_and_tune_may_write() -> None:
    tunable = {check.id for check in ALL if check.tunable}
    for wish in defaults.WISHES:
        assert wish.check in tunable
        setting = wish.setting
        if isinstance(setting, SysctlSetting):
            assert keys.SYSCTLS[setting.key].fault(setting.value) == ""
            assert keys.SYSCTLS[setting.key].rule == setting.rule
        else:
            assert isinstance(setting, UnitSetting)
            assert units.fault(setting.directive, setting.value) == ""
