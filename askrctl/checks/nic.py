# SPDX-License-Identifier: MIT
"""Checks of network devices: queues, offloads, drops, and who handles their interrupts.

One answer for each device that carries traffic. Virtual devices have none of these, and a driver
that does not know a question is no fault.
"""

import re
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, info, ok, warn
from askrctl.model import Fix, Wanted
from askrctl.probes import machine
from askrctl.probes.host import NotApplicable
from askrctl.probes.process import processes

_VIRTUAL = re.compile(r"^(lo|veth|tun|tap|docker|br-|virbr|ifb|dummy|cni|flannel|cali|wg)")


def links(context: Context) -> list[dict[str, Any]]:
    """Devices with an address that are up, and are real or the only way out (rtnetlink(7))."""

    def ask() -> list[dict[str, Any]]:
        from pyroute2 import IPRoute

        found = []
        with IPRoute() as route:
            for link in route.get_links():
                stats = link.get_attr("IFLA_STATS64") or {}
                found.append(
                    {
                        "name": link.get_attr("IFLA_IFNAME"),
                        "up": link["state"] == "up",
                        "mtu": link.get_attr("IFLA_MTU"),
                        "qdisc": link.get_attr("IFLA_QDISC"),
                        "rx_dropped": stats.get("rx_dropped", 0),
                        "rx_missed": stats.get("rx_missed_errors", 0),
                    }
                )
        return found

    found: list[dict[str, Any]] = context.host.probe("links", ask)
    real = [row for row in found if row["up"] and not _VIRTUAL.match(row["name"])]
    if not real:
        raise NotApplicable("no network device but virtual ones")
    return real


def _ethtool(context: Context, name: str) -> dict[str, Any]:
    """Channels, rings and features of a device, as far as its driver tells (ethtool netlink)."""

    def ask() -> dict[str, Any]:
        from pyroute2 import Ethtool
        from pyroute2.netlink.exceptions import NetlinkError

        tool = Ethtool()
        found: dict[str, Any] = {}
        try:
            for kind, question in (("channels", tool.get_channels), ("rings", tool.get_rings)):
                try:
                    answer = question(name)
                except (NetlinkError, OSError, AttributeError, KeyError):
                    continue
                found[kind] = {k: v for k, v in vars(answer).items() if isinstance(v, int)}
            found["features"] = _features(tool, name)
        finally:
            tool.close()
        return found

    found: dict[str, Any] = context.host.probe(f"ethtool {name}", ask)
    return found


def _features(tool: Any, name: str) -> dict[str, bool]:
    """The offloads that matter, on or off."""
    from pyroute2.netlink.exceptions import NetlinkError

    wanted = ("rx-gro", "tx-tcp-segmentation", "tx-generic-segmentation")
    try:
        features = tool.get_features(name).features
    except (NetlinkError, OSError, AttributeError, KeyError):
        return {}
    return {key: bool(features[key].enable) for key in wanted if key in features}


def _queue_count(context: Context, name: str, kind: str) -> int:
    return len(context.host.glob(f"/sys/class/net/{name}/queues/{kind}-*"))


def _primary(context: Context) -> list[Answer]:
    answers = []
    for row in links(context):
        path = context.host.link(f"/sys/class/net/{row['name']}/device/driver")
        driver = path.rsplit("/", 1)[-1] or "no driver"
        answers.append(ok(driver, f"MTU {row['mtu']}, {row['qdisc']}").to(row["name"]))
    return answers


def _queues(context: Context) -> list[Answer]:
    answers = []
    for row in links(context):
        name = row["name"]
        current = _queue_count(context, name, "rx")
        channels = _ethtool(context, name).get("channels", {})
        most = max(channels.get("combined_max", 0), channels.get("rx_max", 0))
        if 0 < current < context.workers and most > current:
            wanted = min(most, context.workers)
            fix = remedy.by_hand(f"ethtool -L {name} combined {wanted}", needs=("root",))
            sentence = f"{current} receive queues for {context.workers} workers; it can have {most}"
            answer = warn(sentence, current, wanted=Wanted(">=", wanted), unit="queues", fix=fix)
        else:
            answer = ok(current, unit="queues")
        answers.append(answer.to(name))
    return answers


def _mask(text: str) -> int:
    return int(text.replace(",", "") or "0", 16)


def _mask_text(cores: list[int]) -> str:
    """As the kernel wants it: groups of eight digits (cpumask_parse, lib/bitmap-str.c)."""
    digits = f"{sum(1 << core for core in cores):x}"
    digits = digits.zfill(-(-len(digits) // 8) * 8) if len(digits) > 8 else digits
    return ",".join(digits[place : place + 8] for place in range(0, len(digits), 8))


def _spread(queues: list[str], mask: str) -> Fix:
    """All queues of a device at once; wrong on a remote machine it can cost the connection."""
    parts = [remedy.sysfs(path, mask) for path in queues]
    return Fix(
        manual=tuple(line for part in parts for line in part.manual),
        needs=("root",),
        settings=tuple(setting for part in parts for setting in part.settings),
        risk="medium",
    )


def _rps(context: Context) -> list[Answer]:
    answers = []
    cores = len(machine.online(context.host))
    for row in links(context):
        name = row["name"]
        queues = context.host.glob(f"/sys/class/net/{name}/queues/rx-*/rps_cpus")
        masks = [_mask(context.host.get(path)) for path in queues]
        if masks and len(masks) < context.workers and not any(masks) and cores >= 4:
            mask = _mask_text(machine.online(context.host))
            sentence = f"{len(masks)} queue: one core of {cores} handles every packet"
            answer = warn(sentence, "off", fix=_spread(queues, mask))
        else:
            answer = ok("on" if any(masks) else "off", f"{len(masks)} queues, {cores} cores")
        answers.append(answer.to(name))
    return answers


def _interrupts(context: Context, name: str) -> list[str]:
    """Interrupt numbers of a device: by its folder, or by its name in /proc/interrupts."""
    folder = f"/sys/class/net/{name}/device/msi_irqs"
    found = [path.rsplit("/", 1)[1] for path in context.host.glob(f"{folder}/*")]
    if found:
        return found
    lines = context.host.get("/proc/interrupts").splitlines()
    pattern = re.compile(rf"\b{re.escape(name)}\b|{re.escape(name)}-")
    return [line.split(":")[0].strip() for line in lines if pattern.search(line)]


def _affinity(context: Context) -> list[Answer]:
    answers = []
    for row in links(context):
        name = row["name"]
        cores: set[int] = set()
        numbers = _interrupts(context, name)
        for number in numbers:
            text = context.host.get(f"/proc/irq/{number}/effective_affinity_list")
            text = text or context.host.get(f"/proc/irq/{number}/smp_affinity_list")
            cores |= set(machine.parse_cpu_list(text))
        many = len(machine.online(context.host)) >= 4 and len(numbers) >= 4
        if many and len(cores) == 1:
            sentence = f"core {min(cores)} handles all {len(numbers)} interrupts, beside its worker"
            fix = remedy.by_hand("spread them, or keep the workers off that core")
            answers.append(warn(sentence, len(cores), fix=fix, unit="cores").to(name))
        elif numbers:
            answers.append(ok(len(cores), f"{len(numbers)} interrupts", unit="cores").to(name))
    return answers or [_none("no device has interrupts of its own here")]


def _none(why: str) -> Answer:
    raise NotApplicable(why)


def _irqbalance(context: Context) -> Answer:
    running = any(row["name"] == "irqbalance" for row in processes(context.host))
    return ok("running" if running else "not running")


def _rings(context: Context) -> list[Answer]:
    answers = []
    for row in links(context):
        rings = _ethtool(context, row["name"]).get("rings", {})
        current, most = rings.get("rx", 0), rings.get("rx_max", 0)
        if current and most > current and row["rx_missed"]:
            fix = remedy.by_hand(f"ethtool -G {row['name']} rx {most}", needs=("root",))
            sentence = f"{row['rx_missed']} packets were missed since boot, and the ring can grow"
            answer = warn(sentence, current, wanted=Wanted("<=", most), unit="packets", fix=fix)
        elif current:
            answer = ok(current, f"of {most}", unit="packets")
        else:
            continue
        answers.append(answer.to(row["name"]))
    return answers or [_none("no driver here tells of its rings")]


def _offloads(context: Context) -> list[Answer]:
    answers = []
    for row in links(context):
        features = _ethtool(context, row["name"]).get("features", {})
        off = sorted(name for name, on in features.items() if not on)
        bad = [name for name in off if name != "tx-tcp-segmentation"]
        if bad:
            fix = remedy.by_hand(f"ethtool -K {row['name']} gro on gso on", needs=("root",))
            sentence = f"{', '.join(bad)} off: each packet goes through the kernel by itself"
            answers.append(warn(sentence, ", ".join(off), fix=fix).to(row["name"]))
        elif features:
            answers.append(ok("on").to(row["name"]))
    return answers or [_none("no driver here tells of its offloads")]


def _drops(context: Context) -> list[Answer]:
    first, second = context.counters("/proc/net/dev")
    before, after = _dev(first), _dev(second)
    answers = []
    for row in links(context):
        name = row["name"]
        grown = after.get(name, 0) - before.get(name, 0)
        if grown > 0:
            sentence = f"{grown} packets were dropped while this ran"
            answers.append(
                warn(
                    sentence,
                    grown,
                    wanted=Wanted("==", 0),
                    fix=remedy.by_hand(
                        f"ip -s -s link show {row['name']}; then nic.rings, nic.rps"
                    ),
                ).to(name)
            )
        else:
            answers.append(ok(0, f"{after.get(name, 0)} since boot").to(name))
    return answers


def _dev(text: str) -> dict[str, int]:
    """Received and dropped, of each device (proc(5))."""
    found = {}
    for line in text.splitlines():
        name, colon, numbers = line.partition(":")
        if colon:
            found[name.strip()] = int(numbers.split()[3])
    return found


def _mtu(context: Context) -> list[Answer]:
    answers = []
    for row in links(context):
        mtu = int(row["mtu"])
        if mtu < 1500:
            sentence = "smaller than Ethernet's 1500, as in a tunnel: both ends must know"
            answers.append(info(sentence, mtu, unit="bytes").to(row["name"]))
        else:
            answers.append(ok(mtu, unit="bytes").to(row["name"]))
    return answers


def _check(name: str, title: str, judge: Any, **more: Any) -> Check:
    return Check(f"nic.{name}", title, judge, "device", **more)


CHECKS = (
    _check("primary", "Network devices", _primary),
    _check("queues", "Receive queues", _queues, host_only=True),
    _check("rps", "Packets spread over cores", _rps, host_only=True, tunable=True),
    _check("irq_affinity", "Interrupts", _affinity, host_only=True),
    _check("irqbalance", "Interrupt balancing", _irqbalance, host_only=True),
    _check("rings", "Receive rings", _rings, host_only=True),
    _check("offloads", "Offloads", _offloads, host_only=True),
    _check("drops", "No dropped packets", _drops, sampled=True),
    _check("mtu", "Packet size", _mtu),
)
