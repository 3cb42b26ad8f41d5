# SPDX-License-Identifier: MIT
"""SystemCallFilter= of a unit: does it let io_uring pass? From its lines alone (systemd.exec(5)).

The first line says what holds for calls that none names; each further one adds or takes away; an
empty one starts again.
"""

from collections.abc import Iterable

_GROUPS = ("@aio", "@system-service", "@known")  # that hold io_uring's calls
_CALLS = {"io_uring_setup", "io_uring_enter", "io_uring_register"}


def judge(lines: Iterable[str]) -> tuple[bool, str]:
    """Whether io_uring passes, and the line that takes it away, if one does."""
    passes, first, denied = True, True, ""
    for line in lines:
        words = [word.split(":")[0] for word in line.removeprefix("~").split()]
        if not words:
            passes, first, denied = True, True, ""
        elif line.startswith("~"):
            taken = bool({"@aio", *_CALLS} & set(words))
            passes, denied = passes and not taken, line if taken else denied
        else:
            passes = _allows(words) or (passes and not first)
            denied = "" if passes else denied
        first = first and not words
    return passes, denied


def _allows(words: list[str]) -> bool:
    return any(word in _GROUPS for word in words) or set(words) >= _CALLS
