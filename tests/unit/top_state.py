# SPDX-License-Identifier: MIT
"""A server's state as `askrctl top` reads it, ten seconds of it: two workers, one stuck request."""

from dataclasses import replace
from typing import Any

from askrctl import engine
from askrctl.cli.top.sample import Answered, Sample, Usage, WorkerSample

MS, S = 1_000_000, 1_000_000_000
NOW = 1_000 * S
VIEW: dict[str, Any] = {
    "version": "1.2.3",
    "pid": 100,
    "started_s": 0.0,
    "mode": "classic",
    "root": "/srv/shop/public",
    "listeners": ["http://127.0.0.1:8000/"],
    "io_backend": {
        "requested": "auto",
        "active": "epoll",
        "reason": "no_bench_record",
        "detail": "auto is epoll until a bench shows a win",
    },
    "generations": [
        {"number": 3, "state": "serving", "slots": [0, 2], "cpus": [0, 1]},
        {"number": 2, "state": "draining", "slots": [2, 4], "cpus": [0, 1]},
    ],
}


def app(place: int, pid: int, **more: Any) -> engine.AppStatus:
    usual = engine.AppStatus(place, pid, "idle", 10, 0, 0, "GET", "/hello")
    return replace(usual, **more)


def page(pid: int, apps: list[engine.AppStatus], **more: Any) -> engine.WorkerStatus:
    numbers = {
        name: 0 for name, field in engine.WorkerStatus.__annotations__.items() if field is int
    }
    known: dict[str, Any] = {
        "state": "ready",
        "backend": "epoll",
        "responses": {f"{digit}xx": 0 for digit in range(1, 6)},
        "boot_error": "",
        "split": {},
        "generation": 3,
        "heartbeat_ns": NOW,
    }
    return engine.WorkerStatus(**{**numbers, **known, "pid": pid, "apps": tuple(apps), **more})


def site(name: str, **more: Any) -> engine.SiteStatus:
    numbers = {name: 0 for name, kind in engine.SiteStatus.__annotations__.items() if kind is int}
    known: dict[str, Any] = {"name": name, "boot_error": ""}
    known["responses"] = {f"{digit}xx": 0 for digit in range(1, 6)}
    return engine.SiteStatus(**{**numbers, **known, **more})


def durations(**counts: int) -> engine.Durations:
    """`us512=3`: three that fell into the bucket that begins at or below 512 us."""
    found = [0] * len(engine.BUCKET_STARTS_NS)
    for name, count in counts.items():
        wanted = int(name.removeprefix("us")) * 1000
        index = max(i for i, start in enumerate(engine.BUCKET_STARTS_NS) if start <= wanted)
        found[index] = count
    return engine.Durations.of(found)


def recorded() -> list[Sample]:
    """The oldest, the last but one, a second before the newest, and the newest."""
    stuck = app(1, 112, state="busy", since_ns=NOW - 24 * S, path="/stuck", method="POST")
    samples = []
    for age, served in ((10, 0), (1, 900), (0, 1000)):
        first = page(
            101,
            [app(0, 111, requests=served), stuck],
            requests=served,
            connections=7,
            queue_depth=2,
            queue_wait_ns=380 * MS,
            responses={"1xx": 0, "2xx": served, "3xx": 0, "4xx": 0, "5xx": served // 10},
        )
        second = page(102, [app(0, 113)], heartbeat_ns=NOW - 3 * S)
        workers = (
            WorkerSample(0, 3, "serving", first, durations(us500=served * 98, us90000=served * 2)),
            WorkerSample(1, 3, "serving", second, durations()),
        )
        usage = {
            pid: Usage(1000.0 - age * 0.25, (pid - 90) << 20, (pid - 95) << 20)
            for pid in (100, 101, 102, 111, 112, 113)
        }
        routes = {
            "/cart/:id": Answered(served // 10, durations(us500=served)),
            "/report": Answered(0, durations(us90000=served)),
        }
        samples.append(Sample(NOW - age * S, 7325.0 - age, workers, usage, routes, {}))
    return samples
