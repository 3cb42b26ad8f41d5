# SPDX-License-Identifier: MIT
"""What `askrctl status` shows, as values; text and JSON are made from the same."""

import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from askrctl import engine
from askrctl.server import credentials, logs
from askrctl.server.ledger import OF_A_SITE, Route, Sums
from askrctl.server.plan import Plan
from askrctl.server.split import as_seconds

if TYPE_CHECKING:
    from askrctl.server.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class AppReport:
    place: int
    pid: int
    state: str
    requests: int
    restarts: int
    since_ms: float | None  # how long the running request has been running
    method: str  # of the request that it took last
    path: str
    site: str = ""  # "": there is no [[site]]


@dataclass(frozen=True, slots=True)
class WorkerReport:
    index: int
    pid: int
    state: str
    generation: int
    cpu: int | None
    connections: int
    queue_depth: int
    inflight: int
    accepted: int
    requests: int
    responses: dict[str, int]
    bytes_in: int
    bytes_out: int
    errors: int
    timeouts: int
    queue_full: int
    queue_expired: int
    app_deaths: int
    tls_handshakes: int
    tls_resumed: int
    tls_failed: int
    proxy_refused: int
    evicted: int
    address_refused: int
    rate_limited: int
    abandoned: int
    websockets: int
    websocket_messages: int
    log_lines: int
    log_dropped: int
    records: int
    records_lost: int
    records_skipped: int
    spans: int
    spans_lost: int
    boot_error: str
    apps: tuple[AppReport, ...]
    split: dict[str, float]
    queue_wait_s: float  # how long the oldest of the queue has waited; 0: nothing waits
    heartbeat_age_s: float  # it beats ten times a second


@dataclass(frozen=True, slots=True)
class RouteReport:
    """Requests that applications answered since the start, over all generations."""

    route: str
    requests: int
    failed: int  # with 5xx
    total_s: float  # first byte in to last byte out, of all of them together
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class AnsweredReport:
    """All requests since the start, over all generations."""

    requests: int
    responses: dict[str, int]
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class CertificateReport:
    source: str  # the file, or "self-signed"
    names: tuple[str, ...]
    not_after: str  # RFC 3339
    cert_file: str  # absolute; "" when there is none
    key_file: str  # absolute; "" when there is none, or it is encrypted


@dataclass(frozen=True, slots=True)
class KeptReport:
    """The previous generation, for a rollback."""

    generation: int
    release: str
    seconds_left: float
    workers: int
    processes: int
    connections: int  # that it still finishes
    memory_bytes: int  # what it costs: the proportional share (PSS) of its processes


@dataclass(frozen=True, slots=True)
class SiteReport:
    """One [[site]], over all workers: what it is and does now, and what it has counted since the
    start, over all generations."""

    name: str
    hosts: tuple[str, ...]
    default: bool
    mode: str
    kind: str
    root: str
    release: str
    user: str
    processes: int  # that serve
    queue_depth: int
    inflight: int
    total_s: float  # first byte in to last byte out, of all requests together
    p50_s: float | None
    p99_s: float | None
    queue_p99_s: float | None  # of those for an application
    requests: int
    responses: dict[str, int]
    queue_full: int
    queue_expired: int
    timeouts: int
    app_deaths: int
    sendfile_refused: int
    boot_error: str
    opcache: dict[str, int]  # as that of Report: each site has its own


@dataclass(frozen=True, slots=True)
class Report:
    """schema askr.status/1; changes only add."""

    time: str  # when it was made, RFC 3339
    version: str
    pid: int
    uptime_s: float
    generation: int
    draining_generations: int
    kept: KeptReport | None
    mode: str
    application: dict[str, str]
    listeners: tuple[str, ...]
    addresses: tuple[str, ...]  # the same as --listen names them: those of ":80" are many
    control: str
    admin: tuple[str, ...]
    user: str
    io_backend: dict[str, str]
    certificates: tuple[CertificateReport, ...]
    workers: tuple[WorkerReport, ...]
    totals: dict[str, int]
    answered: AnsweredReport
    split: dict[str, float]  # since the start, over all generations
    routes: tuple[RouteReport, ...]  # those that took most time first
    # Of the generation, some seconds old; empty before it is known, without OPcache, and with
    # several sites, which have it each.
    opcache: dict[str, int]
    trace: dict[str, Any]  # the exporter of traces: Tracing.report()
    # What was replaced and reloaded since the start, by reason (ledger.EVENTS).
    events: dict[str, dict[str, int]]
    log_lost: int  # lines of the server's log that nobody took
    serving_since_s: float  # when this generation took over, Unix time
    sites: tuple[SiteReport, ...] = ()  # (): there is no [[site]]

    def as_dict(self) -> dict[str, Any]:
        return {"schema": "askr.status/1", **asdict(self)}


def _app(status: engine.AppStatus, now_ns: int, site: str) -> AppReport:
    since = None if status.since_ns == 0 else max(0.0, (now_ns - status.since_ns) / 1e6)
    return AppReport(
        status.place,
        status.pid,
        status.state,
        status.requests,
        status.restarts,
        since,
        status.method,
        status.path,
        site,
    )


def _worker(index: int, plan: Plan, page: engine.WorkerStatus) -> WorkerReport:
    names = [site.site_name for site in plan.each for _ in range(site.place_count)]
    now_ns = time.monotonic_ns()
    same = {
        name: getattr(page, name)
        for name in WorkerReport.__dataclass_fields__
        if name not in ("index", "cpu", "apps", "split", "queue_wait_s", "heartbeat_age_s")
    }
    return WorkerReport(
        index=index,
        cpu=plan.cpus[index],
        apps=tuple(
            _app(app, now_ns, names[app.place] if app.place < len(names) else "")
            for app in page.apps
            if app.pid
        ),
        split=as_seconds(page.split),
        queue_wait_s=page.queue_wait_ns / 1e9,
        heartbeat_age_s=max(0, now_ns - (page.heartbeat_ns or now_ns)) / 1e9,
        **same,
    )


def _routes(routes: dict[str, Route]) -> tuple[RouteReport, ...]:
    reports = [
        RouteReport(
            route=name,
            requests=count,
            failed=route.failed,
            total_s=round(route.durations.sum_s, 6),
            p50_s=route.durations.quantile_s(0.5),
            p99_s=route.durations.quantile_s(0.99),
        )
        for name, route in routes.items()
        if (count := route.durations.count)
    ]
    return tuple(sorted(reports, key=lambda report: -report.total_s))


def _answered(sums: Sums) -> AnsweredReport:
    durations = sums.histograms["app"].copy()
    durations.add(sums.histograms["self"])
    return AnsweredReport(
        requests=sums.counters["requests"],
        responses=sums.responses,
        p50_s=durations.quantile_s(0.5),
        p99_s=durations.quantile_s(0.99),
    )


def _certificates(supervisor: "Supervisor") -> tuple[CertificateReport, ...]:
    keeper = supervisor.tls
    if keeper is None:
        return ()
    config = keeper.tls.config
    keys = {config.cert: config.key or config.cert} | {
        item.cert: "" if item.passphrase_file else item.key or item.cert
        for item in config.certificate
    }
    return tuple(
        CertificateReport(
            item.source,
            item.names,
            item.not_after.isoformat(),
            os.path.abspath(item.source) if item.source in keys else "",
            os.path.abspath(keys[item.source]) if keys.get(item.source) else "",
        )
        for item in keeper.tls.identities
    )


def _site(plan: Plan, pages: list[engine.WorkerStatus], around: "Around") -> SiteReport:
    index = plan.site_index
    known = around.sums.sites.get(plan.site_name)
    now = [page.sites[index] for page in pages if len(page.sites) > index]
    last = plan.first_place + plan.place_count
    apps = [app for page in pages for app in page.apps if plan.first_place <= app.place < last]
    counts = known.counts if known is not None else {}
    durations = known.whole if known is not None else engine.Durations()
    queue_p99_s = known.durations["queue"].quantile_s(0.99) if known is not None else None
    assert plan.site is not None
    return SiteReport(
        name=plan.site_name,
        hosts=plan.site.hosts,
        default=plan.site.default,
        mode=plan.mode,
        kind=plan.application.kind,
        root=str(plan.application.root),
        release=str(plan.application.path),
        user=credentials.name_of(plan.credentials),
        processes=sum(app.state in ("idle", "busy") for app in apps),
        queue_depth=sum(site.queue_depth for site in now),
        inflight=sum(site.inflight for site in now),
        total_s=round(durations.sum_s, 6),
        p50_s=durations.quantile_s(0.5),
        p99_s=durations.quantile_s(0.99),
        queue_p99_s=queue_p99_s,
        responses={name: counts.get(name, 0) for name in ("1xx", "2xx", "3xx", "4xx", "5xx")},
        boot_error=next((site.boot_error for site in now if site.boot_error), ""),
        opcache=around.caches.get(plan.site_name, {}),
        **{name: counts.get(name, 0) for name in OF_A_SITE},
    )


@dataclass(frozen=True, slots=True)
class Around:
    """What a report tells of besides the workers' pages."""

    generation: int
    caches: dict[str, dict[str, int]]  # by site; "" without [[site]]
    kept: KeptReport | None
    sums: Sums


def make_report(
    supervisor: "Supervisor", plan: Plan, pages: list[engine.WorkerStatus], around: Around
) -> Report:
    """From the pages of one generation's workers."""
    workers = tuple(_worker(i, plan, page) for i, page in enumerate(pages))
    summed = ("connections", "accepted", "requests", "queue_depth", "inflight", "errors")
    choice = plan.choice
    sums = around.sums
    return Report(
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        version=engine.version(),
        pid=os.getpid(),
        uptime_s=round(time.time() - supervisor.started, 3),
        generation=around.generation,
        draining_generations=supervisor.draining_count,
        kept=around.kept,
        mode=plan.mode,
        application={
            "kind": plan.application.kind,
            "root": str(plan.application.root),
            "release": str(plan.application.path),
        },
        listeners=tuple(address.url for address in supervisor.addresses),
        addresses=tuple(str(address) for address in supervisor.addresses),
        control=str(supervisor.control.path),
        admin=()
        if supervisor.admin is None
        else tuple(address.url for address in supervisor.admin.addresses),
        user=credentials.name_of(plan.credentials),
        io_backend={
            "requested": str(choice.requested),
            "active": str(choice.active),
            "reason": choice.reason,
            "detail": choice.detail,
            "fix": choice.fix,
        },
        certificates=_certificates(supervisor),
        workers=workers,
        totals={name: sum(getattr(worker, name) for worker in workers) for name in summed},
        answered=_answered(sums),
        split=as_seconds(sums.split),
        routes=_routes(sums.routes),
        opcache=next(iter(around.caches.values())) if len(around.caches) == 1 else {},
        trace=supervisor.tracing.report(),
        events=sums.events,
        log_lost=logs.lost(),
        serving_since_s=round(supervisor.since, 3),
        sites=tuple(_site(site, pages, around) for site in plan.sites),
    )
