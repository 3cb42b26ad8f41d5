# SPDX-License-Identifier: MIT
"""From what an application costs on this machine to what askr.toml should say.

Pure arithmetic, and each proposal carries it: which measurement, which sum, which margin. A sample
of routes shows what is needed at least, so limits are raised or left, never lowered.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from askrctl.bench.application import Caches, Measurement
from askrctl.config import APPS_MAX, Config

MIB = 1 << 20
MEMORY_SHARE = 0.8  # of what may be used, as the check mem.budget has it
# A backend that waits alone answers faster than one under load: twice the wait for the ceiling.
LOAD_FACTOR = 2
# Processes that are there when nobody asks: beyond these the pool grows when requests wait.
PROCESSES_MAX = 16
PEAK_FACTOR = 2  # routes that were not asked may take more than those that were
MEMORY_LIMIT_MIN = 128 * MIB  # PHP's own default
MEMORY_LIMIT_STEP = 64 * MIB
CACHE_FACTOR = 1.25  # room for code that changes: until a restart the old is kept beside the new
CACHE_STEP = 32 * MIB
FILES_SHARE = 0.8  # of its places that a hash table may fill, as php.opcache.files has it
STRINGS_SHARE = 0.8
STRINGS_SIZES = (8, 16, 32, 64, 128)  # MiB
REALPATH_SHARE = 0.5
REALPATH_STEP = MIB


@dataclass(frozen=True, slots=True)
class Machine:
    """What may be used here. None: no limit."""

    cores: int  # by affinity
    quota: float | None  # of the cgroup, in cores
    memory: int
    memory_limit: int | None  # of the cgroup

    @property
    def usable_cores(self) -> int:
        return max(1, min(self.cores, -int(-self.quota // 1))) if self.quota else self.cores

    @property
    def usable_memory(self) -> int:
        return min(self.memory, self.memory_limit) if self.memory_limit else self.memory


@dataclass(frozen=True, slots=True)
class Proposal:
    """One value. `key`: of askr.toml, or of php.ini when `ini`. `want` == `before`: leave it."""

    key: str
    before: str
    want: str
    measured: str
    why: str
    ini: bool = False

    @property
    def changes(self) -> bool:
        return self.before != self.want


@dataclass(frozen=True, slots=True)
class Sizing:
    proposals: tuple[Proposal, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Before:
    """What PHP says of itself in our SAPI before any application runs."""

    ini: Mapping[str, str | None]
    cache_free: int  # bytes of an OPcache without a script

    def text(self, name: str) -> str:
        return str(self.ini.get(name) or "")


def propose(found: Measurement, machine: Machine, config: Config, before: Before) -> Sizing:
    """Every value that askr.toml could have, with those that may stay as they are."""
    limit = _memory_limit(found, before.text("memory_limit"))
    processes, notes = _processes(found, machine, config)
    notes += _worst_case(found, machine, limit, processes)
    items = [_workers(machine, config), *processes, limit]
    if found.caches is None:
        notes.append("OPcache is off, so it has no sizes: askrctl doctor --only php.opcache.active")
    else:
        items += _opcache(found, found.caches, before)
    items.append(_realpath(found, before.text("realpath_cache_size")))
    return Sizing(tuple(item for item in items if item is not None), tuple(notes))


# --- processes ------------------------------------------------------------------------------------


def _workers(machine: Machine, config: Config) -> Proposal:
    before = config.server.workers
    cores = machine.usable_cores
    want = 0 if before not in (0, cores) else before
    quota = f", a quota of {machine.quota:g}" if machine.quota else ", no quota"
    return Proposal(
        "server.workers",
        str(before),
        str(want),
        f"{cores} of {machine.cores} cores by affinity{quota}",
        f"one for each core that may be used; 0 means that, which is {cores} here",
    )


def _processes(
    found: Measurement, machine: Machine, config: Config
) -> tuple[list[Proposal], list[str]]:
    """`processes` keep a core at work with the mix of routes, `processes_max` with the worst."""
    held = sum(route.held_us for route in found.routes)
    cpu = max(1.0, sum(route.cpu_us for route in found.routes))
    worst = max(found.routes, key=lambda route: route.held_us / max(1.0, route.cpu_us))
    ratio = held / cpu
    ratio_max = worst.held_us / max(1.0, worst.cpu_us)
    wanted = min(PROCESSES_MAX, int(ratio) + 1)
    wanted_max = min(APPS_MAX, LOAD_FACTOR * (int(ratio_max) + 1))
    fit, sentence = _fit(found, machine)
    processes = max(1, min(wanted, fit))
    most = max(processes, min(wanted_max, fit))
    bound = f"; memory allows {fit}: {sentence}" if fit < wanted_max else f"; {sentence}"
    limited = "" if wanted == int(ratio) + 1 else ", and more when requests wait"
    notes = []
    if fit < wanted:
        notes.append(f"memory holds {fit} processes for each worker, the CPU could use {wanted}")
    current = config.php
    # 0 and what is not above `processes` mean the same: it does not grow.
    before_max = current.processes_max if current.processes_max > current.processes else 0
    return [
        Proposal(
            "php.processes",
            str(current.processes),
            str(processes),
            f"a request holds a process for {held / len(found.routes) / 1000:.2f} ms and computes "
            f"for {cpu / len(found.routes) / 1000:.2f} ms: {_percent(1 - cpu / held)} is waiting",
            f"{ratio:.2f} processes keep one core at work, so {wanted} for each worker"
            f"{limited}{bound}",
        ),
        Proposal(
            "php.processes_max",
            str(before_max),
            str(most if most > processes else 0),
            f"{worst.target} waits most: {worst.held_us / 1000:.2f} ms for "
            f"{worst.cpu_us / 1000:.2f} ms of CPU time",
            f"{ratio_max:.2f} keep a core at work if all ask for it, so "
            f"{int(ratio_max) + 1}; twice that for waits that grow under load, {wanted_max}"
            f"{' at most' if wanted_max == APPS_MAX else ''}"
            f"{bound if fit < wanted_max else ''}",
        ),
    ], notes


def _percent(share: float) -> str:
    return f"{100 * max(0.0, share):.0f} %"


def _fit(found: Measurement, machine: Machine) -> tuple[int, str]:
    """Processes of each worker that fit into memory, and the sum."""
    memory = found.memory
    peak = max(route.peak for route in found.routes)
    each = (memory.private if memory.private is not None else memory.rss) + peak
    cache = found.caches.used if found.caches is not None else 0
    workers = machine.usable_cores
    server = (memory.server or 0) * workers + cache
    room = MEMORY_SHARE * machine.usable_memory - server
    count = max(1, int(room / workers / each))
    kind = "of its own" if memory.private is not None else "resident, shared pages included"
    return count, (
        f"{count} × {workers} × {_mib(each)} ({_mib(each - peak)} {kind} + a peak of {_mib(peak)}) "
        f"fit into {_percent(MEMORY_SHARE)} of {_mib(machine.usable_memory)}"
    )


def _worst_case(
    found: Measurement, machine: Machine, limit: Proposal | None, processes: list[Proposal]
) -> list[str]:
    """What the kernel would be asked for if every request took what it may."""
    notes = []
    allowed = size(limit.want) if limit is not None else 0
    count = max(int(item.want) for item in processes) * machine.usable_cores
    if allowed > 0 and count * allowed > machine.usable_memory:
        notes.append(
            f"if {count} requests all took their memory_limit of {_mib(allowed)} at once, that "
            f"would be {_mib(count * allowed)} of {_mib(machine.usable_memory)}"
        )
    if limit is not None and found.memory_limit not in (size(limit.before), size(limit.want)):
        shown = "no limit" if found.memory_limit <= 0 else _mib(found.memory_limit)
        notes.append(f"the application sets memory_limit itself, to {shown}: that one counts")
    return notes


# --- php.ini --------------------------------------------------------------------------------------


def _memory_limit(found: Measurement, before: str) -> Proposal | None:
    if not before:
        return None
    worst = max(found.routes, key=lambda route: route.peak)
    need = PEAK_FACTOR * worst.peak
    want = max(MEMORY_LIMIT_MIN, _up(need, MEMORY_LIMIT_STEP))
    enough = size(before) >= need
    return Proposal(
        "memory_limit",
        before,
        before if enough else f"{want // MIB}M",
        f"at most {_mib(worst.peak)} in one request, of {worst.target}",
        f"twice that, {_mib(need)}, for routes that were not asked"
        + ("" if size(before) > 0 else "; without a limit one request can take the machine"),
        ini=True,
    )


def _opcache(found: Measurement, caches: Caches, before: Before) -> list[Proposal | None]:
    total = max(found.scripts, caches.scripts)
    return [
        _cache_memory(caches, total, before),
        _cache_files(caches, total, before.text("opcache.max_accelerated_files")),
        _cache_strings(caches, before.text("opcache.interned_strings_buffer")),
    ]


def _cache_memory(caches: Caches, total: int, before: Before) -> Proposal | None:
    setting = before.text("opcache.memory_consumption")
    if not setting or not caches.scripts:
        return None
    # The buffer of strings and the hash table are there before the first script.
    empty = caches.used + caches.free + caches.wasted - before.cache_free
    code = max(0, caches.used - empty)
    each = code / caches.scripts
    need = int(empty + CACHE_FACTOR * each * total)
    now = _megabytes(setting)
    want = max(now, _up(need, CACHE_STEP))
    return Proposal(
        "opcache.memory_consumption",
        str(now // MIB),
        str(want // MIB),
        f"{caches.scripts} scripts take {_mib(code)}, beside {_mib(empty)} for strings and the "
        f"table; there are {total}",
        f"{total} × {each / 1024:.1f} KiB × {CACHE_FACTOR} + {_mib(empty)} = {_mib(need)}; "
        "what is not used is not taken",
        ini=True,
    )


def _cache_files(caches: Caches, total: int, before: str) -> Proposal | None:
    if not before.isdigit() or not caches.keys_max:
        return None
    each = max(1.0, caches.keys / max(1, caches.scripts))
    need = int(total * each)
    enough = need <= FILES_SHARE * caches.keys_max
    return Proposal(
        "opcache.max_accelerated_files",
        before,
        before if enough else str(2 * need),
        f"{caches.keys} keys for {caches.scripts} scripts, {caches.keys_max} places; there are "
        f"{total} scripts",
        f"{total} × {each:.2f} keys = {need}, of at most {_percent(FILES_SHARE)} of the places",
        ini=True,
    )


def _cache_strings(caches: Caches, before: str) -> Proposal | None:
    if not before or not caches.strings_size:
        return None
    used = caches.strings_used
    enough = used <= STRINGS_SHARE * caches.strings_size
    fitting = [item for item in STRINGS_SIZES if used <= STRINGS_SHARE / 2 * item * MIB]
    want = max(int(before), fitting[0] if fitting else STRINGS_SIZES[-1])
    return Proposal(
        "opcache.interned_strings_buffer",
        before,
        before if enough else str(want),
        f"{_mib(used)} of {_mib(caches.strings_size)} are used",
        f"beyond {_percent(STRINGS_SHARE)} each process soon keeps strings for itself; "
        "routes that were not asked bring more",
        ini=True,
    )


def _realpath(found: Measurement, before: str) -> Proposal | None:
    limit = size(before)
    if limit <= 0:
        return None
    enough = found.realpath <= REALPATH_SHARE * limit
    want = _up(int(found.realpath / REALPATH_SHARE), REALPATH_STEP)
    return Proposal(
        "realpath_cache_size",
        before,
        before if enough else f"{want // 1024}K",
        f"{found.realpath / 1024:.0f} KiB of resolved paths in a process",
        f"at most {_percent(REALPATH_SHARE)} of {before}: paths of routes that were not asked "
        "come on top",
        ini=True,
    )


# --- numbers --------------------------------------------------------------------------------------


def size(text: str) -> int:
    """Bytes of a value of php.ini such as 128M; -1 is no limit, 0 no size."""
    text = text.strip()
    unit = {"K": 1024, "M": MIB, "G": 1024 * MIB}.get(text[-1:].upper(), 1)
    digits = text if unit == 1 else text[:-1]
    return int(digits) * unit if digits.lstrip("-").isdigit() else 0


def _megabytes(text: str) -> int:
    """opcache.memory_consumption: MiB in php.ini, bytes where ini_get() has multiplied it."""
    value = size(text)
    return value if value >= MIB else value * MIB


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _mib(value: float) -> str:
    return f"{value / MIB:.1f} MiB" if value < 100 * MIB else f"{value / MIB:.0f} MiB"
