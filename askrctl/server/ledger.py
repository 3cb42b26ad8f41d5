# SPDX-License-Identifier: MIT
"""Counters over the whole life of a server: workers come and go, their numbers must not go back.

A worker's page is its own and begins at zero; when it has exited, what it counted is kept here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from askrctl import engine
from askrctl.config import SITES_MAX
from askrctl.engine import Durations

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


# What happens seldom and is told by the supervisor: why, in the order in which it is shown.
EVENTS = {
    "application_restarts": (
        "died",  # by itself: a crash, or exit status
        "timeout",  # killed: a request did not end within timeouts.request and php.kill_grace
        "broken",  # killed: it broke the rules of its port
        "zygote",  # whose death it shared
        *("requests", "age", "memory", "leak"),  # php.max_…
        "asked",
    ),
    "worker_restarts": (
        "died",
        "stuck",  # killed: it gave no sign of life
        "backend",  # its ring did not open: all go on with epoll
        "asked",
    ),
    "reloads": ("done", "failed", "refused", "rolled_back"),
}

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
# The same for sites, whose names a reload may change.
SITES_SHOWN_MAX = 2 * SITES_MAX


@dataclass(slots=True)
class Route:
    """Requests that an application answered."""

    failed: int  # with 5xx
    durations: Durations


@dataclass(slots=True)
class Site:
    """Counters of OF_A_SITE and responses by class, and durations by engine.SITE_HISTOGRAMS."""

    counts: dict[str, int]
    durations: dict[str, Durations]

    @property
    def whole(self) -> Durations:
        """Of all requests, whoever answered them."""
        found = self.durations["app"].copy()
        found.add(self.durations["self"])
        return found


def _nothing() -> dict[str, Durations]:
    return {name: Durations() for name in engine.HISTOGRAMS}


def _no_events() -> dict[str, dict[str, int]]:
    return {name: dict.fromkeys(reasons, 0) for name, reasons in EVENTS.items()}


@dataclass(slots=True)
class Sums:
    """Whatever only grows, summed over workers."""

    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    responses: dict[str, int] = field(default_factory=dict)
    split: dict[str, int] = field(default_factory=lambda: dict.fromkeys(engine.SPLIT_FIELDS, 0))
    histograms: dict[str, Durations] = field(default_factory=_nothing)
    routes: dict[str, Route] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)  # by name; not without any
    io_cpu_ns: dict[int, tuple[int, int]] = field(default_factory=dict)  # user, system; by worker
    events: dict[str, dict[str, int]] = field(default_factory=_no_events)  # by reason

    def add_route(self, name: str, failed: int, durations: Durations) -> None:
        known = self.routes.setdefault(name, Route(0, Durations()))
        known.failed += failed
        known.durations.add(durations)

    def add_site(
        self, name: str, site: engine.SiteStatus, durations: Mapping[str, Durations]
    ) -> None:
        known = self.sites.get(name)
        if known is None:
            empty = {which: Durations() for which in engine.SITE_HISTOGRAMS}
            known = self.sites[name] = Site({}, empty)
        counts = {key: getattr(site, key) for key in OF_A_SITE} | site.responses
        known.counts = {key: known.counts.get(key, 0) + n for key, n in counts.items()}
        for which, more in durations.items():
            known.durations[which].add(more)

    def add(
        self, index: int, page: engine.WorkerStatus, histograms: Mapping[str, Durations]
    ) -> None:
        for name in COUNTERS:
            self.counters[name] += getattr(page, name)
        for name, value in page.responses.items():
            self.responses[name] = self.responses.get(name, 0) + value
        for name, value in page.split.items():
            self.split[name] += value
        user, system = self.io_cpu_ns.get(index, (0, 0))
        more = page.split
        self.io_cpu_ns[index] = (user + more["io_cpu_user_ns"], system + more["io_cpu_system_ns"])
        for name, durations in histograms.items():
            self.histograms[name].add(durations)

    def copy(self) -> "Sums":
        return Sums(
            dict(self.counters),
            dict(self.responses),
            dict(self.split),
            _copied(self.histograms),
            {name: Route(item.failed, item.durations.copy()) for name, item in self.routes.items()},
            {
                name: Site(dict(item.counts), _copied(item.durations))
                for name, item in self.sites.items()
            },
            dict(self.io_cpu_ns),
            {name: dict(counts) for name, counts in self.events.items()},
        )


def _copied(durations: Mapping[str, Durations]) -> dict[str, Durations]:
    return {name: item.copy() for name, item in durations.items()}


class _Names:
    """So many are told apart; those that are known stay."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known = {engine.ROUTE_OTHER}

    def of(self, name: str) -> str:
        if name not in self._known and len(self._known) < self._most:
            self._known.add(name)
        return name if name in self._known else engine.ROUTE_OTHER


class Ledger:
    """`memory` is the status memory; a worker is its slot, its pid and its index."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._gone = Sums()
        self._routes = _Names(ROUTES_MAX)
        self._sites = _Names(SITES_SHOWN_MAX)

    def _add(self, sums: Sums, slot: int, pid: int, index: int) -> None:
        page = engine.read_status(self._memory, slot)
        if page.pid != pid:  # it has not begun yet, and this is its predecessor's
            return
        sums.add(index, page, engine.read_histograms(self._memory, slot))
        for name, (failed, durations) in engine.read_routes(self._memory, slot).items():
            sums.add_route(self._routes.of(name), failed, durations)
        of_sites = engine.read_site_histograms(self._memory, slot)
        for site in page.sites:
            if site.name:
                sums.add_site(self._sites.of(site.name), site, of_sites.get(site.name, {}))

    def note(self, event: str, reason: str) -> None:
        """One of EVENTS has happened."""
        self._gone.events[event][reason] += 1

    def retire(self, slot: int, pid: int, index: int) -> None:
        """It has exited: its page is final."""
        self._add(self._gone, slot, pid, index)

    def sums(self, alive: Iterable[tuple[int, int, int]]) -> Sums:
        """Of all workers there ever were, `alive` being those there are."""
        sums = self._gone.copy()
        for slot, pid, index in alive:
            self._add(sums, slot, pid, index)
        return sums
