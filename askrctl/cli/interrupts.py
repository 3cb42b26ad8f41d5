# SPDX-License-Identifier: MIT
"""A request to end is an interrupt, so that servers that a command has started are stopped."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def as_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
