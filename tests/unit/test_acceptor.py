# SPDX-License-Identifier: MIT
"""Listeners of the supervisor when descriptors have run out: they wait, and do not spin."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from askrctl.server.acceptor import PAUSE_S, Acceptor
from askrctl.server.loop import Loop

FEW = 256  # descriptors: all are taken in a moment


class Counting(socket.socket):
    """A listener that knows how often it was asked."""

    asked = 0

    def accept(self) -> Any:
        self.asked += 1
        return super().accept()


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def take_all() -> list[int]:
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    return taken


@pytest.mark.usefixtures("few_descriptors")
def test_without_descriptors_a_listener_pauses_and_then_takes_who_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop, welcomed = Loop(), []
    with Counting(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)

        def welcome(stream: socket.socket) -> None:
            welcomed.append(stream)
            stream.close()
            loop.stop()

        def give_back() -> None:
            for fd in taken:
                os.close(fd)

        acceptor = Acceptor(listener, "admin", welcome)
        acceptor.open(loop)
        client.connect(str(tmp_path / "socket"))
        taken = take_all()
        loop.call_later(PAUSE_S * 1.5, give_back)
        loop.run()
        assert len(welcomed) == 1
        assert listener.asked == 3, "at once, after a pause in vain, and after another"
        assert caplog.text.count("event=accept_paused listener=admin") == 1
        acceptor.close()


@pytest.mark.usefixtures("few_descriptors")
def test_a_listener_that_is_closed_while_it_pauses_stays_closed(
    tmp_path: Path,
) -> None:
    loop = Loop()
    listener = Counting(socket.AF_UNIX)
    with socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)
        acceptor = Acceptor(listener, "control", lambda _: None)
        acceptor.open(loop)
        client.connect(str(tmp_path / "socket"))
        taken = take_all()
        loop.call_later(PAUSE_S / 2, acceptor.close)
        loop.call_later(PAUSE_S * 2, loop.stop)
        loop.run()
        for fd in taken:
            os.close(fd)
        assert listener.asked == 1
