# SPDX-License-Identifier: MIT
"""From fixed measurements to the proposal that follows, and from proposals to askr.toml."""

import json
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl import config as configuration
from askrctl.bench.application import Caches, Measurement, Memory, Request, Route, summary
from askrctl.bench.sizing import MIB, Before, Machine, Sizing, propose, size
from askrctl.cli import tune_app_toml
from askrctl.config import Config
from askrctl.model import AskrError

GIB = 1024 * MIB
MACHINE = Machine(cores=4, quota=None, memory=8 * GIB, memory_limit=None)
CACHES = Caches(
    used=20 * MIB,
    free=108 * MIB,
    wasted=0,
    strings_used=3 * MIB,
    strings_size=8 * MIB,
    scripts=400,
    keys=500,
    keys_max=16229,
    full=0,
)
INI = {
    "memory_limit": "128M",
    "opcache.memory_consumption": "128",
    "opcache.max_accelerated_files": "10000",
    "opcache.interned_strings_buffer": "8",
    "realpath_cache_size": "4096K",
}
BEFORE = Before(INI, cache_free=118 * MIB)


def route(target: str, held_ms: float, cpu_ms: float, peak: int = 4 * MIB) -> Route:
    return Route(target, 200, 20, held_ms * 1500, held_ms * 1000, cpu_ms * 1000, peak)


COMPUTES = route("/", 4.0, 4.0)
MEASURED = Measurement(
    mode="classic",
    routes=(COMPUTES,),
    memory=Memory(40 * MIB, 20 * MIB, 12 * MIB, 30 * MIB),
    memory_limit=128 * MIB,
    realpath=100_000,
    caches=CACHES,
    scripts=400,
)


def wants(sizing: Sizing) -> dict[str, str]:
    return {item.key: item.want for item in sizing.proposals if item.changes}


def proposal(measured: Measurement, machine: Machine = MACHINE, **ini: str) -> Sizing:
    before = replace(BEFORE, ini={**INI, **{k.replace("__", "."): v for k, v in ini.items()}})
    return propose(measured, machine, Config(), before)


def test_an_application_that_computes_needs_two_processes_and_may_have_four() -> None:
    assert wants(proposal(MEASURED)) == {"php.processes": "2", "php.processes_max": "4"}


def test_what_waits_needs_as_many_processes_as_keep_a_core_at_work() -> None:
    measured = replace(MEASURED, routes=(route("/", 10.0, 2.0), route("/api", 50.0, 2.0)))
    # 60 ms for 4 ms: 15 keep a core at work; /api alone: 25, and twice 26.
    assert wants(proposal(measured)) == {"php.processes": "16", "php.processes_max": "52"}
    [item] = [one for one in proposal(measured).proposals if one.key == "php.processes"]
    assert "93 % is waiting" in item.measured
    assert "15.00 processes keep one core at work" in item.why


def test_time_spent_waiting_for_a_core_holds_no_process() -> None:
    busy = Request(wall_us=10_000, cpu_us=2_000, waited_us=8_000, peak=MIB)
    late = Request(wall_us=2_500, cpu_us=2_000, waited_us=90_000, peak=2 * MIB)  # before its time
    found = summary("/", 200, [busy, late])
    assert (found.held_us, found.cpu_us, found.blocking, found.peak) == (2000, 2000, 0.0, 2 * MIB)


def test_memory_bounds_the_pool_and_the_sum_is_shown() -> None:
    small = replace(MACHINE, memory=16 * GIB, memory_limit=512 * MIB)
    measured = replace(MEASURED, routes=(route("/", 40.0, 2.0, peak=20 * MIB),))
    # (0.8 × 512 - 4 × 30 - 20) / 4 / (12 + 20) = 2.1
    sizing = proposal(measured, small)
    assert wants(sizing) == {"php.processes": "2"}
    assert sizing.notes[0] == "memory holds 2 processes for each worker, the CPU could use 16"
    [item] = [one for one in sizing.proposals if one.key == "php.processes"]
    assert "2 × 4 × 32.0 MiB (12.0 MiB of its own + a peak of 20.0 MiB)" in item.why
    assert any(note.startswith("if 8 requests all took") for note in sizing.notes)


def test_a_quota_of_a_core_and_a_half_is_two_workers() -> None:
    machine = replace(MACHINE, quota=1.5)
    config = Config(server=replace(Config().server, workers=4))
    [item] = [
        one
        for one in propose(MEASURED, machine, config, BEFORE).proposals
        if one.key == "server.workers"
    ]
    assert (item.before, item.want) == ("4", "0")
    assert "2 of 4 cores by affinity, a quota of 1.5" in item.measured


def test_memory_limit_is_raised_above_twice_the_peak_and_never_lowered() -> None:
    heavy = replace(MEASURED, routes=(route("/", 4.0, 4.0, peak=100 * MIB),))
    assert wants(proposal(heavy))["memory_limit"] == "256M"
    assert "memory_limit" not in wants(proposal(heavy, memory_limit="1G"))
    assert wants(proposal(MEASURED, memory_limit="-1"))["memory_limit"] == "128M"


def test_an_application_that_sets_its_own_memory_limit_is_told() -> None:
    [note] = proposal(replace(MEASURED, memory_limit=-1)).notes
    assert note == "the application sets memory_limit itself, to no limit: that one counts"


def test_the_cache_is_sized_for_every_script_and_not_only_for_those_that_ran() -> None:
    # 10 MiB of 400 scripts: 25.6 KiB each; 8000 × 25.6 KiB × 1.25 + 10 MiB = 260 MiB
    sizing = proposal(replace(MEASURED, scripts=8000))
    assert wants(sizing)["opcache.memory_consumption"] == "288"
    assert "opcache.max_accelerated_files" not in wants(sizing)
    assert wants(proposal(replace(MEASURED, scripts=12000)))["opcache.max_accelerated_files"] == (
        "30000"
    )


def test_a_cache_that_is_large_enough_stays_whatever_unit_php_says_it_in() -> None:
    sizing = proposal(MEASURED, opcache__memory_consumption=str(128 * MIB))
    assert "opcache.memory_consumption" not in wants(sizing)


def test_strings_and_paths_are_raised_when_they_are_nearly_full() -> None:
    caches = replace(CACHES, strings_used=7 * MIB)
    full = replace(MEASURED, caches=caches, realpath=3 * MIB)
    found = wants(proposal(full))
    assert found["opcache.interned_strings_buffer"] == "32"
    assert found["realpath_cache_size"] == "6144K"


def test_without_opcache_its_sizes_are_left_out_and_said_so() -> None:
    sizing = proposal(replace(MEASURED, caches=None))
    assert not any(item.key.startswith("opcache") for item in sizing.proposals)
    assert "OPcache is off" in sizing.notes[0]


def test_memory_that_may_not_be_seen_is_counted_as_resident() -> None:
    hidden = replace(MEASURED, memory=Memory(40 * MIB, None, None, None))
    [item] = [one for one in proposal(hidden).proposals if one.key == "php.processes"]
    assert "(40.0 MiB resident, shared pages included + a peak of 4.0 MiB)" in item.why


@given(
    held=st.floats(0.1, 1e5),
    share=st.floats(0.001, 1.0),
    peak=st.integers(MIB, 4 * GIB),
    memory=st.integers(64 * MIB, 1 << 42),
    cores=st.integers(1, 512),
    scripts=st.integers(0, 50_000),
)
def test_every_proposal_is_one_that_askr_toml_takes(
    held: float, share: float, peak: int, memory: int, cores: int, scripts: int
) -> None:
    measured = replace(MEASURED, routes=(route("/", held, held * share, peak),), scripts=scripts)
    sizing = proposal(measured, Machine(cores, None, memory, None))
    text = tune_app_toml.render(tune_app_toml.tables(sizing, Config()))
    config = configuration.read_text(text, Path("askr.toml"))
    assert config.php.processes_max == 0 or config.php.processes_max > config.php.processes
    for item in sizing.proposals:
        assert item.measured and item.why
        if item.ini:  # raised or left; "no limit" may become one
            assert size(item.want) >= size(item.before) or size(item.before) < 0


# --- askr.toml ------------------------------------------------------------------------------------

TABLES = {"php": {"processes": 2, "ini": ["memory_limit=256M"]}, "server": {"workers": 0}}


def test_a_fragment_keeps_the_lines_of_php_ini_that_are_there() -> None:
    config = Config(php=replace(Config().php, ini=("memory_limit=64M", "date.timezone=UTC")))
    heavy = replace(MEASURED, routes=(route("/", 4.0, 4.0, peak=100 * MIB),))
    found = tune_app_toml.tables(proposal(heavy, memory_limit="64M"), config)
    assert found["php"]["ini"] == ["date.timezone=UTC", "memory_limit=256M"]


def test_nothing_to_change_is_a_comment() -> None:
    assert tomllib.loads(tune_app_toml.render({})) == {}
    assert tune_app_toml.as_diff(None, {}) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine\n[server]\nlisten = [':80']\n",
        "[php]\nprocesses = 9 # many\nini = [\n  'a=1', # ]\n  'b=2',\n]\n[log]\naccess = '-'\n",
        '[ php ] # PHP\n"processes"=9\n',
        "[[tls.certificate]]\ncert = 'x'\n",
    ],
)
def test_a_file_keeps_everything_else(text: str) -> None:
    new = tune_app_toml.merged(text, TABLES)
    old, found = tomllib.loads(text), tomllib.loads(new)
    assert found["php"] == {**old.get("php", {}), **TABLES["php"]}
    assert found["server"] == {**old.get("server", {}), **TABLES["server"]}
    assert {k: v for k, v in found.items() if k not in TABLES} == {
        k: v for k, v in old.items() if k not in TABLES
    }
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert all(line in new for line in comments)


def test_a_difference_is_one_that_patch_takes(tmp_path: Path) -> None:
    file = tmp_path / "askr.toml"
    file.write_text("# ours\n[php]\nprocesses = 3 # three\n\n[log]\naccess = '-'\n")
    text = tune_app_toml.as_diff(file, TABLES)
    subprocess.run(["patch", "-s", str(file)], input=text, text=True, check=True)
    assert tomllib.loads(file.read_text()) == {**TABLES, "log": {"access": "-"}}
    assert file.read_text().startswith("# ours\n")


def test_a_spelling_that_lines_do_not_fit_is_refused() -> None:
    with pytest.raises(AskrError, match="line-wise"):
        tune_app_toml.merged("php = { processes = 9 }\n", TABLES)
    with pytest.raises(AskrError, match="line-wise"):
        tune_app_toml.merged("php.processes = 9\n", TABLES)


def test_json_strings_of_a_fragment_are_toml_strings() -> None:
    line = 'error_log="/var/log/é\\x\n'
    text = tune_app_toml.render({"php": {"ini": [line]}})
    assert tomllib.loads(text)["php"]["ini"] == [line]
    assert json.dumps(line, ensure_ascii=False) in text
