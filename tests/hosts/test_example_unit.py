# SPDX-License-Identifier: MIT
"""The unit that docs/systemd.md recommends has to please our own doctor, and systemd."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import machine
from hosts.test_machines import look_at

from askrctl.model import Status

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "examples/systemd/askr.service"


def test_the_doctor_finds_nothing_in_the_example_unit(tmp_path: Path) -> None:
    one = machine.load("unit")
    tree = machine.build(one, tmp_path)
    shutil.copy(UNIT, tree / "etc/systemd/system/askr.service")
    found = [result.finding for result in look_at(one, tree).results]
    of_unit = [finding for finding in found if finding.id.startswith(("sd.", "lim.", "iouring."))]
    bad = (Status.FAIL, Status.WARN, Status.UNKNOWN)
    assert [f"{f.id}: {f.because}" for f in of_unit if f.status in bad] == []
    assert len([f for f in of_unit if f.id.startswith("sd.") and f.status is Status.OK]) >= 8


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", ["askr.service", "askr.socket"])
def test_systemd_understands_every_line_of_the_examples(tmp_path: Path, name: str) -> None:
    for file in UNIT.parent.iterdir():
        text = file.read_text().replace("/opt/askrctl/bin/askrctl", sys.executable)
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_directive_that_the_page_explains_is_in_the_unit() -> None:
    page = (ROOT / "docs/systemd.md").read_text()
    table = page.split("## Why these lines")[1].split("\n\n")[1]
    names = [line.split("`")[1].split("=")[0] for line in table.splitlines()[2:]]
    assert len(names) > 8
    assert [name for name in names if f"{name}=" not in UNIT.read_text()] == []
