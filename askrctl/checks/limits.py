# SPDX-License-Identifier: MIT
"""Checks of limits: of the process, of its user, of its cgroup."""

import re
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import Wanted
from askrctl.probes import machine
from askrctl.probes.host import CannotTell, NotApplicable
from askrctl.probes.process import UNLIMITED

COMFORTABLE = 65536
THREADS_SPARE = 4


def _nofile(context: Context) -> Answer:
    soft, hard = context.target.soft("nofile"), context.target.hard("nofile")
    if soft is None or hard is None:
        raise CannotTell("the limit of open files is not known")
    need = context.files_needed
    wanted = Wanted(">=", max(need, COMFORTABLE))
    # The server raises its soft limit to the hard one, so the hard one counts.
    reach = hard
    fix = remedy.unit(context, "LimitNOFILE", str(max(need, COMFORTABLE)), default=True)
    if reach == UNLIMITED or reach >= max(need, COMFORTABLE):
        shown: Any = "unlimited" if reach == UNLIMITED else reach
        return ok(shown, f"soft {soft}, which the server raises", wanted=wanted, unit="files")
    stuck = (
        "" if "CAP_SYS_RESOURCE" in context.target.capabilities else ", and cannot be raised here"
    )
    if reach < need:
        sentence = (
            f"a worker with {context.config.limits.connections} connections may need {need}, "
            f"the hard limit is {reach}{stuck}"
        )
        answer = warn if reach >= need // 2 else fail
        return answer(sentence, reach, wanted=wanted, unit="files", fix=fix)
    sentence = f"the hard limit is {reach}{stuck}"
    return warn(sentence, reach, wanted=wanted, unit="files", fix=fix)


def _nr_open(context: Context) -> Answer:
    value = context.sysctl_int("fs.nr_open")
    need = max(context.files_needed, COMFORTABLE)
    if value >= need:
        return ok(value, wanted=Wanted(">=", need), unit="files")
    fix = remedy.sysctl(context, "fs.nr_open", need, default=True)
    sentence = "no process can have a higher limit of open files than this"
    return fail(sentence, value, wanted=Wanted(">=", need), unit="files", fix=fix)


def _file_max(context: Context) -> Answer:
    used, limit = context.sysctl_int("fs.file-nr"), context.sysctl_int("fs.file-max")
    share = 100 * used // max(limit, 1)
    if share <= 70:
        return ok(used, f"of {limit}", unit="files")
    fix = remedy.sysctl(context, "fs.file-max", limit * 2)
    sentence = f"{used} of {limit} files of the whole machine are open"
    return warn(sentence, used, wanted=Wanted("<=", limit * 7 // 10), unit="files", fix=fix)


def _memlock(context: Context) -> Answer:
    soft = context.target.soft("memlock")
    if soft is None:
        raise CannotTell("the limit of locked memory is not known")
    shown: Any = "unlimited" if soft == UNLIMITED else soft
    return ok(shown, "judged by iouring.memlock", unit="bytes")


def _processes_planned(context: Context) -> int:
    """Processes of the server: two generations live side by side during a reload."""
    return 2 * (2 + context.workers * (1 + context.config.php.processes))


def _nproc(context: Context) -> Answer:
    limit = context.target.soft("nproc")
    planned = _processes_planned(context)
    machine_wide = min(
        context.sysctl_int("kernel.threads-max"), context.sysctl_int("kernel.pid_max")
    )
    own = limit if limit not in (None, UNLIMITED) else machine_wide
    reach = min(own or machine_wide, machine_wide)
    wanted = Wanted(">=", planned * THREADS_SPARE)
    if reach >= planned * THREADS_SPARE:
        return ok(reach, f"{planned} planned", wanted=wanted, unit="processes")
    fix = remedy.unit(context, "LimitNPROC", str(max(4096, planned * THREADS_SPARE)))
    sentence = f"{planned} processes and threads are planned, and others of the user count as well"
    return warn(sentence, reach, wanted=wanted, unit="processes", fix=fix)


def _limits_ignored(context: Context) -> Answer:
    if not context.unit:
        raise NotApplicable("the server is not a unit of systemd")
    name = context.target.name if context.target.kind == "user" else "askr"
    pattern = re.compile(rf"^\s*({re.escape(name)}|\*)\s+\S+\s+(nofile|memlock|nproc)\s", re.M)
    paths = ["/etc/security/limits.conf", *context.host.glob("/etc/security/limits.d/*.conf")]
    for path in paths:
        match = pattern.search(context.host.get(path))
        if match:
            fix = remedy.by_hand(f"systemctl edit {context.unit}: Limit{match[2].upper()}=")
            sentence = f"{path} sets {match[2]}, and units do not read it: it is for logins (PAM)"
            return warn(sentence, path, fix=fix)
    return ok(because="no limits for logins pretend to be for the unit")


def _pipe(context: Context) -> Answer:
    pages = context.sysctl_int("fs.pipe-user-pages-soft")
    return ok(pages, "the server splices through few pipes", unit="pages")


# --- cgroups --------------------------------------------------------------------------------------


def _version(context: Context) -> Answer:
    version = machine.cgroup(context.host, context.pid).version
    if version in ("v1", "hybrid"):
        return info("limits live in v1 controllers, each with a path of its own", version)
    return ok(version or "none")


def _cpu_max(context: Context) -> Answer:
    quota = machine.cpu_quota(context.host, context.pid)
    if quota is None:
        return ok("no limit")
    if quota < context.workers:
        fix = remedy.by_hand("[server] workers = 0: as many as the quota pays for")
        sentence = f"{context.workers} workers on {quota:g} processors' worth of time"
        return warn(sentence, quota, wanted=Wanted(">=", context.workers), fix=fix)
    return ok(quota, unit="processors")


def _cpuset(context: Context) -> Answer:
    texts = machine.group_files(
        context.host, "cpuset", "cpuset.effective_cpus", "cpuset.cpus.effective", context.pid
    )
    allowed = set(machine.parse_cpu_list(texts[0])) if texts else set()
    planned = set(machine.affinity(context.host, context.pid))
    if not allowed or planned <= allowed:
        return ok(len(allowed or planned), unit="cores")
    shown = ", ".join(map(str, sorted(planned - allowed)))
    return warn(
        f"cores {shown} are in the affinity and not in the cgroup's set",
        shown,
        fix=remedy.by_hand(
            "give the unit AllowedCPUs= of the same cores, or start the server without taskset"
        ),
    )


def _memory(context: Context) -> Answer:
    limit = machine.memory_limit(context.host, context.pid)
    texts = machine.group_files(context.host, "memory", "", "memory.events", context.pid)
    rows = dict(line.split()[:2] for line in texts[0].splitlines()) if texts else {}
    high = int(rows.get("high", 0))
    if high:
        sentence = f"memory.high slowed the server down {high} times"
        fix = remedy.by_hand("raise memory.high, or fewer processes")
        return info(sentence, limit, unit="bytes", fix=fix)
    return ok(limit if limit is not None else "no limit", unit="bytes" if limit else "")


def _pids(context: Context) -> Answer:
    limit = machine.pids_limit(context.host, context.pid)
    planned = _processes_planned(context)
    if limit is None:
        return ok("no limit", f"{planned} planned")
    wanted = Wanted(">=", planned * 2)
    if limit >= planned * 2:
        return ok(limit, f"{planned} planned", wanted=wanted, unit="processes")
    fix = remedy.unit(context, "TasksMax", str(max(512, planned * 4)))
    sentence = f"{planned} processes are planned: forks fail during a reload"
    judge = fail if limit < planned else warn
    return judge(sentence, limit, wanted=wanted, unit="processes", fix=fix)


def _check(name: str, title: str, judge: Any, scope: str = "process", **more: Any) -> Check:
    return Check(name, title, judge, scope, **more)


CHECKS = (
    _check("lim.nofile", "Open files", _nofile, tunable=True),
    _check(
        "lim.nr_open",
        "Ceiling of open files",
        _nr_open,
        "host",
        host_only=True,
        tunable=True,
    ),
    _check("lim.file_max", "Open files of all", _file_max, "host", host_only=True, tunable=True),
    _check("lim.memlock", "Locked memory", _memlock),
    _check("lim.nproc", "Processes", _nproc, tunable=True),
    _check("lim.limitsd_ignored", "Limits of logins", _limits_ignored),
    _check("lim.pipe", "Pages in pipes", _pipe, "host", host_only=True),
    _check("cg.version", "Control groups", _version),
    _check("cg.cpu_max", "Processor quota", _cpu_max),
    _check("cg.cpuset", "Cores of the group", _cpuset),
    _check("cg.memory", "Memory of the group", _memory),
    _check("cg.pids", "Processes of the group", _pids, tunable=True),
)
