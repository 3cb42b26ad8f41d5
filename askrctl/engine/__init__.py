# SPDX-License-Identifier: MIT
"""The data plane, compiled. Only this package imports _engine; everything else uses this."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from askrctl.engine._engine import ffi, lib
from askrctl.engine.durations import BUCKET_STARTS_NS as BUCKET_STARTS_NS
from askrctl.engine.durations import Bounds as Bounds
from askrctl.engine.durations import Durations as Durations
from askrctl.model import AskrError, Backend

WORKERS_MAX: int = lib.ASKR_WORKERS_MAX
ROUTES_MAX: int = lib.ASKR_ROUTES_MAX
ROUTE_OTHER = "(other)"
STATUS_STRIDE: int = lib.askr_status_stride()
STATUS_SIZE: int = WORKERS_MAX * STATUS_STRIDE
PORT_SIZE: int = lib.askr_port_size()
RATE_SEED_SIZE: int = lib.askr_rate_seed_size()
SPANS_SIZE_MAX: int = lib.ASKR_SPANS_SIZE_MAX

SPLIT_FIELDS: tuple[str, ...] = tuple(name for name, _ in ffi.typeof("struct askr_split").fields)
HISTOGRAMS = {
    "app": lib.ASKR_HISTOGRAM_APP,
    "self": lib.ASKR_HISTOGRAM_SELF,
    "queue": lib.ASKR_HISTOGRAM_QUEUE,
    "app_wall": lib.ASKR_HISTOGRAM_APP_WALL,
}
SITE_HISTOGRAMS: tuple[str, ...] = tuple(
    name for name, index in HISTOGRAMS.items() if index < lib.ASKR_SITE_HISTOGRAMS
)

_BACKENDS = {Backend.IO_URING: lib.ASKR_IO_URING, Backend.EPOLL: lib.ASKR_IO_EPOLL}
EDIT_SET: int = lib.ASKR_EDIT_SET
EDIT_ADD: int = lib.ASKR_EDIT_ADD
EDIT_REMOVE: int = lib.ASKR_EDIT_REMOVE
LISTENER_TLS: int = lib.ASKR_LISTENER_TLS
LISTENER_REDIRECT: int = lib.ASKR_LISTENER_REDIRECT
LISTENER_PROXY: int = lib.ASKR_LISTENER_PROXY
WORKER_STATES = {
    lib.ASKR_WORKER_NONE: "none",
    lib.ASKR_WORKER_STARTING: "starting",
    lib.ASKR_WORKER_READY: "ready",
    lib.ASKR_WORKER_DRAINING: "draining",
    lib.ASKR_WORKER_FAILED: "failed",
    lib.ASKR_WORKER_KEPT: "kept",
}
_CLASSES = {f"{digit}xx": digit for digit in range(1, 6)}
APP_STATES = {
    lib.ASKR_APP_NONE: "none",
    lib.ASKR_APP_BOOTING: "booting",
    lib.ASKR_APP_IDLE: "idle",
    lib.ASKR_APP_BUSY: "busy",
    lib.ASKR_APP_FAILED: "failed",
    lib.ASKR_APP_DEAD: "dead",
    lib.ASKR_APP_LEAVING: "leaving",
}


@dataclass(frozen=True, slots=True)
class AppStatus:
    """One application process. `since_ns` is CLOCK_MONOTONIC, 0 when it is idle."""

    place: int
    pid: int
    state: str
    requests: int
    restarts: int
    since_ns: int
    method: str  # of the request that it took last
    path: str


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """What a worker counts for one site; there is always one, without a name."""

    name: str
    requests: int
    responses: dict[str, int]
    queue_full: int
    queue_expired: int
    timeouts: int
    app_deaths: int
    sendfile_refused: int
    queue_depth: int
    inflight: int
    queue_wait_ns: int
    boot_error: str


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker's counters, as its page of the status memory shows them now."""

    pid: int
    state: str
    generation: int
    backend: str
    heartbeat_ns: int
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
    queue_wait_ns: int
    abandoned: int
    websockets: int  # open now
    websocket_messages: int
    log_lines: int
    log_dropped: int
    records: int
    records_lost: int
    records_skipped: int
    spans: int
    spans_lost: int
    boot_error: str
    apps: tuple[AppStatus, ...]
    split: dict[str, int]  # struct askr_split: nanoseconds, and `requests`
    sites: tuple[SiteStatus, ...] = ()

    @property
    def serving_apps(self) -> int:
        return sum(app.state in ("idle", "busy") for app in self.apps)


def version() -> str:
    """Of the compiled part."""
    text: bytes = ffi.string(lib.askr_version())
    return text.decode()


def built(backend: Backend) -> bool:
    """Was this backend compiled in?"""
    return bool(lib.askr_io_built(_BACKENDS[backend]))


def tls_built() -> bool:
    """Was TLS compiled in?"""
    return bool(lib.askr_tls_built())


def check_tls(store: bytes) -> str:
    """Why a worker would refuse this TLS store; "" when it would not."""
    error = ffi.new("askr_error *")
    result: int = lib.askr_tls_check(ffi.from_buffer(store), len(store), error)
    return "" if result == 0 else _text(error.text)


def try_backend(backend: Backend) -> tuple[int, str]:
    """Open and close a ring (or epoll set) as a worker would: (0, "") or (errno, a sentence)."""
    error = ffi.new("askr_error *")
    result: int = lib.askr_io_try(_BACKENDS[backend], error)
    return (0, "") if result == 0 else (-result, _text(error.text))


class SpanEncoder:
    """Batches of spans from workers, as OTLP. Not for several threads at once."""

    def __init__(self) -> None:
        self._made = ffi.new("uint8_t[]", lib.ASKR_OTLP_SIZE_MAX)
        self._count = ffi.new("uint32_t *")

    def encode(self, batch: bytes) -> tuple[int, bytes]:
        """How many, and the `spans` of a ScopeSpans; ValueError when the batch is none of ours."""
        size: int = lib.askr_spans_encode(batch, len(batch), self._made, self._count)
        if size < 0:
            raise ValueError("this is no batch of spans")
        return self._count[0], ffi.buffer(self._made, size)[:]


def companion(name: str) -> Path:
    """An executable or module installed beside the extension: askr-zygote, askr_php.so."""
    return Path(str(files("askrctl.engine") / name))


def _text(field: Any) -> str:
    raw: bytes = ffi.string(field)
    return raw.decode(errors="replace")


def read_status(memory: memoryview, slot: int) -> WorkerStatus:
    """The page of one worker. Counters move while they are read; each one is whole."""
    status = _status(memory, slot)
    apps = tuple(
        AppStatus(
            place,
            app.pid,
            _state_of(app),
            app.requests,
            app.restarts,
            app.since_ns,
            _text(app.method),
            _text(app.path),
        )
        for place, app in enumerate(status.apps[0 : min(status.app_count, lib.ASKR_APPS_MAX)])
    )
    names = {value: str(key) for key, value in _BACKENDS.items()}
    tallies = _tallies(status)
    return WorkerStatus(
        pid=status.pid,
        state=WORKER_STATES.get(status.state, "unknown"),
        generation=status.generation,
        backend=names.get(status.backend, ""),
        heartbeat_ns=status.heartbeat_ns,
        connections=status.connections,
        queue_depth=status.queue_depth,
        inflight=status.inflight,
        accepted=status.accepted,
        requests=sum(map(_answered, tallies)),
        responses={
            name: sum(tally.responses[index] for tally in tallies)
            for name, index in _CLASSES.items()
        },
        bytes_in=status.bytes_in,
        bytes_out=status.bytes_out,
        errors=status.errors,
        timeouts=status.timeouts,
        queue_full=status.queue_full,
        queue_expired=status.queue_expired,
        app_deaths=status.app_deaths,
        tls_handshakes=status.tls_handshakes,
        tls_resumed=status.tls_resumed,
        tls_failed=status.tls_failed,
        proxy_refused=status.proxy_refused,
        evicted=status.evicted,
        address_refused=status.address_refused,
        rate_limited=status.rate_limited,
        queue_wait_ns=status.queue_wait_ns,
        abandoned=status.abandoned,
        websockets=status.websockets,
        websocket_messages=status.websocket_messages,
        log_lines=status.log_lines,
        log_dropped=status.log_dropped,
        records=status.records,
        records_lost=status.records_lost,
        records_skipped=status.records_skipped,
        spans=status.spans,
        spans_lost=status.spans_lost,
        boot_error=_text(status.boot_error),
        apps=apps,
        sites=tuple(map(_site, _sites(status))),
        split={name: getattr(status.split, name) for name in SPLIT_FIELDS},
    )


def _state_of(app: Any) -> str:
    runs = app.state == lib.ASKR_APP_IDLE and app.since_ns != 0
    return APP_STATES.get(lib.ASKR_APP_BUSY if runs else app.state, "unknown")


def _sites(status: Any) -> list[Any]:
    return list(status.sites[0 : min(status.site_count, lib.ASKR_SITES_MAX)])


def _tallies(status: Any) -> list[Any]:
    """What was answered: by no site in particular, and by each."""
    return [status.tally, *(site.tally for site in _sites(status))]


def _answered(tally: Any) -> int:
    return sum(tally.responses)


def _site(site: Any) -> SiteStatus:
    same = {
        name: getattr(site, name)
        for name in SiteStatus.__dataclass_fields__
        if name not in ("name", "requests", "responses", "boot_error")
    }
    return SiteStatus(
        name=_text(site.name),
        requests=_answered(site.tally),
        responses={name: site.tally.responses[index] for name, index in _CLASSES.items()},
        boot_error=_text(site.boot_error),
        **same,
    )


def running_requests(memory: memoryview, slot: int) -> list[tuple[int, int, int]]:
    """(place, pid, CLOCK_MONOTONIC of its start) of the requests that a worker's processes run."""
    page = memory[slot * STATUS_STRIDE : (slot + 1) * STATUS_STRIDE]
    status = ffi.cast("struct askr_worker_status *", ffi.from_buffer(page))
    apps = enumerate(status.apps[0 : min(status.app_count, lib.ASKR_APPS_MAX)])
    return [(place, app.pid, app.since_ns) for place, app in apps if app.since_ns]


def _status(memory: memoryview, slot: int) -> Any:
    page = memory[slot * STATUS_STRIDE : (slot + 1) * STATUS_STRIDE]
    return ffi.cast("struct askr_worker_status *", ffi.from_buffer(page))


def read_histograms(memory: memoryview, slot: int) -> dict[str, Durations]:
    """Durations by histogram."""
    status = _status(memory, slot)
    found = {name: Durations() for name in SITE_HISTOGRAMS}
    for tally in _tallies(status):
        for name, durations in found.items():
            durations.add(Durations(tally.histograms[HISTOGRAMS[name]]))
    return found | {"app_wall": Durations(status.app_wall)}


def read_routes(memory: memoryview, slot: int) -> dict[str, tuple[int, Durations]]:
    """How many requests of each route failed with 5xx, and the durations of all of them. Only
    routes that are there are looked at: the memory of the others has never been touched."""
    status = _status(memory, slot)
    found = {}
    for index in range(min(status.route_count, lib.ASKR_ROUTES_MAX)):
        route = status.routes[index]
        found[_text(route.name)] = (route.failed, Durations(route.histogram))
    return found


def read_site_histograms(memory: memoryview, slot: int) -> dict[str, dict[str, Durations]]:
    """The same as of the worker, by site; nothing without [[site]]."""
    status = _status(memory, slot)
    found = {}
    for site in _sites(status):
        if name := _text(site.name):
            found[name] = {
                which: Durations(site.tally.histograms[HISTOGRAMS[which]])
                for which in SITE_HISTOGRAMS
            }
    return found


def rate_size(buckets: int) -> int:
    """Bytes of the memory for so many buckets of rate limits."""
    size: int = lib.askr_rate_size(buckets)
    return size


def counters(memory: memoryview, slot: int, names: tuple[str, ...]) -> tuple[int, ...]:
    """Some counters of a worker's page, without the rest."""
    status = _status(memory, slot)
    return tuple(getattr(status, name) for name in names)


def heartbeat_ns(memory: memoryview, slot: int) -> int:
    """CLOCK_MONOTONIC of the worker's last sign of life."""
    page = memory[slot * STATUS_STRIDE : slot * STATUS_STRIDE + 8]
    return int.from_bytes(page, "little", signed=True)


def _fill(target: Any, settings: Mapping[str, Any], keep: list[Any]) -> None:
    """The fields of a C struct. What they point to is added to `keep`, and must outlive it."""
    kinds = dict(ffi.typeof(target).item.fields)
    for name, value in settings.items():
        if value is not None:
            setattr(target, name, _convert(kinds[name].type, value, keep))


def _convert(kind: Any, value: Any, keep: list[Any]) -> Any:
    """A value for a field of this kind: a list for an array or for a pointer to its first."""
    if isinstance(value, str):
        made = ffi.new("char[]", value.encode())
    elif isinstance(value, dict):  # a struct inside of this one
        made = ffi.new(f"{kind.cname} *")
        _fill(made, value, keep)
        return made[0]
    elif kind.kind == "array":
        return [_convert(kind.item, item, keep) for item in value]
    elif isinstance(value, list):
        made = ffi.new(ffi.typeof(f"{kind.item.cname}[]"), len(value))
        for index, item in enumerate(value):
            if isinstance(item, dict):
                _fill(ffi.addressof(made, index), item, keep)
            else:
                made[index] = _convert(kind.item, item, keep)
    else:
        return value
    keep.append(made)
    return made


def run_worker(settings: Mapping[str, Any]) -> None:
    """Run a worker until it has drained. Keys are the fields of struct askr_worker_config."""
    config = ffi.new("struct askr_worker_config *")
    keep: list[Any] = []
    _fill(config, settings, keep)
    error = ffi.new("askr_error *")
    result: int = lib.askr_worker_run(config, error)
    if result < 0:
        raise AskrError(_text(error.text), "askrctl doctor", code=1)


def backend_id(backend: Backend) -> int:
    """enum askr_io_id of a backend."""
    ident: int = _BACKENDS[backend]
    return ident
