# SPDX-License-Identifier: MIT
"""What the kernel knows of a process that does not go on: read from /proc, bounded, never fatal.

Everything here may be missing: the process may end while it is looked at, and some files are for
root alone. What cannot be read is left out.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FDS_MAX = 256
TABLE_SIZE_MAX = 1 << 20  # of /proc/net/tcp: 7000 connections; the supervisor must not linger here
DESCENDANTS_MAX = 64
COMMAND_SIZE_MAX = 200

_TCP_STATES = {1: "established", 2: "connecting", 6: "time-wait", 8: "close-wait", 10: "listening"}
_LOCK = re.compile(r"(\d+): (-> )?(\w+)\s+(\w+)\s+(\w+) (-?\d+) ([0-9a-f]+:[0-9a-f]+:\d+) \S+ \S+")


@dataclass(frozen=True, slots=True)
class Forensics:
    """One process, at one moment."""

    state: str = ""  # R, S, D, … as in proc(5)
    wchan: str = ""  # the kernel function it waits in
    syscall: str = ""  # number and arguments, or "running"
    stack: tuple[str, ...] = ()  # in the kernel; for root alone
    sockets: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    children: tuple[str, ...] = ()  # "PID COMMAND": what exec() waits for


def _read(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(TABLE_SIZE_MAX)
    except OSError:
        return ""


def _links(folder: Path) -> dict[str, str]:
    """Descriptor → what it is."""
    found = {}
    try:
        names = sorted(os.listdir(folder), key=lambda name: (len(name), name))[:FDS_MAX]
    except OSError:
        return {}
    for name in names:
        try:
            found[name] = os.readlink(folder / name)
        except OSError:
            continue
    return found


def _address(text: str) -> str:
    """0100007F:1F90 as the kernel prints it, each 32-bit word in the machine's order."""
    digits, _, port = text.partition(":")
    words = [digits[at : at + 8] for at in range(0, len(digits), 8)]
    packed = b"".join(bytes.fromhex(word)[::-1] for word in words)
    if len(packed) == 4:
        return f"{'.'.join(map(str, packed))}:{int(port, 16)}"
    groups = [packed[at : at + 2].hex() for at in range(0, len(packed), 2)]
    return f"[{':'.join(groups)}]:{int(port, 16)}"


def _tcp_sockets(table: str, inodes: set[str]) -> Iterator[str]:
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[9] in inodes:
            state = _TCP_STATES.get(int(words[3], 16), words[3])
            yield f"tcp {_address(words[1])} to {_address(words[2])} {state}"


def _unix_sockets(table: str, inodes: set[str]) -> Iterator[str]:
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[6] in inodes:
            yield f"unix {words[7]}"


def _sockets(process: Path, links: dict[str, str]) -> Iterator[str]:
    inodes = {link[8:-1] for link in links.values() if link.startswith("socket:[")}
    if not inodes:
        return
    for name in ("tcp", "tcp6"):
        yield from _tcp_sockets(_read(process / "net" / name), inodes)
    yield from _unix_sockets(_read(process / "net/unix"), inodes)


def _file_names(process: Path, links: dict[str, str]) -> dict[str, str]:
    """ "major:minor:inode", as /proc/locks writes it → path."""
    names = {}
    for fd, link in links.items():
        try:
            status = os.stat(process / "fd" / fd)
        except OSError:
            continue
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        names[f"{device}:{status.st_ino}"] = link
    return names


def _locks(table: str, pid: int, names: dict[str, str]) -> Iterator[str]:
    """What it holds, and what it waits for and from whom: a waiter follows the holder's line."""
    holder = ""
    for line in table.splitlines():
        match = _LOCK.match(line)
        if match is None:
            continue
        _, waits, kind, _, how, owner, file = match.groups()
        if not waits:
            holder = owner
        if owner != str(pid):
            continue
        what = f"{kind.lower()} {how.lower()} {names.get(file, file)}"
        yield f"waits for {what}, held by {holder}" if waits else f"holds {what}"


def descendants(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """Children and theirs, as far as they have not been left to init."""
    family = [pid]
    for member in family:  # which grows meanwhile
        if len(family) <= DESCENDANTS_MAX:
            family += _children(member, proc)
    return family[1 : DESCENDANTS_MAX + 1]


def _children(pid: int, proc: Path) -> list[int]:
    texts = [_read(path) for path in sorted((proc / str(pid) / "task").glob("*/children"))]
    return [int(word) for text in texts for word in text.split()]


def _command(pid: int, proc: Path) -> str:
    words = _read(proc / str(pid) / "cmdline").replace("\0", " ").strip()
    return f"{pid} {words}"[:COMMAND_SIZE_MAX]


def collect(pid: int, proc: Path = Path("/proc")) -> Forensics:
    """Look once; a process that is gone gives empty words."""
    process = proc / str(pid)
    links = _links(process / "fd")
    wchan = _read(process / "wchan").strip()
    return Forensics(
        state=_read(process / "stat").rpartition(")")[2].strip()[:1],
        wchan="" if wchan == "0" else wchan,
        syscall=_read(process / "syscall").strip(),
        stack=tuple(_read(process / "stack").splitlines()),
        sockets=tuple(_sockets(process, links)),
        locks=tuple(_locks(_read(proc / "locks"), pid, _file_names(process, links))),
        children=tuple(_command(child, proc) for child in descendants(pid, proc)),
    )
