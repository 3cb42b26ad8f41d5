# SPDX-License-Identifier: MIT
"""Whom the checks answer for: the process that serves, or will serve, and what it may do.

A doctor started by root sees root's capabilities and a shell's limits; the server has neither. So
facts come from the server's own process, from its unit's files, or from a user's name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from askrctl.model import AskrError, Credentials
from askrctl.probes.host import CannotTell, Host, key_values

UNLIMITED = -1
# Capability bits that matter to a server (include/uapi/linux/capability.h).
CAPABILITIES = {
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_SYS_RESOURCE": 24,
}
_LIMIT_NAMES = {
    "Max open files": "nofile",
    "Max locked memory": "memlock",
    "Max processes": "nproc",
    "Max core file size": "core",
}
_UNIT_LIMITS = {
    "LimitNOFILE": "nofile",
    "LimitMEMLOCK": "memlock",
    "LimitNPROC": "nproc",
    "LimitCORE": "core",
}
# systemd-system.conf(5): DefaultLimitNOFILE=1024:524288, DefaultLimitMEMLOCK=8M.
SYSTEMD_DEFAULTS = {"nofile": (1024, 524288), "memlock": (8 << 20, 8 << 20)}
UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom we answer for. `limits` maps a name to (soft, hard); -1 is no limit."""

    kind: str = "self"  # self, user, unit, pid
    name: str = ""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    pid: int | None = None
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()
    initial_userns: bool = True
    seccomp: int = 0
    no_new_privs: bool = False
    context: str = "self"  # self, target (a process was read), simulated (worked out)

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.uid, self.gid, self.groups, self.name)

    def can(self, capability: str) -> bool:
        """Has it where the kernel asks for it: in the initial user namespace."""
        return self.initial_userns and capability in self.capabilities

    def soft(self, limit: str) -> int | None:
        return self.limits.get(limit, (None, None))[0]

    def hard(self, limit: str) -> int | None:
        return self.limits.get(limit, (None, None))[1]


def parse_limits(text: str) -> dict[str, tuple[int, int]]:
    """/proc/PID/limits (proc(5)): fixed columns, since names have blanks in them."""
    found = {}
    for line in text.splitlines():
        name = _LIMIT_NAMES.get(line[:26].strip())
        words = line[26:].split()
        known = name is not None and len(words) >= 2
        if name and known and all(word == "unlimited" or word.isdigit() for word in words[:2]):
            soft, hard = (UNLIMITED if word == "unlimited" else int(word) for word in words[:2])
            found[name] = (soft, hard)
    return found


def _capabilities(status: dict[str, str]) -> frozenset[str]:
    mask = int(status.get("CapEff", "0"), 16)
    return frozenset(name for name, bit in CAPABILITIES.items() if mask >> bit & 1)


def is_initial_userns(uid_map: str) -> bool:
    """The whole of the id space mapped onto itself (user_namespaces(7))."""
    return uid_map.split() in ([], ["0", "0", "4294967295"])


def of_process(host: Host, pid: int | None) -> Target:
    """A running process, or ourselves."""
    where = f"/proc/{pid if pid is not None else 'self'}"
    try:
        status = key_values(host.read(f"{where}/status"))
        limits = parse_limits(host.read(f"{where}/limits"))
    except FileNotFoundError:
        raise AskrError(f"there is no process {pid}", "askrctl doctor --target self") from None
    except CannotTell as error:
        raise AskrError(str(error), f"sudo askrctl doctor --target pid:{pid}", code=3) from None
    try:
        return _target(host, pid, status, limits)
    except (ValueError, IndexError):
        message = f"{where}/status could not be understood"
        raise AskrError(message, "askrctl doctor --target user:NAME", code=3) from None


def _target(
    host: Host, pid: int | None, status: dict[str, str], limits: dict[str, tuple[int, int]]
) -> Target:
    where = f"/proc/{pid if pid is not None else 'self'}"
    return Target(
        kind="self" if pid is None else "pid",
        name="" if pid is None else str(pid),
        uid=int(status.get("Uid", "0 0").split()[1]),
        gid=int(status.get("Gid", "0 0").split()[1]),
        groups=tuple(int(word) for word in status.get("Groups", "").split()),
        pid=pid,
        limits=limits,
        capabilities=_capabilities(status),
        initial_userns=is_initial_userns(host.get(f"{where}/uid_map")),
        seccomp=int(status.get("Seccomp", "0")),
        no_new_privs=status.get("NoNewPrivs") == "1",
        context="self" if pid is None else "target",
    )


def find_user(host: Host, name: str) -> Credentials:
    """A user of that machine, by name or number."""
    for line in host.get("/etc/passwd").splitlines():
        words = line.split(":")
        numbers = len(words) >= 4 and words[2].isdigit() and words[3].isdigit()
        if numbers and name in (words[0], words[2]):
            uid, gid = int(words[2]), int(words[3])
            return Credentials(uid, gid, _groups(host, words[0], gid), words[0])
    raise AskrError(f"there is no user {name!r}", "askrctl doctor --target self", code=2)


def _groups(host: Host, user: str, gid: int) -> tuple[int, ...]:
    rows = (line.split(":") for line in host.get("/etc/group").splitlines())
    more = (
        int(row[2])
        for row in rows
        if len(row) >= 4 and row[2].isdigit() and user in row[3].split(",")
    )
    return (gid, *more)


def find_group(host: Host, name: str) -> int:
    """The number of a group; -1 when that machine has none of the name."""
    rows = (line.split(":") for line in host.get("/etc/group").splitlines())
    return next((int(row[2]) for row in rows if len(row) >= 3 and name in (row[0], row[2])), -1)


def as_user(who: Credentials, base: Target) -> Target:
    """What `base`, being root, becomes when it gives itself up for this user."""
    kept = base.capabilities if who.uid == 0 else frozenset()
    return replace(
        base,
        kind="user",
        name=who.name,
        uid=who.uid,
        gid=who.gid,
        groups=who.groups,
        capabilities=kept,
        context="self" if who.uid == base.uid else "simulated",
    )


# --- units ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Directive:
    """One line of a unit, and where it stands."""

    name: str
    value: str
    path: str


def unit_files(host: Host, unit: str) -> list[str]:
    """The unit's file and its drop-ins, in the order in which they count (systemd.unit(5))."""
    main = next((f"{d}/{unit}" for d in UNIT_FOLDERS if host.exists(f"{d}/{unit}")), "")
    drop_ins: dict[str, str] = {}
    for folder in reversed(UNIT_FOLDERS):
        for path in host.glob(f"{folder}/{unit}.d/*.conf"):
            drop_ins[path.rsplit("/", 1)[1]] = path
    return [main, *(drop_ins[name] for name in sorted(drop_ins))] if main else []


def _lines(text: str) -> Iterator[str]:
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        if line.strip() and line.strip()[0] not in "#;":
            yield line.strip()


def directives(host: Host, unit: str) -> list[Directive]:
    """Every assignment of the unit, in order. An empty value takes earlier ones back."""
    found: list[Directive] = []
    for path in unit_files(host, unit):
        for line in _lines(host.get(path)):
            name, equals, value = line.partition("=")
            if equals:
                found.append(Directive(name.strip(), value.strip(), path))
    return found


def last(found: list[Directive], name: str) -> Directive | None:
    """The one that counts, of a directive that is not a list."""
    return next((item for item in reversed(found) if item.name == name and item.value), None)


def words(found: list[Directive], name: str) -> list[str]:
    """A directive that is a list: lines add up, an empty one starts again."""
    result: list[str] = []
    for item in found:
        if item.name == name:
            result = result + item.value.split() if item.value else []
    return result


def parse_limit(text: str) -> tuple[int, int]:
    """`soft:hard` or one value for both; sizes may have K, M, G (systemd.exec(5))."""
    try:
        pair = [_limit_number(word) for word in text.split(":", 1)]
    except ValueError:
        raise AskrError(f"{text!r} is no limit: see systemd.exec(5)", code=3) from None
    return pair[0], pair[-1]


def _limit_number(word: str) -> int:
    if word == "infinity":
        return UNLIMITED
    unit = _UNITS.get(word[-1:].upper(), 0)
    return int(word[:-1]) * unit if unit else int(word)


def of_unit(host: Host, unit: str) -> Target:
    """What a unit's files say its processes will be."""
    found = directives(host, unit)
    if not found:
        hint = "askrctl doctor --target self"
        raise AskrError(f"there is no unit {unit} in {', '.join(UNIT_FOLDERS)}", hint, code=2)
    user = last(found, "User")
    who = find_user(host, user.value) if user else Credentials(0, 0, (), "root")
    extra = [find_group(host, name) for name in words(found, "SupplementaryGroups")]
    limits = dict(SYSTEMD_DEFAULTS)
    for directive, name in _UNIT_LIMITS.items():
        item = last(found, directive)
        if item is not None:
            limits[name] = parse_limit(item.value)
    ambient = words(found, "AmbientCapabilities")
    held = CAPABILITIES if who.uid == 0 else ambient
    private = last(found, "PrivateUsers")
    return Target(
        kind="unit",
        name=unit,
        uid=who.uid,
        gid=who.gid,
        groups=(*who.groups, *extra),
        limits=limits,
        capabilities=frozenset(name for name in held if name in CAPABILITIES),
        initial_userns=private is None or private.value in ("no", "false", "0", "off"),
        seccomp=2 if words(found, "SystemCallFilter") else 0,
        context="simulated",
    )


def processes(host: Host) -> list[dict[str, Any]]:
    """pid, name and user id of what runs."""

    def ask() -> list[dict[str, Any]]:
        import psutil

        fields = ["pid", "name", "uids", "ppid"]
        rows = (process.info for process in psutil.process_iter(fields))
        return [
            {
                "pid": row["pid"],
                "name": row["name"],
                "ppid": row["ppid"],
                "uid": row["uids"].effective if row["uids"] else None,
            }
            for row in rows
        ]

    found: list[dict[str, Any]] = host.probe("processes", ask)
    return found
