# SPDX-License-Identifier: MIT
"""How much memory a request leaves behind: a slope, and how sure it is.

The measured requests are cut into blocks that ask the same; each gives one slope, from the end of
the block before to its own. Student's t over the blocks gives the interval: neighbouring requests
are not independent (an array doubles), blocks nearly are. The mean is not trimmed, since memory
that comes in jumps is memory all the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev

BLOCKS = 10
# Student's t, 97.5 %, for 1 to 9 degrees of freedom.
_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, slots=True)
class Slope:
    """KiB per request, with its 95 % confidence interval."""

    estimate: float
    low: float
    high: float
    blocks: int


def slope(per_block: Sequence[float]) -> Slope | None:
    """Of the KiB per request that each block left behind. None: too little is known."""
    if not 3 <= len(per_block) <= len(_T_975) + 1:
        return None
    mean = fmean(per_block)
    half = _T_975[len(per_block) - 2] * stdev(per_block) / math.sqrt(len(per_block))
    return Slope(mean, mean - half, mean + half, len(per_block))


def steps(at_ends: Sequence[int], requests_per_block: int) -> list[float]:
    """KiB per request of each block, from the bytes before the first one and after each."""
    return [(after - before) / requests_per_block / 1024 for before, after in pairwise(at_ends)]
