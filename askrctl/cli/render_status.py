# SPDX-License-Identifier: MIT
"""`askrctl status` as text: facts first, then a table that fits a narrow terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from askrctl.config import MIB

_STATE_STYLES = {
    "ready": "green",
    "idle": "green",
    "busy": "cyan",
    "kept": "cyan",
    "starting": "yellow",
    "booting": "yellow",
    "draining": "yellow",
    "failed": "red",
    "dead": "red",
}


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def _facts(status: dict[str, Any]) -> Table:
    backend = status["io_backend"]
    why = f"wanted {backend['requested']}: {backend['reason']}"
    table = Table.grid(padding=(0, 2))
    rows = [
        ("server", f"askrctl {status['version']}, pid {status['pid']}, user {status['user']}"),
        ("listens", "  ".join(status["listeners"])),
        ("serves", f"{status['application']['kind']}, {status['mode']} mode"),
        ("root", status["application"]["root"]),
        ("backend", f"{backend['active']} ({why})"),
        ("up", f"{_duration(status['uptime_s'])}, generation {status['generation']}"),
    ]
    if backend["detail"] and backend["active"] != backend["requested"]:
        rows.append(("", backend["detail"]))
    if backend["fix"] and backend["active"] != backend["requested"]:
        rows.append(("fix", backend["fix"]))
    if status["draining_generations"]:
        rows.append(("draining", f"{status['draining_generations']} older generation(s)"))
    kept = status.get("kept")
    if kept is not None:
        rows.append(("kept", _kept(kept)))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _kept(kept: dict[str, Any]) -> str:
    """The generation that a rollback would bring back, and what it costs."""
    return (
        f"generation {kept['generation']} of {kept['release']}, for {kept['seconds_left']:.0f} s,"
        f" {kept['processes']} processes, {kept['memory_bytes'] / MIB:.0f} MiB: askrctl rollback"
    )


def _state(name: str) -> Text:
    return Text(name, style=_STATE_STYLES.get(name, ""))


def _apps(worker: dict[str, Any]) -> Text:
    """One letter for each application process: idle, busy, booting, failed, dead."""
    text = Text()
    for app in worker["apps"]:
        text.append(app["state"][0], style=_STATE_STYLES.get(app["state"], ""))
    return text


def _workers(status: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for name in ("worker", "pid", "state"):
        table.add_column(name)
    for name in ("conns", "requests", "queue", "5xx", "errors"):
        table.add_column(name, justify="right")
    table.add_column("apps")
    for worker in status["workers"]:
        table.add_row(
            str(worker["index"]),
            str(worker["pid"]),
            _state(worker["state"]),
            str(worker["connections"]),
            str(worker["requests"]),
            str(worker["queue_depth"] + worker["inflight"]),
            str(worker["responses"]["5xx"]),
            str(worker["errors"]),
            _apps(worker),
        )
    return table


def render(status: dict[str, Any]) -> Iterator[RenderableType]:
    """The parts, top to bottom."""
    yield _facts(status)
    yield ""
    yield _workers(status)
    for error in sorted({worker["boot_error"] for worker in status["workers"]} - {""}):
        yield Text(f"\nno application can boot: {error}", style="red")
