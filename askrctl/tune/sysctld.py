# SPDX-License-Identifier: MIT
"""Which line of which file sets a key at the next boot (sysctl.d(5), sysctl(8) --system).

systemd-sysctl reads the `*.conf` of four folders in the order of their file names, whatever the
folder; a file hides those of the same name in later folders, also when it is empty or a link to
/dev/null. A later assignment wins. A key that is assigned, or excluded by a lone `-key`, is out of
reach of every glob. `sysctl --system` reads the same files and then /etc/sysctl.conf once more.
"""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from askrctl.tune.disk import Disk

# Highest precedence first. /lib is another folder only where /usr is not merged.
FOLDERS = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
LAST = "/etc/sysctl.conf"
PROGRAMS = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")


@dataclass(frozen=True, slots=True)
class Assignment:
    """`value` is None for a key that is excluded from globs. `path` is where somebody edits it."""

    key: str
    value: str | None
    path: str
    line: int

    @property
    def glob(self) -> bool:
        return any(character in self.key for character in "*?[")

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class File:
    path: str
    text: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def dotted(name: str) -> str:
    """The key as it is found below /proc/sys, its parts joined by "/".

    The first separator decides: after a slash all stays as it is, after a dot they are swapped.
    """
    first = next((character for character in name if character in "./"), ".")
    if first == "/":
        return name.strip("/")
    return name.translate(str.maketrans("./", "/."))


def parse(file: File) -> list[Assignment]:
    """What a file assigns, in its own order. Lines that no program would take are left out."""
    found: list[Assignment] = []
    for number, line in enumerate(file.text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if equals:
            key = dotted(name.removeprefix("-").strip())
            found.append(Assignment(key, value.strip(), file.path, number))
        elif name.startswith("-"):
            found.append(Assignment(dotted(name[1:].strip()), None, file.path, number))
    return found


def files(disk: Disk) -> list[File]:
    """Those that count at boot, in the order in which they are read."""
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
    """What systemd-sysctl leaves the key at; None: the kernel's default stays."""
    wanted = key.replace(".", "/")
    table: dict[str, Assignment] = {}
    for assignment in (assignment for file in found for assignment in parse(file)):
        known = table.get(assignment.key)
        if known is not None and known.value == assignment.value:
            continue  # it keeps the place of the first: among globs the place decides
        table.pop(assignment.key, None)
        table[assignment.key] = assignment
    chosen = table.get(wanted)
    if chosen is None:
        globs = (one for one in table.values() if one.glob and one.value is not None)
        chosen = next((one for one in reversed(list(globs)) if _matches(wanted, one.key)), None)
    return chosen if chosen is not None and chosen.value is not None else None


def _matches(key: str, pattern: str) -> bool:
    """glob(7): no wildcard stands for a slash."""
    return key.count("/") == pattern.count("/") and fnmatch.fnmatchcase(key, pattern)


def winner_of_system(disk: Disk, found: list[File], key: str) -> Assignment | None:
    """What `sysctl --system` leaves it at: /etc/sysctl.conf has the last word."""
    text = disk.read(LAST)
    last = winner([File(LAST, text)], key) if text is not None else None
    return last or winner(found, key)


def boot_winner(disk: Disk, found: list[File], key: str) -> Assignment | None:
    """By the program that this machine has."""
    if any(disk.exists(program) for program in PROGRAMS):
        return winner(found, key)
    return winner_of_system(disk, found, key)
