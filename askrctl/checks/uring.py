# SPDX-License-Identifier: MIT
"""Checks of io_uring: can the server use it, and if not, exactly why; then feature by feature.

All of them look at one verdict, which a child process found out as the server's user and under the
server's limits. What a feature lacks is a remark unless the server needs it: epoll serves as well.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import Backend, Fix, ProbeResult, ProbeVerdict, Status, SysctlSetting, Wanted
from askrctl.probes import process, unit_filter, uring, uring_memory
from askrctl.probes.host import CannotTell, NotApplicable, key_values
from askrctl.probes.process import UNLIMITED

PROBE = "io_uring"
# A cause, and the check whose page says what to do about it.
_PAGES = {
    "seccomp_eperm": "iouring.seccomp",
    "seccomp_enosys": "iouring.seccomp",
    "seccomp_eacces": "iouring.seccomp",
    "sysctl_disabled": "iouring.sysctl",
    "sysctl_group": "iouring.group",
    "lsm_eacces": "iouring.lsm",
    "memlock": "iouring.memlock",
    "enomem": "iouring.fragmentation",
}
# Resource errors say nothing of the kernel's features.
_SCARCE = ("ENOMEM", "EMFILE", "ENFILE")


def verdict(context: Context) -> ProbeVerdict:
    """The one probe that all checks here share; the host answers it once."""
    held = _holds_rings(context)

    def ask() -> dict[str, Any]:
        target = context.target
        me = os.geteuid()
        if me not in (0, target.uid):
            raise CannotTell(f"only root can try it as user {target.name or target.uid}")
        if not held:
            _refuse_filtered(context)
        simulated = target.context == "simulated" or target.kind == "pid"
        names = [name for name in ("nofile", "memlock") if simulated and name in target.limits]
        limits: dict[str, tuple[int, int]] = {name: target.limits[name] for name in names}
        if target.can("CAP_IPC_LOCK") and target.uid != 0:
            limits["memlock"] = (UNLIMITED, UNLIMITED)
        apart = target.pid if not target.initial_userns else None
        found = uring.probe_verdict(
            user=target.credentials
            if simulated and me == 0 and (target.uid != 0 or apart is not None)
            else None,
            limits=limits,
            namespace_of=apart if me == 0 else None,
            # A server that holds its rings has proved that they can be had.
            rings=0 if held else context.workers,
        )
        if apart is not None and found.cause == "probe_failed":
            raise CannotTell(
                f"the user namespace of process {apart} was not joined: {found.detail}"
            )
        return asdict(found)

    found: dict[str, Any] = context.host.probe(PROBE, ask)
    probes = {name: ProbeResult(**result) for name, result in found.get("probes", {}).items()}
    return ProbeVerdict(**{**found, "probes": probes})


def _holds_rings(context: Context) -> bool:
    """The server runs on rings, and it is what is asked about: not some other process."""
    server, pid = context.server, context.target.pid
    if server is None or server.backend != Backend.IO_URING:
        return False
    return pid is None or pid in (server.pid, *server.workers, *server.apps)


def _refuse_filtered(context: Context) -> None:
    """A seccomp filter belongs to its process: the probe would answer for the caller instead."""
    target = context.target
    lines = [
        item.value
        for item in (process.directives(context.host, target.name) if target.kind == "unit" else ())
        if item.name == "SystemCallFilter"
    ]
    if not unit_filter.judge(lines)[0]:
        raise CannotTell("the unit's SystemCallFilter stands before it: see sd.syscallfilter")
    if target.pid is None or target.seccomp != 2:
        return
    mine, theirs = (
        key_values(context.host.get(f"/proc/{pid}/status")).get("Seccomp_filters", "")
        for pid in ("self", target.pid)
    )
    if mine in ("", "0") or mine != theirs:  # in one container both have its filter, and no other
        raise CannotTell(
            f"process {target.pid} has a seccomp filter that the probe cannot take on "
            "(Seccomp: 2 in its status): run the doctor where the server runs"
        )


def _serious(context: Context, sentence: str, **more: Any) -> Answer:
    """io_uring that was asked for and cannot be had is a failure, else a warning."""
    asked = context.config.server.io_backend is Backend.IO_URING
    return (fail if asked else warn)(sentence, **more)


def _setup(context: Context) -> Answer:
    found = verdict(context)
    if found.usable:
        proof = found.probes.get("production_rings")
        answer = ok(f"usable, tier {found.tier}")
        return answer.at("production rings", proof.detail) if proof else answer
    page = _PAGES.get(found.cause or "", "iouring.setup")
    fix = remedy.by_hand(found.fix, f"askrctl explain {page}")
    sentence = f"{found.detail}; the server runs on epoll"
    return _serious(context, sentence, current="unusable", fix=fix, reason=found.cause)


def _sysctl(context: Context) -> Answer:
    value = context.sysctl_int("kernel.io_uring_disabled")
    if value == 0:
        return ok(0)
    meaning = {1: "only io_uring_group and CAP_SYS_ADMIN may use it", 2: "nobody may use it"}
    fix = Fix(
        manual=("sysctl -w kernel.io_uring_disabled=1 kernel.io_uring_group=GID (preferred)",),
        needs=("root",),
        settings=(SysctlSetting("kernel.io_uring_disabled", "0", "set"),),
        risk="medium",
    )
    sentence = f"kernel.io_uring_disabled is {value}: {meaning.get(value, 'an unknown value')}"
    return _serious(context, sentence, current=value, wanted=Wanted("==", 0), fix=fix)


def _group(context: Context) -> Answer:
    if context.sysctl_int("kernel.io_uring_disabled") != 1:
        raise NotApplicable("kernel.io_uring_group counts only with io_uring_disabled=1")
    group = context.sysctl_int("kernel.io_uring_group")
    target = context.target
    if target.can("CAP_SYS_ADMIN"):
        return ok(group, "CAP_SYS_ADMIN in the initial user namespace passes as well")
    if group in (target.gid, *target.groups):
        return ok(group)
    fix = remedy.by_hand(
        "SupplementaryGroups= with the group of kernel.io_uring_group, in the unit"
    )
    sentence = f"user {target.uid} is not in group {group}, which alone may use io_uring"
    return _serious(context, sentence, current=group, fix=fix, reason="sysctl_group")


def _caused(prefix: str, fine: str, manual: tuple[str, ...]) -> Callable[[Context], Answer]:
    """One of the causes by itself, so that it can be watched and accepted by its id."""

    def judge(context: Context) -> Answer:
        found = verdict(context)
        if found.cause is None or not found.cause.startswith(prefix):
            return ok(because=fine)
        fix = remedy.by_hand(*manual)
        return _serious(context, found.detail, fix=fix, reason=found.cause)

    return judge


_SECCOMP_MANUAL = (
    "docker run --security-opt seccomp=PROFILE.json, where the profile adds io_uring_setup, "
    "io_uring_enter and io_uring_register",
    "Kubernetes: securityContext.seccompProfile {type: Localhost, localhostProfile: PROFILE.json}",
)


def _memlock(context: Context) -> Answer:
    target = context.target
    if target.can("CAP_IPC_LOCK"):
        raise NotApplicable("CAP_IPC_LOCK in the initial user namespace lifts the limit")
    limit = target.soft("memlock")
    if limit is None:
        raise CannotTell("the limit of locked memory is not known")
    need = uring_memory.server_bytes(context.workers)
    wanted = Wanted(">=", 2 * need)
    fix = remedy.unit(context, "LimitMEMLOCK", str(max(64 << 20, 4 * need)), default=True)
    if limit == UNLIMITED:
        return ok("unlimited", wanted=wanted, unit="bytes")
    found = verdict(context)
    where = f"{context.workers} workers need {need // 1024} KiB of {limit // 1024} KiB"
    if found.cause == "memlock":
        answer = _serious(context, found.detail, current=limit, wanted=wanted, fix=fix)
    elif need > limit and found.usable:
        answer = info(f"{where}, and this kernel does not charge rings", limit, wanted=wanted)
    elif need * 2 > limit:
        sentence = f"{where}: another process of this user could use up the rest"
        answer = warn(sentence, limit, wanted=wanted, fix=fix)
    else:
        answer = ok(limit, where, wanted=wanted)
    return _bytes(answer, found)


def _bytes(answer: Answer, found: ProbeVerdict) -> Answer:
    proof = found.probes.get("production_rings")
    answer = answer.at("opened", proof.detail) if proof else answer
    reason = found.cause if found.cause == "memlock" else None
    return Answer(
        answer.status,
        answer.because,
        answer.current,
        answer.wanted,
        answer.fix,
        answer.evidence,
        unit="bytes",
        reason=reason,
    )


def _fragmentation(context: Context) -> Answer:
    found = verdict(context)
    if found.cause != "enomem":
        return ok(because="rings get their memory")
    free = context.host.get("/proc/buddyinfo").splitlines()
    answer = _serious(
        context,
        f"{found.detail}; memory may be fragmented or the cgroup's limit reached",
        fix=remedy.by_hand("start the server early, or free memory; it halves its rings by itself"),
        reason="enomem",
    )
    return answer.at("/proc/buddyinfo", free[-1] if free else "unreadable")


def _feature(names: tuple[str, ...], absent: Status, why: str) -> Callable[[Context], Answer]:
    """Functional probes; what their absence costs."""

    def judge(context: Context) -> Answer:
        found = verdict(context)
        if not found.probes:
            raise NotApplicable(f"io_uring cannot be reached here ({found.cause})")
        missing = [name for name in names if name in found.probes and not found.probes[name].ok]
        if not any(name in found.probes for name in names):
            raise CannotTell("this was not probed")
        if not missing:
            return ok(because=", ".join(p.detail for n in names if (p := found.probes[n]).detail))
        first = found.probes[missing[0]]
        if any(name in first.detail for name in _SCARCE):
            raise CannotTell(f"it could not be tried: {first.detail}")
        sentence = f"{missing[0]} does not work on this kernel: {why}"
        if absent is Status.SKIP:
            return Answer(absent, f"{sentence}; the server does not need it")
        answer = Answer(absent, sentence, fix=remedy.by_hand(f"Linux {first.minimum} or newer"))
        return answer.at(missing[0], first.detail or "not supported")

    return judge


def _sqpoll(context: Context) -> Answer:
    found = verdict(context)
    if "sqpoll" not in found.probes:
        raise NotApplicable(f"io_uring cannot be reached here ({found.cause})")
    works = "works" if found.probes["sqpoll"].ok else "does not work"
    return ok(because=f"{works}; the server leaves it off: its thread takes a worker's core")


def _iowq(context: Context) -> Answer:
    server = context.server
    if server is None or server.backend != Backend.IO_URING:
        return _feature(("no_kernel_threads",), Status.WARN, "a waiting recv takes a thread")(
            context
        )
    names = []
    for pid in server.workers:
        for path in context.host.glob(f"/proc/{pid}/task/*/comm"):
            names += [context.host.get(path)]
    threads = sum(name.startswith("iou-wrk") for name in names)
    if threads == 0:
        return ok(0, "no kernel threads work for the rings", unit="threads")
    sentence = f"{threads} kernel threads (iou-wrk) do work that should complete by itself"
    return warn(
        sentence,
        threads,
        wanted=Wanted("==", 0),
        unit="threads",
        fix=remedy.by_hand(
            "askrctl serve --io-backend epoll, and report it with askrctl doctor bundle"
        ),
    )


def _overflow(context: Context) -> Answer:
    server = context.server
    if server is None or server.backend != Backend.IO_URING:
        raise NotApplicable("no server with rings is running")
    entries, seen = 0, 0
    for pid in server.workers:
        for path in context.host.glob(f"/proc/{pid}/fdinfo/*"):
            text = context.host.get(path)
            if "CqOverflowList" in text:
                seen += 1
                entries += text.split("CqOverflowList:", 1)[1].count("user_data")
    if seen == 0:
        raise CannotTell("the rings of the workers may not be looked at by this user")
    if entries == 0:
        return ok(0, f"{seen} rings")
    return warn(
        "completion queues overflow: the workers do not keep up",
        entries,
        fix=remedy.by_hand("more workers, or --io-backend epoll"),
    )


def _epoll(context: Context) -> Answer:
    watches = context.sysctl_int("fs.epoll.max_user_watches")
    need = context.workers * context.config.limits.connections
    wanted = Wanted(">=", need)
    if watches >= need:
        return ok(watches, wanted=wanted, unit="watches")
    fix = remedy.sysctl(context, "fs.epoll.max_user_watches", need)
    sentence = f"epoll may watch {watches} descriptors of this user, {need} connections may come"
    return fail(sentence, watches, wanted=wanted, unit="watches", fix=fix)


def _of(name: str, title: str, probes: str, absent: Status, why: str) -> Check:
    """A check of one feature, by the names of its probes."""
    judge = _feature(tuple(probes.split()), absent, why)
    return Check(f"iouring.{name}", title, judge, "process")


# What the server does not use may be missing: that is said, and is no finding.
_WARN, _SPARE = Status.WARN, Status.SKIP
_FEATURES = (
    _of("core", "Basic operations", "core", _WARN, "no ring can serve without them"),
    _of(
        "accept_multishot",
        "Multishot accept",
        "accept_multishot",
        _SPARE,
        "each connection costs a submission of its own",
    ),
    _of(
        "recv_multishot", "Multishot receive", "recv_multishot", _WARN, "the server's ring needs it"
    ),
    _of("pbuf_ring", "Provided buffer rings", "buffer_ring", _WARN, "the server's ring needs them"),
    _of(
        "pbuf_inc",
        "Incremental buffer use",
        "buffer_incremental",
        _SPARE,
        "short messages take a whole buffer each",
    ),
    _of(
        "bundle",
        "Receive and send bundles",
        "recv_bundle send_bundle",
        _SPARE,
        "there is one completion for each buffer",
    ),
    _of(
        "send_zc",
        "Zero-copy send",
        "send_zc sendmsg_zc",
        _SPARE,
        "large answers are copied, as everywhere else",
    ),
    _of(
        "direct_fds",
        "Direct descriptors",
        "direct_fds fd_install",
        _SPARE,
        "connections take entries of the process's file table",
    ),
    _of(
        "defer_taskrun",
        "Deferred task work",
        "defer_taskrun",
        _WARN,
        "completions interrupt the worker, so auto stays with epoll",
    ),
    _of(
        "no_sqarray",
        "Rings without an index array",
        "no_sqarray",
        _SPARE,
        "each ring takes a little more memory",
    ),
    _of(
        "reg_wait",
        "Registered waits",
        "registered_wait min_wait",
        _SPARE,
        "each wait copies its arguments",
    ),
    _of("napi", "Busy polling by the ring", "napi", _SPARE, "an option for low latency only"),
    _of(
        "registered_ring",
        "Registered ring descriptors",
        "registered_ring",
        _SPARE,
        "each call looks the descriptor up",
    ),
    _of(
        "restrictions",
        "Ring restrictions",
        "restrictions",
        _SPARE,
        "a ring cannot give up operations it does not need",
    ),
    _of("ktls", "Kernel TLS", "ktls", _SPARE, "TLS stays in the worker, without sendfile"),
)


_process = partial(Check, scope="process")
CHECKS = (
    _process("iouring.setup", "io_uring can be used", _setup),
    Check(
        "iouring.sysctl",
        "io_uring is not disabled",
        _sysctl,
        host_only=True,
        tunable=True,
    ),
    _process("iouring.group", "Membership of io_uring_group", _group),
    _process(
        "iouring.seccomp",
        "No seccomp filter blocks io_uring",
        _caused("seccomp_", "no filter blocks it", _SECCOMP_MANUAL),
    ),
    _process(
        "iouring.lsm",
        "No security module denies io_uring",
        _caused(
            *("lsm_", "no security module denies it"),
            ("a policy module that allows io_uring for the server's domain",),
        ),
    ),
    _process(
        "iouring.memlock",
        "Locked memory for the rings",
        _memlock,
        tunable=True,
    ),
    Check("iouring.fragmentation", "Free memory for the rings", _fragmentation),
    *_FEATURES,
    _process("iouring.sqpoll", "Kernel-side submission", _sqpoll),
    _process("iouring.iowq", "No kernel threads for network I/O", _iowq),
    _process("iouring.overflow", "Completion queues keep up", _overflow),
    Check(
        "epoll.features",
        "epoll watches",
        _epoll,
        vital=True,
        host_only=True,
        tunable=True,
    ),
)
