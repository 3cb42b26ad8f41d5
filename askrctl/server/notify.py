# SPDX-License-Identifier: MIT
"""sd_notify(3): tells systemd what state we are in. Without NOTIFY_SOCKET it does nothing."""

import os
import socket
import time
from contextlib import suppress


def _send(text: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.sendto(text.encode(), address)


def ready() -> None:
    _send(f"READY=1\nMAINPID={os.getpid()}")


def reloading() -> None:
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    _send("STOPPING=1")


def watchdog() -> None:
    """Alive: WatchdogSec= of the unit counts from here."""
    if "WATCHDOG_USEC" in os.environ:
        _send("WATCHDOG=1")
