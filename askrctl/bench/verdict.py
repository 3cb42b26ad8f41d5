# SPDX-License-Identifier: MIT
"""Win, no win or inconclusive: pure functions of samples and of what was declared beforehand.

The threshold t and the resolution r are declared before anything is measured. What decides is CPU
time per request, B over A, and its 95 % interval:

    win            the whole interval is below 1 - t: B is cheaper by more than t
    no win         the whole interval is above 1 - t: a gain of t is excluded; or the interval
                   reaches 1, so no gain was found, by a bench that would have found one of r
    inconclusive   anything else: B is surely cheaper but not surely by t, or there was so much
                   noise that even a gain of r could hide in it

A win that costs latency is none: when the interval of p99 lies wholly above 1 + `p99_limit`, the
verdict is no win.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from askrctl.bench.stats import RESAMPLES, ROUNDS_MIN, Interval, ratio_interval

THRESHOLD = 0.03
RESOLUTION = 0.10
P99_LIMIT = 0.10


class Outcome(StrEnum):
    WIN = "win"
    NO_WIN = "no win"
    INCONCLUSIVE = "inconclusive"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Rule:
    """Declared before the first run; part of every report."""

    threshold: float = THRESHOLD
    resolution: float = RESOLUTION
    p99_limit: float = P99_LIMIT

    @property
    def sentence(self) -> str:
        return (
            f"B wins if it costs at least {self.threshold:.0%} less CPU time per request, with the"
            f" whole 95 % interval, and its p99 is not surely worse by more than"
            f" {self.p99_limit:.0%}; no win is only said if a gain of"
            f" {max(self.resolution, self.threshold):.0%} is excluded"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """`worse`: B costs more than A, with the whole interval."""

    outcome: Outcome
    sentence: str
    cpu: Interval | None = None
    p99: Interval | None = None
    rate: Interval | None = None
    worse: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """What one contender cost, round by round; the same places are the same rounds."""

    cpu_us: Sequence[float]
    p99_ms: Sequence[float]
    rate: Sequence[float]


def describe(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def void(reason: str) -> Verdict:
    return Verdict(Outcome.VOID, f"void: {reason}")


def _outcome(cpu: Interval, rule: Rule) -> Outcome:
    line = 1 - rule.threshold
    if cpu.high < line:
        return Outcome.WIN
    nothing_found = cpu.high >= 1 and cpu.low > 1 - max(rule.resolution, rule.threshold)
    return Outcome.NO_WIN if cpu.low > line or nothing_found else Outcome.INCONCLUSIVE


def _because(cpu: Interval, outcome: Outcome, rule: Rule) -> str:
    t = f"{rule.threshold:.0%}"
    if outcome is Outcome.WIN:
        return f"B costs {1 - cpu.estimate:.1%} less CPU time per request, surely more than {t}"
    if outcome is Outcome.INCONCLUSIVE and cpu.high < 1:
        return f"B costs {1 - cpu.estimate:.1%} less CPU time per request, but not surely {t} less"
    if outcome is Outcome.INCONCLUSIVE:
        most = max(rule.resolution, rule.threshold)
        advice = "take more rounds or a quieter machine"
        return f"too noisy, not even a gain of {most:.0%} is excluded: {advice}"
    if cpu.low > 1 + rule.threshold:
        return f"B costs {cpu.estimate - 1:.1%} more CPU time per request, surely more than {t}"
    if cpu.low > 1:
        return f"B costs {cpu.estimate - 1:.1%} more CPU time per request"
    if cpu.high < 1:
        gain = 1 - cpu.estimate
        return f"B costs {gain:.1%} less CPU time per request, surely not {t} less"
    excluded = rule.threshold if cpu.low > 1 - rule.threshold else 1 - cpu.low
    return f"no difference was found, and a gain of {math.ceil(excluded * 100)}% is excluded"


def decide(a: Column, b: Column, rule: Rule, resamples: int = RESAMPLES) -> Verdict:
    """B against A."""
    if len(a.cpu_us) < ROUNDS_MIN:
        found = f"{len(a.cpu_us)} round{'' if len(a.cpu_us) == 1 else 's'}"
        text = f"inconclusive: {found}, and fewer than {ROUNDS_MIN} promise nothing"
        return Verdict(Outcome.INCONCLUSIVE, text)
    cpu = ratio_interval(a.cpu_us, b.cpu_us, resamples)
    p99 = ratio_interval(a.p99_ms, b.p99_ms, resamples)
    rate = ratio_interval(a.rate, b.rate, resamples)
    outcome = _outcome(cpu, rule)
    reason = _because(cpu, outcome, rule)
    if outcome is Outcome.WIN and p99.low > 1 + rule.p99_limit:
        outcome = Outcome.NO_WIN
        reason = f"{reason}, but its p99 is {p99.estimate - 1:.0%} worse"
    worse = cpu.low > 1
    sentence = f"{outcome}: {reason}; ratio {describe(cpu)}"
    return Verdict(outcome, sentence, cpu, p99, rate, worse)
