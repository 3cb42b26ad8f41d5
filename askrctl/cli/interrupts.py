# SPDX-License-Identifier: MIT
"""A request to end is an interrupt, so that servers that a command has started are stopped.

The first one ends the command. Those that follow while it stops its servers are not heard, or an
impatient second Ctrl-C would leave them running; how long stopping takes is bounded elsewhere.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_NUMBERS = (signal.SIGINT, signal.SIGTERM)  # a shell's background job ignores the first: we do not


def _interrupt(*_: object) -> None:
    for number in _NUMBERS:
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


@contextmanager
def as_interrupt() -> Iterator[None]:
    before = [signal.signal(number, _interrupt) for number in _NUMBERS]
    try:
        yield
    finally:
        for number, handler in zip(_NUMBERS, before, strict=True):
            signal.signal(number, handler)
