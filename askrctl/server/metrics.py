# SPDX-License-Identifier: MIT
"""Metrics: the Prometheus exposition and the JSON of the admin API, from the status memory.

Names and units follow the conventions of Prometheus: base units, `_total` for what only grows.
prometheus-client is loaded with the first scrape, because a server that nobody asks needs none.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askrctl import engine
from askrctl.engine import Bounds, Durations
from askrctl.server.ledger import Sums
from askrctl.server.report import Report
from askrctl.server.split import as_seconds, io_ceiling_pct

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES = (0.5, 0.9, 0.99, 0.999)
ROLES = ("supervisor", "worker", "zygote", "application", "exporter")
MEMORY_AGE_MAX_S = 5.0  # reading it asks the kernel to walk page tables
_NS = 1e9
# Bucket bounds of the exposition: powers of two of 512 ns, from 16 µs to 69 s. Each is where a
# bucket of the engine begins, so that the counts below it are exact.
_BOUNDS = Bounds([512 << shift for shift in range(5, 28)])
# Of sites half of them, of routes those from 0.5 ms on: there are many routes.
_SITE_BOUNDS = Bounds([512 << shift for shift in range(6, 28, 2)])
_ROUTE_BOUNDS = Bounds([512 << shift for shift in range(10, 28, 2)])
_HISTOGRAMS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("app", "askr_request_duration", {"answered_by": "application"}),
    ("self", "askr_request_duration", {"answered_by": "server"}),
    ("queue", "askr_queue_duration", {}),
    ("app_wall", "askr_application_duration", {}),
)
_HELP = {
    "askr_request_duration": "First byte in to last byte out.",
    "askr_queue_duration": "Complete request to an application taking it.",
    "askr_application_duration": "Taken to answered, by the application's clock.",
    "askr_route_duration": "First byte in to last byte out, answered by an application, by route.",
    "askr_site_request_duration": "First byte in to last byte out, by site.",
    "askr_site_queue_duration": "Complete request to an application taking it, by site.",
}
_COUNTERS = (
    ("askr_connections_accepted", "Connections accepted.", "accepted"),
    ("askr_requests", "Requests answered.", "requests"),
    ("askr_received_bytes", "Bytes received.", "bytes_in"),
    ("askr_sent_bytes", "Bytes handed to the kernel.", "bytes_out"),
    ("askr_protocol_errors", "Connections ended by an error of the peer's.", "errors"),
    ("askr_timeouts", "Requests and connections ended by a time-out.", "timeouts"),
    ("askr_requests_abandoned", "Requests whose client left before the answer.", "abandoned"),
    (
        "askr_application_deaths",
        "Application processes that ended by themselves or were killed.",
        "app_deaths",
    ),
    ("askr_access_log_lines", "Lines of the access log that were taken.", "log_lines"),
    (
        "askr_access_log_dropped",
        "Lines of the access log that its file did not take.",
        "log_dropped",
    ),
    ("askr_records", "Requests that were recorded.", "records"),
    (
        "askr_records_lost",
        "Requests of a recording that the recorder did not take.",
        "records_lost",
    ),
    ("askr_records_skipped", "Requests of a recording that were over its rate.", "records_skipped"),
    ("askr_trace_spans", "Spans that the exporter of traces has.", "spans"),
    (
        "askr_trace_spans_lost",
        "Spans that the exporter of traces did not take from a worker.",
        "spans_lost",
    ),
    ("askr_tls_handshakes", "TLS handshakes completed.", "tls_handshakes"),
    ("askr_tls_resumed", "TLS handshakes that resumed a session.", "tls_resumed"),
    ("askr_tls_failed", "TLS handshakes that ended in an alert.", "tls_failed"),
    ("askr_connections_evicted", "Connections closed to make room for new ones.", "evicted"),
    ("askr_rate_limited", "Requests answered 429 by a rate limit.", "rate_limited"),
    (
        "askr_connections_refused",
        "Connections of an address that had as many as it may.",
        "address_refused",
    ),
    (
        "askr_proxy_refused",
        "Connections refused for want of a PROXY head that counts.",
        "proxy_refused",
    ),
    ("askr_websocket_messages", "Messages of clients on WebSockets.", "websocket_messages"),
)

_EVENTS = {
    "application_restarts": (
        "askr_application_restarts",
        "Application processes that were replaced, by reason; not those of a reload.",
        "reason",
    ),
    "worker_restarts": (
        "askr_worker_restarts",
        "Workers that were replaced, by reason; not those of a reload.",
        "reason",
    ),
    "reloads": (
        "askr_reloads",
        "Reloads by result; failed and refused ones leave the generation that serves.",
        "result",
    ),
}
_SITE_COUNTERS = (
    ("requests", "askr_site_requests", "Requests answered, by site."),
    ("queue_full", "askr_site_queue_full", "Requests of a site answered 503: its queue was full."),
    (
        "queue_expired",
        "askr_site_queue_expired",
        "Requests of a site answered 503: they waited too long.",
    ),
    ("timeouts", "askr_site_timeouts", "Requests of a site answered 504: they took too long."),
    (
        "app_deaths",
        "askr_site_application_deaths",
        "Application processes of a site that ended by themselves.",
    ),
    (
        "sendfile_refused",
        "askr_site_sendfile_refused",
        "Files that a site named for sendfile and may not send.",
    ),
)


class Memory:
    """Resident and proportional memory of processes, read again when it is too old."""

    def __init__(self) -> None:
        self._read_at = 0.0
        self._known: dict[int, tuple[int, int]] = {}

    def of(self, pids: Iterable[int]) -> dict[int, tuple[int, int]]:
        """(RSS, PSS) in bytes, by pid. Of who is new at once: a reload is no fall to nothing."""
        if time.monotonic() - self._read_at > MEMORY_AGE_MAX_S:
            self._read_at = time.monotonic()
            self._known = {}
        known = self._known
        self._known = {pid: known.get(pid) or _read_memory(pid) for pid in pids if pid > 0}
        return self._known

    def by_role(self, processes: Iterable[tuple[str, int]]) -> "Sizes":
        """(RSS, PSS) in bytes, summed; `processes` are pairs of a role and a pid."""
        every = list(processes)
        sizes = self.of(pid for _, pid in every)
        total = dict.fromkeys(ROLES, (0, 0))
        for role, pid in every:
            rss, pss = sizes.get(pid, (0, 0))
            total[role] = (total[role][0] + rss, total[role][1] + pss)
        return total


Sizes = Mapping[str, tuple[int, int]]  # (RSS, PSS) by role


def _read_memory(pid: int) -> tuple[int, int]:
    rss = pss = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                rss = int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                pss = int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return 0, 0
    return rss, pss


def as_json(report: Report, sums: Sums, memory: Sizes) -> dict[str, Any]:
    """What the dashboard draws; histograms are pairs of a bucket's start in seconds and a count."""
    return {
        "schema": "askr.metrics/1",
        "time_s": round(time.time(), 3),
        "uptime_s": report.uptime_s,
        "counters": sums.counters,
        "responses": sums.responses,
        "split": as_seconds(sums.split),
        "quantiles_s": {
            name: {f"p{share * 100:g}": durations.quantile_s(share) for share in QUANTILES}
            for name, durations in sums.histograms.items()
        },
        "histograms": {name: _pairs(durations) for name, durations in sums.histograms.items()},
        "opcache": report.opcache,
        "routes": [
            asdict(route) | {"histogram": _pairs(sums.routes[route.route].durations)}
            for route in report.routes
        ],
        "sites": [
            asdict(site) | {"histogram": _pairs(sums.sites[site.name].whole)}
            for site in report.sites
            if site.name in sums.sites
        ],
        "events": sums.events,
        "now": report.totals,
        "memory_bytes": {
            "rss": sum(rss for rss, _ in memory.values()),
            "pss": sum(pss for _, pss in memory.values()),
        },
    }


def _pairs(durations: Durations) -> list[tuple[float, int]]:
    return [(start / _NS, count) for start, count in durations.buckets()]


# --- the exposition -------------------------------------------------------------------------------


def _gauges(report: Report) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge

    backend = report.io_backend
    info = Gauge(
        "askr_io_backend_info",
        "1; the I/O backend that was wanted, the one that runs, and why.",
        labels=["requested", "active", "reason"],
    )
    info.add_metric([backend["requested"], backend["active"], backend["reason"]], 1)
    yield info
    build = Gauge("askr_build_info", "1; the version of askrctl.", labels=["version"])
    build.add_metric([report.version], 1)
    yield build
    since = "Since the server was started; reloads do not end it."
    yield Gauge("askr_uptime_seconds", since, value=report.uptime_s)
    number = "Number of the generation that serves; each reload takes the next one."
    yield Gauge("askr_generation", number, value=report.generation)
    yield Gauge(
        "askr_generation_start_timestamp_seconds",
        "When the generation that serves took over, in Unix time.",
        value=report.serving_since_s,
    )
    text = "Lines of the server's log that whoever reads it did not take."
    yield Counter("askr_log_lost", text, value=report.log_lost)
    older = "Older generations that still finish requests."
    yield Gauge("askr_draining_generations", older, value=report.draining_generations)


def _per_worker(report: Report) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily as Gauge

    connections = Gauge("askr_connections", "Connections that are open.", labels=["worker"])
    websockets = Gauge("askr_websockets", "WebSockets that are open.", labels=["worker"])
    queue = Gauge("askr_queue_depth", "Requests that wait for an application.", labels=["worker"])
    held = Gauge(
        "askr_requests_in_application", "Requests that applications have.", labels=["worker"]
    )
    ready = Gauge("askr_worker_ready", "1 while the worker serves, else 0.", labels=["worker"])
    text = "Places for application processes, by the state of who is in them."
    states = Gauge("askr_application_processes", text, labels=["worker", "state"])
    for worker in report.workers:
        label = str(worker.index)
        connections.add_metric([label], worker.connections)
        websockets.add_metric([label], worker.websockets)
        queue.add_metric([label], worker.queue_depth)
        held.add_metric([label], worker.inflight)
        ready.add_metric([label], worker.state == "ready")
        for state in engine.APP_STATES.values():
            count = sum(app.state == state for app in worker.apps)
            states.add_metric([label, state], count)
    yield from (connections, websockets, queue, held, ready, states)


def _io_cpu(sums: Sums) -> Iterator["Metric"]:
    """Of all processes that were a worker, so that it does not go back with the next one."""
    from prometheus_client.core import CounterMetricFamily as Counter

    text = "CPU time of the I/O thread of a worker."
    cpu = Counter("askr_worker_io_cpu_seconds", text, labels=["worker", "mode"])
    for index, spent in sorted(sums.io_cpu_ns.items()):
        for mode, nanoseconds in zip(("user", "system"), spent, strict=True):
            cpu.add_metric([str(index), mode], nanoseconds / _NS)
    yield cpu


def _events(sums: Sums) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily as Counter

    for event, (name, text, label) in _EVENTS.items():
        counter = Counter(name, text, labels=[label])
        for reason, count in sums.events[event].items():
            counter.add_metric([reason], count)
        yield counter


def _certificates(report: Report) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily as Gauge

    if not report.certificates:
        return
    ends = Gauge(
        "askr_tls_certificate_not_after_timestamp_seconds",
        "When a certificate expires, in Unix time.",
        labels=["source"],
    )
    for certificate in report.certificates:
        when = datetime.fromisoformat(certificate.not_after)
        ends.add_metric([certificate.source], when.timestamp())
    yield ends


def _sites_now(report: Report) -> Iterator["Metric"]:
    """Nothing without [[site]]. What has no site is in the families without the label."""
    from prometheus_client.core import GaugeMetricFamily as Gauge

    if not report.sites:
        return
    processes = Gauge(
        "askr_site_processes", "Application processes of a site that serve.", labels=["site"]
    )
    queue = Gauge(
        "askr_site_queue_depth", "Requests that wait for an application of a site.", labels=["site"]
    )
    text = "Requests that applications of a site have."
    held = Gauge("askr_site_requests_in_application", text, labels=["site"])
    for site in report.sites:
        processes.add_metric([site.name], site.processes)
        queue.add_metric([site.name], site.queue_depth)
        held.add_metric([site.name], site.inflight)
    yield from (processes, queue, held)


def _sites_counted(sums: Sums) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily as Counter

    if not sums.sites:
        return
    sites = sorted(sums.sites.items())
    for key, name, text in _SITE_COUNTERS:
        counter = Counter(name, text, labels=["site"])
        for of, site in sites:
            counter.add_metric([of], site.counts[key])
        yield counter
    text = "Answers of a site by class of their status."
    responses = Counter("askr_site_responses", text, labels=["site", "class"])
    durations = _family("askr_site_request_duration", ["site", "answered_by"])
    waits = _family("askr_site_queue_duration", ["site"])
    for of, site in sites:
        for klass in ("1xx", "2xx", "3xx", "4xx", "5xx"):
            responses.add_metric([of, klass], site.counts[klass])
        for key, who in (("app", "application"), ("self", "server")):
            _add(durations, [of, who], site.durations[key], _SITE_BOUNDS)
        _add(waits, [of], site.durations["queue"], _SITE_BOUNDS)
    yield from (responses, durations, waits)


def _counters(sums: Sums) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge

    for name, text, key in _COUNTERS:
        yield Counter(name, text, value=sums.counters[key])
    responses = Counter("askr_responses", "Answers by class of their status.", labels=["class"])
    for name, count in sorted(sums.responses.items()):
        responses.add_metric([name], count)
    yield responses
    text = "Requests answered 503 because no application took them, by reason."
    refused = Counter("askr_requests_refused", text, labels=["reason"])
    for reason in ("queue_full", "queue_expired"):
        refused.add_metric([reason], sums.counters[reason])
    yield refused
    text = "Where the time of requests went: sums of the time split."
    parts = Counter("askr_request_time_seconds", text, labels=["part"])
    io = Counter("askr_io_cpu_seconds", "CPU time of all I/O threads.", labels=["mode"])
    for name, seconds in as_seconds(sums.split).items():
        if name in ("io_cpu_user_s", "io_cpu_system_s"):
            io.add_metric([name.removeprefix("io_cpu_").removesuffix("_s")], seconds)
        elif name.endswith("_s") and name not in ("io_cpu_serving_s", "app_held_s"):
            parts.add_metric([name.removesuffix("_s")], seconds)
    yield parts
    yield io
    yield Gauge(
        "askr_io_ceiling_ratio",
        "The most that requests could gain if I/O cost nothing.",
        value=io_ceiling_pct(sums.split) / 100,
    )


def _family(name: str, labels: list[str]) -> "HistogramMetricFamily":
    from prometheus_client.core import HistogramMetricFamily

    text = f"{_HELP[name]} The sum is of bucket middles, at most 3.2 % off."
    return HistogramMetricFamily(f"{name}_seconds", text, labels=labels)


def _add(
    family: "HistogramMetricFamily", labels: list[str], durations: Durations, bounds: Bounds
) -> None:
    below, count = durations.below(bounds)
    buckets = zip((*bounds.texts, "+Inf"), map(float, (*below, count)), strict=True)
    family.add_metric(labels, list(buckets), durations.sum_s)


def _histograms(sums: Sums) -> Iterator["Metric"]:
    families: dict[str, HistogramMetricFamily] = {}
    for key, name, labels in _HISTOGRAMS:
        family = families.setdefault(name, _family(name, list(labels)))
        _add(family, list(labels.values()), sums.histograms[key], _BOUNDS)
    yield from families.values()


def _routes(sums: Sums) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily as Counter

    durations = _family("askr_route_duration", ["route"])
    failed = Counter("askr_route_failed", "Requests answered with 5xx, by route.", labels=["route"])
    for name, route in sums.routes.items():
        _add(durations, [name], route.durations, _ROUTE_BOUNDS)
        failed.add_metric([name], route.failed)
    yield durations
    yield failed


_OPCACHE_GAUGES = (
    ("memory_bytes", "Memory of {}, by state.", "memory", ("used", "free", "wasted")),
    (
        "interned_strings_bytes",
        "Memory of {} for interned strings, by state.",
        "strings",
        ("used", "free"),
    ),
)
_OPCACHE_COUNTS = (
    ("scripts", "Scripts that {} has.", "scripts"),
    ("keys", "Keys of the hash table of {}.", "keys"),
    ("keys_max", "Keys that the hash table of {} has room for.", "keys_max"),
    ("full", "1 while {} is full and takes nothing more, else 0.", "full"),
)
_OPCACHE_COUNTERS = (
    (
        "lookups",
        "Lookups of scripts in {}, by result.",
        "result",
        {"hit": "hits", "miss": "misses"},
    ),
    (
        "restarts",
        "Times that {} was emptied, by reason.",
        "reason",
        {reason: f"restarts_{reason}" for reason in ("memory", "keys", "asked")},
    ),
)


def _opcache(report: Report) -> Iterator["Metric"]:
    """They begin anew with each generation, which has an OPcache of its own for each site."""
    yield from _caches("askr_opcache", [([], report.opcache)])
    by_site = [([site.name], site.opcache) for site in report.sites]
    yield from _caches("askr_site_opcache", by_site, ["site"])


def _caches(
    prefix: str, known: list[tuple[list[str], dict[str, int]]], names: list[str] | None = None
) -> Iterator["Metric"]:
    """`known`: values of the labels `names`, and the cache that they stand for."""
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge

    known = [item for item in known if item[1]]
    names = names or []
    whose = "the OPcache of a site" if names else "OPcache"
    if not known:
        return
    for name, text, part, states in _OPCACHE_GAUGES:
        sizes = Gauge(f"{prefix}_{name}", text.format(whose), labels=[*names, "state"])
        for labels, cache in known:
            for state in states:
                sizes.add_metric([*labels, state], cache.get(f"{part}_{state}", 0))
        yield sizes
    for name, text, key in _OPCACHE_COUNTS:
        gauge = Gauge(f"{prefix}_{name}", text.format(whose), labels=names)
        for labels, cache in known:
            gauge.add_metric(labels, cache.get(key, 0))
        yield gauge
    for name, text, label, keys in _OPCACHE_COUNTERS:
        counter = Counter(f"{prefix}_{name}", text.format(whose), labels=[*names, label])
        for labels, cache in known:
            for value, key in keys.items():
                counter.add_metric([*labels, value], cache.get(key, 0))
        yield counter


def _traces(report: Report) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily as Counter

    exported = Counter(
        "askr_trace_export",
        "What became of spans that the exporter took, by result.",
        labels=["result"],
    )
    for result in ("exported", "failed", "dropped"):
        exported.add_metric([result], report.trace[result])
    yield exported


def _memory(memory: Sizes) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily as Gauge

    rss = Gauge(
        "askr_resident_memory_bytes",
        "RSS of the processes of a role; what they share is in each of them.",
        labels=["role"],
    )
    pss = Gauge(
        "askr_proportional_memory_bytes",
        "PSS of the processes of a role: together they are what the server takes.",
        labels=["role"],
    )
    for role, sizes in memory.items():
        rss.add_metric([role], sizes[0])
        pss.add_metric([role], sizes[1])
    yield rss
    yield pss


class _Collector:
    def __init__(self, metrics: list["Metric"]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable["Metric"]:
        return self._metrics


def families(report: Report, sums: Sums, memory: Sizes) -> Iterator["Metric"]:
    """In the order in which they are written; docs/metrics.md tells of each."""
    yield from _gauges(report)
    yield from _certificates(report)
    yield from _events(sums)
    yield from _per_worker(report)
    yield from _io_cpu(sums)
    yield from _sites_now(report)
    yield from _sites_counted(sums)
    yield from _counters(sums)
    yield from _histograms(sums)
    yield from _routes(sums)
    yield from _opcache(report)
    yield from _traces(report)
    yield from _memory(memory)


def exposition(report: Report, sums: Sums, memory: Sizes) -> bytes:
    """Text that Prometheus reads."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(list(families(report, sums, memory))))
    return generate_latest(registry)
