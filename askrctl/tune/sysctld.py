# SPDX-License-Identifier: MIT
"""The files below sysctl.d as they are, and as they would be with one of ours in another text.

Which line then wins is decided by the rules of askrctl.probes.sysctl_files.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from askrctl.probes.sysctl_files import FOLDERS, LAST, Assignment, parse, setters
from askrctl.tune.disk import Disk

PROGRAMS = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")


@dataclass(frozen=True, slots=True)
class File:
    path: str
    text: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def files(disk: Disk) -> list[File]:
    """Those that systemd-sysctl reads, in its order."""
    by_name: dict[str, File] = {}
    for folder in FOLDERS:
        for name in disk.names(folder):
            if name.endswith(".conf") and name not in by_name:
                path = f"{folder}/{name}"
                text = "" if disk.link(path) == "/dev/null" else disk.read(path)
                by_name[name] = File(path, text or "")
    return [by_name[name] for name in sorted(by_name, key=lambda name: name.encode())]


def replaced(found: Iterable[File], path: str, text: str | None) -> list[File]:
    """As if that file of /etc/sysctl.d had that text, or were not there."""
    name = path.rpartition("/")[2]
    others = [file for file in found if file.name != name]
    ours = [] if text is None else [File(path, text)]
    return sorted([*others, *ours], key=lambda file: file.name.encode())


def winner(found: Iterable[File], key: str) -> Assignment | None:
    """The line that systemd-sysctl leaves the key at; None: the kernel's default stays."""
    assignments = (item for file in found for item in parse(file.path, file.text))
    chosen = setters(assignments, key)
    return chosen[-1] if chosen else None


def winner_of_system(disk: Disk, found: list[File], key: str) -> Assignment | None:
    """The same for `sysctl --system`: /etc/sysctl.conf has the last word."""
    text = disk.read(LAST)
    last = winner([File(LAST, text)], key) if text is not None else None
    return last or winner(found, key)


def boot_winner(disk: Disk, found: list[File], key: str) -> Assignment | None:
    """By the program that sets them at the boot of this machine, or of a tree's."""
    systemd = disk.exists("/run/systemd/system")
    if systemd or (not disk.live and any(disk.exists(program) for program in PROGRAMS)):
        return winner(found, key)
    return winner_of_system(disk, found, key)
