# SPDX-License-Identifier: MIT
"""Directives of a systemd unit: what counts now, by which file, and what tune may set.

The unit file comes first, then the drop-ins of its folder in the order of their names (systemd.unit
(5)): a later assignment wins, lists add up, and an empty assignment empties the list. `raise`
compares the hard limit, to which the server raises its soft one.
"""

import re
from dataclasses import dataclass

from askrctl.model import Rule
from askrctl.tune.disk import Disk
from askrctl.tune.sysctld import File

# Highest precedence first (systemd.unit(5), "Unit File Load Path").
FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,80}\.service")
INFINITY = 2**64 - 1
_SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


@dataclass(frozen=True, slots=True)
class Directive:
    """`default` is what systemd gives a unit that does not say; `pattern` is of one word.

    `open` lists allow everything until they say something: then to add would be to forbid the rest.
    """

    rule: Rule
    pattern: str
    high: int = INFINITY
    default: int = 0
    open: bool = False


_COUNT = r"[0-9]{1,10}"
_SIZE = r"[0-9]{1,15}[KMGT]?|infinity"
DIRECTIVES = {
    # systemd-system.conf(5): DefaultLimitNOFILE=1024:524288, DefaultLimitMEMLOCK=8M
    "LimitNOFILE": Directive("raise", _COUNT, 1 << 24, 524288),
    "LimitMEMLOCK": Directive("raise", _SIZE, INFINITY, 8 << 20),
    "LimitNPROC": Directive("raise", _COUNT, 4194304),
    "LimitCORE": Directive("raise", _SIZE),
    "TasksMax": Directive("raise", r"[0-9]{1,10}|infinity"),
    "OOMScoreAdjust": Directive("set", r"-500|0"),
    "Type": Directive("set", "notify"),
    "Restart": Directive("set", "on-failure"),
    "PrivateUsers": Directive("set", "no"),
    "MemoryDenyWriteExecute": Directive("set", "no"),
    "TimeoutStopSec": Directive("raise", r"[0-9]{1,5}", 86400, 90),
    "AmbientCapabilities": Directive(
        "append", "CAP_(NET_BIND_SERVICE|IPC_LOCK|SYS_RESOURCE|SYS_NICE)"
    ),
    "CapabilityBoundingSet": Directive(
        "append", "CAP_(NET_BIND_SERVICE|IPC_LOCK|SYS_RESOURCE|SYS_NICE)", open=True
    ),
    "RestrictAddressFamilies": Directive("append", "AF_(INET|INET6|UNIX|NETLINK)", open=True),
    "SystemCallFilter": Directive("append", "@aio", open=True),
    # Names that give no rights by themselves: a plan file must not make anybody root.
    "User": Directive("set", "askr|www-data"),
    "SupplementaryGroups": Directive("append", "iouring|io_uring"),
}


def fault(name: str, value: str) -> str:
    """Why this directive may not be given this value; "" if it may."""
    directive = DIRECTIVES.get(name)
    if directive is None:
        return "tune does not write this directive"
    words = value.split(" ") if directive.rule == "append" else [value]
    if any(re.fullmatch(directive.pattern, word) is None for word in words) or len(words) > 20:
        return f"{value[:80]!r} is no value that tune writes there"
    if directive.rule == "raise" and amount(value) > directive.high:
        return (
            f"more than {directive.high} costs more than it gives: tables of that size, and "
            "programs that close every descriptor they could have"
        )
    return ""


def amount(value: str) -> int:
    """The hard limit that a value means: 65536, 1024:524288, 8M, infinity. ValueError if none."""
    text = value.rpartition(":")[2].strip()
    if text == "infinity":
        return INFINITY
    match = re.fullmatch(r"([0-9]{1,18})([KMGTP]?)", text)
    if match is None:
        raise ValueError(f"{value!r} is no limit")
    return int(match[1]) * _SUFFIXES[match[2]]


@dataclass(frozen=True, slots=True)
class Found:
    """What counts for a directive, and the file that has the last word."""

    value: str
    path: str


def unit_files(disk: Disk, unit: str) -> list[File]:
    """The unit and its drop-ins, in the order in which they count. Empty: there is no such unit."""
    unit_file = next((f"{f}/{unit}" for f in FOLDERS if disk.read(f"{f}/{unit}") is not None), None)
    if unit_file is None:
        return []
    by_name: dict[str, str] = {}
    for folder in (*(f"{f}/{unit}.d" for f in FOLDERS), *(f"{f}/service.d" for f in FOLDERS)):
        for name in disk.names(folder):
            if name.endswith(".conf"):
                by_name.setdefault(name, f"{folder}/{name}")
    return [
        File(path, disk.read(path) or "")
        for path in (unit_file, *(by_name[name] for name in sorted(by_name)))
    ]


def replaced(found: list[File], path: str, text: str) -> list[File]:
    """As if that drop-in had that text."""
    dropins = [file for file in found[1:] if file.name != path.rpartition("/")[2]]
    return [found[0], *sorted([*dropins, File(path, text)], key=lambda file: file.name)]


def effective(files: list[File], directive: str) -> Found | None:
    """What the unit has. None: it does not say."""
    listed = DIRECTIVES[directive].rule == "append"
    found: Found | None = None
    for file in files:
        for name, value in _assignments(file.text):
            if name != directive:
                continue
            if listed and value and found is not None:
                value = f"{found.value} {value}"
            found = Found(value, file.path) if value else None
    return found


def _assignments(text: str) -> list[tuple[str, str]]:
    """Those of [Service]. A line that ends in a backslash goes on."""
    found: list[tuple[str, str]] = []
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.append((name.strip(), value.strip()))
    return found


def merged(name: str, before: str | None, asked: str) -> str:
    """What the directive has to be, so that nothing is lowered and nothing taken off a list.

    `before` again when it is met already.
    """
    directive = DIRECTIVES[name]
    if directive.rule == "append":
        have = (before or "").split()
        return " ".join([*have, *(word for word in asked.split() if word not in have)])
    if directive.rule == "set":
        return asked
    try:
        have_amount = directive.default if before is None else amount(before)
    except ValueError:
        return before or asked  # a percentage or a specifier: not ours to compare
    if have_amount < amount(asked):
        return asked
    return before if before is not None else str(directive.default)
