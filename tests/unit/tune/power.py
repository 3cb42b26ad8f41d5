# SPDX-License-Identifier: MIT
"""A disk that loses, when the power goes, all that was not made durable by fsync(2).

The worst that POSIX allows: data of a file since its last fsync is gone, and a file that was made,
renamed or removed is as before unless its folder was synced afterwards.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from unit.tune.machine import BOOT, Machine, Trouble

from askrctl.tune import sysctld
from askrctl.tune.facts import Facts


@dataclass(slots=True)
class Volatile(Trouble):
    """`undo`: folder -> what was there before each change since its last fsync, oldest first."""

    paths: dict[int, str] = field(default_factory=dict)  # open descriptors
    durable: dict[str, bytes] = field(default_factory=dict)  # content at the last fsync
    dirty: set[str] = field(default_factory=set)
    undo: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)

    def _remember(self, path: str) -> None:
        """What is there now, before its folder changes."""
        old: bytes | None = None
        if os.path.isfile(path):
            old = b"" if path in self.dirty else Path(path).read_bytes()
            old = self.durable.get(path, old)
        elif os.path.isdir(path):
            old = b"folder"
        self.undo.setdefault(os.path.dirname(path), []).append((path, old))

    def open(self, path: str, flags: int, mode: int) -> int:
        if flags & os.O_CREAT and not os.path.exists(path):
            self._remember(path)
        elif flags & os.O_ACCMODE != os.O_RDONLY:
            self.durable.setdefault(path, Path(path).read_bytes())
        target = Trouble.open(self, path, flags, mode)
        self.paths[target] = path
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self.dirty.add(path)
        return target

    def fsync(self, target: int) -> None:
        Trouble.fsync(self, target)
        path = self.paths[target]
        if os.path.isdir(path):
            self.undo.pop(path, None)
            return
        self.durable[path] = Path(path).read_bytes()
        self.dirty.discard(path)

    def rename(self, source: str, target: str) -> None:
        assert source not in self.dirty, "a file is renamed before its data is durable"
        self._remember(target)
        self._remember(source)
        Trouble.rename(self, source, target)
        self.durable[target] = Path(target).read_bytes()

    def unlink(self, path: str) -> None:
        self._remember(path)
        Trouble.unlink(self, path)

    def mkdir(self, path: str, mode: int) -> None:
        self._remember(path)
        Trouble.mkdir(self, path, mode)

    def rmdir(self, path: str) -> None:
        self._remember(path)
        Trouble.rmdir(self, path)

    def lose(self) -> None:
        """The power goes."""
        for path in self.dirty:
            if os.path.isfile(path):
                Path(path).write_bytes(self.durable.get(path, b""))
        for changes in reversed(list(self.undo.values())):
            for path, old in reversed(changes):
                _restore(Path(path), old)


def _restore(path: Path, old: bytes | None) -> None:
    if old is None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    elif old == b"folder":
        path.mkdir(exist_ok=True)
    elif path.parent.is_dir():
        path.write_bytes(old)


def boot(machine: Machine, originals: dict[str, str], number: int) -> None:
    """The machine comes up again: the kernel's defaults, then what the files say."""
    machine.system = Trouble()
    files = sysctld.files(machine.disk)
    for path, value in originals.items():
        key = path.removeprefix("/proc/sys/").replace("/", ".")
        found = sysctld.winner(files, key)
        machine.write(path, f"{found.value if found is not None else value}\n")
    machine.write(BOOT, f"boot-{number}\n")
    machine.facts = Facts(boot=f"boot-{number}")
