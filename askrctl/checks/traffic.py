# SPDX-License-Identifier: MIT
"""Checks of what the network has been doing: queues, drops, tables that fill up.

Counters since boot prove nothing about today, so two readings of the same run are compared; what is
only history is a remark.
"""

from contextlib import suppress
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.model import Wanted
from askrctl.probes.host import NotApplicable

NETSTAT = "/proc/net/netstat"
SNMP = "/proc/net/snmp"
SOFTNET = "/proc/net/softnet_stat"


def pairs(text: str) -> dict[str, int]:
    """/proc/net/netstat and snmp: a line of names, then a line of numbers."""
    lines = text.splitlines()
    found = {}
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        for name, number in zip(names.split()[1:], numbers.split()[1:], strict=False):
            found[name] = int(number)
    return found


def _grown(context: Context, path: str, *names: str) -> tuple[int, int]:
    """(growth in this run, since boot) of these counters together."""
    first, second = (pairs(text) for text in context.counters(path))
    total = sum(second.get(name, 0) for name in names)
    return total - sum(first.get(name, 0) for name in names), total


def _listen_drops(context: Context) -> Answer:
    grown, total = _grown(context, NETSTAT, "ListenOverflows", "ListenDrops")
    fix = remedy.by_hand("more workers, or a longer queue: net.core.somaxconn")
    if grown > 0:
        sentence = f"{grown} connections were dropped while this ran: a listener's queue is full"
        return fail(sentence, grown, wanted=Wanted("==", 0), fix=fix)
    if total > 0:
        return info(f"{total} connections were dropped since boot, none now", 0, fix=fix)
    return ok(0)


def _syn_drops(context: Context) -> Answer:
    grown, total = _grown(context, NETSTAT, "TCPReqQFullDoCookies", "TCPReqQFullDrop")
    if grown > 0:
        sentence = f"{grown} times the queue of new connections was full: a burst, or a flood"
        return warn(
            sentence,
            grown,
            wanted=Wanted("==", 0),
            fix=remedy.by_hand(
                "more workers; a longer queue: net.somaxconn; or a flood: net.syncookies"
            ),
        )
    return ok(0, f"{total} since boot" if total else "")


def _health(context: Context) -> Answer:
    first, second = (pairs(text) for text in context.counters(SNMP))
    sent = second.get("OutSegs", 0) - first.get("OutSegs", 0)
    again = second.get("RetransSegs", 0) - first.get("RetransSegs", 0)
    if sent < 1000:  # too little to speak of a share
        total = second.get("OutSegs", 0)
        share = 100.0 * second.get("RetransSegs", 0) / total if total else 0.0
        return ok(round(share, 2), "since boot", unit="%")
    share = round(100.0 * again / sent, 2)
    if share > 5.0:
        sentence = f"{share} % of what is sent is sent again: the network loses packets"
        return warn(
            sentence,
            share,
            wanted=Wanted("<=", 5.0),
            unit="%",
            fix=remedy.by_hand("mtr to a client that is slow, and ip -s link: see nic.drops"),
        )
    return ok(share, unit="%")


def _softnet(text: str, column: int) -> int:
    rows = (line.split() for line in text.splitlines())
    return sum(int(row[column], 16) for row in rows if len(row) > column)


def _backlog(context: Context) -> Answer:
    first, second = context.counters(SOFTNET)
    grown = _softnet(second, 1) - _softnet(first, 1)
    key = "net.core.netdev_max_backlog"
    value = context.sysctl_int(key)
    if grown == 0:
        return ok(value, f"{_softnet(second, 1)} packets dropped since boot", unit="packets")
    fix = remedy.sysctl(context, key, value * 2)
    sentence = f"{grown} packets were dropped before TCP saw them"
    return warn(sentence, value, wanted=Wanted(">=", value * 2), unit="packets", fix=fix)


def _budget(context: Context) -> Answer:
    first, second = context.counters(SOFTNET)
    rate = (_softnet(second, 2) - _softnet(first, 2)) / max(context.sample_s, 0.1)
    value = context.sysctl_int("net.core.netdev_budget")
    if rate <= 10:
        return ok(value, unit="packets")
    fix = remedy.sysctl(context, "net.core.netdev_budget", 600)
    sentence = f"{rate:.0f} times a second a core had to leave packets for later"
    return warn(sentence, value, wanted=Wanted(">=", 600), unit="packets", fix=fix)


def _listening(context: Context) -> list[dict[str, int]]:
    """Listening TCP sockets: port, what waits, and how much may (sock_diag(7))."""

    def ask() -> list[dict[str, int]]:
        from pyroute2 import DiagSocket

        found = []
        with DiagSocket() as diag:
            diag.bind()
            for family in (2, 10):  # AF_INET, AF_INET6
                for row in diag.get_sock_stats(family=family, states=1 << 10):  # TCP_LISTEN
                    found.append(
                        {
                            "port": row["idiag_sport"],
                            "queued": row["idiag_rqueue"],
                            "backlog": row["idiag_wqueue"],
                            "uid": row["idiag_uid"],
                            "inode": row["idiag_inode"],
                        }
                    )
        return found

    found: list[dict[str, int]] = context.host.probe("listening sockets", ask)
    return found


def _accept_queue(context: Context) -> list[Answer]:
    ours = {item.port for item in context.listeners if item.port}
    rows = [row for row in _listening(context) if row["port"] in ours and row["backlog"]]
    if not rows or context.server is None:
        raise NotApplicable("no listener of a running server")
    answers = []
    for row in rows:
        share = 100 * row["queued"] // row["backlog"]
        name = f"port {row['port']}"
        if share > 50:
            sentence = f"{row['queued']} connections wait of {row['backlog']} that may"
            judge = fail if share > 90 else warn
            fix = remedy.by_hand("askrctl status: which worker lags; more workers or processes")
            wanted = Wanted("<=", 50)
            answers.append(judge(sentence, share, wanted=wanted, unit="%", fix=fix).to(name))
        else:
            answers.append(ok(share, unit="%").to(name))
    return answers


def _port_available(context: Context) -> list[Answer]:
    if context.server is not None:
        raise NotApplicable("a server is running and has its ports")
    taken = {row["port"]: row for row in _listening(context)}
    answers = []
    for item in context.listeners:
        if not item.port:
            continue
        row: dict[str, Any] | None = taken.get(item.port)
        if row is None:
            answers.append(ok("free").to(str(item)))
            continue
        fix = remedy.by_hand(f"ss -ltnp 'sport = :{item.port}'")
        sentence = f"port {item.port} is in use, by a process of user {row['uid']}"
        answers.append(fail(sentence, "in use", fix=fix).to(str(item)))
    return answers


def _conntrack(context: Context) -> Answer:
    count = context.sysctl_int("net.netfilter.nf_conntrack_count")
    limit = context.sysctl_int("net.netfilter.nf_conntrack_max")
    share = 100 * count // max(limit, 1)
    wanted = Wanted("<=", 70)
    if share <= 70:
        return ok(share, f"{count} of {limit} connections", unit="%", wanted=wanted)
    fix = remedy.sysctl(context, "net.netfilter.nf_conntrack_max", limit * 2)
    sentence = f"{count} of {limit} tracked connections; when it is full, new ones are dropped"
    return (fail if share > 90 else warn)(sentence, share, unit="%", wanted=wanted, fix=fix)


def _neighbours(context: Context) -> Answer:
    limit = context.sysctl_int("net.ipv4.neigh.default.gc_thresh3")

    def ask() -> int:
        from pyroute2 import IPRoute

        with IPRoute() as route:
            return sum(1 for _ in route.get_neighbours(family=2))

    count: int = context.host.probe("neighbours", ask)
    if count * 10 <= limit * 7:
        return ok(count, f"of {limit}", unit="entries")
    fix = remedy.sysctl(context, "net.ipv4.neigh.default.gc_thresh3", limit * 2)
    sentence = f"{count} of {limit} neighbours; when the table is full, hosts cannot be reached"
    return warn(sentence, count, wanted=Wanted("<=", limit * 7 // 10), unit="entries", fix=fix)


def _resolver(context: Context) -> Answer:
    servers = [
        line.split()[1]
        for line in context.host.get("/etc/resolv.conf").splitlines()
        if line.startswith("nameserver") and len(line.split()) > 1
    ]
    if not servers:
        return warn(
            "there is no name server in /etc/resolv.conf",
            0,
            fix=remedy.by_hand(
                "nameserver ADDRESS in /etc/resolv.conf, or systemctl start systemd-resolved"
            ),
        )

    def timed() -> float:
        import socket
        import time

        started = time.perf_counter()
        with suppress(socket.gaierror):
            socket.getaddrinfo("askrctl.invalid", 80)  # RFC 2606: no such name
        return time.perf_counter() - started

    ms = round(1000 * float(context.host.probe("resolver", timed)))
    if ms > 500:
        fix = remedy.by_hand("a caching resolver on this machine")
        sentence = f"a name takes {ms} ms, in which an application process can do nothing else"
        return warn(sentence, ms, wanted=Wanted("<=", 500), unit="ms", fix=fix)
    return ok(ms, unit="ms")


CHECKS = (
    Check(
        "net.accept_queue",
        "Waiting connections",
        _accept_queue,
        "netns",
    ),
    Check(
        "net.listen_drops",
        "No dropped connections",
        _listen_drops,
        "netns",
        sampled=True,
    ),
    Check("net.syn_drops", "Room for new connections", _syn_drops, "netns", sampled=True),
    Check("net.health", "Retransmissions", _health, "netns", sampled=True),
    Check(
        "net.netdev_max_backlog",
        "Queue before TCP",
        _backlog,
        sampled=True,
        host_only=True,
        tunable=True,
    ),
    Check(
        "net.netdev_budget",
        "Packets at a time",
        _budget,
        sampled=True,
        host_only=True,
        tunable=True,
    ),
    Check("net.conntrack", "Connection tracking", _conntrack, "netns", tunable=True),
    Check("net.neigh", "Neighbour table", _neighbours, host_only=True, tunable=True),
    Check("port.available", "Ports are free", _port_available, "netns", vital=True),
    Check("dns.resolver", "Name resolution", _resolver, network=True),
)
