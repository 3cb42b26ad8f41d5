# SPDX-License-Identifier: MIT
"""A network and mount namespace of the test's own, in which real keys may really be written.

Only keys that belong to a network namespace exist as copies in there; the folders that programs
read are replaced by ones of the test, so nothing of the machine outside is read or written.
"""

import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
SECONDS_MAX = 60.0


@functools.cache
def available() -> bool:
    """Root with the right to make namespaces."""
    made = subprocess.run(
        ["unshare", "--net", "--mount", "mount", "-t", "tmpfs", "none", "/var/lib"],
        capture_output=True,
        check=False,
    )
    return made.returncode == 0


def run(tree: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run sh in there. `tree` may hold the folders above, and etc/sysctl.conf; state is empty."""
    lines = ["set -eu", "mount -t tmpfs none /var/lib"]
    for folder in FOLDERS:
        source = tree / folder.lstrip("/")
        source.mkdir(parents=True, exist_ok=True)
        if not Path(folder).is_dir() and any(
            source.iterdir()
        ):  # it cannot be made: hide its parent
            lines += [f"mount -t tmpfs none {Path(folder).parent}", f"mkdir {folder}"]
        elif not Path(folder).is_dir():
            continue
        lines.append(f"mount --bind {shlex.quote(str(source))} {folder}")
    conf = tree / "etc/sysctl.conf"
    if not conf.exists():
        conf.write_text("")
    if Path("/etc/sysctl.conf").exists():
        lines.append(f"mount --bind {shlex.quote(str(conf))} /etc/sysctl.conf")
    return subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", "\n".join([*lines, script])],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
