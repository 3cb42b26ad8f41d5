# SPDX-License-Identifier: MIT
"""Checks of memory: does the server fit, and what happens when it does not.

Settings on which neighbours disagree (overcommit, swappiness, huge pages) are shown, or changed
only when somebody names them.
"""

from typing import Any

from askrctl.checks import php, remedy
from askrctl.checks.cpu import pressure
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import Wanted
from askrctl.probes import machine, uring_memory
from askrctl.probes.host import NotApplicable, key_values

MIB = 1 << 20
WORKER_BYTES = 24 * MIB  # a worker with its buffers, before connections
_THP = "/sys/kernel/mm/transparent_hugepage"


def _budget(context: Context) -> Answer:
    limit = machine.memory_limit(context.host, context.pid)
    there = machine.memory_bytes(context.host)
    room = min(there, limit) if limit is not None else there
    need = context.workers * WORKER_BYTES + uring_memory.server_bytes(context.workers)
    facts = php.facts(context)
    if "failed" not in facts:
        one = php.size(str(facts.get("ini", {}).get("memory_limit", facts["memory_limit"])))
        apps = context.workers * context.config.php.processes
        if one <= 0:
            raise NotApplicable("PHP's memory_limit is unlimited: see php.memory_limit")
        need += apps * one + 128 * MIB
    share = round(100 * need / room)
    shown = f"at most {need // MIB} MiB of {room // MIB} MiB"
    wanted = Wanted("<=", 80)
    fix = remedy.by_hand("fewer [php] processes, or a lower memory_limit")
    if share > 100:
        sentence = f"{shown}: if every request used what it may, the kernel would kill processes"
        return fail(sentence, share, wanted=wanted, unit="%", fix=fix)
    if share > 80:
        return warn(f"{shown}: little is left for others", share, wanted=wanted, unit="%", fix=fix)
    return ok(share, shown, unit="%")


def _chosen(text: str) -> str:
    """always [madvise] never: the one in brackets."""
    return text.split("[")[1].split("]")[0] if "[" in text else text


def _thp(context: Context) -> Answer:
    enabled = _chosen(context.host.read(f"{_THP}/enabled"))
    defrag = _chosen(context.host.get(f"{_THP}/defrag"))
    if enabled == "always" and defrag == "always":
        fix = remedy.sysfs(f"{_THP}/defrag", "madvise")
        sentence = "every first use of memory may stop to compact it"
        return warn(sentence, f"{enabled}, defrag {defrag}", fix=fix)
    return ok(f"{enabled}, defrag {defrag}")


def _vmstat(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}


def _swap(context: Context) -> Answer:
    first, second = (_vmstat(text) for text in context.counters("/proc/vmstat"))
    pages = sum(second.get(n, 0) - first.get(n, 0) for n in ("pswpin", "pswpout"))
    if pages > 0:
        sentence = f"{pages} pages moved to or from disk while this ran: memory is short"
        fix = remedy.by_hand("more memory, or fewer processes")
        return warn(sentence, pages, wanted=Wanted("==", 0), unit="pages", fix=fix)
    return ok(0, unit="pages")


def _swappiness(context: Context) -> Answer:
    return ok(context.sysctl_int("vm.swappiness"), "1, 10 and 60 all have their defenders")


def _overcommit(context: Context) -> Answer:
    mode = context.sysctl_int("vm.overcommit_memory")
    if mode != 2:
        return ok(mode)
    limit = machine.memory_bytes(context.host, "CommitLimit")
    left = limit - machine.memory_bytes(context.host, "Committed_AS")
    if left * 10 < limit:
        sentence = f"{left // MIB} MiB may still be promised: soon no process can be started"
        return warn(
            sentence,
            mode,
            fix=remedy.by_hand(
                "more swap or a higher vm.overcommit_ratio, if nothing else here needs mode 2"
            ),
        )
    return ok(mode, f"{left // MIB} MiB may still be promised")


def _max_map_count(context: Context) -> Answer:
    limit = context.sysctl_int("vm.max_map_count")
    if context.server is None:
        return ok(limit, unit="mappings")
    used = max(
        len(context.host.get(f"/proc/{pid}/maps").splitlines())
        for pid in (context.server.pid, *context.server.workers, *context.server.apps)
    )
    if used * 2 > limit:
        fix = remedy.sysctl(context, "vm.max_map_count", limit * 2)
        sentence = f"a process of the server has {used} mappings of {limit} that it may have"
        return warn(sentence, limit, wanted=Wanted(">=", used * 2), unit="mappings", fix=fix)
    return ok(limit, f"{used} in use", unit="mappings")


def _min_free(context: Context) -> Answer:
    return ok(context.sysctl_int("vm.min_free_kbytes"), unit="KiB")


def _zone_reclaim(context: Context) -> Answer:
    value = context.sysctl_int("vm.zone_reclaim_mode")
    if value == 0:
        return ok(0)
    fix = remedy.sysctl(context, "vm.zone_reclaim_mode", 0, "set")
    sentence = "a memory node throws its file cache away before it asks another node"
    return warn(sentence, value, wanted=Wanted("==", 0), fix=fix)


def _hugepages(context: Context) -> Answer:
    value = key_values(context.host.read("/proc/meminfo")).get("HugePages_Total", "0")
    total = int(value.split()[0])
    if total == 0:
        return ok(0, unit="pages")
    return info("reserved, and of no use to this server", total, unit="pages")


def _psi(context: Context) -> Answer:
    share = pressure(context.host.read("/proc/pressure/memory"), "full", "avg60")
    if share > 1.0:
        sentence = f"{share:g} % of the last minute everything waited for memory"
        return warn(
            sentence,
            share,
            wanted=Wanted("<=", 1),
            unit="%",
            fix=remedy.by_hand("more memory, or fewer [php] processes"),
        )
    return ok(share, unit="%")


def _oom_score(context: Context) -> Answer:
    server = context.server
    if server is None:
        raise NotApplicable("no server is running")
    master = int(context.host.read(f"/proc/{server.pid}/oom_score_adj"))
    workers = [int(context.host.get(f"/proc/{p}/oom_score_adj", "0")) for p in server.workers]
    if master == -1000 and any(score == -1000 for score in workers):
        fix = remedy.unit(context, "OOMScoreAdjust", "-500", "set")
        sentence = "no process of the server may be killed, so the kernel kills all others"
        return warn(sentence, master, fix=fix)
    return ok(master)


def _oom_kills(context: Context) -> Answer:
    kills = 0
    texts = machine.group_files(
        context.host, "memory", "memory.oom_control", "memory.events", context.pid
    )
    for text in texts[:1]:
        kills = _vmstat(text).get("oom_kill", 0)
    since_boot = _vmstat(context.host.get("/proc/vmstat")).get("oom_kill", 0)
    if kills:
        fix = remedy.by_hand("a higher memory.max, or fewer processes")
        sentence = f"the kernel killed {kills} processes of this cgroup for memory"
        return warn(sentence, kills, wanted=Wanted("==", 0), fix=fix)
    if since_boot:
        return info(f"the kernel killed {since_boot} processes since boot", since_boot)
    return ok(0)


def _check(name: str, title: str, judge: Any, scope: str = "host", **more: Any) -> Check:
    return Check(f"mem.{name}", title, judge, scope, **more)


CHECKS = (
    _check("budget", "The server fits into memory", _budget, "process"),
    _check("thp", "Transparent huge pages", _thp, host_only=True, tunable=True),
    _check("swap_activity", "No swapping", _swap, sampled=True),
    _check("swappiness", "Swappiness", _swappiness, host_only=True),
    _check("overcommit", "Promised memory", _overcommit, host_only=True),
    _check("max_map_count", "Mappings of a process", _max_map_count, host_only=True, tunable=True),
    _check("min_free", "Memory kept free", _min_free, host_only=True),
    _check(
        "zone_reclaim", "Memory nodes help each other", _zone_reclaim, host_only=True, tunable=True
    ),
    _check("hugepages", "Reserved huge pages", _hugepages, host_only=True),
    _check("psi", "Waiting for memory", _psi),
    _check("oom_score", "Who is killed first", _oom_score, "process", tunable=True),
    _check("oom_kills", "Killed for memory", _oom_kills),
)
