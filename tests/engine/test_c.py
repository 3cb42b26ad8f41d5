# SPDX-License-Identifier: MIT
"""Builds and runs the C tests and replays the fuzz corpora, as pytest cases.

Every binary runs twice: with all backends under AddressSanitizer and UBSan, and in a build without
liburing, which has to stay a complete server. Warnings are errors in both.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = sorted(path.stem for path in (ROOT / "tests/engine").glob("test_*.c"))
TARGETS = sorted(path.stem for path in (ROOT / "fuzz").glob("fuzz_*.c"))
BUILDS = {
    "asan": ["-Db_sanitize=address,undefined", "-Dc_args=-fno-sanitize-recover=undefined"],
    "no-liburing": ["-Dliburing=off"],
}
COMMON = ["-Dwerror=true", "-Db_lundef=false", "-Dphp=disabled"]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
RUN_TIMEOUT_S = 120


def tool(name: str) -> str:
    path = shutil.which(name, path=ENVIRONMENT["PATH"])
    assert path is not None, f"{name} is missing: run ./dev test engine"
    return path


def must_run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT)
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}{done.stderr[-8000:]}"


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest) -> Path:
    """One build directory, configured once and kept, with every C test and fuzz target built."""
    directory = ROOT / "build" / request.param
    if not (directory / "build.ninja").exists():
        must_run(tool("meson"), "setup", directory, *COMMON, *BUILDS[request.param])
    binaries = [f"tests/engine/{name}" for name in TESTS] + [f"fuzz/{name}" for name in TARGETS]
    must_run(tool("ninja"), "-C", directory, *binaries)
    return directory


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
    short = name.removeprefix("fuzz_")
    done = run(build / "fuzz" / name, f"fuzz/corpus/{short}", f"fuzz/regression/{short}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    replayed = re.search(r"replayed (\d+) inputs", done.stdout)
    assert replayed is not None
    assert int(replayed[1]) > 0, "an empty corpus proves nothing"
