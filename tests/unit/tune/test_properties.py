# SPDX-License-Identifier: MIT
"""Any plans, any crashes, any foreign writes, in any order: the originals come back.

The model is a dictionary of values. Whatever happens, a key that nobody else has touched is at its
original value once everything is reverted; a key that somebody else has set stays as they set it.
"""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from unit.tune.machine import Crash, Machine, Trouble, make

from askrctl.model import AskrError, SysctlSetting
from askrctl.tune import keys, operate, planfile
from askrctl.tune.items import Plan
from askrctl.tune.planner import Options
from askrctl.tune.transaction import Origin
from askrctl.tune.wishes import Wish

# Keys whose values are single numbers that are only raised, and their originals.
NUMBERS = {
    name: key.low
    for name, key in keys.SYSCTLS.items()
    if key.rule == "raise" and key.shape == "numbers" and key.column is None
}
NAMES = sorted(name for name in NUMBERS if not keys.SYSCTLS[name].power_of_two)[:8]


def machine_with(root: Path, values: dict[str, int]) -> Machine:
    machine = make(root)
    for name, value in values.items():
        machine.write("/proc/sys/" + name.replace(".", "/"), f"{value}\n")
    return machine


def path_of(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def plan_for(machine: Machine, asked: dict[str, int]) -> Plan:
    wishes = [Wish(SysctlSetting(name, str(value)), "x.y", "") for name, value in asked.items()]
    tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
    return operate.make_plan(tuner, wishes, Options())


def wish_values() -> st.SearchStrategy[dict[str, int]]:
    offsets = st.dictionaries(st.sampled_from(sorted(NUMBERS)), st.integers(-5, 5), min_size=1)
    return offsets.map(
        lambda found: {
            name: min(max(NUMBERS[name] + 3 + offset, 1), keys.SYSCTLS[name].high)
            for name, offset in found.items()
        }
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wish_values(), st.integers(0, 6))
def test_any_plan_only_raises_survives_json_and_comes_back(
    asked: dict[str, int], start: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = machine_with(Path(folder), {name: low + start for name, low in NUMBERS.items()})
        tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
        before = machine.look()
        plan = plan_for(machine, asked)
        assert planfile.read(planfile_text(plan), "plan.json", plan.unit) == plan, (
            "a plan is the same after it was written and read"
        )
        outcome = operate.apply_plan(tuner, plan, Origin("t")).outcomes[0]
        assert outcome.state == ("committed" if plan.items else "nothing")
        for name, low in NUMBERS.items():
            now = int(machine.read(path_of(name)) or "")
            assert now >= low + start
            assert now >= asked.get(name, 0)
        assert plan_for(machine, asked).items == (), "a second plan has nothing to do"
        operate.revert(tuner, "all")
        assert machine.look() == before


def planfile_text(plan: Plan) -> bytes:
    return json.dumps(planfile.dump(plan, "0")).encode()


class Life(RuleBasedStateMachine):
    """A machine to which things happen."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.original = dict.fromkeys(NAMES, 70000)
        self.machine = machine_with(self.root, self.original)
        self.before = self.machine.look()
        self.foreign: dict[str, int] = {}
        self.boots = 0

    def teardown(self) -> None:
        self.machine.system = Trouble()
        try:
            operate.revert(self._tuner(), "all")
            self._check_originals()
        finally:
            shutil.rmtree(self.root)

    def _tuner(self) -> operate.Tuner:
        return operate.Tuner(self.machine.disk, self.machine.store, self.machine.facts)

    def _value(self, name: str) -> int:
        return int(self.machine.read(path_of(name)) or "")

    def _check_originals(self) -> None:
        """After everything is undone."""
        look = self.machine.look()
        for name in NAMES:
            value = self._value(name)
            if name in self.foreign:
                look[path_of(name)[1:]] = self.before[path_of(name)[1:]]
                assert value >= self.original[name]
            else:
                assert value == self.original[name], name
        assert look == self.before

    @rule(
        asked=st.dictionaries(
            st.sampled_from(NAMES), st.integers(70001, 4000000), min_size=1, max_size=3
        ),
        crash_at=st.integers(0, 60),
        torn=st.booleans(),
    )
    def apply(self, asked: dict[str, int], crash_at: int, torn: bool) -> None:
        capped = {name: min(value, keys.SYSCTLS[name].high) for name, value in asked.items()}
        self.machine.system = Trouble(crash_at=crash_at, torn=torn)
        # A refusal: the plan was made before the recovery of an earlier crash.
        with contextlib.suppress(Crash, AskrError):
            operate.apply_plan(self._tuner(), plan_for(self.machine, capped), Origin("t"))
        self.machine.system = Trouble()

    @rule(crash_at=st.integers(0, 40), torn=st.booleans())
    def revert_last(self, crash_at: int, torn: bool) -> None:
        self.machine.system = Trouble(crash_at=crash_at, torn=torn)
        with contextlib.suppress(Crash):
            operate.revert(self._tuner(), "last")
        self.machine.system = Trouble()

    @rule(name=st.sampled_from(NAMES))
    def somebody_sets_a_key(self, name: str) -> None:
        """To a value that no plan and no clamp would leave there."""
        value = 4000001 + len(self.foreign)
        self.machine.write(path_of(name), f"{value}\n")
        self.foreign[name] = value

    @precondition(lambda self: self.foreign)
    @invariant()
    def what_somebody_set_last_stays(self) -> None:
        for name, value in self.foreign.items():
            assert self._value(name) == value, name

    @invariant()
    def nothing_is_below_its_original(self) -> None:
        for name in NAMES:
            assert self._value(name) >= self.original[name]


Life.TestCase.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyLifeOfAMachine = Life.TestCase
