# SPDX-License-Identifier: MIT
"""The keys that tune may write, and what it may write there. Nothing else is ever written.

The list is part of the program, so a plan file from somewhere else cannot reach any other path. A
key has one rule: `raise` never lowers a number (and widens a range); `set` writes one of a few
words, most of them the kernel's own default; `append` adds to a list of ports. `high` is where more
stops helping: askrctl/folklore.py says why.

`host_wide` keys belong to the whole machine; the others to a network namespace (they are found
below /proc/sys inside `unshare -n`).
"""

import re
from dataclasses import dataclass, replace

from askrctl.model import Rule
from askrctl.tune.values import Shape, merged, met, numbers, ports, round_up, same, tidy

VALUE_SIZE_MAX = 4096  # bytes: a page, the most that a kernel takes in one write
INT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    rule: Rule
    low: int = 0
    high: int = INT_MAX
    words: tuple[str, ...] = ()
    pattern: str = ""  # instead of words
    shape: Shape = Shape.NUMBERS
    column: int | None = None  # the only field that may change
    host_wide: bool = False
    power_of_two: bool = False

    def same(self, left: str | None, right: str | None) -> bool:
        return same(self.shape, left, right)

    def met(self, got: str, want: str) -> bool:
        return met(self.shape, got, want)

    def tidy(self, value: str) -> str:
        return tidy(self.shape, value)

    def merged(self, before: str, asked: str) -> str:
        value = merged(self.shape, before, asked, self.column)
        if self.power_of_two and not self.same(value, before):
            value = str(round_up(int(value)))
        return value

    def describe(self) -> str:
        """What may be written, for a reader."""
        if self.words:
            return " or ".join(self.words)
        if self.shape is Shape.MASK:
            return "a mask of cores"
        return "a group id" if self.pattern else f"{self.low} to {self.high}"

    def fault(self, value: str) -> str:
        """Why this value may not be written here; "" if it may."""
        if len(value) > VALUE_SIZE_MAX or not value.isascii() or not value.isprintable():
            return "it is not one line of printable text"
        if self.words and value not in self.words:
            return f"only {' or '.join(self.words)} may be set here"
        if self.pattern and re.fullmatch(self.pattern, value) is None:
            return "it is no value of this key"
        if self.shape is Shape.MASK and self.same(value, "0"):
            return "a mask of no core switches it off"
        if self.words or self.pattern:
            return ""
        return self._number_fault(value)

    def _number_fault(self, value: str) -> str:
        try:
            found = ports(value) if self.shape is Shape.PORTS else set(numbers(value))
        except ValueError as error:
            return str(error)
        if any(not self.low <= number <= self.high for number in found):
            return f"it must be between {self.low} and {self.high}"
        if self.shape is Shape.RANGE and (len(found) != 2 or numbers(value) != sorted(found)):
            return "it must be two numbers, the lower one first"
        return ""


def _raise(name: str, high: int, low: int = 1) -> Key:
    return Key(name, "raise", low, high)


def _host(name: str, high: int, low: int = 1, power_of_two: bool = False) -> Key:
    return Key(name, "raise", low, high, host_wide=True, power_of_two=power_of_two)


def _set(name: str, *words: str, host_wide: bool = False) -> Key:
    return Key(name, "set", words=words, shape=Shape.WORD, host_wide=host_wide)


_SYSCTLS = (
    _raise("net.core.somaxconn", 65535, 128),
    _raise("net.ipv4.tcp_max_syn_backlog", 65536, 128),
    _raise("net.ipv4.tcp_max_tw_buckets", 4194304, 4096),
    _raise("net.ipv4.tcp_retries2", 15, 8),
    Key("net.ipv4.tcp_rmem", "raise", 0, 64 << 20, column=2),
    Key("net.ipv4.tcp_wmem", "raise", 0, 64 << 20, column=2),
    Key("net.ipv4.ip_local_port_range", "raise", 1024, 65535, shape=Shape.RANGE),
    Key("net.ipv4.ip_local_reserved_ports", "append", 1, 65535, shape=Shape.PORTS),
    _set("net.ipv4.tcp_migrate_req", "1"),
    _set("net.ipv4.tcp_syncookies", "1"),
    _set("net.ipv4.tcp_abort_on_overflow", "0"),
    _set("net.ipv4.tcp_moderate_rcvbuf", "1"),
    _set("net.ipv4.tcp_window_scaling", "1"),
    _set("net.ipv4.tcp_sack", "1"),
    _set("net.ipv4.tcp_dsack", "1"),
    _set("net.ipv4.tcp_timestamps", "1"),
    _set("net.ipv4.tcp_tw_reuse", "2"),
    _set("net.ipv4.tcp_slow_start_after_idle", "0"),
    _set("net.ipv4.tcp_mtu_probing", "1"),
    _set("net.ipv4.tcp_fastopen", "3"),
    _set("net.ipv4.tcp_congestion_control", "bbr", "cubic"),
    _host("net.netfilter.nf_conntrack_max", 16777216, 65536),
    _host("net.ipv4.neigh.default.gc_thresh1", 65536, 128),
    _host("net.ipv4.neigh.default.gc_thresh2", 65536, 512),
    _host("net.ipv4.neigh.default.gc_thresh3", 65536, 1024),
    _host("net.core.netdev_max_backlog", 65536, 1000),
    _host("net.core.netdev_budget", 1200, 300),
    _host("net.core.netdev_budget_usecs", 16000, 2000),
    _host("net.core.rps_sock_flow_entries", 1 << 20, 1024, power_of_two=True),
    _set("net.core.default_qdisc", "fq", host_wide=True),
    _set("net.core.busy_poll", "0", host_wide=True),
    _set("net.core.busy_read", "0", host_wide=True),
    _host("fs.nr_open", 1 << 24, 65536),
    _host("fs.file-max", 1 << 32, 65536),
    _host("fs.pipe-user-pages-soft", 1 << 24, 16384),
    _host("fs.aio-max-nr", 1 << 24, 65536),
    _host("fs.inotify.max_user_instances", 8192, 128),
    _host("fs.inotify.max_user_watches", 1 << 24, 8192),
    _host("fs.epoll.max_user_watches", 1 << 30, 65536),
    _host("vm.max_map_count", 1 << 24, 65530),
    _set("vm.zone_reclaim_mode", "0", host_wide=True),
    _set("kernel.numa_balancing", "0", host_wide=True),
    _set("kernel.sched_autogroup_enabled", "0", host_wide=True),
    _host("kernel.pid_max", 4194304, 32768),
    _host("kernel.threads-max", 4194304, 4096),
    _set("kernel.io_uring_disabled", "0", "1", host_wide=True),
    Key("kernel.io_uring_group", "set", pattern=r"[0-9]{1,9}", shape=Shape.WORD, host_wide=True),
)

_SYSFS = (
    Key(
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "set",
        words=("madvise",),
        shape=Shape.CHOICE,
        host_wide=True,
    ),
    Key(
        "/sys/kernel/mm/transparent_hugepage/defrag",
        "set",
        words=("madvise", "defer+madvise"),
        shape=Shape.CHOICE,
        host_wide=True,
    ),
    Key(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        "set",
        words=("tsc", "kvm-clock"),
        shape=Shape.WORD,
        host_wide=True,
    ),
)

SYSCTLS = {key.name: key for key in _SYSCTLS}
SYSFS = {key.name: key for key in _SYSFS}


def governor(name: str) -> Key | None:
    """One file for each group of cores, so this one is a pattern."""
    if re.fullmatch(r"/sys/devices/system/cpu/cpufreq/policy[0-9]{1,4}/scaling_governor", name):
        return Key(name, "set", words=("performance",), shape=Shape.WORD, host_wide=True)
    return None


MASK = r"[0-9a-f]{1,8}(,[0-9a-f]{8}){0,255}"
DEVICE = re.compile(r"/sys/class/net/([A-Za-z0-9][A-Za-z0-9_.-]{0,14})/(queues/\S+)")


def attribute(name: str, of_device: str) -> Key | None:
    """How a network device spreads packets over cores; `name` is what the key is called."""
    if re.fullmatch(r"queues/rx-[0-9]{1,4}/rps_flow_cnt", of_device):
        return Key(name, "raise", 0, 1 << 20, host_wide=True, power_of_two=True)
    if re.fullmatch(r"queues/(rx-[0-9]{1,4}/rps|tx-[0-9]{1,4}/xps)_cpus", of_device):
        return Key(name, "set", pattern=MASK, shape=Shape.MASK, host_wide=True)
    return None


def device(name: str) -> Key | None:
    """A file of a network device. To change one can cost the connection that it is changed by."""
    match = DEVICE.fullmatch(name)
    return attribute(name, match[2]) if match else None


def patterns() -> tuple[Key, ...]:
    """Those of which a machine has several, by a name that stands for all, for a reader."""
    names = (
        "/sys/devices/system/cpu/cpufreq/policyN/scaling_governor",
        "/sys/class/net/DEVICE/queues/rx-N/rps_cpus",
        "/sys/class/net/DEVICE/queues/rx-N/rps_flow_cnt",
        "/sys/class/net/DEVICE/queues/tx-N/xps_cpus",
    )
    found = ((name, find(name.replace("N/", "0/"))) for name in names)
    return tuple(replace(key, name=name) for name, key in found if key is not None)


def find(name: str) -> Key | None:
    """The key of that name; None: tune does not write there."""
    return SYSCTLS.get(name) or SYSFS.get(name) or governor(name) or device(name)
