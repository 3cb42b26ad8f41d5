# SPDX-License-Identifier: MIT
"""Builds what the tests of the engine run, in two build directories that are kept.

`asan` has every backend under AddressSanitizer and UBSan; `no-liburing` is the build that has to
stay a complete HTTP/1.1 server without liburing, libnghttp2 and what compresses. Warnings are
errors in both.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMON = ["-Dwerror=true", "-Db_lundef=false"]
BUILDS = {
    "asan": [
        "-Db_sanitize=address,undefined",
        "-Dc_args=-fno-sanitize-recover=undefined",
        "-Dphp=disabled",  # libphp is not built for sanitizers
    ],
    "no-liburing": [
        *("-Dliburing=off", "-Dhttp2=disabled"),
        *("-Dgzip=disabled", "-Dbrotli=disabled", "-Dzstd=disabled"),
    ],
}
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def must_run(name: str, *arguments: str | Path) -> None:
    tool = shutil.which(name, path=ENVIRONMENT["PATH"])
    assert tool is not None, f"{name} is missing: run ./dev test engine"
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT
    )
    assert done.returncode == 0, f"{name}\n{done.stdout[-8000:]}{done.stderr[-8000:]}"


@pytest.fixture(scope="session", autouse=True)
def builds() -> Mapping[str, Path]:
    """Build directories by name, each with every C test and fuzz target in it."""
    directories = {name: ROOT / "build" / name for name in BUILDS}
    for name, directory in directories.items():
        if not (directory / "build.ninja").exists():
            must_run("meson", "setup", directory, *COMMON, *BUILDS[name])
        must_run("ninja", "-C", directory, "engine-tests", "fuzz-targets")
    return directories
