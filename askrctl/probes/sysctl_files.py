# SPDX-License-Identifier: MIT
"""Which line of which file decides a sysctl at the next boot (sysctl.d(5), sysctl(8)).

systemd takes the union of *.conf of its folders; of two with one name the first folder's counts;
then all in the order of their names, later ones win. A key that is set, or excluded by a lone -key,
is out of reach of every pattern. /etc/sysctl.conf counts only through a link such as Debian 12's
99-sysctl.conf. procps' `sysctl --system` reads it once more at the very end.

The rules are held against systemd-sysctl itself by tests/unit/tune/test_sysctld.py.
"""

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from askrctl.probes.host import CannotTell, Host

# Highest precedence first. /lib is another folder only where /usr is not merged.
FOLDERS = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
LAST = "/etc/sysctl.conf"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A line of a file: where, and what it sets. `key` has dots; it may be a pattern.

    `excludes`: a lone -key, which no pattern may set.
    """

    path: str
    line: int
    key: str
    value: str
    excludes: bool = False

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def normal(key: str) -> str:
    """net/ipv4/conf/eth0.1/x and net.ipv4.x are both written; the first separator decides."""
    key = key.lstrip("-").strip()
    if "/" in key and ("." not in key or key.index("/") < key.index(".")):
        return key.strip("/").translate(str.maketrans("./", "/."))
    return key


def parse(path: str, text: str) -> Iterator[Assignment]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        key, equals, value = stripped.partition("=")
        if equals:
            yield Assignment(path, number, normal(key), " ".join(value.split()))
        elif key.startswith("-"):
            yield Assignment(path, number, normal(key), "", excludes=True)


def files(host: Host) -> list[str]:
    """In the order in which they are applied at boot."""
    chosen: dict[str, str] = {}
    for folder in FOLDERS:
        for path in host.glob(f"{folder}/*.conf"):
            chosen.setdefault(path.rsplit("/", 1)[1], path)
    ordered = [chosen[name] for name in sorted(chosen)]
    shown = [path for path in ordered if host.link(path) != "/dev/null"]
    linked = any(host.link(path).endswith("sysctl.conf") for path in shown)
    without_systemd = not host.exists("/run/systemd/system")
    if host.exists(LAST) and not linked and without_systemd:
        shown.append(LAST)
    return shown


def assignments(host: Host) -> list[Assignment]:
    """Every line of every file that counts, in order."""
    return [item for path in files(host) for item in parse(path, _text(host, path))]


def _text(host: Host, path: str) -> str:
    try:
        return host.whole(path)
    except (FileNotFoundError, CannotTell):
        return ""


def setters(found: Iterable[Assignment], key: str) -> list[Assignment]:
    """Those that set a key; the last one wins. A pattern loses to a full name, wherever it is."""
    found = list(found)
    exact = [item for item in found if item.key == key]
    if exact:
        return [] if exact[-1].excludes else [item for item in exact if not item.excludes]
    patterns: dict[str, Assignment] = {}
    for item in found:
        known = patterns.get(item.key)
        if known is not None and known.value == item.value:
            continue  # it keeps the place of the first: among patterns the place decides
        patterns.pop(item.key, None)
        patterns[item.key] = item
    return [item for item in patterns.values() if not item.excludes and _matches(key, item.key)]


def _matches(key: str, pattern: str) -> bool:
    """glob(7) on the path below /proc/sys: no wildcard stands for a separator."""
    words, globs = key.split("."), pattern.split(".")
    if len(words) != len(globs) or not any(character in pattern for character in "*?["):
        return False
    return all(map(fnmatch.fnmatchcase, words, globs))
