# SPDX-License-Identifier: MIT
"""Checks of sysctls for sockets and TCP.

A recommendation never lowers a value and never copies a number from a list: the kernel's defaults
follow the machine's memory and are mostly right. What is only of interest is shown, not judged.
"""

from collections.abc import Callable
from dataclasses import dataclass

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import Fix, Wanted
from askrctl.probes import machine
from askrctl.probes.host import NotApplicable

EPHEMERAL_SPAN = 28000  # the kernel's default range has 28232
MIB = 1 << 20


def _somaxconn(context: Context) -> Answer:
    key = "net.core.somaxconn"
    value, want = context.sysctl_int(key), context.backlog
    wanted = Wanted(">=", want)
    if value > 65535:
        sentence = "a queue this long hides overload: clients wait instead of being told"
        return info(sentence, value, wanted=wanted, unit="connections")
    if value >= want:
        return ok(value, wanted=wanted, unit="connections")
    fix = remedy.sysctl(context, key, want, default=True)
    sentence = f"listen({want}) is cut to {value} without an error; a burst beyond it is dropped"
    judge = fail if value < min(want, 1024) else warn
    return judge(sentence, value, wanted=wanted, unit="connections", fix=fix)


def _must_be(
    key: str, want: int, because: str, *, serious: bool = False, default: bool = True
) -> Callable[[Context], Answer]:
    """A setting with one right value."""

    def judge(context: Context) -> Answer:
        value = context.sysctl_int(key)
        wanted = Wanted("==", want)
        if value == want:
            return ok(value, wanted=wanted)
        fix = remedy.sysctl(context, key, want, "set", default=default)
        return (fail if serious else warn)(because, value, wanted=wanted, fix=fix)

    return judge


def _moderate(key: str, because: str) -> Callable[[Context], Answer]:
    """A switch that the kernel has on, and that must not be off."""

    def judge(context: Context) -> Answer:
        value = context.sysctl_int(key)
        if value != 0:
            return ok(value)
        fix = remedy.sysctl(context, key, 1, "set", default=True)
        return fail(because, 0, wanted=Wanted("!=", 0), fix=fix)

    return judge


def _shown(key: str, because: str = "") -> Callable[[Context], Answer]:
    """A value that is worth knowing and not worth judging."""

    def judge(context: Context) -> Answer:
        return ok(" ".join(context.sysctl(key).split()), because)

    return judge


def _syncookies(context: Context) -> Answer:
    value = context.sysctl_int("net.ipv4.tcp_syncookies")
    if value == 1:
        return ok(1, wanted=Wanted("==", 1))
    meaning = {
        0: "a flood of SYNs fills the queue and keeps visitors out",
        2: "cookies for every connection lose TCP options; the value is for tests",
    }
    fix = remedy.sysctl(context, "net.ipv4.tcp_syncookies", 1, "set", default=True)
    return warn(meaning.get(value, "unknown value"), value, wanted=Wanted("==", 1), fix=fix)


def _syn_backlog(context: Context) -> Answer:
    key = "net.ipv4.tcp_max_syn_backlog"
    value = context.sysctl_int(key)
    if context.sysctl_int("net.ipv4.tcp_syncookies") != 0:
        return ok(value, "with SYN cookies on, the backlog of listen() is the bound")
    if value >= context.backlog:
        return ok(value, wanted=Wanted(">=", context.backlog))
    fix = remedy.sysctl(context, key, context.backlog)
    sentence = "without SYN cookies this bounds connections that are being opened"
    return warn(sentence, value, wanted=Wanted(">=", context.backlog), fix=fix)


def _port_range(context: Context) -> Answer:
    low, high = context.sysctl_ints("net.ipv4.ip_local_port_range")[:2]
    span = high - low + 1
    shown = f"{low}-{high}"
    if span >= EPHEMERAL_SPAN:
        return ok(shown, "bounds outgoing connections only")
    sentence = f"{span} ports for outgoing connections to one address, each busy for a minute after"
    return warn(f"{sentence} its end", shown, fix=_range_fix(context))


def _range_fix(context: Context) -> Fix:
    return remedy.sysctl(context, "net.ipv4.ip_local_port_range", "16384 60999", "set")


def _reserved_ports(context: Context) -> Answer:
    low, high = context.sysctl_ints("net.ipv4.ip_local_port_range")[:2]
    key = "net.ipv4.ip_local_reserved_ports"
    reserved = set(machine.parse_cpu_list(context.sysctl(key)))
    ports = sorted({item.port for item in context.listeners if low <= item.port <= high})
    at_risk = [port for port in ports if port not in reserved]
    if not at_risk:
        return ok(because="no listener lies in the range of outgoing connections")
    shown = ",".join(map(str, at_risk))
    fix = remedy.sysctl(context, key, shown, "append")
    sentence = f"an outgoing connection can take port {shown} while the server restarts"
    return warn(sentence, shown, fix=fix)


def _unprivileged_ports(context: Context) -> Answer:
    first = context.sysctl_int("net.ipv4.ip_unprivileged_port_start")
    low = sorted({item.port for item in context.listeners if 0 < item.port < first})
    if not low:
        return ok(first, "no listener lies below it")
    target = context.target
    if target.uid == 0 or "CAP_NET_BIND_SERVICE" in target.capabilities:
        return ok(first, f"port {low[0]} may be opened")
    if context.server is not None:
        return ok(
            first, "the server has its listeners already: they are opened before it changes user"
        )
    fix = remedy.unit(
        context, "AmbientCapabilities", "CAP_NET_BIND_SERVICE", "append", default=True
    )
    sentence = f"user {target.uid} may not open port {low[0]}: it lacks CAP_NET_BIND_SERVICE"
    return fail(sentence, first, fix=fix)


def _tw_reuse(context: Context) -> Answer:
    value = context.sysctl_int("net.ipv4.tcp_tw_reuse")
    if value == 1:
        sentence = (
            "it concerns outgoing connections only; a server's TIME_WAIT is not touched by it"
        )
        fix = remedy.by_hand("remove it: the kernel's default is 2 (loopback only)")
        return warn(sentence, value, wanted=Wanted("==", 2), fix=fix)
    return ok(value)


def _tw_buckets(context: Context) -> Answer:
    value = context.sysctl_int("net.ipv4.tcp_max_tw_buckets")
    # tcp_sk_init: half of the hash of connections, which has a place for each 128 KiB of memory, up
    # to 512 Ki places. Half of that again is no accident of rounding.
    places = min(1 << (machine.memory_bytes(context.host) // (128 << 10)).bit_length(), 1 << 19)
    usual = places // 4
    if value >= usual:
        return ok(value, unit="sockets")
    fix = remedy.by_hand("remove the setting: the kernel sizes it by the machine's memory")
    sentence = "lowered: connections are then forgotten while the other end still sends"
    return fail(sentence, value, wanted=Wanted(">=", usual), unit="sockets", fix=fix)


def _fin_timeout(context: Context) -> Answer:
    value = context.sysctl_int("net.ipv4.tcp_fin_timeout")
    if value < 25:
        sentence = "it ends half-closed connections, not TIME_WAIT, which is 60 s always"
        fix = remedy.by_hand("remove it: the default is 60")
        return warn(f"{sentence}; this low, slow clients lose data", value, unit="s", fix=fix)
    return ok(value, "of half-closed connections; TIME_WAIT is not meant", unit="s")


def _sockstat(context: Context) -> dict[str, int]:
    """The TCP line of /proc/net/sockstat."""
    text = context.host.read("/proc/net/sockstat")
    words = next((line.split()[1:] for line in text.splitlines() if line.startswith("TCP:")), [])
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False)}


def _orphans(context: Context) -> Answer:
    limit = context.sysctl_int("net.ipv4.tcp_max_orphans")
    used = _sockstat(context).get("orphan", 0)
    if used * 2 > limit:
        sentence = f"{used} of {limit}: beyond it connections are reset without their last data"
        return warn(
            sentence,
            used,
            wanted=Wanted("<=", limit // 2),
            unit="sockets",
            fix=remedy.by_hand("find who leaves connections behind: ss -tanp state fin-wait-1"),
        )
    return ok(used, f"of {limit}", unit="sockets")


def _tcp_mem(context: Context) -> Answer:
    _, pressure, high = context.sysctl_ints("net.ipv4.tcp_mem")[:3]
    used = _sockstat(context).get("mem", 0)
    if high * 4096 > machine.memory_bytes(context.host):
        sentence = "more than all memory: the unit is pages of 4 KiB, not bytes"
        fix = remedy.by_hand("remove net.ipv4.tcp_mem: the kernel sizes it by the memory")
        return warn(sentence, high, unit="pages", fix=fix)
    if used * 10 > pressure * 6:
        sentence = f"{used} of {pressure} pages: soon the kernel shrinks every connection's buffers"
        return warn(
            sentence,
            used,
            wanted=Wanted("<=", pressure * 6 // 10),
            unit="pages",
            fix=remedy.by_hand(
                "fewer connections, or smaller buffers: net.ipv4.tcp_rmem, tcp_wmem"
            ),
        )
    return ok(used, f"pressure from {pressure}", unit="pages")


def _buffers(name: str, default_max: int) -> Callable[[Context], Answer]:
    """tcp_rmem and tcp_wmem: the middle field is each connection's, the last the ceiling."""

    def judge(context: Context) -> Answer:
        key = f"net.ipv4.{name}"
        values = context.sysctl_ints(key)
        if values[1] >= 4 * MIB:
            sentence = (
                f"each connection starts with {values[1] // MIB} MiB, "
                f"{context.config.limits.connections} of them with more than there is"
            )
            fix = remedy.by_hand(f"raise the last field of {key} only")
            return warn(sentence, values[1], wanted=Wanted("<=", 4 * MIB), unit="bytes", fix=fix)
        # tcp_init: the smaller of this and a 128th of free memory, which we know roughly.
        usual = min(default_max, machine.memory_bytes(context.host) // 128 * 2 // 3 & ~4095)
        if values[2] < usual:
            fix = remedy.column(context, key, 2, default_max)
            sentence = "lower than the kernel's own default: fast transfers over a distance suffer"
            wanted = Wanted(">=", usual)
            return warn(sentence, values[2], wanted=wanted, unit="bytes", fix=fix)
        if values[2] > 64 * MIB:
            sentence = "a single slow reader can hold this much"
            return info(sentence, values[2], unit="bytes")
        return ok(values[2], unit="bytes")

    return judge


def _slow_start(context: Context) -> Answer:
    key = "net.ipv4.tcp_slow_start_after_idle"
    value = context.sysctl_int(key)
    control = context.host.get("/proc/sys/net/ipv4/tcp_congestion_control")
    if control.startswith("bbr"):
        raise NotApplicable("BBR paces by itself and does not look at it")
    if value == 0:
        return ok(0)
    fix = remedy.sysctl(context, key, 0, "set")
    sentence = "a kept connection starts slowly again after each pause of its visitor"
    return info(sentence, value, wanted=Wanted("==", 0), fix=fix)


def _mtu_probing(context: Context) -> Answer:
    key = "net.ipv4.tcp_mtu_probing"
    value = context.sysctl_int(key)
    if value != 0:
        return ok(value)
    return ok(0, "1 helps visitors behind networks that drop ICMP")


def _retries2(context: Context) -> Answer:
    value = context.sysctl_int("net.ipv4.tcp_retries2")
    if value >= 8:
        return ok(value)
    sentence = "RFC 1122 asks for 100 s at least, which is 8: connections break at each disturbance"
    fix = remedy.sysctl(context, "net.ipv4.tcp_retries2", 15)
    return warn(sentence, value, wanted=Wanted(">=", 8), fix=fix)


def _busy_poll(context: Context) -> Answer:
    values = [context.sysctl_int(f"net.core.{name}") for name in ("busy_poll", "busy_read")]
    if not any(values):
        return ok(0, unit="us")
    fix = remedy.by_hand("set both to 0; SO_BUSY_POLL is for single sockets")
    sentence = "every socket of the machine spins: it takes the cores that the workers need"
    return warn(sentence, max(values), wanted=Wanted("==", 0), unit="us", fix=fix)


def _migrate(context: Context) -> Answer:
    key = "net.ipv4.tcp_migrate_req"
    value = context.sysctl_int(key)
    if value == 1:
        return ok(1)
    return ok(0, "the workers share one listener, so no connection is lost with a worker")


def _ipv6(context: Context) -> Answer:
    wants = [str(item) for item in context.listeners if ":" in item.host]
    off = context.host.get("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1") == "1"
    present = context.host.exists("/proc/net/if_inet6") and not off
    if present:
        return ok(current=True)
    if wants:
        fix = remedy.by_hand("listen on 0.0.0.0:PORT, or turn IPv6 on")
        return fail(f"{wants[0]} cannot be opened: IPv6 is off", current=False, fix=fix)
    return ok(current=False, because="and no listener needs it")


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table below."""

    name: str
    title: str
    judge: Callable[[Context], Answer]
    tunable: bool = False
    host_only: bool = False
    vital: bool = False

    def check(self) -> Check:
        scope = "host" if self.host_only else "netns"
        return Check(
            f"net.{self.name}",
            self.title,
            self.judge,
            scope,
            vital=self.vital,
            host_only=self.host_only,
            tunable=self.tunable,
        )


_OVERFLOW = "a burst that would have been served a moment later is answered with resets"
_COLLAPSE = "connections with any loss or distance become slow"
_ROWS = (
    _Row("somaxconn", "Listen backlog", _somaxconn, tunable=True),
    _Row("syncookies", "SYN cookies", _syncookies, tunable=True),
    _Row("tcp_max_syn_backlog", "Half-open connections", _syn_backlog, tunable=True),
    _Row(
        "abort_on_overflow",
        "Full queues do not reset",
        _must_be("net.ipv4.tcp_abort_on_overflow", 0, _OVERFLOW),
        tunable=True,
    ),
    _Row("port_range", "Ports for outgoing connections", _port_range, tunable=True),
    _Row("reserved_ports", "Listeners keep their ports", _reserved_ports, tunable=True),
    _Row("unprivileged_port_start", "Low ports", _unprivileged_ports, tunable=True, vital=True),
    _Row("tw_reuse", "Reuse of TIME_WAIT", _tw_reuse),
    _Row("tw_buckets", "Sockets in TIME_WAIT", _tw_buckets),
    _Row("fin_timeout", "Time of half-closed sockets", _fin_timeout),
    _Row("max_orphans", "Orphaned sockets", _orphans, host_only=True),
    _Row("tcp_mem", "Memory of TCP", _tcp_mem, host_only=True),
    _Row("tcp_rmem", "Receive buffers", _buffers("tcp_rmem", 6 * MIB), tunable=True),
    _Row("tcp_wmem", "Send buffers", _buffers("tcp_wmem", 4 * MIB), tunable=True),
    _Row(
        "rmem_max",
        "Largest SO_RCVBUF",
        _shown("net.core.rmem_max", "bytes; what the kernel tunes by itself is not bounded by it"),
    ),
    _Row(
        "wmem_max",
        "Largest SO_SNDBUF",
        _shown("net.core.wmem_max", "bytes; what the kernel tunes by itself is not bounded by it"),
    ),
    _Row(
        "moderate_rcvbuf",
        "Receive buffers adapt",
        _moderate("net.ipv4.tcp_moderate_rcvbuf", _COLLAPSE),
        tunable=True,
    ),
    _Row(
        "window_scaling",
        "Window scaling",
        _moderate("net.ipv4.tcp_window_scaling", "no connection carries more than 64 KiB at once"),
        tunable=True,
    ),
    _Row(
        "sack",
        "Selective acknowledgements",
        _moderate("net.ipv4.tcp_sack", "one lost packet sends all that followed once more"),
        tunable=True,
    ),
    _Row(
        "timestamps",
        "TCP timestamps",
        _moderate(
            "net.ipv4.tcp_timestamps", "old packets are taken for new ones, and times are guessed"
        ),
        tunable=True,
    ),
    _Row("slow_start_idle", "Slow start after idle", _slow_start, tunable=True),
    _Row(
        "notsent_lowat",
        "Unsent data of a socket",
        _shown("net.ipv4.tcp_notsent_lowat", "bytes; a matter of single sockets"),
    ),
    _Row("congestion", "Congestion control", _shown("net.ipv4.tcp_congestion_control", "in use")),
    _Row("qdisc", "Queueing discipline", _shown("net.core.default_qdisc", "for new devices")),
    _Row("mtu_probing", "Path MTU probing", _mtu_probing),
    _Row(
        "fastopen",
        "TCP Fast Open",
        _shown("net.ipv4.tcp_fastopen", "the server does not ask for it"),
    ),
    _Row("migrate_req", "Queued connections move", _migrate),
    _Row(
        "keepalive",
        "Keep-alive probes",
        _shown("net.ipv4.tcp_keepalive_time", "s; the server's own time-outs are shorter"),
    ),
    _Row(
        "synack_retries", "Answers to a SYN", _shown("net.ipv4.tcp_synack_retries", "times again")
    ),
    _Row("retries2", "Retransmissions", _retries2, tunable=True),
    _Row("ecn", "Congestion notification", _shown("net.ipv4.tcp_ecn", "2 answers those who ask")),
    _Row("busy_poll", "No global busy polling", _busy_poll, host_only=True),
    _Row("ipv6", "IPv6", _ipv6, vital=True),
)
CHECKS = tuple(row.check() for row in _ROWS)
