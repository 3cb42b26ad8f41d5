# SPDX-License-Identifier: MIT
"""Other programs that set the same keys, and the one that must be told of a new drop-in."""

import subprocess

from askrctl.model import AskrError
from askrctl.tune.disk import Disk
from askrctl.tune.facts import Facts
from askrctl.tune.items import Item

RELOAD_SECONDS_MAX = 30.0


def tuners(disk: Disk) -> list[str]:
    """Those at work here. They set their values again when they start."""
    found = []
    if disk.exists("/run/tuned/tuned.pid"):
        profile = (disk.read("/etc/tuned/active_profile") or "").strip()
        found.append(f"tuned (profile {profile})" if profile else "tuned")
    if disk.names("/run/saptune/parameter"):
        found.append("saptune")
    return found


def refuse_tuners(disk: Disk) -> None:
    found = tuners(disk)
    if found:
        raise AskrError(
            f"{' and '.join(found)} manages this machine and may set its own values again; "
            "nothing was changed",
            "put the values into its profile, or: askrctl tune apply --take-ownership",
        )


def reload_units(disk: Disk, facts: Facts, items: tuple[Item, ...]) -> str:
    """Tell systemd of a drop-in that came or went. "" or what to do by hand."""
    if not any(item.key.startswith("/etc/systemd/system/") for item in items):
        return ""
    if not disk.live or not facts.systemd:
        return ""
    try:
        subprocess.run(
            ["systemctl", "daemon-reload"],
            check=True,
            capture_output=True,
            timeout=RELOAD_SECONDS_MAX,
        )
    except (OSError, subprocess.SubprocessError):
        return "systemd could not be told: systemctl daemon-reload"
    return ""
