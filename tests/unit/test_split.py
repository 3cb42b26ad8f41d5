# SPDX-License-Identifier: MIT
"""The ceiling of what I/O could gain, as arithmetic."""

import pytest

from askrctl.server.split import add, as_seconds, io_ceiling_pct

MS = 1_000_000


def split(**parts: int) -> dict[str, int]:
    return add([{f"{name}_ns": value * MS for name, value in parts.items()}])


@pytest.mark.parametrize(
    ("parts", "ceiling"),
    [
        ({}, 0.0),
        ({"io_cpu_serving": 5}, 100.0),
        ({"io_cpu_serving": 1, "app_cpu": 99, "app_held": 100}, 1.0),
        ({"io_cpu_serving": 1, "app_cpu": 1, "app_held": 100}, 1.0),  # it waits for a database
        ({"io_cpu_serving": 10, "app_cpu": 30, "app_held": 20}, 25.0),
        ({"io_cpu_serving": 10, "app_cpu": 20, "after_cpu": 10}, 25.0),
        ({"io_cpu_serving": 30, "app_held": 20}, 100.0),
    ],
)
def test_the_ceiling_is_the_share_of_io(parts: dict[str, int], ceiling: float) -> None:
    assert io_ceiling_pct(split(**parts)) == ceiling


def test_the_queue_is_no_work() -> None:
    """The metric this replaces counted waiting for an application as the application's time."""
    busy = split(io_cpu_serving=50, app_cpu=50, app_held=100)
    queued = split(io_cpu_serving=50, app_cpu=50, app_held=100, queue=10_000, app_wall=5_000)
    assert io_ceiling_pct(busy) == io_ceiling_pct(queued) == 50.0


def test_the_object_is_flat_and_of_numbers() -> None:
    seconds = as_seconds(split(read=1, queue=2500))
    assert seconds["read_s"] == 0.001
    assert seconds["queue_s"] == 2.5
    assert all(isinstance(value, int | float) for value in seconds.values())
