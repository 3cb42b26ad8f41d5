# SPDX-License-Identifier: MIT
"""The record of a bench: what was written is read, and anything else is refused with a reason."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl import config, gate
from askrctl.gate import BenchRecord, Machine, Refusal
from askrctl.model import AskrError, Backend

HERE = Machine("5" * 32, "6.18.1", "A CPU", 2, "0.1.0")
RECORD = BenchRecord(
    winner=Backend.IO_URING,
    outcome="win",
    sentence="B costs 8.0% less",
    workload="shop/",
    ratio=0.92,
    ratio_low=0.90,
    ratio_high=0.94,
    threshold=0.03,
    rounds=20,
    created="2026-01-02T03:04:05+00:00",
    machine=HERE,
)


def refusal(text: str, here: Machine = HERE) -> Refusal:
    found = gate.parse(text, here)
    assert isinstance(found, Refusal)
    assert found.detail and found.fix
    return found


def test_what_was_written_is_read() -> None:
    assert gate.parse(gate.dump(RECORD), HERE) == RECORD
    assert "bench of shop/, 2026-01-02" in RECORD.detail


CHANGES = {
    "winner": "epoll",
    "outcome": "no win",
    "sentence": "B is better",
    "workload": "another",
    "ratio": 0.5,
    "ratio_low": 0.4,
    "ratio_high": 0.6,
    "threshold": 0.5,
    "rounds": 21,
    "created": "2030-01-01",
    "machine": {**asdict(HERE), "kernel": "6.19"},
}


@pytest.mark.parametrize("name", [item.name for item in fields(BenchRecord)])
def test_a_record_edited_anywhere_is_refused(name: str) -> None:
    content = json.loads(gate.dump(RECORD))
    content[name] = CHANGES[name]
    assert refusal(json.dumps(content)).reason == "bench_record_edited"


@pytest.mark.parametrize("name", [item.name for item in fields(Machine)])
def test_a_record_of_another_machine_kernel_or_release_is_refused(name: str) -> None:
    other = replace(HERE, **{name: 99 if name == "cores" else "other"})
    found = refusal(gate.dump(RECORD), other)
    assert found.reason == "bench_record_foreign"
    assert name in found.detail or "another machine" in found.detail


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"winner": "auto"},
        {"winner": None},
        {"ratio": "0.9"},
        {"ratio": 1},
        {"rounds": True},
        {"machine": []},
        {"machine": {**asdict(HERE), "more": ""}},
        {"schema": "askr.bench-record/2"},
    ],
)
def test_keys_and_kinds_are_strict_even_when_the_hash_is_right(change: dict[str, object]) -> None:
    content = {**json.loads(gate.dump(RECORD)), **change}
    content.pop("sha256")
    content["sha256"] = gate._digest(content)
    assert refusal(json.dumps(content)).reason == "bench_record_unreadable"


@given(st.text() | st.binary().map(lambda data: data.decode(errors="replace")))
def test_no_text_is_taken_for_a_record(text: str) -> None:
    assert refusal(text).reason == "bench_record_unreadable"


@given(st.integers(0, len(gate.dump(RECORD)) - 2))
def test_a_record_cut_anywhere_is_refused(place: int) -> None:
    refusal(gate.dump(RECORD)[:place])


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state/askr/bench.json"


def test_a_file_is_written_whole_and_read_back(place: Path) -> None:
    record = replace(RECORD, machine=gate.this_machine())
    gate.write(place, record)
    gate.write(place, replace(record, rounds=30))
    assert gate.read(place) == replace(record, rounds=30)
    assert os.listdir(place.parent) == ["bench.json"]
    assert place.stat().st_mode & 0o777 == 0o644


def test_no_file_is_no_record(place: Path) -> None:
    assert gate.read(place) is None


def test_a_file_that_others_may_write_decides_nothing(place: Path) -> None:
    gate.write(place, replace(RECORD, machine=gate.this_machine()))
    place.chmod(0o666)
    found = gate.read(place)
    assert isinstance(found, Refusal) and found.reason == "bench_record_edited"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_decides_nothing_and_holds_nobody_up(
    place: Path, make: Callable[[Path], None]
) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    make(place)
    found = gate.read(place)
    assert isinstance(found, Refusal) and found.reason == "bench_record_unreadable"


def test_a_refusal_names_the_file(place: Path) -> None:
    gate.write(place, RECORD)
    found = gate.read(place)
    assert isinstance(found, Refusal) and found.reason == "bench_record_foreign"
    assert str(place) in found.detail
    place.write_bytes(b"{" * gate.SIZE_MAX * 2)
    found = gate.read(place)
    assert isinstance(found, Refusal) and "too large" in found.detail
    found = gate.read(place.parent)
    assert isinstance(found, Refusal) and found.reason == "bench_record_unreadable"


def test_a_record_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AskrError, match="cannot be written"):
        gate.write(tmp_path / "file/bench.json", RECORD)


def test_the_place_of_the_record_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKR_BENCH_RECORD", "/somewhere/bench.json")
    assert config.bench_record_path() == Path("/somewhere/bench.json")
    monkeypatch.delenv("ASKR_BENCH_RECORD")
    assert config.bench_record_path().parts[-2:] == ("askr", "bench.json")
