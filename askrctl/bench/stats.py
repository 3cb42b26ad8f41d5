# SPDX-License-Identifier: MIT
"""Pure statistics: quantiles, and the confidence interval of a ratio of interleaved runs.

Runs of one round are neighbours in time, so what disturbs the machine disturbs both: the ratio is
taken within each round, and rounds are what is resampled. The logarithm makes "B costs twice" and
"B costs half" the same distance from 1. The mean is trimmed, because one round in ten meets a cron
job.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

TRIM = 0.25  # of the rounds at either end
RESAMPLES = 4000
SEED = 20  # resampling is reproducible: the same samples give the same report
ROUNDS_MIN = 5  # below, an interval is the range of the samples and promises nothing

# Student's t, 97.5 %, for 1, 2, 3... degrees of freedom; from 30 on the normal one is near enough.
_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest values; 0.5 is the median."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def trimmed_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter."""
    ordered = sorted(values)
    cut = int(TRIM * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def _tail(count: int) -> float:
    """How much to leave out at either end of the resampled means.

    A plain percentile bootstrap of few values is too sure of itself: it forgets that the spread was
    estimated, too. The expanded percentile puts back what Student's t knows (Hesterberg, "What
    teachers should know about the bootstrap", 2015, section 5).
    """
    t = _T_975[count - 2] if count - 2 < len(_T_975) else 1.96
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * t)


def mean_interval(values: Sequence[float], resamples: int = RESAMPLES) -> Interval:
    """The trimmed mean, and where it may lie."""
    if len(values) < 2:
        raise ValueError("an interval needs two values at least")
    chance = random.Random(SEED)  # noqa: S311 - resampling, not a secret
    count = len(values)
    means = sorted(trimmed_mean(chance.choices(values, k=count)) for _ in range(resamples))
    place = int(_tail(count) * resamples)
    return Interval(trimmed_mean(values), means[place], means[-1 - place])


def ratio_interval(
    base: Sequence[float], other: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """other / base, round by round. All values must be above zero."""
    if len(base) != len(other):
        raise ValueError("as many rounds of one as of the other")
    if min(*base, *other) <= 0:
        raise ValueError("a ratio needs values above zero")
    logs = [math.log(b / a) for a, b in zip(base, other, strict=True)]
    found = mean_interval(logs, resamples)
    return Interval(math.exp(found.estimate), math.exp(found.low), math.exp(found.high))
