# SPDX-License-Identifier: MIT
"""The statistics: properties that hold for all samples, and what simulated benches must say."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askrctl.bench import stats, verdict
from askrctl.bench.verdict import Column, Outcome, Rule

COST = st.floats(0.5, 5000.0)
COSTS = st.lists(COST, min_size=2, max_size=20)
PAIRS = st.lists(st.tuples(COST, COST), min_size=2, max_size=20)
FEW = 200  # resamples: enough for a property


@given(COSTS, st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values: list[float], share: float) -> None:
    assert min(values) <= stats.quantile(values, share) <= max(values)


@given(COSTS, st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_quantiles_grow_with_their_share(values: list[float], shares: list[float]) -> None:
    found = [stats.quantile(values, share) for share in sorted(shares)]
    assert all(a <= b or math.isclose(a, b) for a, b in pairwise(found))


def test_a_quantile_between_two_values_is_between_them() -> None:
    assert stats.quantile([4.0, 1.0, 2.0, 3.0], 0.5) == 2.5
    assert stats.quantile([10.0], 0.99) == 10.0
    with pytest.raises(ValueError, match="no values"):
        stats.quantile([], 0.5)


def test_the_trimmed_mean_does_not_see_one_cron_job() -> None:
    quiet = [10.0] * 9
    assert stats.trimmed_mean([*quiet, 500.0]) == 10.0


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_an_interval_holds_its_estimate(pairs: list[tuple[float, float]]) -> None:
    base, other = zip(*pairs, strict=True)
    found = stats.ratio_interval(base, other, FEW)
    slack = 1e-9 * found.estimate
    assert found.low - slack <= found.estimate <= found.high + slack
    ratios = [b / a for a, b in pairs]
    assert min(ratios) * 0.999 <= found.low <= found.high <= max(ratios) * 1.001


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.floats(0.01, 100))
def test_a_machine_that_is_slower_for_both_changes_no_ratio(
    pairs: list[tuple[float, float]], factor: float
) -> None:
    base, other = zip(*pairs, strict=True)
    found = stats.ratio_interval(base, other, FEW)
    slower = stats.ratio_interval([a * factor for a in base], [b * factor for b in other], FEW)
    for name in ("estimate", "low", "high"):
        assert math.isclose(getattr(found, name), getattr(slower, name), rel_tol=1e-9)


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_turning_a_and_b_round_turns_the_ratio(pairs: list[tuple[float, float]]) -> None:
    base, other = zip(*pairs, strict=True)
    there = stats.ratio_interval(base, other, FEW)
    back = stats.ratio_interval(other, base, FEW)
    assert math.isclose(there.estimate, 1 / back.estimate, rel_tol=1e-9)


def test_the_same_samples_give_the_same_interval() -> None:
    samples = [3.0, 3.1, 2.9, 3.3, 3.05]
    assert stats.mean_interval(samples) == stats.mean_interval(samples)


@pytest.mark.parametrize("count", [5, 8, 16])
def test_nineteen_intervals_of_twenty_hold_the_truth(count: int) -> None:
    chance = random.Random(count)
    held = 0
    for _ in range(200):
        found = stats.mean_interval([chance.gauss(7, 2) for _ in range(count)], 600)
        held += found.low <= 7 <= found.high
    assert held >= 0.91 * 200  # 95 % less three standard errors


def test_unequal_or_impossible_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="as many rounds"):
        stats.ratio_interval([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="above zero"):
        stats.ratio_interval([1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="two values"):
        stats.mean_interval([1.0])


# --- verdicts -------------------------------------------------------------------------------------


def simulated(chance: random.Random, rounds: int, factor: float) -> tuple[Column, Column]:
    """Two contenders on a restless machine: it drifts for both, each run has noise of 2 %, and one
    round in twenty meets a cron job that makes one run a third dearer. B costs `factor` of A."""
    columns: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        weather = chance.uniform(0.9, 1.3)
        for place, cost in enumerate((50.0, 50.0 * factor)):
            job = 1.33 if chance.random() < 0.05 else 1.0
            columns[place].append(cost * weather * job * math.exp(chance.gauss(0, 0.02)))
    a, b = (Column(cpu, cpu, [1e6 / value for value in cpu]) for cpu in columns)
    return a, b


def verdicts(factor: float, count: int, rounds: int) -> list[verdict.Verdict]:
    found = []
    for seed in range(count):
        a, b = simulated(random.Random(seed), rounds, factor)
        found.append(verdict.decide(a, b, Rule(), resamples=600))
    return found


@pytest.mark.parametrize("rounds", [16, 20], ids=["quick", "full"])
def test_a_against_itself_is_no_win_in_nineteen_of_twenty(rounds: int) -> None:
    found = [one.outcome for one in verdicts(1.0, 80, rounds)]
    assert found.count(Outcome.NO_WIN) >= 76
    assert Outcome.WIN not in found


@pytest.mark.parametrize("rounds", [16, 20], ids=["quick", "full"])
def test_a_slow_down_of_ten_per_cent_is_found(rounds: int) -> None:
    found = verdicts(1.10, 40, rounds)
    assert sum(one.worse for one in found) >= 38
    assert {one.outcome for one in found} == {Outcome.NO_WIN}
    assert "more CPU time" in found[0].sentence


@pytest.mark.parametrize("rounds", [16, 20], ids=["quick", "full"])
def test_a_gain_of_ten_per_cent_is_a_win_or_a_call_for_more_rounds(rounds: int) -> None:
    found = [one.outcome for one in verdicts(0.90, 40, rounds)]
    assert found.count(Outcome.WIN) >= {16: 34, 20: 36}[rounds]
    assert Outcome.NO_WIN not in found


def test_a_noise_that_could_hide_a_gain_is_said() -> None:
    chance = random.Random(3)
    a, b = ([50 * math.exp(chance.gauss(0, 0.3)) for _ in range(10)] for _ in range(2))
    found = verdict.decide(Column(a, a, a), Column(b, b, b), Rule())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "too noisy" in found.sentence


def steady(cpu: float, p99: float = 1.0) -> Column:
    wobble = [1.0, 1.001, 0.999, 1.0005, 0.9995, 1.0]
    return Column([cpu * one for one in wobble], [p99] * 6, [1000.0] * 6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.7, 1.3), st.floats(0.01, 0.2))
def test_the_verdict_is_what_the_interval_says_about_the_declared_line(
    factor: float, threshold: float
) -> None:
    found = verdict.decide(steady(40.0), steady(40.0 * factor), Rule(threshold=threshold))
    assert found.cpu is not None
    low, high, line = found.cpu.low, found.cpu.high, 1 - threshold
    reaches_one = high >= 1 and low > 1 - max(threshold, verdict.RESOLUTION)
    assert (found.outcome is Outcome.WIN) == (high < line)
    assert (found.outcome is Outcome.NO_WIN) == (low > line or reaches_one)
    assert found.sentence.startswith(found.outcome)
    assert found.worse == (low > 1)


def test_a_win_that_costs_latency_is_none() -> None:
    found = verdict.decide(steady(40.0, p99=10.0), steady(30.0, p99=12.0), Rule())
    assert found.outcome is Outcome.NO_WIN
    assert "p99 is 20% worse" in found.sentence


def test_too_few_rounds_promise_nothing() -> None:
    few = Column([1.0] * 4, [1.0] * 4, [1.0] * 4)
    found = verdict.decide(few, Column([0.1] * 4, [1.0] * 4, [1.0] * 4), Rule())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.cpu is None
