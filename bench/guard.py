# SPDX-License-Identifier: MIT
"""The guard of the hot path: instructions per request, held against a baseline that is committed.

    .venv/bin/python bench/guard.py            # compare with bench/guard.json; exit 1 past 2 %
    .venv/bin/python bench/guard.py --write    # what is measured now becomes the baseline

tests/engine/cost.c has the scenarios: each does the same work N times in one thread, with no clock
in it, and no socket but a pair that is at once, so callgrind counts the same on every run, however
busy the machine is.
It is run with few rounds and with many; what differs, divided by the rounds, is the cost of one.

What else could move the number is named in the baseline, and another one is not compared: compiler,
C library, valgrind and architecture. The C library chooses its memcpy by the processor, so it is
told to do without the newer instructions.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT / "bench/guard.json"
BUILD = ROOT / "build/release"  # what ./dev installs
TARGET = "tests/engine/cost"
SCENARIOS = {
    "h1": "a request head is parsed",
    "static": "a small file is answered through the simulated backend",
    "port": "a request goes to an application and its answer comes back",
    "app": "a request is answered by an application of a site, both processes",
}
FEW, MANY = 100, 1100
TOLERANCE_PCT = 2.0
DEADLINE_S = 60.0
# glibc.cpu.hwcaps of the GNU C library: without them every x86-64 takes the same string functions.
_PLAIN = (
    "AVX512F,AVX512VL,AVX512BW,AVX2,AVX,BMI1,BMI2,LZCNT,MOVBE,ERMS,FSRM,RTM,SSSE3,SSE4_1,SSE4_2"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    scenario: str
    now: float
    before: float

    @property
    def change_pct(self) -> float:
        return (self.now / self.before - 1) * 100

    @property
    def is_worse(self) -> bool:
        return self.change_pct > TOLERANCE_PCT

    def sentence(self) -> str:
        text = f"{self.scenario}: {self.now:.1f} instructions, {self.change_pct:+.2f} %"
        return f"{text} against {self.before:.1f} ({SCENARIOS[self.scenario]})"


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else ""


def _compiler(build: Path) -> str:
    """As meson found it."""
    found = json.loads((build / "meson-info/intro-compilers.json").read_text())["host"]["c"]
    return f"{found['id']} {found['version']}"


def surroundings(build: Path = BUILD) -> dict[str, str]:
    """What the numbers depend on besides our sources."""
    return {
        "compiler": _compiler(build),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": _version("valgrind", "--version"),
        "architecture": platform.machine(),
    }


def make(build: Path = BUILD, *targets: str) -> None:
    """Build the scenarios; nothing to do when they are up to date."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["ninja", "-C", str(build), *(targets or (TARGET,))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def _total(program: Path, scenario: str, rounds: int, waste: int, only: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += [f"--toggle-collect={only}"] if only else []
        command += [str(program), scenario, str(rounds), str(waste)]
        tunables = ",".join(f"-{name}" for name in _PLAIN.split(","))
        environment = {**os.environ, "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={tunables}"}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=DEADLINE_S
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
        assert found is not None, done.stderr[-2000:]
        return int(found[1])


def cost(
    scenario: str, build: Path = BUILD, waste: int = 0, target: str = TARGET, only: str = ""
) -> float:
    """Instructions of one round; `waste` more are spent on purpose. `only`: of this function, and
    of what it calls."""
    program = build / target
    many, few = (_total(program, scenario, rounds, waste, only) for rounds in (MANY, FEW))
    return (many - few) / (MANY - FEW)


def differs(baseline: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """Why the baseline says nothing here; "" when it does."""
    for name, value in now.items():
        if baseline[name] != value:
            return f"the baseline is of {name} {baseline[name]!r}, here is {value!r}"
    return ""


def compare(baseline: Mapping[str, Any], costs: Mapping[str, float]) -> list[Verdict]:
    return [Verdict(name, now, baseline["instructions"][name]) for name, now in costs.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions per request against the baseline.")
    parser.add_argument("--write", action="store_true", help="make this the baseline")
    wanted = parser.parse_args()
    make()
    now = surroundings()
    costs = {name: round(cost(name), 1) for name in SCENARIOS}
    if wanted.write:
        BASELINE.write_text(json.dumps({**now, "instructions": costs}, indent=2) + "\n")
        print(f"{BASELINE.relative_to(ROOT)}: {costs}")
        return 0
    baseline = json.loads(BASELINE.read_text())
    reason = differs(baseline, now)
    if reason:
        print(f"not compared: {reason}; measured: {costs}")
        return 3
    verdicts = compare(baseline, costs)
    print("\n".join(verdict.sentence() for verdict in verdicts))
    return int(any(verdict.is_worse for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
