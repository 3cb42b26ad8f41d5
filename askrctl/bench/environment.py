# SPDX-License-Identifier: MIT
"""What a figure was measured on: without it no figure can be compared with another.

Facts are read, never guessed: what cannot be read is "unknown". The machine's own names and
addresses are left out, so that a report can be shown to anybody.
"""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from askrctl import __version__

UNKNOWN = "unknown"
_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Environment:
    kernel: str
    distribution: str
    cpu: str
    cores: int
    smt: str
    governor: str
    hypervisor: str
    clocksource: str
    mitigations: dict[str, str]
    memory_mib: int
    load_average: str
    askrctl: str
    python: str
    warnings: tuple[str, ...]
    programs: dict[str, str] = field(default_factory=dict)  # versions of PHP and the peers


def _first(path: str) -> str:
    try:
        return Path(path).read_text().strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def _cpu_info(name: str) -> str:
    """One line of /proc/cpuinfo."""
    text = _first("/proc/cpuinfo")
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else UNKNOWN


def _distribution() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return UNKNOWN
    return release.get("PRETTY_NAME", UNKNOWN)


def _hypervisor() -> str:
    if "hypervisor" not in _cpu_info("flags").split():
        return "none seen"
    vendor = _first("/sys/class/dmi/id/sys_vendor")
    return "yes" if vendor == UNKNOWN else f"yes ({vendor})"


def _mitigations() -> dict[str, str]:
    folder = _CPU / "vulnerabilities"
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    return {name: _first(str(folder / name)) for name in names}


def _memory_mib() -> int:
    found = re.search(r"MemTotal:\s+(\d+)", _first("/proc/meminfo"))
    return int(found[1]) // 1024 if found else 0


def warnings(governor: str, hypervisor: str, load: float, cores: int) -> tuple[str, ...]:
    """What makes figures of this machine less worth, as sentences."""
    found = []
    if governor not in ("performance", UNKNOWN):
        found.append(f"the CPU governor is {governor}: clocks change during the runs")
    if hypervisor.startswith("yes"):
        found.append("a virtual machine: neighbours may take time, compare within one run only")
    if load > cores * 0.5:
        found.append(f"the machine was busy before the bench: load average {load:.1f}")
    if cores < 2:
        found.append("one core only: the load generator takes time from the server")
    return tuple(found)


def capture(load: Callable[[], tuple[float, float, float]] = os.getloadavg) -> Environment:
    """Everything that is worth knowing, before the first run."""
    governor = _first(f"{_CPU}/cpu0/cpufreq/scaling_governor")
    hypervisor = _hypervisor()
    cores = len(os.sched_getaffinity(0))
    averages = load()
    return Environment(
        kernel=platform.release(),
        distribution=_distribution(),
        cpu=_cpu_info("model name"),
        cores=cores,
        smt=_first(f"{_CPU}/smt/control"),
        governor=governor,
        hypervisor=hypervisor,
        clocksource=_first("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        mitigations=_mitigations(),
        memory_mib=_memory_mib(),
        load_average=" ".join(f"{value:.2f}" for value in averages),
        askrctl=__version__,
        python=platform.python_version(),
        warnings=warnings(governor, hypervisor, averages[0], cores),
    )
