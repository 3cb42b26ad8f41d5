# SPDX-License-Identifier: MIT
"""`askrctl status` as text: facts first, then a table that fits a narrow terminal."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from askrctl.cli.words import count
from askrctl.config import MIB, parse_address

Rows = Iterator[tuple[str, str]]

SILENT_S = 0.5  # a worker beats every 0.1 s; past this it is stopped, or gets no processor
LONG_MS = 1000.0  # from which on a running request is told of
_REFUSED = {
    "queue_full": "because the queue was full",
    "queue_expired": "because they had waited too long",
    "rate_limited": "over a rate limit",
}

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


def time_text(seconds: float | None) -> str:
    """At most six characters: 250us, 1.2ms, 0.45s, 12.3s, 4m05s, 3h12m, 9d."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f}us"
    if seconds < 0.1:
        return f"{seconds * 1e3:.1f}ms"
    if seconds < 10:
        return f"{seconds:.2f}s"
    if seconds < 100:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 100 else f"{hours // 24}d"


def printable(text: str) -> str:
    """What requests name steers no terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _listens(status: dict[str, Any]) -> list[str]:
    """Where clients reach it; a server that is older names no addresses."""
    reaches = [parse_address(text).reach for text in status.get("addresses", [])]
    pairs = zip_longest(status["listeners"], reaches, fillvalue="")
    return [f"{url} and {reach}" if reach else url for url, reach in pairs]


def _facts(status: dict[str, Any]) -> Table:
    rows = [
        ("server", f"askrctl {status['version']}, pid {status['pid']}, user {status['user']}"),
        ("listens", "\n".join(_listens(status))),
        *_served(status),
        *_backend(status["io_backend"]),
        ("up", f"{duration(status['uptime_s'])}, generation {status['generation']}"),
        *_work(status),
        *_generations(status),
    ]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    return table


def _backend(backend: dict[str, Any]) -> Rows:
    yield "backend", f"{backend['active']} (wanted {backend['requested']}: {backend['reason']})"
    if backend["active"] != backend["requested"]:
        if backend["detail"]:
            yield "", backend["detail"]
        if backend["fix"]:
            yield "fix", backend["fix"]


def _work(status: dict[str, Any]) -> Rows:
    """What was done, and what was lost of it."""
    if "answered" in status:  # a server that is older does not say it
        yield "answered", _answered(status["answered"])
    yield from _now(status["workers"])
    if status["opcache"]:
        yield "opcache", _opcache(status["opcache"])
    if status["trace"]["endpoint"]:
        yield from _traces(status["trace"], _sum(status, "spans_lost"))
    if events := _events(status.get("events", {})):
        yield "replaced", events
    if lost := status.get("log_lost", 0):
        yield "log", f"{count(lost, 'line')} lost: whoever reads stderr does not"
    if dropped := _sum(status, "log_dropped"):
        whole = dropped + _sum(status, "log_lines")
        yield "access log", f"{dropped} of {whole} lines lost: its file is full, or too slow"


def _now(workers: list[dict[str, Any]]) -> Rows:
    """What an incident is about: requests that wait, one that does not end, and those refused."""
    if waiting := sum(worker["queue_depth"] for worker in workers):
        oldest = max(worker.get("queue_wait_s", 0.0) for worker in workers)
        yield "waiting", f"{count(waiting, 'request')}, the oldest for {time_text(oldest)}"
    running = [app for worker in workers for app in worker["apps"] if app.get("since_ms")]
    longest = max(running, key=lambda app: float(app["since_ms"]), default=None)
    if longest is not None and longest["since_ms"] >= LONG_MS:
        what = printable(f"{longest['method']} {longest['path']}")
        age = time_text(longest["since_ms"] / 1000)
        yield "running", f"{len(running)}, the longest for {age}: {what}"
    refused = {
        why: sum(worker.get(name, 0) for worker in workers) for name, why in _REFUSED.items()
    }
    if any(refused.values()):
        yield "refused", ", ".join(f"{number} {why}" for why, number in refused.items() if number)


_EVENTS = {
    "application_restarts": "process",
    "worker_restarts": "worker",
    "reloads": "reload",
}


def _events(known: dict[str, dict[str, int]]) -> str:
    """`3 processes (2 died, 1 leak), 1 reload (1 done)`; what has not happened is not there."""
    parts = []
    for name, noun in _EVENTS.items():
        reasons = {reason: n for reason, n in known.get(name, {}).items() if n}
        if reasons:
            why = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in reasons.items())
            parts.append(f"{count(sum(reasons.values()), noun)} ({why})")
    return ", ".join(parts)


def _traces(trace: dict[str, Any], lost: int) -> Rows:
    counts = ", ".join(f"{trace[name]} {name}" for name in ("exported", "failed", "dropped"))
    counts += f", {lost} lost on the way to the exporter" if lost else ""
    yield "traces", f"{trace['endpoint']}: {counts}"
    if trace["error"]:
        yield "", trace["error"]


def _generations(status: dict[str, Any]) -> Rows:
    """Those beside the one that serves."""
    if status["draining_generations"]:
        yield "draining", f"{status['draining_generations']} older generation(s)"
    if status.get("kept") is not None:
        yield "kept", _kept(status["kept"])


def _served(status: dict[str, Any]) -> list[tuple[str, str]]:
    if status.get("sites"):
        return [("serves", count(len(status["sites"]), "site"))]
    what = f"{status['application']['kind']}, {status['mode']} mode"
    return [("serves", what), ("root", status["application"]["root"])]


def _answered(known: dict[str, Any]) -> str:
    failed = known["responses"].get("5xx", 0)
    text = f"{count(known['requests'], 'request')}, {failed} of them with 5xx"
    if known["p50_s"] is None:
        return text
    return f"{text}; p50 {time_text(known['p50_s'])}, p99 {time_text(known['p99_s'])}"


def _sum(status: dict[str, Any], name: str) -> int:
    return sum(worker[name] for worker in status["workers"])


def _opcache(known: dict[str, int]) -> str:
    looked = known.get("hits", 0) + known.get("misses", 0)
    text = f"{known.get('scripts', 0)} scripts in {_opcache_size(known)}"
    if looked:
        text += f", {100 * known.get('hits', 0) / looked:.1f} % hits"
    return text + (", full: raise opcache.memory_consumption" if known.get("full") else "")


def _opcache_size(known: dict[str, int]) -> str:
    parts = [known.get(f"memory_{part}", 0) for part in ("used", "free", "wasted")]
    return f"{parts[0] >> 20} of {sum(parts) >> 20} MiB" if known else ""


def _kept(kept: dict[str, Any]) -> str:
    """The generation that a rollback would bring back, and what it costs."""
    return (
        f"generation {kept['generation']} of {kept['release']}, for {kept['seconds_left']:.0f} s,"
        f" {count(kept['processes'], 'process')}, {kept['memory_bytes'] / MIB:.0f} MiB:"
        " askrctl rollback"
    )


def _worker_state(worker: dict[str, Any]) -> str:
    silent = worker.get("heartbeat_age_s", 0.0) > SILENT_S
    return "silent" if silent and worker["state"] in ("ready", "draining") else str(worker["state"])


def _state(name: str) -> Text:
    return Text(name, style=STATE_STYLES.get(name, ""))


def _apps(worker: dict[str, Any], width: int) -> Text:
    """How many application processes are idle, busy, booting, failed, dead; or their letters."""
    states = [app["state"] for app in worker["apps"]]
    parts = [
        Text(
            f"{states.count(state)} {state}"
            if width >= _APPS_IN_WORDS
            else f"{states.count(state)}{state[0]}",
            style=STATE_STYLES.get(state, ""),
        )
        for state in sorted(set(states))
    ]
    return Text(" ").join(parts)


# From which width of the terminal on: below it what matters least is left out, not squeezed.
_WORKERS = {
    "worker": 0,
    "pid": 60,
    "state": 0,
    "conns": 68,
    "requests": 46,
    "queue": 0,
    "5xx": 52,
    "errors": 76,
    "apps": 0,
}
_SITES = {
    "site": 0,
    "mode": 72,
    "user": 84,
    "processes": 64,
    "requests": 40,
    "queue": 0,
    "5xx": 46,
    "p50": 54,
    "p99": 32,
    "opcache": 96,
    "": 0,
}
_ROUTES = {"route": 0, "requests": 40, "time": 0, "5xx": 46, "p50": 54, "p99": 32}
_ROUTES_SHOWN = 5
_APPS_IN_WORDS = 80
_WORDS = ("worker", "pid", "state", "apps", "site", "mode", "user", "route", "")
_WRAPPED = ("apps", "site", "route", "")

Row = dict[str, str | Text]


def _table(needs: dict[str, int], rows: list[Row], width: int) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    shown = [name for name, least in needs.items() if width >= least]
    for name in shown:
        table.add_column(
            name,
            justify="left" if name in _WORDS else "right",
            no_wrap=name not in _WRAPPED,
            overflow="fold" if name in _WRAPPED else "ellipsis",
        )
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def _worker_row(worker: dict[str, Any], width: int) -> Row:
    return {
        "worker": str(worker["index"]),
        "pid": str(worker["pid"]),
        "state": _state(_worker_state(worker)),
        "conns": str(worker["connections"]),
        "requests": str(worker["requests"]),
        "queue": str(worker["queue_depth"]),
        "5xx": str(worker["responses"]["5xx"]),
        "errors": str(worker["errors"]),
        "apps": _apps(worker, width),
    }


def _site_row(site: dict[str, Any]) -> Row:
    return {
        "site": site["name"],
        "mode": site["mode"],
        "user": site["user"],
        "processes": str(site["processes"]),
        "requests": str(site["requests"]),
        "queue": str(site["queue_depth"]),
        "5xx": str(site["responses"]["5xx"]),
        "p50": time_text(site.get("p50_s")),
        "p99": time_text(site.get("p99_s")),
        "opcache": _opcache_size(site.get("opcache") or {}),
        "": _trouble(site),
    }


def _trouble(site: dict[str, Any]) -> Text:
    if site["boot_error"]:
        return Text(site["boot_error"], style="red")
    full = (site.get("opcache") or {}).get("full")
    return Text("OPcache is full: raise opcache.memory_consumption" if full else "", style="yellow")


def _route_rows(routes: list[dict[str, Any]]) -> Iterator[Row]:
    whole = sum(route["total_s"] for route in routes) or 1.0
    for route in routes[:_ROUTES_SHOWN]:
        yield {
            "route": printable(route["route"]),
            "requests": str(route["requests"]),
            "time": f"{100 * route['total_s'] / whole:.1f} %",
            "5xx": str(route["failed"]),
            "p50": time_text(route["p50_s"]),
            "p99": time_text(route["p99_s"]),
        }


def render(status: dict[str, Any], width: int) -> Iterator[RenderableType]:
    """The parts, top to bottom, for a terminal of so many columns."""
    yield _facts(status)
    yield ""
    yield _table(_WORKERS, [_worker_row(worker, width) for worker in status["workers"]], width)
    if status.get("sites"):
        yield ""
        yield _table(_SITES, [_site_row(site) for site in status["sites"]], width)
    if status["routes"]:
        yield ""
        yield _table(_ROUTES, list(_route_rows(status["routes"])), width)
        if len(status["routes"]) > _ROUTES_SHOWN:
            left = len(status["routes"]) - _ROUTES_SHOWN
            yield Text(f"{left} more routes took less time: askrctl top, Tab", style="dim")
    if not status.get("sites"):
        for error in sorted({worker["boot_error"] for worker in status["workers"]} - {""}):
            yield Text(f"\nno application can boot: {error}", style="red")
