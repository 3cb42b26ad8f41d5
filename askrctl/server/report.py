# SPDX-License-Identifier: MIT
"""What `askrctl status` shows, as values; text and JSON are made from the same."""

import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from askrctl import engine
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
    path: str  # of the request that it was given last


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
    abandoned: int
    log_lines: int
    log_dropped: int
    boot_error: str
    apps: tuple[AppReport, ...]
    split: dict[str, float]


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
class Report:
    """schema askr.status/1; changes only add."""

    version: str
    pid: int
    uptime_s: float
    generation: int
    draining_generations: int
    kept: KeptReport | None
    mode: str
    application: dict[str, str]
    listeners: tuple[str, ...]
    control: str
    admin: tuple[str, ...]
    user: str
    io_backend: dict[str, str]
    certificates: tuple[CertificateReport, ...]
    workers: tuple[WorkerReport, ...]
    totals: dict[str, int]
    split: dict[str, float]  # since the start, over all generations

    def as_dict(self) -> dict[str, Any]:
        return {"schema": "askr.status/1", **asdict(self)}


def _app(status: engine.AppStatus, now_ns: int) -> AppReport:
    since = None if status.since_ns == 0 else max(0.0, (now_ns - status.since_ns) / 1e6)
    return AppReport(
        status.place,
        status.pid,
        status.state,
        status.requests,
        status.restarts,
        since,
        status.path,
    )


def _worker(index: int, cpu: int | None, page: engine.WorkerStatus) -> WorkerReport:
    now_ns = time.monotonic_ns()
    same = {
        name: getattr(page, name)
        for name in WorkerReport.__dataclass_fields__
        if name not in ("index", "cpu", "apps", "split")
    }
    return WorkerReport(
        index=index,
        cpu=cpu,
        apps=tuple(_app(app, now_ns) for app in page.apps if app.pid),
        split=as_seconds(page.split),
        **same,
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


def make_report(
    supervisor: "Supervisor",
    plan: Plan,
    generation: int,
    pages: list[engine.WorkerStatus],
    kept: KeptReport | None,
) -> Report:
    """From the pages of one generation's workers."""
    workers = tuple(_worker(i, plan.cpus[i], page) for i, page in enumerate(pages))
    summed = ("connections", "accepted", "requests", "queue_depth", "inflight", "errors")
    choice = plan.choice
    return Report(
        version=engine.version(),
        pid=os.getpid(),
        uptime_s=round(time.time() - supervisor.started, 3),
        generation=generation,
        draining_generations=supervisor.draining_count,
        kept=kept,
        mode=plan.mode,
        application={
            "kind": plan.application.kind,
            "root": str(plan.application.root),
            "release": str(plan.application.path),
        },
        listeners=tuple(address.url for address in supervisor.addresses),
        control=str(supervisor.control.path),
        admin=()
        if supervisor.admin is None
        else tuple(address.url for address in supervisor.admin.addresses),
        user=plan.credentials.name if plan.credentials else str(os.geteuid()),
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
        split=as_seconds(supervisor.sums().split),
    )
