# SPDX-License-Identifier: MIT
"""A plan from somewhere else is held to what tune could have written itself."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.tune.machine import OURS, SOMAXCONN, Machine, make

from askrctl.model import AskrError
from askrctl.tune import defaults, operate, persist, planfile
from askrctl.tune.items import Item, Kind, Plan
from askrctl.tune.planner import Options
from askrctl.tune.transaction import Origin

UNIT = "askr.service"
Document = dict[str, Any]


def whole_plan(root: Path) -> tuple[Machine, Plan]:
    machine = make(root)
    machine.write("/usr/lib/systemd/system/askr.service", "[Service]\nLimitNOFILE=1024\n")
    tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
    return machine, operate.make_plan(tuner, list(defaults.WISHES), Options())


@pytest.fixture
def given_plan(tmp_path: Path) -> tuple[Machine, Document]:
    machine, plan = whole_plan(tmp_path)
    return machine, planfile.dump(plan, "0")


def read(document: object) -> Plan:
    return planfile.read(json.dumps(document).encode(), "plan.json", UNIT)


def test_what_is_dumped_is_read_back_as_it_was(tmp_path: Path) -> None:
    _machine, plan = whole_plan(tmp_path)
    assert len(plan.items) == 3
    assert read(planfile.dump(plan, "0")) == plan


def test_plans_and_the_reader_keep_to_the_schema(tmp_path: Path) -> None:
    schema = json.loads(planfile.schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    _machine, plan = whole_plan(tmp_path)
    for document in (planfile.dump(plan, "0"), _VALID):
        validator.validate(document)
        for key in document:  # and what the schema refuses, the reader refuses
            less = {name: value for name, value in document.items() if name != key}
            assert not validator.is_valid(less)
            with pytest.raises(AskrError):
                read(less)
    entry = schema["properties"]["items"]["items"]
    assert entry["required"] == list(entry["properties"]) == list(_VALID["items"][0])


def _set(*path: str | int) -> Callable[[object], Callable[[Document], None]]:
    def with_value(value: object) -> Callable[[Document], None]:
        def change(document: Document) -> None:
            place: Any = document
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value

        return change

    return with_value


ITEM = ("items", 0)
FORGED = persist.HEADER + "\nkernel.core_pattern = |/bin/sh\n"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set("extra")(1), "unknown key 'extra'"),
        (_set("schema")("askr.tune.plan/2"), "it is no plan"),
        (_set("unit")("sshd.service"), "it is for the unit 'sshd.service'"),
        (_set("items")("x"), "items must be a list"),
        (_set("items")([{}] * 300), "at most 200"),
        (_set(*ITEM, "run")("rm"), "unknown key 'run'"),
        (_set(*ITEM, "key")("kernel.core_pattern"), "not a key that tune writes"),
        (_set(*ITEM, "key")("../../etc/passwd"), "not a key that tune writes"),
        (_set(*ITEM, "key")("/proc/sys/net/core/somaxconn"), "not a key that tune writes"),
        (_set(*ITEM, "key")("net.ipv4.tcp_tw_recycle"), "is folklore: it dropped clients"),
        (_set(*ITEM, "want")("1000000"), "is folklore: a queue that long"),
        (_set(*ITEM, "want")("64"), "it must be between"),
        (_set(*ITEM, "want")("4096\n1"), "not one line"),
        (_set(*ITEM, "want")(4096), "must be a string"),
        (_set(*ITEM, "before")("65535"), "would be lowered from '65535'"),
        (_set(*ITEM, "before")(None), "a value before"),
        (_set(*ITEM, "before")("\u0000"), "characters that no plan has"),
        (_set(*ITEM, "rule")("set"), "has the rule 'raise'"),
        (_set(*ITEM, "rule")("run"), "kind and rule"),
        (_set(*ITEM, "kind")("exec"), "kind and rule"),
        (_set(*ITEM, "kind")(["file"]), "kind and rule"),
        (_set(*ITEM, "layer")("persist"), "layer must be 'runtime'"),
        (_set("items", 1, "key")("/etc/sysctl.d/99-sysctl.conf"), "not a file that tune writes"),
        (_set("items", 1, "key")("/etc/cron.d/x"), "not a file that tune writes"),
        (_set("items", 1, "want")("net.core.somaxconn = 4096\n"), "does not begin as"),
        (_set("items", 1, "want")(FORGED), "kernel.core_pattern: tune does not write this key"),
        (_set("items", 1, "want")(persist.HEADER + "\n"), "would have no setting in it"),
        (_set("items", 1, "before")("somebody's\n"), "was not written by askrctl"),
        (_set("items", 2, "want")(persist.HEADER + "\n[Service]\nExecStart=/x\n"), "ExecStart"),
    ],
)
def test_a_plan_that_tune_could_not_have_written_is_refused(
    given_plan: tuple[Machine, Document], change: Callable[[Document], None], sentence: str
) -> None:
    machine, document = given_plan
    before = machine.look()
    change(document)
    with pytest.raises(AskrError) as caught:
        read(document)
    assert sentence in caught.value.message
    assert caught.value.message.startswith("plan.json: ")
    assert caught.value.message.endswith("nothing was changed")
    assert caught.value.code == 2 and caught.value.hint
    assert machine.look() == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schema": "askr.tune.plan/1", "schema": "askr.tune.plan/1"}',
        b'{"schema": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 10_000,
        b" " * (planfile.SIZE_MAX + 1),
    ],
)
def test_what_is_no_json_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(AskrError) as caught:
        planfile.read(data, "plan.json", UNIT)
    assert caught.value.code == 2 and len(caught.value.message) < 700


def test_a_plan_that_is_right_in_itself_must_be_right_for_this_machine_too(tmp_path: Path) -> None:
    machine, plan = whole_plan(tmp_path)
    tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
    machine.write("/etc/sysctl.d/50-site.conf", "net.core.somaxconn = 65535\n")
    before = machine.look()
    with pytest.raises(AskrError, match="somaxconn = 4096 would lower it from 65535"):
        operate.apply_plan(tuner, plan, Origin("t"))
    assert machine.look() == before


def test_a_plan_does_not_write_over_a_file_of_somebody_else(tmp_path: Path) -> None:
    machine, plan = whole_plan(tmp_path)
    machine.write(OURS, "mine\n")
    before = machine.look()
    tuner = operate.Tuner(machine.disk, machine.store, machine.facts)
    with pytest.raises(AskrError, match="is there already and was not written by askrctl"):
        operate.apply_plan(tuner, plan, Origin("t"))
    assert machine.look() == before
    assert machine.read(SOMAXCONN) == "128\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def accepted(document: Document) -> tuple[Item, ...]:
    """The items, or none when the plan is refused as it should be."""
    try:
        return read(document).items
    except AskrError as error:
        refusal = error
    assert refusal.code == 2 and refusal.message.startswith("plan.json: ")
    return ()


@given(st.data())
def test_a_plan_with_anything_put_anywhere_is_refused_or_harmless(data: st.DataObject) -> None:
    document = copy.deepcopy(_VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            choices = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not choices:
                break
            key = data.draw(st.sampled_from(choices))
            if isinstance(place[key], dict | list) and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(JSON | st.sampled_from(_NASTY))
            break
    for item in accepted(document):
        assert planfile.item_fault(item, UNIT) == ""
        assert item.path.startswith("/proc/sys/") or item.kind is not Kind.SYSCTL
        assert item.kind is not Kind.FILE or item.key in persist.paths(UNIT)


@given(st.binary(max_size=300))
def test_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(AskrError):
        planfile.read(data, "plan.json", UNIT)


_TEXT = persist.render(
    persist.SYSCTL_D, {"net.core.somaxconn": persist.Entry("net.core.somaxconn", "4096", ("a.b",))}
)
_NASTY = [
    *("/etc/shadow", "../../etc/shadow", "net.core.somaxconn", "kernel.modprobe", OURS, "file"),
    *("128", "65535", "999999999999", "4096 4096", FORGED, _TEXT, _TEXT + "x", "own", "raise"),
]
_VALID: Document = {
    "schema": planfile.SCHEMA,
    "tool": {"name": "askrctl", "version": "0"},
    "made": "2026-01-01T00:00:00Z",
    "unit": UNIT,
    "items": [
        {
            "key": "net.core.somaxconn",
            "kind": "sysctl",
            "layer": "runtime",
            "rule": "raise",
            "before": "128",
            "want": "4096",
            "checks": ["a.b"],
            "why": "",
        },
        {
            "key": OURS,
            "kind": "file",
            "layer": "persist",
            "rule": "own",
            "before": None,
            "want": _TEXT,
            "checks": [],
            "why": "",
        },
    ],
    "skipped": [{"key": "k", "check": "c", "reason": "r", "hint": ""}],
    "notes": ["n"],
}


def test_the_plan_that_the_fuzz_starts_from_is_valid() -> None:
    assert len(read(_VALID).items) == 2
