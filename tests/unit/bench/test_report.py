# SPDX-License-Identifier: MIT
"""Reports: every form says the same, HTML fetches nothing, the gate follows what it may."""

import json
import re
import xml.dom.minidom
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from askrctl.bench import charts, html, markdown, report, verdict
from askrctl.bench.environment import Environment, warnings
from askrctl.bench.installed import Missing
from askrctl.bench.report import Report
from askrctl.bench.runner import Sample, Series, Settings, parse_perf
from askrctl.bench.stats import Interval
from askrctl.model import AskrError, Backend

ENVIRONMENT = Environment(
    kernel="6.18.1",
    distribution="Debian",
    cpu="A <CPU>",
    cores=2,
    smt="on",
    governor="performance",
    hypervisor="none seen",
    clocksource="tsc",
    mitigations={"spectre_v2": "Mitigation: Retpolines"},
    memory_mib=4096,
    load_average="0.10 0.10 0.10",
    askrctl="0.1.0",
    python="3.11.2",
    warnings=(),
)


def samples(cost: float, count: int = 8) -> tuple[Sample, ...]:
    wobble = [1 + 0.001 * (number % 3) for number in range(count)]
    return tuple(
        Sample(
            requests=1000,
            rate=1e6 / cost,
            cpu_us=cost * factor,
            user_us=cost * 0.6,
            system_us=cost * 0.4,
            p50_ms=0.5,
            p99_ms=2.0,
            p999_ms=None,
            generator_share=0.5,
            foreign_share=0.01,
            stolen_share=0.0,
        )
        for factor in wobble
    )


def series(mode: str, backend: str, cost: float, void: str = "") -> Series:
    name = f"askrctl {mode}, {backend}"
    return Series(name, samples(cost), void, backend, mode, 50 << 20, 3.5)


def made(all_series: Sequence[Series], missing: Sequence[Missing] = ()) -> Report:
    settings = Settings("/", 1, 8, 64, server_cores=(0,), load_cores=(1,))
    rule = verdict.Rule()
    return Report(
        created="2026-01-02T03:04:05+00:00",
        title='shop/<a> "x"',
        settings=settings,
        generator="wrk 4.1",
        loop="closed loop",
        rule=rule.sentence,
        validation="status 200, 13 bytes",
        environment=ENVIRONMENT,
        series=tuple(all_series),
        missing=tuple(missing),
        comparisons=tuple(report.compare(a, b, rule) for a, b in report.pairs(all_series)),
        notes=("a note",),
    )


EPOLL, URING = series("worker", "epoll", 50.0), series("worker", "io_uring", 40.0)
CLASSIC, CLASSIC_URING = series("classic", "epoll", 90.0), series("classic", "io_uring", 90.0)
PEER = Series("nginx + php-fpm", samples(200.0))
GONE = Missing("FrankenPHP worker", "not installed", "no frankenphp in PATH")
FULL = made([EPOLL, URING, CLASSIC, CLASSIC_URING, PEER], [GONE])


def test_a_matrix_compares_backends_in_each_mode_and_peers_with_ours() -> None:
    pairs = [(one.a, one.b, str(one.verdict.outcome)) for one in FULL.comparisons]
    assert pairs == [
        (EPOLL.name, URING.name, "win"),
        (CLASSIC.name, CLASSIC_URING.name, "no win"),
        (PEER.name, EPOLL.name, "win"),
    ]


def test_json_has_everything_and_its_schema() -> None:
    found = json.loads(FULL.json())
    assert found["schema"] == "askr.bench/1"
    assert len(found["series"]) == 5 and len(found["series"][0]["samples"]) == 8
    assert found["comparisons"][0]["verdict"]["outcome"] == "win"
    assert found["missing"] == [
        {"name": GONE.name, "state": "not installed", "reason": GONE.reason}
    ]


@pytest.mark.parametrize("form", [markdown.to_markdown, html.to_html])
def test_both_forms_say_all_that_matters(form: Callable[[Report], str]) -> None:
    text = form(FULL)
    for said in ("win", "no win", "not installed", FULL.rule, "6.18.1", "Retpolines", "a note"):
        assert said in text
    assert "I/O ceiling unknown" in text


def test_html_is_one_file_that_fetches_nothing_and_escapes_names() -> None:
    page = html.to_html(FULL)
    assert "<script" not in page and "@import" not in page and "src=" not in page
    assert not re.findall(r"(?:href|url\()", page)
    assert "shop/&lt;a&gt;" in page and "A &lt;CPU&gt;" in page
    assert page.count("<svg") == 3
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        root = xml.dom.minidom.parseString(drawn).documentElement
        assert root.getAttribute("role") == "img" and root.getAttribute("aria-label")


def test_marks_lie_inside_their_chart() -> None:
    page = html.to_html(FULL)
    for place in re.findall(r'(?:cx|x1|x2|x)="([-\d.]+)"', page):
        assert 0 <= float(place) <= charts.WIDTH


def test_a_void_contender_has_no_figures_and_its_reason_everywhere() -> None:
    broken = replace(URING, void="it answers with status 500")
    found = made([EPOLL, broken])
    assert found.comparisons[0].verdict.outcome == "void"
    for text in (markdown.to_markdown(found), html.to_html(found), found.json()):
        assert "it answers with status 500" in text
    with pytest.raises(AskrError, match="nothing was recorded"):
        report.make_record(found)


def test_everything_void_is_still_a_report(tmp_path: Path) -> None:
    broken = [replace(one, void="it is gone", samples=()) for one in (EPOLL, URING)]
    paths = report.write(made(broken), tmp_path / "deep/out")
    assert [path.name for path in paths] == ["report.json", "report.md", "report.html"]
    assert "<svg" not in (tmp_path / "deep/out/report.html").read_text()


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AskrError, match="cannot be written"):
        report.write(FULL, tmp_path / "file/out")


# --- the gate -------------------------------------------------------------------------------------


def test_the_gate_takes_io_uring_when_it_wins_and_loses_nowhere() -> None:
    record = report.make_record(FULL)
    assert record.winner is Backend.IO_URING and record.outcome == "win"
    assert record.ratio == pytest.approx(0.8, rel=0.01)
    assert '"' not in record.workload


def test_the_gate_stays_with_epoll_when_a_mode_loses() -> None:
    record = report.make_record(made([EPOLL, URING, CLASSIC, series("classic", "io_uring", 120.0)]))
    assert record.winner is Backend.EPOLL
    assert "more CPU time" in record.sentence


def test_the_gate_stays_with_epoll_without_a_win() -> None:
    record = report.make_record(made([CLASSIC, CLASSIC_URING]))
    assert (record.winner, record.outcome) == (Backend.EPOLL, "no win")


def test_the_gate_needs_both_backends() -> None:
    with pytest.raises(AskrError, match="compared with epoll"):
        report.make_record(made([EPOLL, PEER]))


# --- parts ----------------------------------------------------------------------------------------


def test_the_ceiling_comes_from_the_split_or_is_unknown() -> None:
    assert "unknown" in report.ceiling(EPOLL)
    known = report.ceiling(replace(EPOLL, split={"io_ceiling_pct": 2.9}))
    assert "97 % application" in known and "2.9 %" in known
    static = report.ceiling(replace(EPOLL, split={"io_ceiling_pct": 100.0}))
    assert static == (
        "this route is all I/O: its time split sets no limit to what a backend could gain"
    )


def test_a_peer_has_no_ceiling_since_it_differs_in_more_than_its_io() -> None:
    rule, split = verdict.Rule(), {"io_ceiling_pct": 2.9}
    ours = replace(EPOLL, split=split)
    assert "2.9 %" in report.compare(ours, URING, rule).ceiling
    assert report.compare(PEER, ours, rule).ceiling == ""
    only = made([PEER, ours])
    assert "ceiling" not in markdown.to_markdown(only) + html.to_html(only)
    assert '<p class="soft"></p>' not in html.to_html(only)


def test_a_peer_is_compared_with_ours_that_does_the_same() -> None:
    peers = [Series(mode, samples(90.0), mode=mode) for mode in ("classic", "worker", "")]
    found = report.pairs([EPOLL, URING, CLASSIC, CLASSIC_URING, *peers])[2:]
    assert [(a.name, b.mode, b.backend) for a, b in found] == [
        ("classic", "classic", "epoll"),
        ("worker", "worker", "epoll"),
        ("", "worker", "epoll"),
    ]
    assert report.pairs(peers) == []


def test_one_round_is_not_rounds() -> None:
    one = replace(FULL, settings=replace(FULL.settings, rounds=1))
    assert "| 1 round of 1 s after 1 s, " in markdown.to_markdown(one)
    short = replace(EPOLL, samples=samples(50.0, 1))
    verdict_of_one = report.compare(short, short, one.settings.rule).verdict
    assert verdict_of_one.sentence.startswith("inconclusive: 1 round, ")


def test_a_generator_or_a_neighbour_at_the_limit_is_noted() -> None:
    busy = tuple(replace(one, generator_share=0.99, foreign_share=0.5) for one in samples(50.0))
    notes = report._sample_notes([replace(EPOLL, samples=busy)])
    assert "load generator was at its limit" in notes[0] and "50%" in notes[1]


def test_a_restless_machine_is_warned_of() -> None:
    found = warnings("powersave", "yes (QEMU)", 3.0, 1)
    assert len(found) == 4
    assert warnings("performance", "none seen", 0.1, 8) == ()


def test_perf_counts_are_read_and_refusals_are_none() -> None:
    line = "7412,,raw_syscalls:sys_enter,1000403,100.00,,\n"
    assert parse_perf(f"# started\n\n{line}") == 7412
    assert parse_perf(line.replace("7412", "<not supported>")) is None
    assert parse_perf("") is None


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 613), (0.83, 1.2), (-3, 0.001)])
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    found = charts.ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_a_ratio_of_one_value_can_be_drawn() -> None:
    row = charts.Ratio("B\nagainst A", Interval(1.0, 1.0, 1.0), [1.0])
    xml.dom.minidom.parseString(charts.ratios([row], 0.03))
