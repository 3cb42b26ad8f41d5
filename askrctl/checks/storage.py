# SPDX-License-Identifier: MIT
"""Checks of time, disks and configuration files."""

import json
from pathlib import Path
from typing import Any

from askrctl import gate
from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, sysctl_path, warn
from askrctl.config import bench_record_path, read_text
from askrctl.model import AskrError, Backend, Wanted
from askrctl.probes import sysctl_files
from askrctl.probes.host import CannotTell, NotApplicable

_CONFIG = "/etc/askr/askr.toml"
JOURNAL = "/var/lib/askr/tune"
_NETWORK_FS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs")
# Keys that a server cares about: where the running value and the next boot's should agree.
WATCHED = (
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.ip_unprivileged_port_start",
    "net.core.netdev_max_backlog",
    "net.netfilter.nf_conntrack_max",
    "fs.file-max",
    "fs.nr_open",
    "fs.epoll.max_user_watches",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.zone_reclaim_mode",
    "kernel.io_uring_disabled",
    "kernel.io_uring_group",
    "kernel.numa_balancing",
)


# --- time -----------------------------------------------------------------------------------------


def _sync(context: Context) -> Answer:
    def ask() -> dict[str, int]:
        import ctypes

        class Timex(ctypes.Structure):
            """struct timex of adjtimex(2), as far as it is read."""

            _fields_ = (
                ("modes", ctypes.c_uint),
                ("offset", ctypes.c_long),
                ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long),
                ("esterror", ctypes.c_long),
                ("status", ctypes.c_int),
                ("rest", ctypes.c_long * 32),
            )

        timex = Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
        return {"state": state, "status": timex.status, "maxerror_us": timex.maxerror}

    found = context.host.probe("adjtimex", ask)
    if found["state"] < 0:
        raise CannotTell("adjtimex(2) is not allowed here")
    seconds = round(found["maxerror_us"] / 1e6, 3)
    if found["state"] == 5 or found["status"] & 0x40:  # TIME_ERROR, STA_UNSYNC
        fix = remedy.by_hand("systemctl enable --now systemd-timesyncd, or chrony")
        sentence = "nothing keeps the clock right: sessions, tokens and certificates depend on it"
        return warn(sentence, "not synchronised", fix=fix).at("maximum error", f"{seconds} s")
    return ok("synchronised", f"maximum error {seconds:g} s")


def _timezone(context: Context) -> Answer:
    link = context.host.link("/etc/localtime")
    name = link.partition("zoneinfo/")[2] or context.host.get("/etc/timezone") or "UTC"
    return ok(name)


# --- disks ----------------------------------------------------------------------------------------


def _folders(context: Context) -> list[str]:
    temp = context.config.server.temp_dir
    return list(dict.fromkeys(path for path in (context.docroot, temp, "/var/log") if path))


def _statvfs(context: Context, path: str) -> dict[str, int]:
    def ask() -> dict[str, int]:
        import os

        found = os.statvfs(path)
        return {
            "size": found.f_blocks * found.f_frsize,
            "free": found.f_bavail * found.f_frsize,
            "inodes": found.f_files,
            "inodes_free": found.f_favail,
            "readonly": found.f_flag & os.ST_RDONLY,
        }

    found: dict[str, int] = context.host.probe(f"statvfs {path}", ask)
    return found


def _share(name: str, free: int, size: int, what: str) -> Answer:
    share = round(100 * free / size) if size else 100
    fix = remedy.by_hand(f"make room below {name}")
    wanted = Wanted(">=", 10)
    if share < 5:
        sentence = f"{share} % of the {what} are left: uploads, logs and sessions will fail"
        return fail(sentence, share, wanted=wanted, unit="%", fix=fix)
    if share < 10:
        return warn(f"{share} % of the {what} are left", share, wanted=wanted, unit="%", fix=fix)
    return ok(share, unit="%")


def _each_folder(context: Context, free: str, size: str, what: str) -> list[Answer]:
    answers = []
    for path in _folders(context):
        try:
            found = _statvfs(context, path)
        except CannotTell:
            continue
        if found[size]:
            answers.append(_share(path, found[free], found[size], what).to(path))
    if not answers:
        raise CannotTell("no file system tells of its size")
    return answers


def _space(context: Context) -> list[Answer]:
    return _each_folder(context, "free", "size", "space")


def _inodes(context: Context) -> list[Answer]:
    return _each_folder(context, "inodes_free", "inodes", "inodes")


def _writable(context: Context) -> Answer:
    path = context.config.server.temp_dir

    def ask() -> dict[str, Any]:
        import os

        found = os.stat(path)
        return {"mode": found.st_mode, "uid": found.st_uid, "gid": found.st_gid}

    found = context.host.probe(f"stat {path}", ask)
    target = context.target
    bits = 0o002
    if target.uid == found["uid"]:
        bits = 0o200
    elif found["gid"] in (target.gid, *target.groups):
        bits = 0o020
    readonly = False
    try:
        readonly = bool(_statvfs(context, path)["readonly"])
    except CannotTell:
        readonly = False
    if readonly or (target.uid != 0 and not found["mode"] & bits):
        fix = remedy.by_hand('[server] temp_dir = "..." in askr.toml')
        sentence = f"user {target.uid} cannot write to {path}, where large bodies wait"
        return fail(sentence, path, fix=fix)
    return ok(path)


def _mount_of(context: Context, path: str) -> tuple[str, str, list[str]]:
    """Mount point, file system and options of where a path lies."""
    best = ("/", "unknown", [""])
    for line in context.host.get("/proc/mounts").splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point = words[1].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, words[2], words[3].split(","))
    return best


def _filesystem(context: Context) -> list[Answer]:
    answers = []
    for path in _folders(context)[:2]:
        _, kind, options = _mount_of(context, path)
        if kind in _NETWORK_FS:
            sentence = "a network file system: each look at a file asks another machine"
            fix = remedy.by_hand("keep the application on a local disk")
            answers.append(warn(sentence, kind, fix=fix).to(path))
        elif "ro" in options and path == context.config.server.temp_dir:
            answers.append(
                fail(
                    "mounted read-only",
                    kind,
                    fix=remedy.by_hand(
                        "mount it for writing, or point the server elsewhere in askr.toml"
                    ),
                ).to(path)
            )
        else:
            answers.append(ok(kind).to(path))
    return answers


def _shm(context: Context) -> Answer:
    free = _statvfs(context, "/dev/shm")["free"]
    if free >= 256 << 20:
        return ok(free, unit="bytes")
    fix = remedy.by_hand("docker run --shm-size 512m ..., or mount -o remount,size=512m /dev/shm")
    sentence = "the server keeps shared memory there: counters, caches and requests"
    return warn(sentence, free, wanted=Wanted(">=", 256 << 20), unit="bytes", fix=fix)


def _scheduler(context: Context) -> list[Answer]:
    answers = []
    for path in context.host.glob("/sys/block/*/queue/scheduler"):
        name = path.split("/")[3]
        if not name.startswith(("loop", "ram", "zram", "dm-")):
            text = context.host.get(path)
            current = text.partition("[")[2].partition("]")[0] or text
            answers.append(ok(current).to(name))
    if not answers:
        raise NotApplicable("no block device is to be seen")
    return answers


# --- configuration --------------------------------------------------------------------------------


def _valid(context: Context) -> Answer:
    try:
        text = context.host.read(_CONFIG)
    except FileNotFoundError:
        raise NotApplicable(f"there is no {_CONFIG}: defaults count") from None
    try:
        read_text(text, Path(_CONFIG))
    except AskrError as error:
        fix = remedy.by_hand(error.hint) if error.hint else None
        return fail(error.message, _CONFIG, fix=fix)
    return ok(_CONFIG)


def _backend(context: Context) -> Answer:
    server = context.server
    if server is not None:
        return ok(server.backend, server.reason)
    requested = context.config.server.io_backend
    if requested is not Backend.AUTO:
        return ok(str(requested), "as configured")
    record = gate.read(bench_record_path()) if context.host.live else None
    if record is None:
        return ok("auto", "epoll, until askrctl bench has recorded a win of io_uring here")
    if isinstance(record, gate.Refusal):
        return info(f"epoll: {record.detail}", "auto", fix=remedy.by_hand(record.fix))
    return ok("auto", f"the bench recorded {record.winner}: {record.detail}")


def _normal(value: str) -> str:
    return " ".join(value.split())


def _shadow(context: Context) -> list[Answer]:
    """Does the next boot bring the value that runs now?"""
    found = sysctl_files.assignments(context.host)
    answers = []
    for key in WATCHED:
        setters = sysctl_files.setters(found, key)
        live = _normal(context.host.get(sysctl_path(key)))
        if not setters or not live:
            continue
        winner, losers = setters[-1], setters[:-1]
        fix = remedy.by_hand(f"decide on one line: {winner.place}")
        if _normal(winner.value) != live:
            sentence = f"runs as {live}, and the next boot sets {winner.value} ({winner.place})"
            answers.append(warn(sentence, live, fix=fix).to(key))
        elif any(_normal(item.value) != live for item in losers):
            places = ", ".join(f"{item.place} says {item.value}" for item in losers)
            answers.append(info(f"{winner.place} wins; {places}", live, fix=fix).to(key))
        else:
            answers.append(ok(live, winner.place).to(key))
    if not answers:
        return [ok(because="no file sets what this server cares about")]
    return answers


def _left_by_tune(context: Context) -> dict[str, str]:
    """Sysctls that tune changed since this boot and nobody reverted: key -> value."""
    boot = context.host.get("/proc/sys/kernel/random/boot_id")
    found: dict[str, str] = {}
    for path in context.host.glob(f"{JOURNAL}/[0-9]*.jsonl"):
        records = [json.loads(line)["record"] for line in context.host.read(path).splitlines()]
        begin, (state, _) = records[0][1], records[-1]
        items = [item for item in begin.get("items", ()) if item.get("kind") == "sysctl"]
        if begin.get("boot") not in (None, "", boot):
            continue  # a boot takes runtime values back by itself
        for item in items:
            if state in ("committed", "confirmed"):
                found[item["key"]] = _normal(item["want"])
            elif state == "reverted":
                found.pop(item["key"], None)
    return found


def _drift(context: Context) -> list[Answer]:
    """Values that tune left, and that somebody changed since."""
    left = _left_by_tune(context)
    if not left:
        raise NotApplicable("askrctl tune has changed nothing here that this boot still has")
    answers = []
    for key, want in left.items():
        live = _normal(context.host.get(sysctl_path(key)))
        if live and live != want:
            fix = remedy.by_hand("askrctl tune verify")
            sentence = f"tune set {want}, now it is {live}: somebody changed it since"
            answers.append(warn(sentence, live, wanted=Wanted("==", want), fix=fix).to(key))
    return answers or [ok(len(left), "what tune set still holds", unit="values")]


def _check(name: str, title: str, judge: Any, scope: str = "host", **more: Any) -> Check:
    return Check(name, title, judge, scope, **more)


CHECKS = (
    _check("time.sync", "The clock is right", _sync, host_only=True),
    _check("time.tz", "Time zone", _timezone),
    _check("disk.space", "Free space", _space, "file"),
    _check("disk.inodes", "Free inodes", _inodes, "file"),
    _check("disk.writable", "Room for large bodies", _writable, "file", vital=True),
    _check("disk.fs", "File systems", _filesystem, "file"),
    _check("disk.shm", "Shared memory", _shm, "file"),
    _check("disk.sched", "Disk scheduler", _scheduler, "device", host_only=True),
    _check("cfg.valid", "askr.toml can be read", _valid, "file", vital=True),
    _check("cfg.backend", "I/O backend", _backend, "process"),
    _check("cfg.sysctl_shadow", "The next boot agrees", _shadow),
    _check("cfg.drift", "What tune set still holds", _drift),
)
