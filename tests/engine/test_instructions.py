# SPDX-License-Identifier: MIT
"""The hot path costs no more instructions than the committed baseline says (bench/guard.py), and
metrics no more than 2 % of them (bench/metrics.py)."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from .conftest import ROOT

WASTE_PCT = 3  # more than the tolerance, and nothing that a clock would show

Require = Callable[[bool, str], None]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"bench/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def guard(require: Require) -> ModuleType:
    module = load("guard")
    require(shutil.which("valgrind") is not None, "valgrind")
    require(module.BUILD.exists(), "build/release")
    module.make()
    return module


@pytest.fixture(scope="module")
def baseline(guard: ModuleType) -> Mapping[str, Any]:
    """Where it says nothing, a developer skips; CI's machine has to be one that it is of."""
    found: Mapping[str, Any] = json.loads(guard.BASELINE.read_text())
    reason = guard.differs(found, guard.surroundings())
    if reason and os.environ.get("ASKR_TEST_STRICT"):
        pytest.fail(f"{reason}: make a new one with bench/guard.py --write")
    if reason:
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def metrics(guard: ModuleType, baseline: Mapping[str, Any]) -> ModuleType:
    """Another compiler would have another share: `baseline` says of which one it is."""
    module = load("metrics")
    assert module.guard is guard and baseline["instructions"]
    module.make()
    return module


@pytest.mark.parametrize("scenario", ["h1", "static", "port", "app"])
def test_a_request_costs_no_more_instructions_than_it_did(
    guard: ModuleType, baseline: Mapping[str, Any], scenario: str
) -> None:
    (verdict,) = guard.compare(baseline, {scenario: guard.cost(scenario)})
    assert not verdict.is_worse, f"{verdict.sentence()}; if it must be: bench/guard.py --write"


def test_a_slow_down_of_a_few_percent_is_found(
    guard: ModuleType, baseline: Mapping[str, Any]
) -> None:
    waste = round(baseline["instructions"]["h1"] * WASTE_PCT / 100)
    plain = guard.cost("h1")
    (verdict,) = guard.compare(
        {"instructions": {"h1": plain}}, {"h1": guard.cost("h1", waste=waste)}
    )
    assert verdict.is_worse
    assert verdict.change_pct < 2 * WASTE_PCT


def test_another_compiler_is_told_apart(guard: ModuleType) -> None:
    here = guard.surroundings()
    assert guard.differs(here, here) == ""
    reason = guard.differs({**here, "compiler": "clang 99"}, here)
    assert "clang 99" in reason
    assert here["compiler"] in reason


def test_metrics_cost_less_than_2_percent_of_a_file_and_of_a_workers_part(
    metrics: ModuleType,
) -> None:
    worker, _ = metrics.application()
    for share in (metrics.static(), worker):
        assert 0 < share.pct <= 2, share.sentence()


def test_metrics_that_cost_more_than_2_percent_are_found(metrics: ModuleType) -> None:
    share = metrics.static(waste=40)
    assert share.pct > metrics.SHARE_MAX_PCT, share.sentence()
