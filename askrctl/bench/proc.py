# SPDX-License-Identifier: MIT
"""What processes cost, from /proc: CPU time of a whole tree, its memory, and who else was busy.

A tree is a process, its descendants and whatever is in its session: helpers that lose their parent
stay in it. Processes that have ended and been waited for count through their parent (`cutime`).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
KIB = 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat, proc_pid_stat(5). Ticks include children waited for."""

    pid: int
    parent: int
    session: int
    user_ticks: int
    system_ticks: int
    ended_ticks: int  # of the above, what children that have ended used
    resident_pages: int


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds. `total` comes from the scheduler's own clock where the kernel shows it."""

    user: float
    system: float
    total: float


def parse_stat(text: str) -> Process:
    """The name may contain spaces and parentheses: what counts is after the last one."""
    pid = int(text[: text.index(" ")])
    fields = [int(word) for word in text[text.rindex(")") + 4 :].split()]
    user, system, ended_user, ended_system = fields[10:14]
    return Process(
        pid=pid,
        parent=fields[0],
        session=fields[2],
        user_ticks=user + ended_user,
        system_ticks=system + ended_system,
        ended_ticks=ended_user + ended_system,
        resident_pages=fields[20],
    )


def processes() -> Iterator[Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield parse_stat((folder / "stat").read_text())
        except OSError:
            continue  # it ended meanwhile


def family(everything: Sequence[Process], roots: Sequence[int]) -> list[Process]:
    """The processes of these pids, their sessions and all their descendants."""
    pids = set(roots) | {one.pid for one in everything if one.session in set(roots)}
    grown = True
    while grown:
        born = {one.pid for one in everything if one.parent in pids} - pids
        pids |= born
        grown = bool(born)
    return [one for one in everything if one.pid in pids]


def tree(roots: Sequence[int]) -> list[Process]:
    return family(list(processes()), roots)


def _scheduled_s(pid: int) -> float | None:
    """Seconds on a CPU of all threads of a process, in nanoseconds' resolution.

    Ticks are cut to 10 ms for each process; over a second of load that is a per cent.
    """
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return total / 1e9


def cpu(roots: Sequence[int]) -> Cpu:
    """CPU time of a process tree so far."""
    found = tree(roots)
    user = sum(one.user_ticks for one in found) / TICKS_PER_SECOND
    system = sum(one.system_ticks for one in found) / TICKS_PER_SECOND
    exact = [_scheduled_s(one.pid) for one in found]
    if any(value is None for value in exact):
        return Cpu(user, system, user + system)
    ended = sum(one.ended_ticks for one in found) / TICKS_PER_SECOND
    return Cpu(user, system, ended + sum(value for value in exact if value is not None))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process. `proportional` (PSS): a page that n processes share counts 1/n."""

    resident: int
    proportional: int
    private: int  # shared with nobody


def memory(pid: int) -> Memory | None:
    """From smaps_rollup, proc_pid_smaps(5). None: it may not be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except PermissionError:
        return None
    words = (line.split() for line in lines)
    size = {row[0]: int(row[1]) * KIB for row in words if len(row) > 1}
    return Memory(size["Rss:"], size["Pss:"], size["Private_Clean:"] + size["Private_Dirty:"])


def proportional_bytes(roots: Sequence[int]) -> int | None:
    """PSS of a tree. None: may not be read."""
    total = 0
    for one in tree(roots):
        try:
            found = memory(one.pid)
        except (OSError, KeyError):  # it ended meanwhile: the file is gone, or empty
            continue
        if found is None:
            return None
        total += found.proportional
    return total


@dataclass(frozen=True, slots=True)
class CoreTime:
    """Seconds of some cores since boot: busy for anybody, and taken by the hypervisor."""

    busy: float
    stolen: float


def core_time(cores: Sequence[int]) -> CoreTime:
    """From /proc/stat, proc_stat(5): user nice system idle iowait irq softirq steal."""
    busy = stolen = 0
    wanted = {f"cpu{core}" for core in cores}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *rest = line.split()
        if name in wanted:
            ticks = [int(word) for word in rest[:8]]
            busy += sum(ticks) - ticks[3] - ticks[4] - ticks[7]
            stolen += ticks[7]
    return CoreTime(busy / TICKS_PER_SECOND, stolen / TICKS_PER_SECOND)
