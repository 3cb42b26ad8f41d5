# SPDX-License-Identifier: MIT
"""What of the peers is on this machine, and as whom they run: as the owner of what they serve.

Nothing here starts a server. A peer that is not installed, or that cannot run this application, is
a value that says so.
"""

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from askrctl.bench.contenders import Contender, Site

_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_FPM = """\
[global]
daemonize = no
error_log = {own}/fpm.err
[www]
{user}
listen = {own}/fpm.sock
listen.mode = 0666
listen.backlog = 4096
pm = static
pm.max_children = {processes}
clear_env = no
"""


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer without figures. `state`: not installed, not applicable, or failed."""

    name: str
    state: str
    reason: str


Peer = Contender | Missing


def find(name: str) -> str | None:
    """A program in PATH or among those of root."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN)))


def find_fpm() -> str | None:
    """php-fpm or php-fpm8.2, wherever the distribution has it; the newest one."""
    folders = (*_SBIN, *os.environ.get("PATH", "").split(os.pathsep))
    found = [path for folder in folders for path in Path(folder).glob("php-fpm*")]
    return str(max(found, key=lambda path: path.name)) if found else None


def owner(path: Path) -> str:
    """Whom a server started by root becomes: the owner of the served path, as serve does."""
    return pwd.getpwuid(path.stat().st_uid).pw_name


def mode_of(site: Site) -> str:
    """That of a server which runs each script anew for each request, as our classic mode does."""
    return "classic" if site.php else "static"


def as_owner(site: Site, own: Path, command: list[str]) -> list[str]:
    """For servers that do not change their user themselves; `own` is theirs then."""
    if os.geteuid() != 0 or owner(site.path) == "root":
        return command
    entry = pwd.getpwnam(owner(site.path))
    os.chown(own, entry.pw_uid, entry.pw_gid)
    words = ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--init-groups"]
    return ["setpriv", *words, "--", *command]


def make_folder(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir()
    own.chmod(0o755)  # its workers are another user
    return own


def fpm_command(site: Site, own: Path) -> list[str]:
    """php-fpm on a socket in `own`; by root it runs as the owner of the application."""
    fpm = find_fpm()
    assert fpm is not None
    root = os.geteuid() == 0
    user = owner(site.path)
    lines = f"user = {user}\ngroup = {user}" if root else ""
    (own / "fpm.conf").write_text(_FPM.format(own=own, user=lines, processes=site.processes))
    command = [fpm, "-F", "-y", str(own / "fpm.conf")]
    return [*command, "-R"] if root and user == "root" else command
