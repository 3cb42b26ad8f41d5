# SPDX-License-Identifier: MIT
"""Signals that a service manager or a terminal sends to every process of the server.

What they mean is the supervisor's to decide; everybody else passes over them, from the first
instruction on: a process is started with them blocked, and lets them through when it ignores them.
SIG_IGN and not a handler, which would end the sleep of a PHP script.
"""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

TO_ALL = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH),
)


@contextmanager
def held(numbers: Iterable[signal.Signals] = TO_ALL) -> Iterator[None]:
    """What comes meanwhile is heard later. A process that is started meanwhile inherits it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def after() -> Iterator[None]:
    """A request to end is heard behind this, not amid it: amid `Popen` it would leave a process
    that nobody knows. Unlike held(), nothing of it is inherited. Only the main thread hears any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = [
        (number, signal.signal(number, lambda number, _: heard.append(number)))
        for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if heard:
        signal.raise_signal(heard[0])


def pass_over() -> None:
    """In the process that was started so."""
    for number in TO_ALL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_ALL)


def hold_until_served() -> None:
    """At the start of a server: nothing can be reloaded or opened again yet."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2))


def let_through() -> None:
    """When there are handlers for them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_ALL)
