# SPDX-License-Identifier: MIT
"""What histograms of durations tell: quantiles and sums, from the engine's log-linear buckets."""

from collections.abc import Sequence

from askrctl import engine

_NS = 1e9


def quantile_s(counts: Sequence[int], share: float) -> float | None:
    """The middle of the bucket in which the quantile lies: at most 3.2 % off. None without any."""
    starts = engine.BUCKET_STARTS_NS
    wanted, seen = share * sum(counts), 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            end = starts[index + 1] if index + 1 < len(starts) else starts[index]
            return (starts[index] + end) / 2 / _NS
    return None


def sum_s(counts: Sequence[int]) -> float:
    """The sum of the durations, each taken for the middle of its bucket."""
    starts = engine.BUCKET_STARTS_NS
    ends = (*starts[1:], starts[-1])
    return sum(n * (a + b) / 2 for n, a, b in zip(counts, starts, ends, strict=True) if n) / _NS
