# SPDX-License-Identifier: MIT
"""Who goes first on a core that processes share: workers before applications."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from system.conftest import Serve

from askrctl.server import slices

_GET = {"x86_64": 315, "aarch64": 275, "riscv64": 275}  # sched_getattr(2)
TRY = "from askrctl.server import slices; print(slices.set_own(slices.WORKER_NS))"


def slice_of(pid: int) -> int:
    """In nanoseconds; 0 before Linux 6.12, which has none."""
    found = slices.SchedAttr()
    number = _GET[platform.machine()]
    size = ctypes.sizeof(found)
    assert ctypes.CDLL(None).syscall(number, pid, ctypes.byref(found), size, 0) == 0
    return int(found.runtime)


def test_a_worker_has_a_short_slice_and_all_others_have_the_kernels(
    serve: Serve, tmp_path: Path
) -> None:
    usual = slice_of(os.getpid())
    (tmp_path / "index.php").write_text("<?php echo 1;")
    server = serve(tmp_path, config={"php": {"processes": 1}})
    server.wait_applications(1)
    [worker] = server.workers()
    [application] = server.applications()
    assert slice_of(server.process.pid) == usual
    assert slice_of(worker) == (slices.WORKER_NS if usual else 0)
    assert slice_of(application) == usual


@pytest.mark.parametrize(
    ("before", "done"), [("nice -n 0", "True"), ("nice -n 5", "True"), ("chrt -b 0", "False")]
)
def test_who_chose_a_policy_keeps_it(before: str, done: str) -> None:
    command = [*before.split(), sys.executable, "-P", "-c", TRY]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == done


def test_a_nice_value_stays() -> None:
    script = f"import os; {TRY}; print(os.getpriority(os.PRIO_PROCESS, 0))"
    command = ["nice", "-n", "7", sys.executable, "-P", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == ["True", "7"]
