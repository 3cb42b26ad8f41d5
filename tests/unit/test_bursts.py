# SPDX-License-Identifier: MIT
"""What workers refuse is told in few lines, and none of it is lost."""

import re

import pytest

from askrctl import engine
from askrctl.engine._engine import ffi
from askrctl.server.bursts import PERIOD_S, Bursts

WORKERS = [(0, 100), (1, 101)]


class Pages:
    """Status pages that the test writes."""

    def __init__(self) -> None:
        self.data = bytearray(2 * engine.STATUS_STRIDE)
        self.memory = memoryview(self.data)
        for slot, pid in WORKERS:
            self.page(slot).pid = pid

    def page(self, slot: int) -> "ffi.CData":
        view = self.memory[slot * engine.STATUS_STRIDE : (slot + 1) * engine.STATUS_STRIDE]
        return ffi.cast("struct askr_worker_status *", ffi.from_buffer(view))


def told(caplog: pytest.LogCaptureFixture, name: str) -> list[int]:
    return [int(count) for count in re.findall(rf"event={name} count=(\d+)", caplog.text)]


def test_the_first_is_told_at_once_and_the_rest_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages, now = Pages(), [1000.0]
    bursts = Bursts(pages.memory, lambda: now[0])
    bursts.look(WORKERS)
    assert caplog.text == ""
    for _ in range(100):
        pages.page(0).rate_limited += 3
        pages.page(1).rate_limited += 2
        bursts.look(WORKERS)
    assert told(caplog, "rate_limited") == [5]
    pages.page(1).evicted = 7
    bursts.look(WORKERS)
    assert told(caplog, "evicted") == [7]
    now[0] += PERIOD_S
    bursts.look(WORKERS)
    assert told(caplog, "rate_limited") == [5, 495]


def test_a_worker_that_is_replaced_begins_at_zero(caplog: pytest.LogCaptureFixture) -> None:
    pages, now = Pages(), [1000.0]
    bursts = Bursts(pages.memory, lambda: now[0])
    pages.page(0).address_refused = 50
    bursts.look([(0, 100), (1, 999)])  # the second has not written its page yet
    pages.page(0).pid, pages.page(0).address_refused = 200, 4
    now[0] += PERIOD_S
    bursts.look([(0, 200), (1, 999)])
    assert told(caplog, "address_refused") == [50, 4]
