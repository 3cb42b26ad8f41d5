# SPDX-License-Identifier: MIT
"""A fake root for tune, and the ways in which a machine may fail under it.

`Trouble` stands in for the system calls: it counts each one that changes something and crashes
before the Nth, or in the middle of it; it refuses values, clamps them, or runs out of space. It is
the real file system otherwise: files are in a temporary folder.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item, Kind
from askrctl.tune.store import Store
from askrctl.tune.system import System

SOMAXCONN = "/proc/sys/net/core/somaxconn"
RMEM = "/proc/sys/net/ipv4/tcp_rmem"
NR_OPEN = "/proc/sys/fs/nr_open"
OURS = "/etc/sysctl.d/60-askr.conf"
RPS = "/sys/class/net/eth0/queues/rx-0/rps_cpus"
RULES = "/etc/udev/rules.d/60-askr.rules"
DROPIN = "/etc/systemd/system/askr.service.d/60-askr.conf"
BOOT = "/proc/sys/kernel/random/boot_id"

ITEMS = (
    Item("net.core.somaxconn", Kind.SYSCTL, "raise", "128", "4096"),
    Item("net.ipv4.tcp_rmem", Kind.SYSCTL, "raise", "4096 131072 6291456", "4096 131072 33554432"),
    Item(OURS, Kind.FILE, "own", None, "net.core.somaxconn = 4096\n"),
    Item(DROPIN, Kind.FILE, "own", None, "[Service]\nLimitNOFILE=65536\n"),
    Item(RPS, Kind.SYSFS, "set", "00", "f"),
    Item(RULES, Kind.FILE, "own", None, "# a rule\n"),
)


class Crash(BaseException):
    """The process is gone, at once: no handler of the code under test may catch this."""


@dataclass(slots=True)
class Trouble(System):
    """`crash_at`: the call that does not return. `torn`: it is done first, a write by half."""

    crash_at: int = 0
    torn: bool = False
    calls: int = 0
    refuse: dict[str, int] = field(default_factory=dict)  # end of a path -> errno
    clamp: dict[str, str] = field(default_factory=dict)  # end of a path -> what becomes of a value
    space: int | None = None  # bytes that may still be written to files
    meddle_at: int = 0  # the call during which somebody else does something
    meddle: Callable[[], None] = lambda: None
    on_put: Callable[[int], None] = lambda _number: None  # told which call is one of those

    def _step(self) -> bool:
        """True when this is the call to crash in, half-way."""
        self.calls += 1
        if self.calls == self.meddle_at:
            self.meddle()
        if self.calls != self.crash_at:
            return False
        if not self.torn:
            raise Crash
        return True

    def put(self, path: str, data: bytes) -> None:
        self.on_put(self.calls + 1)
        torn = self._step()
        for end, number in self.refuse.items():
            if path.endswith(end):
                raise OSError(number, os.strerror(number), path)
        for end, value in self.clamp.items():
            if path.endswith(end):
                data = value.encode()
        Path(path).write_bytes(data)  # a kernel takes a value whole or not at all
        if torn:
            raise Crash

    def open(self, path: str, flags: int, mode: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._after(self._step())
        return System.open(self, path, flags, mode)

    @staticmethod
    def _after(torn: bool) -> None:
        if torn:
            raise Crash

    def write(self, target: int, data: bytes) -> int:
        if self._step():
            System.write(self, target, data[: len(data) // 2])
            raise Crash
        if self.space is not None:
            room, self.space = self.space, max(self.space - len(data), 0)
            if room < len(data):
                if room == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return System.write(self, target, data[:room])
        return System.write(self, target, data)

    def truncate(self, target: int, size: int) -> None:
        torn = self._step()
        System.truncate(self, target, size)
        self._after(torn)

    def chmod(self, target: int, mode: int) -> None:
        self._after(self._step())
        System.chmod(self, target, mode)

    def fsync(self, _target: int) -> None:
        self._after(self._step())  # the file system of the test never loses what was written

    def rename(self, source: str, target: str) -> None:
        torn = self._step()
        System.rename(self, source, target)
        self._after(torn)

    def unlink(self, path: str) -> None:
        torn = self._step()
        System.unlink(self, path)
        self._after(torn)

    def mkdir(self, path: str, mode: int) -> None:
        torn = self._step()
        System.mkdir(self, path, mode)
        self._after(torn)

    def rmdir(self, path: str) -> None:
        torn = self._step()
        System.rmdir(self, path)
        self._after(torn)


@dataclass(slots=True)
class Machine:
    """A root with a few keys, and what is needed to work on it."""

    root: Path
    system: Trouble = field(default_factory=Trouble)
    facts: Facts = field(default_factory=lambda: Facts(boot="boot-1"))

    @property
    def disk(self) -> Disk:
        return Disk(self.root, self.system)

    @property
    def store(self) -> Store:
        return Store(self.disk)

    def write(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def read(self, path: str) -> str | None:
        try:
            return (self.root / path.lstrip("/")).read_text()
        except FileNotFoundError:
            return None

    def look(self) -> dict[str, str]:
        """All that an operator would see: values, files, folders, but not our own records."""
        state = self.root / "var"
        return {
            str(path.relative_to(self.root)): tidy(path)
            for path in sorted(self.root.rglob("*"))
            if state not in path.parents and path != state
        }


def tidy(path: Path) -> str:
    return " ".join(path.read_text().split()) if path.is_file() else "folder"


def make(root: Path, system: Trouble | None = None) -> Machine:
    """A machine with three keys, and a folder for sysctl.d."""
    machine = Machine(root, system or Trouble())
    machine.write(SOMAXCONN, "128\n")
    machine.write(RMEM, "4096\t131072\t6291456\n")
    machine.write(NR_OPEN, "1048576\n")
    machine.write(RPS, "00\n")
    machine.write("/sys/class/net/eth0/address", "52:54:00:12:34:56\n")
    machine.write(BOOT, "boot-1\n")
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    return machine
