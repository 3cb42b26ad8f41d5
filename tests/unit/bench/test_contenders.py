# SPDX-License-Identifier: MIT
"""Servers under measurement are stopped, all of them, whoever interrupts."""

import os
import signal
from pathlib import Path

import pytest

from askrctl import signals
from askrctl.bench import contenders
from askrctl.bench.contenders import Contender
from askrctl.cli.interrupts import as_interrupt

# Ends for nobody, and interrupts us when it is asked to.
STUBBORN = 'trap "kill -INT $PPID" TERM; echo up; sleep 600 & while :; do wait; done'


def running(folder: Path, name: str, script: str) -> Contender:
    own = folder / name
    own.mkdir()
    one = Contender(name, [["sh", "-c", script]], "http://127.0.0.1:1/", own)
    one.launch(())
    while "up" not in one.log.read_text():
        assert one.running[0].poll() is None
    return one


def test_an_interrupt_while_servers_end_leaves_none_of_them(tmp_path: Path) -> None:
    both = [running(tmp_path, "stubborn", STUBBORN), running(tmp_path, "other", STUBBORN)]
    processes = [process for one in both for process in one.running]
    with pytest.raises(KeyboardInterrupt), as_interrupt():
        contenders.stop(both)
    assert [process.poll() for process in processes] == [-signal.SIGKILL] * 2
    assert both[0].running == both[1].running == []


def test_only_the_first_request_to_end_is_an_interrupt() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    cleaned = []

    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            for number in numbers:  # impatient ones, while servers are stopped
                os.kill(os.getpid(), number)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), as_interrupt():
        interrupted()
    assert cleaned
    assert [signal.getsignal(number) for number in numbers] == before


def test_what_has_to_be_whole_is_interrupted_behind_it() -> None:
    done = []

    def interrupted() -> None:
        with signals.after():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")
        done.append("and more")

    with pytest.raises(KeyboardInterrupt), as_interrupt():
        interrupted()
    assert done == ["whole"]
