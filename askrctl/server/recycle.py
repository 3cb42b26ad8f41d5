# SPDX-License-Identifier: MIT
"""When an application process has served enough: pure functions over what was measured of it.

Limits vary by up to a tenth for each process, so that a pool born together does not leave together.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from askrctl.config import PhpConfig

JITTER = 0.1
SLOPE_SAMPLES_MIN = 8  # fewer say nothing about a trend
SLOPE_GROWTH_MIN = 4 << 20  # bytes; PHP takes memory from the kernel in blocks of 2 MiB
_PAGE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """0: none."""

    requests: int
    age_s: float
    rss: int
    pss: int
    samples: int  # so many in a row above rss or pss
    leak: int  # bytes per request

    @property
    def of_memory(self) -> bool:
        return bool(self.rss or self.pss or self.leak)


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes. `own` is what the process shares with nobody, as far as statm tells."""

    requests: int
    rss: int
    own: int
    pss: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    kind: str  # one of ledger.RESTARTS
    text: str  # for the log


def limits_of(config: PhpConfig) -> Limits:
    return Limits(
        requests=config.max_requests,
        age_s=config.max_age,
        rss=config.max_rss,
        pss=config.max_pss,
        samples=config.memory_samples,
        leak=config.max_leak,
    )


def with_jitter(limits: Limits, chance: random.Random) -> Limits:
    """For one process."""
    factor = chance.uniform(1 - JITTER, 1 + JITTER)
    return replace(limits, requests=round(limits.requests * factor), age_s=limits.age_s * factor)


def measure(pid: int, requests: int, limits: Limits, proc: Path = Path("/proc")) -> Sample | None:
    """None when the process is gone or may not be looked at."""
    try:
        words = (proc / str(pid) / "statm").read_text().split()
        rss, shared = int(words[1]) * _PAGE_SIZE, int(words[2]) * _PAGE_SIZE
        pss = _pss(proc / str(pid) / "smaps_rollup") if limits.pss else 0
    except (OSError, IndexError, ValueError):
        return None
    return Sample(requests, rss, rss - shared, pss)


def _pss(path: Path) -> int:
    for line in path.read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def slope(samples: Sequence[Sample]) -> float:
    """Bytes per request by least squares; 0 when too little is known."""
    if len(samples) < SLOPE_SAMPLES_MIN:
        return 0.0
    mean_x = sum(item.requests for item in samples) / len(samples)
    mean_y = sum(item.own for item in samples) / len(samples)
    spread = sum((item.requests - mean_x) ** 2 for item in samples)
    if spread == 0:
        return 0.0
    together = sum((item.requests - mean_x) * (item.own - mean_y) for item in samples)
    return together / spread


def reason(limits: Limits, requests: int, age_s: float, samples: Sequence[Sample]) -> Reason | None:
    """Why the process is to be replaced; None when it may stay."""
    if limits.requests and requests >= limits.requests:
        return Reason("requests", f"{requests} requests")
    if limits.age_s and age_s >= limits.age_s:
        return Reason("age", f"{age_s:.0f} s old")
    latest = samples[-limits.samples :]
    if len(latest) == limits.samples:
        for name in ("rss", "pss"):
            limit = getattr(limits, name)
            if limit and all(getattr(item, name) > limit for item in latest):
                return Reason("memory", f"{name} of {getattr(latest[-1], name) >> 20} MiB")
    return _leak_reason(limits, samples)


def _leak_reason(limits: Limits, samples: Sequence[Sample]) -> Reason | None:
    if not limits.leak or not samples:
        return None
    found = slope(samples)
    growth = samples[-1].own - min(item.own for item in samples)
    if found <= limits.leak or growth < SLOPE_GROWTH_MIN:
        return None
    return Reason("leak", f"it grows by {found / 1024:.1f} KiB a request")
