# SPDX-License-Identifier: MIT
"""`askrctl status` as text: facts first, then a table that fits a narrow terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from askrctl.config import MIB

STATE_STYLES = {
    "ready": "green",
    "idle": "green",
    "busy": "cyan",
    "kept": "cyan",
    "starting": "yellow",
    "booting": "yellow",
    "draining": "yellow",
    "leaving": "yellow",
    "failed": "red",
    "dead": "red",
    "silent": "red",
}


def duration(seconds: float) -> str:
    """With the two units that matter."""
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
    ]
    if backend["detail"] and backend["active"] != backend["requested"]:
        rows.append(("", backend["detail"]))
    if backend["fix"] and backend["active"] != backend["requested"]:
        rows.append(("fix", backend["fix"]))
    rows.append(("up", f"{duration(status['uptime_s'])}, generation {status['generation']}"))
    if status["opcache"]:
        rows.append(("opcache", _opcache(status["opcache"])))
    trace = status["trace"]
    if trace["endpoint"]:
        counts = ", ".join(f"{trace[name]} {name}" for name in ("exported", "failed", "dropped"))
        rows.append(("traces", f"{trace['endpoint']}: {counts}"))
        if trace["error"]:
            rows.append(("", trace["error"]))
    if status["draining_generations"]:
        rows.append(("draining", f"{status['draining_generations']} older generation(s)"))
    kept = status.get("kept")
    if kept is not None:
        rows.append(("kept", _kept(kept)))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    return table


def _opcache(known: dict[str, int]) -> str:
    used, looked = known.get("memory_used", 0), known.get("hits", 0) + known.get("misses", 0)
    whole = used + known.get("memory_free", 0) + known.get("memory_wasted", 0)
    text = f"{known.get('scripts', 0)} scripts in {used >> 20} of {whole >> 20} MiB"
    if looked:
        text += f", {100 * known.get('hits', 0) / looked:.1f} % hits"
    return text + (", full: raise opcache.memory_consumption" if known.get("full") else "")


def _kept(kept: dict[str, Any]) -> str:
    """The generation that a rollback would bring back, and what it costs."""
    return (
        f"generation {kept['generation']} of {kept['release']}, for {kept['seconds_left']:.0f} s,"
        f" {kept['processes']} processes, {kept['memory_bytes'] / MIB:.0f} MiB: askrctl rollback"
    )


def _state(name: str) -> Text:
    return Text(name, style=STATE_STYLES.get(name, ""))


def _apps(worker: dict[str, Any]) -> Text:
    """One letter for each application process: idle, busy, booting, failed, dead."""
    text = Text()
    for app in worker["apps"]:
        text.append(app["state"][0], style=STATE_STYLES.get(app["state"], ""))
    return text


def _sites(status: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for name in ("site", "mode", "user"):
        table.add_column(name)
    for name in ("processes", "requests", "queue", "5xx"):
        table.add_column(name, justify="right")
    table.add_column("")
    for site in status["sites"]:
        table.add_row(
            site["name"],
            site["mode"],
            site["user"],
            str(site["processes"]),
            str(site["requests"]),
            str(site["queue_depth"] + site["inflight"]),
            str(site["responses"]["5xx"]),
            Text(site["boot_error"], style="red"),
        )
    return table


# From which width of the terminal on: below it what matters least is left out, not squeezed.
_NEEDS = {
    "worker": 0,
    "pid": 54,
    "state": 0,
    "conns": 60,
    "requests": 40,
    "queue": 0,
    "5xx": 46,
    "errors": 68,
    "apps": 0,
}
_WORDS = ("worker", "pid", "state", "apps")


def _workers(status: dict[str, Any], width: int) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    shown = [name for name, needs in _NEEDS.items() if width >= needs]
    for name in shown:
        table.add_column(
            name, justify="left" if name in _WORDS else "right", no_wrap=name != "apps"
        )
    for worker in status["workers"]:
        values: dict[str, str | Text] = {
            "worker": str(worker["index"]),
            "pid": str(worker["pid"]),
            "state": _state(worker["state"]),
            "conns": str(worker["connections"]),
            "requests": str(worker["requests"]),
            "queue": str(worker["queue_depth"] + worker["inflight"]),
            "5xx": str(worker["responses"]["5xx"]),
            "errors": str(worker["errors"]),
            "apps": _apps(worker),
        }
        table.add_row(*(values[name] for name in shown))
    return table


def render(status: dict[str, Any], width: int) -> Iterator[RenderableType]:
    """The parts, top to bottom, for a terminal of so many columns."""
    yield _facts(status)
    yield ""
    yield _workers(status, width)
    if status.get("sites"):
        yield ""
        yield _sites(status)
        return
    for error in sorted({worker["boot_error"] for worker in status["workers"]} - {""}):
        yield Text(f"\nno application can boot: {error}", style="red")
