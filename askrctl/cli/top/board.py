# SPDX-License-Identifier: MIT
"""From samples to what an operator wants to know: rates, quantiles, one row for each process.

Pure: the same samples give the same board. Rates are of the last interval, quantiles of all samples
that are kept (WINDOW_S), because an interval of a quiet server has too few requests for a 99th
percentile.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

from askrctl.cli.render_status import SILENT_S
from askrctl.cli.top.sample import Answered, Sample, WorkerSample
from askrctl.engine import AppStatus, Durations, SiteStatus

WINDOW_S = 10.0

SORTS = ("process", "age", "req/s", "cpu", "memory", "requests")
ROUTE_SORTS = ("time", "req/s", "p99", "5xx", "route")
SITE_SORTS = ("time", "req/s", "p99", "5xx", "queue", "site")


@dataclass(frozen=True, slots=True)
class Row:
    """A worker (`place` is None) or an application process."""

    worker: int
    place: int | None
    pid: int
    generation: int
    state: str
    request: str  # that it runs, or ran last
    age_s: float | None  # of the running request
    requests_s: float
    requests: int
    cpu_pct: float
    rss: int
    pss: int
    restarts: int = 0
    site: str = ""  # whose process it is; "": there is no [[site]], or it is a worker
    # Of workers alone:
    connections: int = 0
    queue: int = 0
    queue_wait_s: float = 0.0
    p50_s: float | None = None
    p99_s: float | None = None

    @property
    def key(self) -> str:
        """The same as long as the process is."""
        return f"{self.generation}/{self.worker}/{self.place}/{self.pid}"

    @property
    def name(self) -> str:
        """As it is shown: worker 1, and its process 1.0."""
        return str(self.worker) if self.place is None else f"{self.worker}.{self.place}"


@dataclass(frozen=True, slots=True)
class RouteRow:
    """Requests of one route that applications answered within the window."""

    route: str
    requests_s: float
    failed_s: float
    time_pct: float  # of the time that all of them took together
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class SiteRow:
    """Requests of one [[site]] within the window, and its processes now."""

    site: str
    requests_s: float
    failed_s: float
    time_pct: float  # of the time that all of them took together
    p50_s: float | None
    p99_s: float | None
    queue: int
    queue_wait_s: float
    running: int  # requests with an application


@dataclass(frozen=True, slots=True)
class Board:
    """schema askr.top/1; changes only add."""

    time: str
    version: str
    pid: int
    uptime_s: float
    generation: int
    draining: int
    mode: str
    root: str
    listeners: tuple[str, ...]
    backend: dict[str, str]
    interval_s: float  # that rates are of
    window_s: float  # that quantiles are of
    requests_s: float
    failed_s: float  # answered with 5xx
    p50_s: float | None
    p99_s: float | None
    connections: int
    queue: int
    queue_wait_s: float
    io_cpu_pct: float
    app_cpu_pct: float
    rss: int
    pss: int
    states: dict[str, int]  # of application processes
    boot_error: str
    rows: tuple[Row, ...]
    routes: tuple[RouteRow, ...]
    sites: tuple[SiteRow, ...] = ()  # (): there is no [[site]]

    def as_dict(self) -> dict[str, Any]:
        return {"schema": "askr.top/1", **asdict(self)}


def make_board(view: dict[str, Any], samples: Sequence[Sample]) -> Board:
    """`samples` from the oldest to the newest; one alone gives rates of 0."""
    now = samples[-1]
    before = samples[-2] if len(samples) > 1 else now
    rows = tuple(row for worker in now.workers for row in _rows(worker, samples))
    workers = [row for row in rows if row.place is None]
    apps = [row for row in rows if row.place is not None]
    counts = _added([_since(samples[0], worker) for worker in now.workers])
    seconds = _seconds(before, now)
    generations = [item["number"] for item in view["generations"]]
    states = [row.state for row in apps]
    return Board(
        time=datetime.fromtimestamp(now.clock_s, UTC).isoformat(timespec="seconds"),
        version=view["version"],
        pid=view["pid"],
        uptime_s=round(now.clock_s - view["started_s"], 3),
        generation=generations[0] if generations else 0,
        draining=sum(item["state"] == "draining" for item in view["generations"]),
        mode=view["mode"],
        root=view["root"],
        listeners=tuple(view["listeners"]),
        backend=view["io_backend"],
        interval_s=round(seconds, 3),
        window_s=round(_seconds(samples[0], now), 3),
        requests_s=round(sum(row.requests_s for row in workers), 1),
        failed_s=round(_failed(before, now) / seconds, 1) if seconds else 0.0,
        p50_s=counts.quantile_s(0.5),
        p99_s=counts.quantile_s(0.99),
        connections=sum(row.connections for row in workers),
        queue=sum(row.queue for row in workers),
        queue_wait_s=max((row.queue_wait_s for row in workers), default=0.0),
        io_cpu_pct=round(sum(row.cpu_pct for row in workers), 1),
        app_cpu_pct=round(sum(row.cpu_pct for row in apps), 1),
        rss=sum(used.rss for used in now.usage.values()),
        pss=sum(used.pss for used in now.usage.values()),
        states={state: states.count(state) for state in sorted(set(states))},
        boot_error=next((w.page.boot_error for w in now.workers if w.page.boot_error), ""),
        rows=rows,
        routes=tuple(_routes(samples[0], now)),
        sites=tuple(_sites(samples[0], now)),
    )


def _seconds(before: Sample, now: Sample) -> float:
    return (now.time_ns - before.time_ns) / 1e9


def _find(sample: Sample, worker: WorkerSample) -> WorkerSample | None:
    """The same process, then."""
    return next((item for item in sample.workers if item.page.pid == worker.page.pid), None)


def _since(before: Sample, worker: WorkerSample) -> Durations:
    """Of requests that the worker has answered since."""
    old = _find(before, worker)
    return worker.durations.since(old.durations if old else None)


def _added(counts: list[Durations]) -> Durations:
    total = Durations()
    for more in counts:
        total.add(more)
    return total


def _failed(before: Sample, now: Sample) -> int:
    total = 0
    for worker in now.workers:
        old = _find(before, worker)
        total += worker.page.responses["5xx"] - (old.page.responses["5xx"] if old else 0)
    return total


def _cpu_pct(pid: int, before: Sample, now: Sample) -> float:
    old, new = before.usage.get(pid), now.usage.get(pid)
    seconds = _seconds(before, now)
    if old is None or new is None or not seconds:
        return 0.0
    return round(max(0.0, 100 * (new.cpu_s - old.cpu_s) / seconds), 1)


def _rows(worker: WorkerSample, samples: Sequence[Sample]) -> list[Row]:
    before, now = samples[-2 if len(samples) > 1 else -1], samples[-1]
    old = _find(before, worker)
    apps = {app.place: app for app in old.page.apps} if old else {}
    rows = [_worker_row(worker, samples)]
    for app in worker.page.apps:
        if app.pid:
            rows.append(_app_row(worker, app, apps.get(app.place), (before, now)))
    return rows


def _worker_row(worker: WorkerSample, samples: Sequence[Sample]) -> Row:
    before, now = samples[-2 if len(samples) > 1 else -1], samples[-1]
    page, old, seconds = worker.page, _find(before, worker), _seconds(before, now)
    used = now.usage.get(page.pid)
    counts = _since(samples[0], worker)
    silent_s = (now.time_ns - page.heartbeat_ns) / 1e9
    state = page.state
    if used is None:
        state = "dead"
    elif silent_s > SILENT_S and state in ("ready", "draining"):
        state = "silent"
    return Row(
        worker=worker.index,
        place=None,
        pid=page.pid,
        generation=worker.generation,
        state=state,
        request="",
        age_s=silent_s if state == "silent" else None,
        requests_s=_rate(page.requests - (old.page.requests if old else 0), seconds),
        requests=page.requests,
        cpu_pct=_cpu_pct(page.pid, before, now),
        rss=used.rss if used else 0,
        pss=used.pss if used else 0,
        connections=page.connections,
        queue=page.queue_depth,
        queue_wait_s=page.queue_wait_ns / 1e9,
        p50_s=counts.quantile_s(0.5),
        p99_s=counts.quantile_s(0.99),
    )


def _app_row(
    worker: WorkerSample, app: AppStatus, old: AppStatus | None, between: tuple[Sample, Sample]
) -> Row:
    before, now = between
    used = now.usage.get(app.pid)
    age_s = max(0.0, (now.time_ns - app.since_ns) / 1e9) if app.since_ns else None
    return Row(
        worker=worker.index,
        place=app.place,
        pid=app.pid,
        generation=worker.generation,
        state=app.state if used is not None else "dead",
        request=f"{app.method} {app.path}".strip(),
        age_s=age_s,
        # A place counts for all the processes it has had, so it never goes back.
        requests_s=_rate(app.requests - (old.requests if old else 0), _seconds(before, now)),
        requests=app.requests,
        cpu_pct=_cpu_pct(app.pid, before, now),
        rss=used.rss if used else 0,
        pss=used.pss if used else 0,
        restarts=app.restarts,
        site=worker.sites[app.place] if app.place < len(worker.sites) else "",
    )


@dataclass(frozen=True, slots=True)
class _Within:
    """What has been answered within the window."""

    requests_s: float
    failed_s: float
    time_pct: float
    p50_s: float | None
    p99_s: float | None


def _within(
    then: dict[str, Answered], now: dict[str, Answered], seconds: float
) -> dict[str, _Within]:
    since, failed = {}, {}
    for name, item in now.items():
        old = then.get(name)
        # A worker that has ended took its counts with it.
        since[name] = item.durations.since(old.durations if old else None)
        failed[name] = max(0, item.failed - (old.failed if old else 0))
    times = {name: durations.sum_s for name, durations in since.items()}
    whole = sum(times.values())
    return {
        name: _Within(
            requests_s=_rate(durations.count, seconds),
            failed_s=_rate(failed[name], seconds),
            time_pct=round(100 * times[name] / whole, 1) if whole else 0.0,
            p50_s=durations.quantile_s(0.5),
            p99_s=durations.quantile_s(0.99),
        )
        for name, durations in since.items()
    }


def _routes(before: Sample, now: Sample) -> Iterator[RouteRow]:
    """Those that were asked."""
    for name, found in _within(before.routes, now.routes, _seconds(before, now)).items():
        if found.p50_s is not None:
            yield RouteRow(route=name, **asdict(found))


def _sites(before: Sample, now: Sample) -> Iterator[SiteRow]:
    """All that there are, in the order of askr.toml."""
    pages: dict[str, list[SiteStatus]] = {}
    for worker in now.workers:
        for site in worker.page.sites:
            pages.setdefault(site.name, []).append(site)
    for name, found in _within(before.sites, now.sites, _seconds(before, now)).items():
        of_site = pages.get(name, [])
        yield SiteRow(
            site=name,
            **asdict(found),
            queue=sum(site.queue_depth for site in of_site),
            queue_wait_s=max((site.queue_wait_ns / 1e9 for site in of_site), default=0.0),
            running=sum(site.inflight for site in of_site),
        )


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds else 0.0


def arrange(board: Board, sort: str, wanted: str, busy_only: bool, turned: bool) -> list[Row]:
    """The rows to show, in order. `wanted` is looked for in every word of a row."""
    rows = [row for row in board.rows if _matches(row, wanted)]
    if busy_only:
        rows = [row for row in rows if row.age_s is not None or row.state not in ("idle", "ready")]
    if sort != "process":
        rows.sort(key=lambda row: _weight(row, sort), reverse=not turned)
    elif turned:
        rows.reverse()
    return rows


def _matches(row: Row, wanted: str) -> bool:
    words = f"{row.name} {row.pid} {row.state} {row.site} {row.request}".lower()
    return wanted.lower() in words


def _weight(row: Row, sort: str) -> float:
    weights = {
        "age": -1.0 if row.age_s is None else row.age_s,
        "req/s": row.requests_s,
        "cpu": row.cpu_pct,
        "memory": row.pss or row.rss,
        "requests": row.requests,
    }
    return weights[sort]


def arrange_routes(board: Board, sort: str, wanted: str, turned: bool) -> list[RouteRow]:
    """The same for routes."""
    return _arrange(board.routes, attrgetter("route"), sort, wanted, turned)


def arrange_sites(board: Board, sort: str, wanted: str, turned: bool) -> list[SiteRow]:
    """The same for sites."""
    return _arrange(board.sites, attrgetter("site"), sort, wanted, turned)


_WEIGHTS = {
    "time": "time_pct",
    "req/s": "requests_s",
    "p99": "p99_s",
    "5xx": "failed_s",
    "queue": "queue",
}
Asked = TypeVar("Asked", RouteRow, SiteRow)


def _arrange(
    rows: Sequence[Asked], name: Callable[[Asked], str], sort: str, wanted: str, turned: bool
) -> list[Asked]:
    """By a number, the largest first; any other sort is the name."""
    found = [row for row in rows if wanted.lower() in name(row).lower()]
    if sort not in _WEIGHTS:
        return sorted(found, key=name, reverse=turned)
    return sorted(found, key=lambda row: getattr(row, _WEIGHTS[sort]) or 0, reverse=not turned)
