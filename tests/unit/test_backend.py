# SPDX-License-Identifier: MIT
"""Which backend is chosen: the whole table of request, record and probe."""

from dataclasses import replace

import pytest

from askrctl.gate import AGAIN, BenchRecord, Machine, Refusal
from askrctl.model import Backend, ProbeVerdict
from askrctl.server import backend

USABLE = ProbeVerdict("usable", tier="T3")
LOW = ProbeVerdict("usable", tier="T1")
BLOCKED = ProbeVerdict("unusable", cause="seccomp_eperm", detail="it is blocked", fix="unblock it")
MACHINE = Machine("5" * 32, "6.18.1", "A CPU", 2, "0.1.0")
WIN = BenchRecord(
    winner=Backend.IO_URING,
    outcome="win",
    sentence="it wins",
    workload="shop/",
    ratio=0.9,
    ratio_low=0.9,
    ratio_high=0.9,
    threshold=0.03,
    rounds=20,
    created="2026-01-02",
    machine=MACHINE,
)
NO_WIN = replace(WIN, winner=Backend.EPOLL, sentence="it does not win")
REFUSED = Refusal("bench_record_foreign", "it is of another machine")


@pytest.mark.parametrize(
    ("requested", "record", "verdict", "active", "reason"),
    [
        ("epoll", WIN, None, "epoll", "requested"),
        ("epoll", None, None, "epoll", "requested"),
        ("io_uring", None, USABLE, "io_uring", "requested"),
        ("io_uring", NO_WIN, USABLE, "io_uring", "requested"),
        ("io_uring", REFUSED, LOW, "io_uring", "requested"),
        ("io_uring", WIN, BLOCKED, "epoll", "seccomp_eperm"),
        ("auto", None, None, "epoll", "no_bench_record"),
        ("auto", REFUSED, None, "epoll", "bench_record_foreign"),
        ("auto", NO_WIN, None, "epoll", "bench_no_win"),
        ("auto", WIN, USABLE, "io_uring", "bench_win"),
        ("auto", WIN, LOW, "epoll", "tier_too_low"),
        ("auto", WIN, BLOCKED, "epoll", "seccomp_eperm"),
    ],
)
def test_request_record_and_probe_decide(
    requested: str,
    record: BenchRecord | Refusal | None,
    verdict: ProbeVerdict | None,
    active: str,
    reason: str,
) -> None:
    found = backend.choose(Backend(requested), verdict, record)
    assert (found.requested, found.active, found.reason) == (requested, active, reason)
    if verdict is None:
        assert not backend.wants_probe(Backend(requested), record)


def test_the_log_line_says_which_record_decided() -> None:
    won = backend.choose(Backend.AUTO, USABLE, WIN).log_line()
    assert "reason=bench_win" in won and "it wins (bench of shop/, 2026-01-02)" in won
    lost = backend.choose(Backend.AUTO, None, NO_WIN).log_line()
    assert "reason=bench_no_win" in lost and "it does not win" in lost


def test_whoever_has_no_record_is_told_how_to_get_one() -> None:
    assert backend.choose(Backend.AUTO, None, None).fix == AGAIN
    assert backend.choose(Backend.AUTO, None, REFUSED).fix == AGAIN
