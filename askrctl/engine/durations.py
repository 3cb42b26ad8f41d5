# SPDX-License-Identifier: MIT
"""Durations by bucket, as workers count them: sums, differences and quantiles, computed in C.

Buckets are log-linear: one is at most 1/16 wider than where it begins, so that whoever takes its
middle for the durations in it errs by at most 3.2 % (engine/base/histogram.h).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from askrctl.engine._engine import ffi, lib

BUCKETS: int = lib.ASKR_BUCKETS
BUCKET_STARTS_NS: tuple[int, ...] = tuple(
    lib.askr_bucket_start_ns(index) for index in range(BUCKETS)
)
_COUNTS = ffi.typeof("uint64_t[]")
_SIZE: int = ffi.sizeof("uint64_t") * BUCKETS


class Bounds:
    """Durations, each where a bucket begins, so that what lies below them is counted exactly."""

    __slots__ = ("below", "count", "ends", "texts")

    def __init__(self, starts_ns: Sequence[int]) -> None:
        indexes = [BUCKET_STARTS_NS.index(start) for start in sorted(starts_ns)]
        self.count = len(indexes)
        self.texts = tuple(repr(BUCKET_STARTS_NS[index] / 1e9) for index in indexes)  # seconds
        self.ends = ffi.new("uint32_t[]", indexes)
        self.below = ffi.new(_COUNTS, self.count)


class Durations:
    """`counts`: the cdata that they are copied from; without, there are none."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Any = None) -> None:
        self._counts = ffi.new(_COUNTS, BUCKETS)
        if counts is not None:
            ffi.memmove(self._counts, counts, _SIZE)

    @classmethod
    def of(cls, counts: Sequence[int]) -> "Durations":
        return cls(ffi.new(_COUNTS, list(counts) + [0] * (BUCKETS - len(counts))))

    def copy(self) -> "Durations":
        return Durations(self._counts)

    def add(self, other: "Durations") -> None:
        lib.askr_histogram_add(self._counts, other._counts)

    def since(self, before: "Durations | None") -> "Durations":
        """What has come since; nothing of what has gone with its worker."""
        found = self.copy()
        if before is not None:
            lib.askr_histogram_since(found._counts, before._counts)
        return found

    @property
    def count(self) -> int:
        count: int = lib.askr_histogram_below(self._counts, ffi.NULL, 0, ffi.NULL)
        return count

    def below(self, bounds: Bounds) -> tuple[list[int], int]:
        """How many lie below each bound, and how many there are."""
        count = lib.askr_histogram_below(self._counts, bounds.ends, bounds.count, bounds.below)
        return ffi.unpack(bounds.below, bounds.count), count

    def quantile_s(self, share: float) -> float | None:
        """None without any."""
        seconds: float = lib.askr_histogram_quantile_s(self._counts, share)
        return None if seconds < 0 else seconds

    @property
    def sum_s(self) -> float:
        seconds: float = lib.askr_histogram_sum_s(self._counts)
        return seconds

    def buckets(self) -> Iterator[tuple[int, int]]:
        """(where it begins in nanoseconds, how many) of those that are not empty."""
        counts = ffi.unpack(self._counts, BUCKETS)
        return ((start, n) for start, n in zip(BUCKET_STARTS_NS, counts, strict=True) if n)
