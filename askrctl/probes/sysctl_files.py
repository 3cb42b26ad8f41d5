# SPDX-License-Identifier: MIT
"""Which file decides a sysctl at the next boot (sysctl.d(5), sysctl(8)).

systemd takes the union of *.conf of four folders; of two with one name the first folder's counts;
then all in the order of their names, later ones win. /etc/sysctl.conf counts only through a link
such as Debian 12's 99-sysctl.conf. procps' `sysctl --system` reads it once more at the very end.
"""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from askrctl.probes.host import Host

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
LAST = "/etc/sysctl.conf"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A line of a file: where, and what it sets. `key` has dots; it may be a pattern."""

    path: str
    line: int
    key: str
    value: str

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def normal(key: str) -> str:
    """net/ipv4/conf/eth0.1/x and net.ipv4.x are both written; the first separator decides."""
    key = key.lstrip("-").strip()
    if "/" in key and ("." not in key or key.index("/") < key.index(".")):
        return key.replace(".", "\0").replace("/", ".").replace("\0", "/")
    return key


def parse(path: str, text: str) -> Iterator[Assignment]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;" or "=" not in stripped:
            continue
        key, _, value = stripped.partition("=")
        yield Assignment(path, number, normal(key), " ".join(value.split()))


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
    return [item for path in files(host) for item in parse(path, host.get(path))]


def setters(found: list[Assignment], key: str) -> list[Assignment]:
    """Those that set a key; the last one wins, but a pattern loses to a full name."""
    exact = [item for item in found if item.key == key]
    if exact:
        return exact
    return [item for item in found if "*" in item.key and fnmatch.fnmatchcase(key, item.key)]
