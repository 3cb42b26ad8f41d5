# SPDX-License-Identifier: MIT
"""Runs the C tests and replays the fuzz corpora, as pytest cases, in every build.

A C test is a TAP binary. One without a plan died early, whatever its lines said.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import BUILDS, ENVIRONMENT, ROOT

TESTS = sorted(path.stem for path in (ROOT / "tests/engine").glob("test_*.c"))
TARGETS = sorted(path.stem for path in (ROOT / "fuzz").glob("fuzz_*.c"))
RUN_TIMEOUT_S = 120
WITHOUT = {  # what a build does not have
    "no-liburing": {
        *("test_h2", "fuzz_h2", "test_encoding", "test_encoding_faults"),
        *("test_ws_deflate", "fuzz_ws"),
    }
}


@pytest.fixture(params=BUILDS)
def build(request: pytest.FixtureRequest, builds: Mapping[str, Path]) -> Path:
    return builds[request.param]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=ENVIRONMENT,
        cwd=ROOT,
        timeout=RUN_TIMEOUT_S,
    )


@pytest.mark.parametrize("name", TESTS)
def test_every_check_of_the_c_test_holds(build: Path, name: str) -> None:
    if name in WITHOUT.get(build.name, ()):
        assert not (build / "tests/engine" / name).exists()
        return
    done = run(build / "tests/engine" / name)
    failed = [line for line in done.stdout.splitlines() if line.startswith("not ok")]
    assert not failed, "\n".join(failed) + done.stderr
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    plan = re.search(r"^1\.\.(\d+)$", done.stdout, flags=re.MULTILINE)
    assert plan is not None, "no TAP plan, so it died early:\n" + done.stdout + done.stderr
    checks = re.findall(r"^ok \d+", done.stdout, flags=re.MULTILINE)
    assert len(checks) == int(plan[1]) > 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzz_target_survives_its_corpus(build: Path, name: str) -> None:
    if name in WITHOUT.get(build.name, ()):
        assert not (build / "fuzz" / name).exists()
        return
    short = name.removeprefix("fuzz_")
    done = run(build / "fuzz" / name, f"fuzz/corpus/{short}", f"fuzz/regression/{short}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    replayed = re.search(r"replayed (\d+) inputs", done.stdout)
    assert replayed is not None
    assert int(replayed[1]) > 0, "an empty corpus proves nothing"
