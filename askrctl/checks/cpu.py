# SPDX-License-Identifier: MIT
"""Checks of processors: how many there really are, how fast they go, who else takes their time."""

import time
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import FileSetting, Fix, Wanted
from askrctl.probes import machine
from askrctl.probes.host import CannotTell, NotApplicable

_CPU = "/sys/devices/system/cpu"
_FREQUENCY = f"{_CPU}/cpufreq"
_CLOCK = "/sys/devices/system/clocksource/clocksource0"


def _whole(context: Context) -> str:
    """Whose cores are the server's: a worker that is pinned has one, its supervisor has all."""
    return str(context.server.pid) if context.server is not None else context.pid


def _workers(context: Context) -> Answer:
    cores = len(machine.affinity(context.host, _whole(context)))
    quota = machine.cpu_quota(context.host, _whole(context))
    count = context.workers
    fix = remedy.by_hand("[server] workers = 0 in askr.toml: as many as there are cores")
    if quota is not None and count > -int(-quota // 1) + 1:
        sentence = f"{count} workers share {quota:g} processors' worth of time: all stop together"
        wanted = Wanted("<=", -int(-quota // 1))
        return fail(sentence, count, wanted=wanted, unit="workers", fix=fix)
    if count > cores:
        sentence = f"{count} workers take turns on {cores} core{'s' * (cores != 1)}"
        return warn(sentence, count, wanted=Wanted("<=", cores), unit="workers", fix=fix)
    return ok(count, f"{cores} core{'s' * (cores != 1)} may be used", unit="workers")


def _governor(context: Context) -> Answer:
    policies = context.host.glob(f"{_FREQUENCY}/policy*")
    if not policies:
        raise NotApplicable("the frequency is not in this kernel's hands, as in a virtual machine")
    governors = {context.host.get(f"{path}/scaling_governor") for path in policies}
    driver = context.host.get(f"{policies[0]}/scaling_driver")
    active = driver in ("intel_pstate", "amd-pstate-epp")
    shown = ", ".join(sorted(governors))
    if active:
        preference = context.host.get(f"{policies[0]}/energy_performance_preference")
        if preference in ("power", "balance_power"):
            fix = _set_all(policies, "energy_performance_preference", "performance")
            return warn("the processor prefers to save power", preference, fix=fix)
        return ok(f"{shown}, {preference}".strip(", "), f"{driver} decides by itself")
    if "powersave" in governors:
        fix = _set_all(policies, "scaling_governor", "performance")
        sentence = "the lowest frequency, always"
        return warn(sentence, shown, wanted=Wanted("==", "performance"), fix=fix)
    return ok(shown)


def _set_all(policies: list[str], name: str, value: str) -> Fix:
    files = [f"{path}/{name}" for path in policies]
    return Fix(
        manual=(f"echo {value} | tee {_FREQUENCY}/policy*/{name}",),
        needs=("root",),
        settings=tuple(FileSetting(path, value) for path in files),
    )


def _clocksource(context: Context) -> Answer:
    name = context.host.get(f"{_CLOCK}/current_clocksource", "unknown")
    offered = context.host.get(f"{_CLOCK}/available_clocksource").split()

    def ask() -> float:
        """Share of kernel time in a loop that asks for the time: the vDSO needs none (vdso(7))."""
        started, before = time.perf_counter(), time.process_time_ns()
        import resource

        system = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        while time.perf_counter() - started < 0.02:
            for _ in range(1000):
                time.monotonic_ns()
        spent = (time.process_time_ns() - before) / 1e9
        used = resource.getrusage(resource.RUSAGE_SELF).ru_stime - system
        return used / spent if spent > 0 else 0.0

    share = float(context.host.probe("clock loop", ask))
    if share > 0.4:  # 10 % of 20 ms is below what getrusage can tell
        sentence = f"asking for the time costs a system call ({share:.0%} in the kernel)"
        better = next((x for x in ("tsc", "kvm-clock", "arch_sys_counter") if x in offered), "")
        fix = remedy.sysfs(f"{_CLOCK}/current_clocksource", better) if better else None
        return warn(sentence, name, fix=fix)
    return ok(name)


def _times(text: str) -> list[int]:
    line = next((x for x in text.splitlines() if x.startswith("cpu ")), "")
    return [int(word) for word in line.split()[1:]]


def _steal(context: Context) -> Answer:
    first, second = (_times(text) for text in context.counters("/proc/stat"))
    if len(first) < 8 or len(second) < 8:
        raise NotApplicable("this kernel does not count it")
    total = sum(second[:8]) - sum(first[:8])
    share = round(100.0 * (second[7] - first[7]) / total, 1) if total > 0 else 0.0
    sentence = f"{share} % of the time the hypervisor runs somebody else"
    fix = remedy.by_hand("another size or host of virtual machine")
    if share > 10.0:
        return fail(sentence, share, wanted=Wanted("<=", 2), unit="%", fix=fix)
    if share > 2.0:
        return warn(sentence, share, wanted=Wanted("<=", 2), unit="%", fix=fix)
    return ok(share, unit="%")


def _throttle(context: Context) -> Answer:
    texts = machine.group_files(context.host, "cpu", "cpu.stat", "cpu.stat", context.pid)
    worst = 0.0
    for text in texts:
        rows = dict(line.split()[:2] for line in text.splitlines() if len(line.split()) >= 2)
        periods, throttled = int(rows.get("nr_periods", 0)), int(rows.get("nr_throttled", 0))
        worst = max(worst, 100.0 * throttled / periods if periods else 0.0)
    share = round(worst, 1)
    fix = remedy.by_hand("a higher quota, or fewer workers")
    sentence = (
        f"in {share} % of the periods the cgroup's quota was used up and everything stood still"
    )
    if share > 5.0:
        return fail(sentence, share, wanted=Wanted("<=", 1), unit="%", fix=fix)
    if share > 1.0:
        return warn(sentence, share, wanted=Wanted("<=", 1), unit="%", fix=fix)
    return ok(share, unit="%")


def _isolated(context: Context) -> Answer:
    isolated = set(machine.parse_cpu_list(context.host.get(f"{_CPU}/isolated")))
    ours = isolated & set(machine.affinity(context.host, _whole(context)))
    if not ours:
        return ok("none")
    shown = ", ".join(map(str, sorted(ours)))
    sentence = f"the scheduler does not balance cores {shown}: what is started there stays there"
    return warn(sentence, shown, fix=remedy.by_hand("keep the server off them, or pin everything"))


def _smt(context: Context) -> Answer:
    return ok(context.host.get(f"{_CPU}/smt/control", "unknown"))


def _numa(context: Context) -> Answer:
    nodes = machine.parse_cpu_list(context.host.get("/sys/devices/system/node/online", "0"))
    if len(nodes) < 2:
        return ok(len(nodes), unit="nodes")
    key = "kernel.numa_balancing"
    if context.config.server.pin and context.sysctl_int(key) == 1:
        fix = remedy.sysctl(context, key, 0, "set")
        sentence = "the kernel moves memory after processes, and pinned workers do not move"
        return info(sentence, len(nodes), unit="nodes", fix=fix)
    return ok(len(nodes), unit="nodes")


def _mitigations(context: Context) -> Answer:
    folder = f"{_CPU}/vulnerabilities"
    states = {
        path.rsplit("/", 1)[1]: context.host.get(path) for path in context.host.glob(f"{folder}/*")
    }
    if not states:
        raise NotApplicable("this kernel does not tell")
    open_ones = sorted(name for name, text in states.items() if text.startswith("Vulnerable"))
    if open_ones:
        return info(f"not mitigated: {', '.join(open_ones)}", len(open_ones))
    return ok(0)


def _crypto(context: Context) -> Answer:
    text = context.host.get("/proc/cpuinfo")
    line = next((x for x in text.splitlines() if x.startswith(("flags", "Features"))), "")
    if not line:
        raise CannotTell("/proc/cpuinfo names no features")
    if " aes" in line:
        return ok(current=True)
    sentence = "no AES instructions: prefer ChaCha20 for TLS"
    return info(sentence, current=False)


def _autogroup(context: Context) -> Answer:
    value = context.sysctl_int("kernel.sched_autogroup_enabled")
    return ok(value, "divides time between sessions; a service has a cgroup of its own")


def _psi(context: Context) -> Answer:
    text = context.host.read("/proc/pressure/cpu")
    share = pressure(text, "some", "avg60")
    if share > 20.0:
        sentence = f"{share:g} % of the last minute something waited for a core"
        return warn(
            sentence,
            share,
            wanted=Wanted("<=", 20),
            unit="%",
            fix=remedy.by_hand("more cores, or fewer programs on these"),
        )
    return ok(share, unit="%")


def pressure(text: str, row: str, column: str) -> float:
    """A figure of /proc/pressure/ (Documentation/accounting/psi.rst)."""
    line = next((x for x in text.splitlines() if x.startswith(row)), "")
    words = dict(word.split("=") for word in line.split()[1:])
    if column not in words:
        raise NotApplicable("this kernel does not measure pressure")
    return float(words[column])


def _check(name: str, title: str, judge: Any, scope: str = "host", **more: Any) -> Check:
    return Check(f"cpu.{name}", title, judge, scope, **more)


CHECKS = (
    _check("workers", "A core for each worker", _workers, "process"),
    _check(
        "governor",
        "Frequency",
        _governor,
        host_only=True,
        tunable=True,
    ),
    _check(
        "clocksource",
        "Clock",
        _clocksource,
        host_only=True,
        tunable=True,
    ),
    _check("steal", "Time taken by the hypervisor", _steal, sampled=True),
    _check("throttle", "Quota is not used up", _throttle, "process"),
    _check("isolated", "Isolated cores", _isolated, "process"),
    _check("smt", "Hyper-threading", _smt),
    _check("numa", "Memory nodes", _numa, host_only=True, tunable=True),
    _check("mitigations", "Processor faults", _mitigations, host_only=True),
    _check("crypto", "Instructions for encryption", _crypto),
    _check("autogroup", "Session grouping", _autogroup, host_only=True),
    _check("psi", "Waiting for a core", _psi),
)
