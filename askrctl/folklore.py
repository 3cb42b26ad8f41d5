# SPDX-License-Identifier: MIT
"""Settings that are copied from page to page: what tune refuses, and what the doctor names.

One table for both, so that they cannot disagree on the reason. Where another check of the doctor
judges a value already (net.*, mem.*), the table has no name for it. `refusal` is asked before
anything else about a wish, so somebody who asks for one of these learns why not, instead of that it
is not on a list. Reasons are those of the kernel's own documentation (networking/ip-sysctl.rst,
admin-guide/sysctl) where it has one.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tale:
    """`applies` sees the value that is asked for, word by word; `found` the last number of one that
    stands there, for the check folk.NAME: what is not worth a warning may still be refused.
    """

    key: str
    applies: Callable[[list[str]], bool]
    reason: str
    name: str = ""
    title: str = ""
    found: Callable[[int], bool] | None = None


def _any(_words: list[str]) -> bool:
    return True


def _is(*values: str) -> Callable[[list[str]], bool]:
    return lambda words: bool(words) and words[0] in values


def _number(words: list[str], column: int) -> int | None:
    text = words[column] if column < len(words) else ""
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else None


def _over(limit: int, column: int = 0) -> Callable[[list[str]], bool]:
    def applies(words: list[str]) -> bool:
        number = _number(words, column)
        return number is not None and number > limit

    return applies


def _under(limit: int) -> Callable[[list[str]], bool]:
    def applies(words: list[str]) -> bool:
        number = _number(words, 0)
        return number is not None and number < limit

    return applies


def _set(value: int) -> bool:
    return value != 0


def _off(value: int) -> bool:
    return value == 0


def _above(limit: int) -> Callable[[int], bool]:
    return lambda value: value > limit


_IDLE = "every idle connection may then pin that much memory; only the third field is a maximum"
_EVERY = "every socket of the machine may then hold that much, UDP and idle ones as well"
_NEIGHBOURS = "other programs of this machine need different values, and no web server needs one"

TALES = (
    Tale(
        "net.ipv4.tcp_tw_recycle",
        _any,
        "it dropped clients behind NAT and was removed in Linux 4.12",
        name="tw_recycle",
        title="tcp_tw_recycle",
        found=_set,
    ),
    Tale(
        "net.ipv4.tcp_tw_reuse",
        _is("1"),
        "it acts on outgoing connections only, so it does nothing for the sockets a server accepts",
    ),
    Tale("net.ipv4.tcp_timestamps", _is("0"), "it gives up PAWS and good round-trip times"),
    Tale("net.ipv4.tcp_sack", _is("0"), "one lost packet then costs the throughput of a window"),
    Tale(
        "net.ipv4.tcp_dsack",
        _is("0"),
        "the sender can no longer see that it resent in vain",
        name="dsack",
        title="tcp_dsack=0",
        found=_off,
    ),
    Tale("net.ipv4.tcp_window_scaling", _is("0"), "a connection then has at most 64 KiB in flight"),
    Tale(
        "net.ipv4.tcp_fin_timeout",
        _any,
        "it is about FIN_WAIT2 orphans; TIME_WAIT lasts 60 s whatever this says",
    ),
    Tale(
        "net.ipv4.tcp_max_orphans", _any, "the kernel sizes it by memory and warns not to lower it"
    ),
    Tale(
        "net.ipv4.tcp_max_tw_buckets",
        _under(4096),
        "the kernel's documentation says that this limit must not be lowered",
    ),
    Tale("net.ipv4.tcp_rmem", _over(1 << 20, 1), _IDLE),
    Tale("net.ipv4.tcp_wmem", _over(1 << 20, 1), _IDLE),
    Tale(
        "net.core.rmem_default",
        _any,
        _EVERY,
        name="rmem_default",
        title="rmem_default of megabytes",
        found=_above((4 << 20) - 1),
    ),
    Tale("net.core.wmem_default", _any, _EVERY),
    Tale("net.ipv4.tcp_mem", _any, "it is in pages, not bytes, and its default follows the memory"),
    Tale(
        "net.ipv4.tcp_abort_on_overflow",
        _is("1"),
        "it resets a burst of connections that would have been served a moment later",
    ),
    Tale("net.ipv4.tcp_syncookies", _is("0"), "it takes away what holds up in a SYN flood"),
    Tale("net.ipv4.tcp_syncookies", _is("2"), "it is for testing: connections lose TCP options"),
    Tale(
        "net.ipv4.tcp_low_latency",
        _any,
        "it is a legacy option without effect",
        name="low_latency",
        title="tcp_low_latency",
        found=_set,
    ),
    Tale(
        "net.ipv4.tcp_fack",
        _any,
        "it is a legacy option without effect",
        name="fack",
        title="tcp_fack",
        found=_set,
    ),
    Tale(
        "net.core.somaxconn",
        _over(65535),
        "a queue that long answers with latency instead of a refusal and hides a dead worker",
    ),
    Tale(
        "net.core.netdev_max_backlog",
        _over(65536),
        "a queue that long answers with latency instead of a drop",
        name="huge_backlog",
        title="netdev_max_backlog of a million",
        found=_above(300_000),
    ),
    Tale(
        "net.core.netdev_budget",
        _over(1200),
        "the softirq then starves the workers that share its core",
        name="softirq_budget",
        title="netdev_budget of tens of thousands",
        found=_above(10_000),
    ),
    Tale(
        "net.core.busy_poll",
        _over(0),
        "it burns the core that a worker needs, for every socket of the machine",
    ),
    Tale(
        "net.core.busy_read",
        _over(0),
        "it burns the core that a worker needs, for every socket of the machine",
    ),
    Tale(
        "net.ipv4.ip_no_pmtu_disc",
        _any,
        "it trades a rare fault for smaller packets everywhere",
        name="pmtu_disc",
        title="ip_no_pmtu_disc",
        found=_set,
    ),
    Tale("net.ipv6.conf.all.disable_ipv6", _is("1"), "it breaks clients and speeds up nothing"),
    Tale("net.ipv6.conf.default.disable_ipv6", _is("1"), "it breaks clients, speeds up nothing"),
    Tale(
        "vm.swappiness",
        _any,
        "act on swap activity that was seen; at 0 idle pages stay, and the file cache goes instead",
        name="swappiness_zero",
        title="swappiness=0",
        found=_off,
    ),
    Tale("vm.drop_caches", _any, "it is a tool for benchmarks; a server pays for it in disk reads"),
    Tale("vm.overcommit_memory", _any, _NEIGHBOURS),
    Tale("vm.overcommit_ratio", _any, _NEIGHBOURS),
    Tale("kernel.randomize_va_space", _any, "it is a defence against exploits"),
    Tale(
        "fs.nr_open",
        _over(1 << 24),
        "tables of descriptors of that size, and programs that close each one, cost more than it "
        "gives",
    ),
    Tale(
        "/sys/kernel/mm/transparent_hugepage/enabled",
        _is("never", "always"),
        "programs of this machine want different things; madvise lets each one choose",
    ),
)


def refusal(key: str, value: str) -> str:
    """Why this is folklore; "" when it is not."""
    words = value.split()
    return next((tale.reason for tale in TALES if tale.key == key and tale.applies(words)), "")
