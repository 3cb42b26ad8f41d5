# SPDX-License-Identifier: MIT
"""Counters over the whole life of a server: workers come and go, their numbers must not go back.

A worker's page is its own and begins at zero; when it has exited, what it counted is kept here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from askrctl import engine

COUNTERS = (
    "accepted",
    "requests",
    "bytes_in",
    "bytes_out",
    "errors",
    "timeouts",
    "queue_full",
    "queue_expired",
    "app_deaths",
    "abandoned",
    "log_lines",
    "log_dropped",
    "records",
    "records_lost",
    "records_skipped",
    "spans",
    "spans_lost",
    "tls_handshakes",
    "tls_resumed",
    "tls_failed",
    "proxy_refused",
    "evicted",
    "address_refused",
    "rate_limited",
    "websocket_messages",
)


OF_A_SITE = (
    "requests",
    "queue_full",
    "queue_expired",
    "timeouts",
    "app_deaths",
    "sendfile_refused",
)

# Names of routes over all workers, each of which has its own 64 (engine.ROUTES_MAX). A name that is
# known stays, or a counter would go back; what comes when there are so many counts as "(other)".
ROUTES_MAX = 2 * engine.ROUTES_MAX


@dataclass(slots=True)
class Route:
    """Requests that an application answered."""

    failed: int  # with 5xx
    counts: list[int]  # durations by bucket


@dataclass(slots=True)
class Sums:
    """Whatever only grows, summed over workers."""

    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    responses: dict[str, int] = field(default_factory=dict)
    split: dict[str, int] = field(default_factory=lambda: dict.fromkeys(engine.SPLIT_FIELDS, 0))
    histograms: dict[str, list[int]] = field(
        default_factory=lambda: {
            name: [0] * len(engine.BUCKET_STARTS_NS) for name in engine.HISTOGRAMS
        }
    )

    routes: dict[str, Route] = field(default_factory=dict)

    def add_route(self, name: str, failed: int, counts: list[int]) -> None:
        known = self.routes.get(name)
        if known is None:
            self.routes[name] = Route(failed, counts)
        else:
            added = [a + b for a, b in zip(known.counts, counts, strict=True)]
            self.routes[name] = Route(known.failed + failed, added)

    sites: dict[str, dict[str, int]] = field(default_factory=dict)  # by name; not without any

    def add(self, page: engine.WorkerStatus, histograms: Mapping[str, list[int]]) -> None:
        for name in COUNTERS:
            self.counters[name] += getattr(page, name)
        for name, value in page.responses.items():
            self.responses[name] = self.responses.get(name, 0) + value
        for name, value in page.split.items():
            self.split[name] += value
        for site in page.sites:
            if site.name:
                self._add_site(site)
        for name, counts in histograms.items():
            self.histograms[name] = [
                a + b for a, b in zip(self.histograms[name], counts, strict=True)
            ]

    def _add_site(self, site: engine.SiteStatus) -> None:
        before = self.sites.get(site.name, {})
        counts = {name: getattr(site, name) for name in OF_A_SITE} | site.responses
        self.sites[site.name] = {name: before.get(name, 0) + n for name, n in counts.items()}

    def copy(self) -> "Sums":
        return Sums(
            dict(self.counters),
            dict(self.responses),
            dict(self.split),
            dict(self.histograms),
            dict(self.routes),
            dict(self.sites),
        )


class Ledger:
    """`memory` is the status memory; a worker is a pair of its slot and its pid."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._gone = Sums()
        self._names: set[str] = {engine.ROUTE_OTHER}

    def _add(self, sums: Sums, slot: int, pid: int) -> None:
        page = engine.read_status(self._memory, slot)
        if page.pid != pid:  # it has not begun yet, and this is its predecessor's
            return
        sums.add(page, engine.read_histograms(self._memory, slot))
        for name, (failed, counts) in engine.read_routes(self._memory, slot).items():
            if name not in self._names and len(self._names) < ROUTES_MAX:
                self._names.add(name)
            known = name if name in self._names else engine.ROUTE_OTHER
            sums.add_route(known, failed, counts)

    def retire(self, slot: int, pid: int) -> None:
        """It has exited: its page is final."""
        self._add(self._gone, slot, pid)

    def sums(self, alive: Iterable[tuple[int, int]]) -> Sums:
        """Of all workers there ever were, `alive` being those there are."""
        sums = self._gone.copy()
        for slot, pid in alive:
            self._add(sums, slot, pid)
        return sums
