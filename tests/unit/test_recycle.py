# SPDX-License-Identifier: MIT
"""When a process has served enough, as a table; and what is measured of a real one."""

import os
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from askrctl.server.recycle import Limits, Sample, measure, reason, slope, with_jitter

MIB = 1 << 20
NONE = Limits(requests=0, age_s=0, rss=0, pss=0, samples=3, leak=0)
RSS = replace(NONE, rss=100 * MIB)
LEAK = replace(NONE, leak=1024)


def grown(per_request: int, count: int = 10, step: int = 1000) -> list[Sample]:
    """`count` looks, `step` requests apart."""
    own = [20 * MIB + at * step * per_request for at in range(count)]
    return [Sample(at * step, size + 30 * MIB, size) for at, size in enumerate(own)]


def of_rss(*sizes: int) -> list[Sample]:
    return [Sample(0, size * MIB, 0, size * MIB) for size in sizes]


@pytest.mark.parametrize(
    ("limits", "requests", "age_s", "samples", "expected"),
    [
        (NONE, 10**9, 10**9, grown(10**6), None),
        (replace(NONE, requests=500), 499, 0, [], None),
        (replace(NONE, requests=500), 500, 0, [], ("requests", "500 requests")),
        (replace(NONE, age_s=60), 0, 59.9, [], None),
        (replace(NONE, age_s=60), 0, 60.0, [], ("age", "60 s old")),
        (RSS, 0, 0, of_rss(200, 200), None),
        (RSS, 0, 0, of_rss(200, 200, 200), ("memory", "rss of 200 MiB")),
        (RSS, 0, 0, of_rss(200, 200, 99, 200, 200), None),  # a peak is no size
        (RSS, 0, 0, of_rss(100, 100, 100), None),
        (
            replace(NONE, pss=100 * MIB),
            0,
            0,
            of_rss(1, 101, 102, 103),
            ("memory", "pss of 103 MiB"),
        ),
        (LEAK, 0, 0, grown(2048), ("leak", "it grows by 2.0 KiB a request")),
        (LEAK, 0, 0, grown(1000), None),
        (LEAK, 0, 0, grown(2048, count=7), None),  # too few to tell
        (LEAK, 0, 0, grown(2048, step=10), None),  # too little to matter
        (LEAK, 0, 0, grown(-2048), None),
        (LEAK, 0, 0, [], None),
    ],
)
def test_a_process_is_replaced_for_a_reason(
    limits: Limits,
    requests: int,
    age_s: float,
    samples: Sequence[Sample],
    expected: tuple[str, str] | None,
) -> None:
    found = reason(limits, requests, age_s, samples)
    assert (found and (found.kind, found.text)) == expected


def test_the_slope_is_that_of_the_line_through_noise() -> None:
    chance = random.Random(1)
    samples = [
        replace(item, own=item.own + chance.randrange(-2 * MIB, 2 * MIB))
        for item in grown(5000, count=30)
    ]
    assert slope(samples) == pytest.approx(5000, rel=0.05)


def test_without_requests_there_is_no_slope() -> None:
    assert slope([Sample(7, 0, size) for size in range(20)]) == 0.0


def test_limits_differ_by_a_tenth_at_most() -> None:
    chance = random.Random(2)
    found = {with_jitter(replace(NONE, requests=1000, age_s=100), chance) for _ in range(200)}
    assert len(found) > 100
    assert all(900 <= item.requests <= 1100 and 90 <= item.age_s <= 110 for item in found)


def test_a_real_process_can_be_measured() -> None:
    sample = measure(os.getpid(), 5, replace(NONE, pss=1))
    assert sample is not None
    assert sample.requests == 5
    assert 0 < sample.own < sample.rss
    assert 0 < sample.pss <= sample.rss
    assert measure(2**22 + 1, 0, NONE) is None
