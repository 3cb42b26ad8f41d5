# SPDX-License-Identifier: MIT
"""A worker without a sign of life: real processes that loop, sleep, are stopped, or wait."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from askrctl.server.pulse import SILENT_MAX_S, SILENT_S, WAITING_MAX_S, Pulse, PulseWatch

LATE_S = SILENT_MAX_S + 1
DEADLINE_S = 30.0
LOOP, SLEEP = "while True: pass", "import time; time.sleep(1000)"
# vfork(2): the parent is in the state of one that waits for a disk, until its child is gone.
WAIT = "import ctypes, time; ctypes.CDLL(None).vfork() or time.sleep(1000)"
Run = Callable[[str], int]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start Python on one processor that all of them share; gives its pid."""
    cpu = min(os.sched_getaffinity(0))
    children = []

    def start(program: str) -> int:
        child = subprocess.Popen([sys.executable, "-S", "-c", program], start_new_session=True)
        children.append(child)
        os.sched_setaffinity(child.pid, {cpu})
        return child.pid

    yield start
    for child in children:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def looked_at(pid: int, wanted: Pulse) -> Pulse:
    """What looks say in the end, or when it is what is wanted."""
    watch, end = PulseWatch(pid), time.monotonic() + DEADLINE_S
    while (pulse := watch.look(LATE_S)) is not wanted and time.monotonic() < end:
        time.sleep(0.01)
    return pulse


@pytest.mark.parametrize("program", [LOOP, SLEEP])
def test_one_that_loops_or_sleeps_is_stuck(run: Run, program: str) -> None:
    assert looked_at(run(program), Pulse.STUCK) is Pulse.STUCK


def test_one_that_loops_beside_others_is_stuck_as_well(run: Run) -> None:
    pid, *_ = [run(LOOP) for _ in range(3)]
    assert looked_at(pid, Pulse.STUCK) is Pulse.STUCK


def test_one_that_is_stopped_is_stuck(run: Run) -> None:
    pid = run(LOOP)
    os.kill(pid, signal.SIGSTOP)
    run(LOOP)
    assert looked_at(pid, Pulse.STUCK) is Pulse.STUCK


def test_one_that_waits_for_a_disk_is_given_time(run: Run) -> None:
    assert looked_at(run(WAIT), Pulse.WAITS_FOR_DISK) is Pulse.WAITS_FOR_DISK


def test_one_that_gets_no_processor_waits_and_is_given_time(run: Run) -> None:
    pid = run(LOOP)
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    run(LOOP)
    watch, end, seen = PulseWatch(pid), time.monotonic() + DEADLINE_S, {Pulse.FINE}
    while seen == {Pulse.FINE} and time.monotonic() < end:
        seen.add(watch.look(LATE_S))
    assert seen == {Pulse.FINE, Pulse.WAITS_FOR_CPU}
    assert watch.look(WAITING_MAX_S) is Pulse.WAITS_FOR_CPU
    assert watch.look(WAITING_MAX_S + 0.1) is Pulse.STUCK


def test_a_beat_ends_what_was_watched(run: Run) -> None:
    watch = PulseWatch(run(SLEEP))
    assert watch.look(LATE_S) is Pulse.FINE, "nothing is known yet"
    assert watch.look(SILENT_S - 0.1) is Pulse.FINE
    assert watch.look(LATE_S) is Pulse.FINE, "watched anew"


def test_where_the_kernel_does_not_count_silence_alone_decides() -> None:
    watch = PulseWatch(1 << 30)  # no process has this number
    assert watch.look(SILENT_MAX_S) is Pulse.FINE
    assert watch.look(SILENT_MAX_S + 0.1) is Pulse.STUCK
