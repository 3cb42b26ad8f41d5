# SPDX-License-Identifier: MIT
"""The time split as operators see it: sums in seconds, and what could be gained at the I/O at most.

docs/observability.md says what each number is and how far it can be trusted.
"""

from collections.abc import Iterable, Mapping

from askrctl import engine

_NS = 1e9


def add(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several splits."""
    total = dict.fromkeys(engine.SPLIT_FIELDS, 0)
    for part in parts:
        for name, value in part.items():
            total[name] += value
    return total


def io_ceiling_pct(split: Mapping[str, int]) -> float:
    """The most a request could gain if I/O cost nothing: the share of the I/O's CPU time in the
    time that requests kept the worker or its applications at work.

    Two things bound that time from below, and the larger counts: CPU time, of applications and I/O,
    and time in which an application had a request, whether it computed or waited.
    """
    io = split["io_cpu_serving_ns"]
    app = split["app_cpu_ns"] + split["after_cpu_ns"]
    whole = max(io + app, split["app_held_ns"])
    return 0.0 if whole == 0 else round(min(100.0, 100.0 * io / whole), 2)


def as_seconds(split: Mapping[str, int]) -> dict[str, float]:
    """The flat object of `askrctl status --json`."""
    seconds: dict[str, float] = {"requests": split["requests"]}
    for name in engine.SPLIT_FIELDS:
        if name.endswith("_ns"):
            seconds[f"{name.removesuffix('_ns')}_s"] = round(split[name] / _NS, 9)
    seconds["io_ceiling_pct"] = io_ceiling_pct(split)
    return seconds
