# SPDX-License-Identifier: MIT
"""The files that tune owns: what makes a change outlast a boot.

Three formats, each with one spelling: what `render` writes, `parse` reads, and a text that does not
come out the same is not ours. That is how a plan file from somewhere else is held to the list of
keys, and how an edited file is noticed.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from askrctl.probes import sysctl_files
from askrctl.tune import devices, keys, units
from askrctl.tune.disk import Disk

NAME = "60-askr.conf"  # so that an administrator's later file wins
RULES = "/etc/udev/rules.d/60-askr.rules"
NAME_TO_WIN = "99-zz-askr.conf"  # later than what distributions and administrators use
HEADER = (
    "# Managed by askrctl tune: do not edit. `askrctl tune revert` takes it back,\n"
    "# `askrctl tune history` says who wrote it, when and why.\n"
)
ENTRIES_MAX = 100  # more than there are keys


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting of a file, and the checks that asked for it."""

    name: str
    value: str
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """`head` comes once; `line` and `split` are each other's opposite."""

    head: str
    line: Callable[[str, str], str]
    split: Callable[[str], tuple[str, str] | None]
    fault: Callable[[str, str], str]


def _split_at(separator: str) -> Callable[[str], tuple[str, str] | None]:
    def split(line: str) -> tuple[str, str] | None:
        name, found, value = line.partition(separator)
        return (name, value) if found else None

    return split


def _split_tmpfiles(line: str) -> tuple[str, str] | None:
    words = line.split(" ")
    if len(words) != 7 or words[0] != "w-" or words[2:6] != ["-"] * 4:
        return None
    return words[1], words[6]


def _sysctl_fault(name: str, value: str) -> str:
    key = keys.SYSCTLS.get(name)
    return "tune does not write this key" if key is None else key.fault(value)


def _sysfs_fault(name: str, value: str) -> str:
    key = keys.find(name) if name.startswith("/sys/") else None
    return "tune does not write this file" if key is None else key.fault(value)


SYSCTL_D = Format("", "{} = {}".format, _split_at(" = "), _sysctl_fault)
TMPFILES_D = Format("", "w- {} - - - - {}".format, _split_tmpfiles, _sysfs_fault)
UDEV_D = Format("", devices.rule_line, devices.rule_split, devices.rule_fault)
UNIT_D = Format("[Service]\n", "{}={}".format, _split_at("="), units.fault)


def paths(unit: str) -> dict[str, Format]:
    """Every file that tune may write."""
    return {
        f"/etc/sysctl.d/{NAME}": SYSCTL_D,
        f"/etc/sysctl.d/{NAME_TO_WIN}": SYSCTL_D,
        f"/etc/tmpfiles.d/{NAME}": TMPFILES_D,
        RULES: UDEV_D,
        f"/etc/systemd/system/{unit}.d/{NAME}": UNIT_D,
        f"/etc/systemd/system/{unit}.d/{NAME_TO_WIN}": UNIT_D,
    }


_ELSEWHERE = {
    "/etc/sysctl.d/": sysctl_files.FOLDERS[1:],
    "/etc/tmpfiles.d/": ("/run/tmpfiles.d", "/usr/lib/tmpfiles.d"),
    "/etc/udev/rules.d/": ("/run/udev/rules.d", "/usr/lib/udev/rules.d"),
    "/etc/systemd/system/": units.FOLDERS[1:],
}


def hides(disk: Disk, path: str) -> str:
    """The file of a package that ours, by its name, would switch off; "" if there is none."""
    for folder, others in _ELSEWHERE.items():
        for other in others:
            same_name = f"{other}/{path.removeprefix(folder)}"
            if path.startswith(folder) and disk.exists(same_name):
                return same_name
    return ""


_EDITS_MAX = 3


def edits(left: str, now: str) -> str:
    """What somebody has changed in a file of ours, in one line: "+a = 1; -b = 2"."""
    rows = difflib.unified_diff(left.splitlines(), now.splitlines(), lineterm="", n=0)
    changed = [row[:80] for row in list(rows)[2:] if not row.startswith("@@")]
    more = [f"and {len(changed) - _EDITS_MAX} lines more"] if len(changed) > _EDITS_MAX else []
    return "; ".join([*changed[:_EDITS_MAX], *more]) or "only the end of a line"


def aside(path: str) -> str:
    """The command that moves a file out of our way and keeps what it sets: before our own."""
    folder, _, name = path.rpartition("/")
    return f"mv {path} {folder}/59-local.{name.rpartition('.')[2]}"


def is_ours(path: str) -> bool:
    """A file that tune may have written, for whatever unit."""
    folder, _, unit = path.rpartition("/")[0].rpartition("/")
    if folder == "/etc/systemd/system" and unit.endswith(".d"):
        name = unit.removesuffix(".d")
        return units.UNIT_NAME.fullmatch(name) is not None and path in paths(name)
    return path in paths("askr.service")


def render(form: Format, entries: dict[str, Entry]) -> str:
    parts = [HEADER, "\n", form.head]
    for name in sorted(entries):
        entry = entries[name]
        if entry.checks:
            parts.append(f"# {', '.join(entry.checks)}\n")
        parts.append(form.line(entry.name, entry.value) + "\n")
    return "".join(parts)


def parse(form: Format, text: str) -> dict[str, Entry]:
    """ValueError with a sentence unless `render` would write exactly this text."""
    entries: dict[str, Entry] = {}
    checks: tuple[str, ...] = ()
    start = HEADER + "\n" + form.head
    if not text.startswith(start):
        raise ValueError("it does not begin as a file of askrctl does")
    for line in text[len(start) :].split("\n")[:-1]:
        if line.startswith("# "):
            checks = tuple(line[2:].split(", "))
            continue
        split = form.split(line)
        if split is None:
            raise ValueError(f"{line[:80]!r} is no setting")
        entries[split[0]] = Entry(*split, checks)
        checks = ()
    if len(entries) > ENTRIES_MAX or render(form, entries) != text:
        raise ValueError("it is not spelt as askrctl spells it")
    return entries


def fault(form: Format, text: str) -> str:
    """Why this text may not be written; "" if it may."""
    try:
        entries = parse(form, text)
    except ValueError as error:
        return str(error)
    for entry in entries.values():
        wrong = form.fault(entry.name, entry.value)
        if wrong:
            return f"{entry.name}: {wrong}"
    return ""
