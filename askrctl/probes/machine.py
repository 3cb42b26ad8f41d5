# SPDX-License-Identifier: MIT
"""What the machine gives: processors, memory, cgroup limits, and whether it is a container.

Limits of cgroups are looked for on the way up to the root, because the tightest one counts and it
need not be our own group's (cgroups(7)).
"""

import math
import os
import re
from contextlib import suppress
from dataclasses import dataclass

from askrctl.probes.host import CannotTell, Host, key_values

UNLIMITED_V1 = 1 << 62  # memory.limit_in_bytes of no limit is the largest page-aligned long
INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h


def parse_cpu_list(text: str) -> list[int]:
    """0-3,8 as the kernel writes sets of processors."""
    found: list[int] = []
    for part in text.replace("\n", "").split(","):
        first, _, end = part.strip().partition("-")
        if first.isdigit():
            found += range(int(first), int(end or first) + 1)
    return found


def affinity(host: Host, pid: str = "self") -> list[int]:
    """Processors that a process may run on. The kernel's list of those it may, as in
    /proc/PID/status, can name some that are offline; sched_getaffinity(2) does not.
    """
    status = key_values(host.get(f"/proc/{pid}/status"))
    if host.live:
        with suppress(OSError):
            return sorted(os.sched_getaffinity(0 if pid == "self" else int(pid)))
    return parse_cpu_list(status.get("Cpus_allowed_list", "")) or online(host)


def online(host: Host) -> list[int]:
    found = parse_cpu_list(host.get("/sys/devices/system/cpu/online"))
    if found:
        return found
    return list(range(host.get("/proc/cpuinfo").count("processor\t"))) or [0]


def memory_bytes(host: Host, name: str = "MemTotal") -> int:
    """A line of /proc/meminfo."""
    words = key_values(host.read("/proc/meminfo")).get(name, "").split()
    if not words:
        raise CannotTell(f"/proc/meminfo has no {name}")
    return int(words[0]) * 1024


@dataclass(frozen=True, slots=True)
class Cgroup:
    """Where a process stands: the v2 path, and the v1 path of each controller."""

    unified: str = ""
    controllers: tuple[tuple[str, str], ...] = ()

    @property
    def version(self) -> str:
        if not self.controllers:
            return "v2" if self.unified else ""
        return "hybrid" if self.unified else "v1"


def cgroup(host: Host, pid: str = "self") -> Cgroup:
    """/proc/PID/cgroup (cgroups(7))."""
    unified, controllers = "", []
    for line in host.get(f"/proc/{pid}/cgroup").splitlines():
        if line.count(":") < 2:
            continue
        number, names, path = line.split(":", 2)
        if number == "0" and not names:
            unified = path
        else:
            controllers += [(name, path) for name in names.split(",")]
    return Cgroup(unified, tuple(controllers))


def _parents(path: str) -> list[str]:
    """The path and all above it; a container's own view often lacks the lower ones."""
    parts = [part for part in path.split("/") if part and part != ".."]
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _v2_base(host: Host) -> str:
    hybrid = "/sys/fs/cgroup/unified"
    return hybrid if host.exists(f"{hybrid}/cgroup.controllers") else "/sys/fs/cgroup"


def _v1_base(host: Host, controller: str) -> str:
    """Where a controller is mounted: cpu and cpuacct often share one place."""
    for point, (kind, options) in _mounts(host).items():
        if kind == "cgroup" and controller in options:
            return point
    return f"/sys/fs/cgroup/{controller}"


def _v2_folders(host: Host, where: Cgroup) -> list[str]:
    base = _v2_base(host)
    paths = _parents(where.unified) if where.unified else []
    return [f"{base}/{path}".rstrip("/") for path in paths]


def _v1_folders(host: Host, where: Cgroup, controller: str) -> list[str]:
    groups = [path for name, path in where.controllers if name == controller]
    base = _v1_base(host, controller) if groups else ""
    return [f"{base}/{path}".rstrip("/") for group in groups for path in _parents(group)]


def group_files(host: Host, controller: str, v1_name: str, v2_name: str, pid: str) -> list[str]:
    """The texts of a limit's file, from the process's own group up to the root."""
    where = cgroup(host, pid)
    paths = [f"{folder}/{v2_name}" for folder in _v2_folders(host, where)]
    paths += [f"{folder}/{v1_name}" for folder in _v1_folders(host, where, controller)]
    return [text for path in paths if (text := host.get(path))]


def cpu_quota(host: Host, pid: str = "self") -> float | None:
    """Processors' worth of time that the cgroups allow; None is no limit. Each group has a period
    of its own.
    """
    where = cgroup(host, pid)
    pairs = [host.get(f"{folder}/cpu.max").split() for folder in _v2_folders(host, where)]
    for folder in _v1_folders(host, where, "cpu"):
        period = host.get(f"{folder}/cpu.cfs_period_us", "100000")
        pairs.append([host.get(f"{folder}/cpu.cfs_quota_us"), period])
    limits = [
        int(words[0]) / int(words[1])
        for words in pairs
        # "max" and -1 are no limit
        if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words)
    ]
    return min(limits, default=None)


def memory_limit(host: Host, pid: str = "self") -> int | None:
    """Bytes that the cgroups allow; None is no limit."""
    texts = group_files(host, "memory", "memory.limit_in_bytes", "memory.max", pid)
    limits = [int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED_V1]
    return min(limits, default=None)


def pids_limit(host: Host, pid: str = "self") -> int | None:
    """Tasks that the cgroups allow; None is no limit."""
    texts = group_files(host, "pids", "pids.max", "pids.max", pid)
    return min((int(text) for text in texts if text.isdigit()), default=None)


def usable_cpus(host: Host, pid: str = "self") -> list[int]:
    """Cores that a process may run on, no more than its quota pays for; one is left in any case."""
    cores = affinity(host, pid)
    quota = cpu_quota(host, pid)
    return cores if quota is None else cores[: max(1, math.ceil(quota))]


# --- containers and virtual machines --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """One sign of a container. Structural ones are facts of the kernel, others are markers."""

    sign: str
    structural: bool


_HINTS = re.compile(r"docker|kubepods|lxc|containerd|libpod|crio")


def _mounts(host: Host) -> dict[str, tuple[str, list[str]]]:
    """Mount point -> file system and options; the last one counts."""
    rows = (line.split() for line in host.get("/proc/mounts").splitlines())
    return {row[1]: (row[2], row[3].split(",")) for row in rows if len(row) >= 4}


def container_evidence(host: Host) -> list[Evidence]:
    """Every sign there is; no single one is to be believed."""
    mounts = _mounts(host)
    root, sys, proc = (mounts.get(path, ("", [])) for path in ("/", "/sys", "/proc/sys"))
    environment = host.get("/proc/1/environ").replace("\0", "\n")
    signs = {
        "a process namespace of its own": _has_own_pids(host),
        "a user namespace of its own": _has_own_users(host),
        "the root file system is an overlay": root[0] in ("overlay", "fuse-overlayfs", "aufs"),
        "/sys is mounted read-only": "ro" in sys[1],
        "/proc/sys is mounted read-only": "ro" in proc[1],
        "a container runtime's cgroup path": bool(_HINTS.search(host.get("/proc/self/cgroup"))),
        "container= in the environment of process 1": "container=" in environment,
    }
    markers = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
    return [
        *(Evidence(sign, True) for sign, is_there in signs.items() if is_there),
        *(Evidence(f"the file {path}", False) for path in markers if host.exists(path)),
    ]


def _has_own_pids(host: Host) -> bool:
    return host.link("/proc/self/ns/pid") not in ("", INITIAL_PID_NAMESPACE)


def _has_own_users(host: Host) -> bool:
    return host.get("/proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"])


def is_container(host: Host) -> bool:
    """Two facts of the kernel agree. Markers alone are left behind by image builders."""
    return sum(item.structural for item in container_evidence(host)) >= 2


def uses_systemd(host: Host) -> bool:
    """sd_booted(3)."""
    return host.exists("/run/systemd/system")


def hypervisor(host: Host) -> str:
    """The virtual machine's kind, as far as it can be told; "" on bare metal."""
    vendor = host.get("/sys/class/dmi/id/sys_vendor")
    product = host.get("/sys/class/dmi/id/product_name")
    named = {"QEMU": "kvm", "VMware": "vmware", "Microsoft": "hyperv", "Amazon EC2": "kvm"}
    named |= {"Xen": "xen", "Google": "kvm", "innotek": "virtualbox"}
    for word, name in named.items():
        if word in vendor or word in product:
            return name
    flags = next((x for x in host.get("/proc/cpuinfo").splitlines() if x.startswith("flags")), "")
    return "unknown hypervisor" if " hypervisor" in flags else ""
