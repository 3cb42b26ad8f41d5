# SPDX-License-Identifier: MIT
"""Checks of the server's unit, read from its files and drop-ins in the order in which they count.

The files are the truth of the next start. They are read rather than asked for over D-Bus, so the
answer is the same in a container, in a captured tree and on a machine that has not booted yet.
"""

import re
from collections.abc import Callable
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, info, ok, warn
from askrctl.checks.php import facts
from askrctl.config import parse_seconds
from askrctl.model import AskrError, Wanted
from askrctl.probes import process, unit_filter
from askrctl.probes.host import NotApplicable
from askrctl.probes.process import Directive, last, words

_YES = ("yes", "true", "1", "on")
_FAMILIES = ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK")


def _unit(context: Context) -> list[Directive]:
    if not context.unit:
        raise NotApplicable("no unit of the server is installed")
    return process.directives(context.host, context.unit)


def _present(context: Context) -> Answer:
    found = _unit(context)
    paths = list(dict.fromkeys(item.path for item in found))
    try:
        process.of_unit(context.host, context.unit)
    except AskrError as error:
        return fail(
            f"the unit cannot start: {error.message}",
            context.unit,
            fix=remedy.by_hand(
                f"useradd --system NAME, or another User= by systemctl edit {context.unit}"
            ),
        )
    return ok(context.unit, f"{len(paths)} files").at("files", ", ".join(paths))


def _limits(context: Context) -> Answer:
    found = _unit(context)
    limits = dict(process.SYSTEMD_DEFAULTS)
    for directive, name in (("LimitNOFILE", "nofile"), ("LimitMEMLOCK", "memlock")):
        item = last(found, directive)
        if item is not None:
            limits[name] = process.parse_limit(item.value)
    hard = limits["nofile"][1]
    need = max(context.files_needed, 65536)
    shown = f"LimitNOFILE {'infinity' if hard < 0 else hard}"
    if 0 <= hard < need:
        fix = remedy.unit(context, "LimitNOFILE", str(need), default=True)
        sentence = "the unit's limit of open files is too low for its connections"
        return warn(sentence, shown, wanted=Wanted(">=", need), fix=fix)
    return ok(shown, f"LimitMEMLOCK {limits['memlock'][1]}")


def _effective(context: Context) -> Answer:
    """A drop-in of ours that a later one overrides."""
    found = _unit(context)
    ours = [item for item in found if item.path.endswith("/60-askr.conf")]
    for item in ours:
        winner = last(found, item.name)
        if winner is not None and winner.path != item.path and winner.value != item.value:
            fix = remedy.by_hand(f"change {winner.path}, which comes later")
            sentence = f"{winner.path} sets {item.name}={winner.value} after our {item.value}"
            return warn(sentence, winner.value, wanted=Wanted("==", item.value), fix=fix)
    return ok(because=f"{len(ours)} directives of ours count")


def _private_users(context: Context) -> Answer:
    item = last(_unit(context), "PrivateUsers")
    if item is None or item.value not in (*_YES, "self", "identity", "full"):
        return ok(current=False)
    fix = remedy.unit(context, "PrivateUsers", "no", "set")
    sentence = (
        "capabilities count in the unit's own user namespace only: memlock limits apply to root"
    )
    return warn(sentence, current=True, fix=fix)


def _syscall_filter(context: Context) -> Answer:
    lines = [item.value for item in _unit(context) if item.name == "SystemCallFilter"]
    passes, denied = unit_filter.judge(lines)
    if passes:
        return ok("a filter that lets io_uring pass" if any(lines) else "none")
    if denied:
        fix = remedy.by_hand(f"remove SystemCallFilter={denied}, or put @aio behind it")
    else:
        fix = remedy.unit(context, "SystemCallFilter", "@aio", "append")
    sentence = "the unit's filter blocks io_uring: the server runs on epoll"
    return warn(sentence, " ".join(lines)[:80], fix=fix)


def _mdwe(context: Context) -> Answer:
    item = last(_unit(context), "MemoryDenyWriteExecute")
    if item is None or item.value not in _YES:
        return ok(current=False)
    settings = facts(context).get("ini", {})
    if str(settings.get("pcre.jit", "1")) in ("0", "", "off"):
        return ok(current=True, because="and PHP compiles nothing to machine code")
    fix = remedy.unit(context, "MemoryDenyWriteExecute", "no", "set")
    sentence = "PCRE's and OPcache's compilers may not map their code: regular expressions fail"
    return fail(sentence, current=True, fix=fix)


def _kernel_tunables(context: Context) -> Answer:
    found = _unit(context)
    names = [
        name
        for name, values in (("ProtectKernelTunables", _YES), ("ProcSubset", ("pid",)))
        if (item := last(found, name)) is not None and item.value in values
    ]
    if not names:
        return ok(current=False)
    return ok(", ".join(names), "askrctl tune and parts of doctor have to run outside the unit")


def _families(context: Context) -> Answer:
    listed = words(_unit(context), "RestrictAddressFamilies")
    if not listed or listed == ["none"] or listed[0].startswith("~"):
        if listed == ["none"]:
            fix = remedy.unit(context, "RestrictAddressFamilies", " ".join(_FAMILIES), "set")
            return fail("the unit may open no socket at all", "none", fix=fix)
        return ok("no allow-list")
    has6 = any(":" in item.host for item in context.listeners)
    needed = [
        name
        for name in _FAMILIES
        if name not in ("AF_INET6", "AF_NETLINK") or (name == "AF_INET6" and has6)
    ]
    missing = [name for name in needed if name not in listed]
    if missing:
        fix = remedy.unit(context, "RestrictAddressFamilies", " ".join(missing), "append")
        sentence = f"the unit may not open sockets of {', '.join(missing)}"
        return fail(sentence, " ".join(listed), fix=fix)
    return ok(" ".join(listed))


def _caps(context: Context) -> Answer:
    found = _unit(context)
    user = last(found, "User")
    low = sorted({item.port for item in context.listeners if 0 < item.port < 1024})
    if not low or user is None or user.value in ("root", "0"):
        return ok(because="no low port is opened by an unprivileged user")
    ambient = words(found, "AmbientCapabilities")
    bounding = words(found, "CapabilityBoundingSet")
    name = "CAP_NET_BIND_SERVICE"
    if name in ambient and (not bounding or name in bounding):
        return ok(name)
    fix = remedy.unit(context, "AmbientCapabilities", name, "append", default=True)
    sentence = f"User={user.value} may not open port {low[0]} without {name}"
    return fail(sentence, " ".join(ambient) or "none", fix=fix)


def _restart(context: Context) -> Answer:
    found = _unit(context)
    restart = last(found, "Restart")
    if restart is None or restart.value in ("no", "on-success"):
        fix = remedy.unit(context, "Restart", "on-failure", "set")
        shown = restart.value if restart else "no"
        return warn("after a crash of the supervisor nothing starts it again", shown, fix=fix)
    stop = last(found, "TimeoutStopSec")
    seconds = _seconds(stop.value) if stop else 90.0
    drain = context.config.timeouts.drain
    if seconds is not None and seconds < drain:
        fix = remedy.unit(context, "TimeoutStopSec", str(round(drain) + 5))
        sentence = f"systemd kills the server after {seconds:g} s, draining may take {drain:g} s"
        return warn(sentence, seconds, wanted=Wanted(">=", drain), unit="s", fix=fix)
    kind = last(found, "Type")
    if kind is None or kind.value not in ("notify", "notify-reload"):
        fix = remedy.unit(context, "Type", "notify", "set")
        sentence = "systemd takes the server for started before it can answer"
        return info(sentence, kind.value if kind else "simple", fix=fix)
    return ok(restart.value)


def _seconds(text: str) -> float | None:
    """30, 30s, 1min 30s (systemd.time(7)); None when it is no limit or not understood."""
    if text in ("infinity", "0"):
        return None
    total = 0.0
    for number, name in re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text):
        short = {"": "s", "sec": "s", "min": "m", "minutes": "m", "seconds": "s"}.get(name, name)
        try:
            total += parse_seconds(f"{number}{short}")
        except ValueError:
            return None
    return total


def _ordering(context: Context) -> Answer:
    found = _unit(context)
    fixed = [
        item
        for item in context.listeners
        if item.host not in ("", "0.0.0.0", "::") and not item.is_local
    ]
    after = words(found, "After")
    if not fixed or "network-online.target" in after:
        return ok(" ".join(after) or "none")
    fix = remedy.by_hand(f"systemctl edit {context.unit}: After= and Wants=network-online.target")
    sentence = f"{fixed[0]} may not be there yet when the unit starts"
    return warn(sentence, " ".join(after) or "none", fix=fix)


def _check(
    name: str,
    title: str,
    judge: Callable[[Context], Answer],
    **more: Any,
) -> Check:
    return Check(f"sd.{name}", title, judge, "file", **more)


CHECKS = (
    _check("unit", "The server's unit", _present),
    _check("limits", "Limits of the unit", _limits, tunable=True),
    _check("effective", "Our drop-ins count", _effective),
    _check("private_users", "User namespace of the unit", _private_users, tunable=True),
    _check("syscallfilter", "System calls of the unit", _syscall_filter, tunable=True),
    _check("mdwe", "Machine code may be mapped", _mdwe, tunable=True),
    _check("kernel_tunables", "Kernel settings are hidden", _kernel_tunables),
    _check("address_families", "Sockets of the unit", _families, tunable=True),
    _check("caps", "Low ports of the unit", _caps, tunable=True),
    _check("restart", "Restart and stop", _restart, tunable=True),
    _check("ordering", "The network is there", _ordering),
)
