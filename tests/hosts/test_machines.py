# SPDX-License-Identifier: MIT
"""The doctor on machines that are not this one: exactly the findings that were expected by hand."""

import ast
import json
import random
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hosts import machine
from hosts.machine import Machine

from askrctl import checks
from askrctl.checks.report import Run
from askrctl.cli.doctor import Selection, execute, open_machine
from askrctl.cli.doctor_context import Words
from askrctl.model import AskrError, FileSetting, Finding, Status, SysctlSetting, UnitSetting

NOTABLE = (Status.FAIL, Status.WARN, Status.INFO, Status.UNKNOWN)
NAMES = machine.names()
# What is measured again only on a living machine.
MEASURED = {check.id for check in checks.ALL if check.sampled or check.group == "iouring"}
MEASURED.add("cpu.clocksource")
# What needs a certificate, or a module of the kernel that no description has: test_doctor_files.py.
ELSEWHERE = {check.id for check in checks.ALL if check.group == "tls" or check.network}
ELSEWHERE.add("iouring.ktls")
# What a running process has does not change with its unit's file, before a restart.
OF_PROCESSES = {"cg.pids", "mem.oom_score", "sec.root"}
CHECKS = Path(checks.__file__).parent


def words_of(one: Machine) -> Words:
    given = dict(zip(one.options[::2], one.options[1::2], strict=True))
    return Words(
        profile=given.get("--profile", "auto"),
        target=given.get("--target", "auto"),
        path=Path(given["--path"]) if "--path" in given else None,
    )


def look_at(one: Machine, root: Path) -> Run:
    run: Run = execute(open_machine(root), words_of(one), Selection())
    return run


@cache
def seen(name: str) -> Run:
    """A run on the machine as it is described; several tests ask different things of it."""
    with tempfile.TemporaryDirectory() as folder:
        one = machine.load(name)
        return look_at(one, machine.build(one, Path(folder)))


def short(finding: Finding) -> str:
    name = f"{finding.id}[{finding.instance}]" if finding.instance else finding.id
    reason = f" {finding.reason}" if finding.reason else ""
    return f"{finding.status} {name}{reason}"


def notable(run: Run) -> list[str]:
    found = [r.finding for r in run.results if r.finding.status in NOTABLE and r.counts]
    return sorted(map(short, found))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_is_what_was_expected(name: str) -> None:
    one = machine.load(name)
    assert one.source.startswith(("constructed: ", "captured: "))
    assert notable(seen(name)) == sorted(one.expect)


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_can_be_understood_alone(name: str) -> None:
    for result in seen(name).results:
        finding = result.finding
        assert "fault of askrctl" not in finding.because, finding
        if finding.status in (Status.SKIP, Status.UNKNOWN, Status.INFO):
            assert finding.because, finding.id
        if finding.status in (Status.WARN, Status.FAIL):
            assert finding.because and finding.evidence, finding.id
            assert finding.fix is not None and finding.fix.manual, finding.id


def _calls(path: Path) -> Iterator[ast.Call]:
    """Calls of warn() and fail(), chosen between or not, in a module of checks."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and not _hands_on(node):
            ways = [node.func, *ast.iter_child_nodes(node.func)]
            if {"warn", "fail", "judge"} & {way.id for way in ways if isinstance(way, ast.Name)}:
                yield node


@pytest.mark.parametrize("path", sorted(CHECKS.glob("*.py")), ids=lambda path: path.stem)
def test_no_check_warns_without_a_remedy(path: Path) -> None:
    bare = [f"{path.name}:{node.lineno}" for node in _calls(path) if not _has_fix(node)]
    assert not bare


def _hands_on(call: ast.Call) -> bool:
    """A judge that is given the context decides itself."""
    return bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id == "context"


def _has_fix(call: ast.Call) -> bool:
    return any(keyword.arg in ("fix", None) for keyword in call.keywords)


def _drop_in(root: Path, directive: str, value: str) -> bool:
    """As tune writes it; False where there is no unit."""
    unit = root / "etc/systemd/system/askr.service"
    if not any(path.exists() for path in (unit, root / "usr/lib/systemd/system/askr.service")):
        return False
    folder = unit.with_name("askr.service.d")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "~askr.conf").open("a") as file:
        file.write(f"[Service]\n{directive}={value}\n")
    return True


def apply(root: Path, finding: Finding) -> bool:
    """Carry a remedy out on the tree, as tune would on the machine; False if it is no file."""
    assert finding.fix is not None
    for setting in finding.fix.settings:
        if isinstance(setting, SysctlSetting):
            path = root / "proc/sys" / setting.key.replace(".", "/")
            old = path.read_text().split()
            if setting.rule == "append":
                path.write_text(",".join([*old, setting.value]) + "\n")
            elif setting.column is not None:
                old[setting.column] = setting.value
                path.write_text("\t".join(old) + "\n")
            else:
                path.write_text(setting.value + "\n")
        elif isinstance(setting, FileSetting):
            (root / setting.path.lstrip("/")).write_text(setting.value + "\n")
        elif isinstance(setting, UnitSetting) and finding.id not in OF_PROCESSES:
            if not _drop_in(root, setting.directive, setting.value):
                return False
        else:
            return False
    return bool(finding.fix.settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_remedy_makes_its_check_pass(name: str, tmp_path: Path) -> None:
    one = machine.load(name)
    root = machine.build(one, tmp_path)
    for result in seen(name).results:
        finding = result.finding
        if finding.status not in NOTABLE or finding.fix is None:
            continue
        if finding.id in MEASURED or not apply(root, finding):
            continue  # the recorded answer of a probe does not change with a file
        again: Run = execute(open_machine(root), words_of(one), Selection(only=(finding.id,)))
        now = [r.finding for r in again.results if r.finding.instance == finding.instance]
        assert now and now[0].status in (Status.OK, Status.SKIP), short(finding)


def test_every_remedy_of_tune_is_tried_on_some_machine() -> None:
    offered = {
        r.finding.id
        for name in NAMES
        for r in seen(name).results
        if r.finding.fix is not None and r.finding.fix.settings
    }
    tunable = {check.id for check in checks.ALL if check.tunable}
    assert tunable == offered


def test_there_are_enough_machines_and_each_says_where_it_is_from() -> None:
    assert len(NAMES) >= 40
    assert any(machine.load(name).source.startswith("captured: ") for name in NAMES)


def test_every_check_is_of_use_somewhere() -> None:
    """Each check finds something on some machine, or is ok on some: none is dead."""
    results = [result for name in NAMES for result in seen(name).results]
    useful = {r.finding.id for r in results if r.finding.status is not Status.SKIP}
    assert not {check.id for check in checks.ALL} - ELSEWHERE - useful


def test_a_tree_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    import sys

    machine.build(machine.load("debian-12"), tmp_path)
    command = [sys.executable, "-P", "-m", "askrctl", "doctor", "--json", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["host"]["hostname"] == "web1" and report["host"]["distro"] == "debian 12"


RUBBISH = ("", "\n", "x", "a b \0 c", "-1", "9" * 30, "1 2", "[", "0::", "\xff" * 50)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["debian-12", "unit", "docker-quota", "serving-as-root"])
def test_rubbish_in_a_file_is_unknown_and_never_a_traceback(
    name: str, seed: int, tmp_path: Path
) -> None:
    one = machine.load(name)
    root = machine.build(one, tmp_path)
    rng = random.Random(seed)
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    files = sorted(path for path in files if path.name != ".probe.json")
    for path in rng.sample(files, rng.choice([3, 20, min(80, len(files))])):
        path.write_text(rng.choice(RUBBISH))
    try:
        run = look_at(one, root)
    except AskrError:
        return  # not even the target can be read: one sentence, which is fine
    assert {r.finding.id for r in run.results} == {c.id for c in checks.ALL if not c.network}
    assert not [r.finding for r in run.results if "fault of askrctl" in r.finding.because]
